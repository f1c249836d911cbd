"""Read mapping files; the catalog takes this as an argument, since it knows of no files."""

from pathlib import Path

from catalog.fields.mapping_file import MappingFile, file_problems, service_mapping
from catalog.mapping import ServiceMapping
from config.settings import load_settings


def read_mapping(path: Path) -> ServiceMapping:
    """What a mapping file says; raises ConfigurationError with every problem and its line."""
    return service_mapping(load_settings(MappingFile, path, check=file_problems))
