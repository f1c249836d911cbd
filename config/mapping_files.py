"""Read mapping files; the catalog takes this as an argument, since it knows of no files."""

from dataclasses import dataclass, field
from pathlib import Path

from catalog.fields.mapping_file import MappingFile, file_problems, service_mapping
from catalog.mapping import NO_MAPPING, ServiceMapping
from config.settings import load_settings, located
from trust.errors import ConfigurationError, ConfigurationProblem


def read_mapping(path: Path) -> ServiceMapping:
    """What a mapping file says; raises ConfigurationError with every problem and its line."""
    return service_mapping(load_settings(MappingFile, path, check=file_problems))


@dataclass(frozen=True, slots=True)
class MappingFiles:
    """Reads each mapping file once; what is wrong with one does not hide what else is wrong.

    Attributes:
        problems: of all files that were read, each with its line.
    """

    problems: list[ConfigurationProblem] = field(default_factory=list)
    _read: dict[Path, ServiceMapping] = field(default_factory=dict)

    def read(self, path: Path) -> ServiceMapping:
        """What a file says, right or wrong; nothing when it is no mapping file at all."""
        if path not in self._read:
            self._read[path] = self._look(path)
        return self._read[path]

    def _look(self, path: Path) -> ServiceMapping:
        try:
            file = load_settings(MappingFile, path)
            self.problems.extend(located(path, file_problems(file)))
        except ConfigurationError as error:
            self.problems.extend(error.problems)
            return NO_MAPPING
        return service_mapping(file)
