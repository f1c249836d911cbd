"""Write the files that are made from the settings classes: `make docs`.

Example files stand beside the code that reads them, in `config/`; the tables in `docs/settings.md`.
A test compares them with what this makes.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from adapters.app import AdapterSettings
from catalog.declaration import ServicesDeclaration
from config.describe import describe_settings, settings_table
from node.settings import NodeSettings
from trust.registry.declaration import RegistryDeclaration
from trust.registry.registry_app import RegistrySettings

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """A file that an operator writes.

    Attributes:
        use: which command reads it, as the rest of the sentence "Read by …".
    """

    name: str
    settings: type
    use: str


FILES = (
    SettingsFile("node", NodeSettings, "`sacbe node`"),
    SettingsFile("services", ServicesDeclaration, "`sacbe node apply`: what a node offers to whom"),
    SettingsFile("registry", RegistrySettings, "`sacbe registry`"),
    SettingsFile(
        "instance", RegistryDeclaration, "`sacbe registry apply`: who and what is in an instance"
    ),
    SettingsFile("adapter", AdapterSettings, "`sacbe adapter`"),
)

_INTRODUCTION = """\
# Settings

<!-- Written by `make docs` from the settings classes; change those. -->

Every file is TOML. A duration is written `"30s"`, `"5m"`, `"2h"` or `"1d"`, a size `"10 MiB"`, an
identifier with colons. Paths are taken from the folder of the file. Unknown keys are errors, and
all errors of a file are told at once.

Where a key is followed by the name of a variable, the environment may give the value instead; it
wins over the file. Secrets are never values: a setting names the file that holds one, which must
not be open to every user.
"""


def generated() -> Mapping[Path, str]:
    """Every generated file with its content."""
    found = {
        ROOT / "config" / f"{file.name}.example.toml": describe_settings(file.settings)
        for file in FILES
    }
    sections = [_section(file) for file in FILES]
    return found | {ROOT / "docs" / "settings.md": "\n".join([_INTRODUCTION, *sections])}


def _section(file: SettingsFile) -> str:
    example = f"[`config/{file.name}.example.toml`](../config/{file.name}.example.toml)"
    return (
        f"## {file.name}.toml\n\nRead by {file.use}. Example: {example}.\n\n"
        f"{settings_table(file.settings)}"
    )


def main() -> int:
    """Write what is not as it must be, and name it."""
    for path, text in generated().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
