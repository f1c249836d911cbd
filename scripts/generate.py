"""Write the files that are made from the code: `make docs`.

Example files of the settings stand beside the code that reads them, in `config/`; their tables in
`docs/settings.md`; the fault codes in `docs/errors.md`; the page that judges files in a browser in
`scripts/verifier/`. A test compares them with what this makes.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from adapters.kinds import DEFAULT, MODULES, load_kind
from catalog.central.harvest.settings import CentralSettings
from catalog.declared.declaration import ServicesDeclaration
from catalog.fields.mapping_file import MappingFile
from catalog.meaning.declaration import OnceDeclaration
from config.describe import describe_settings, settings_table
from node.messages.code_table import TABLE, FaultCode, Origin
from node.settings import NodeSettings
from scripts.verifier_page import PAGE, build_page
from trust.registry.declaration import RegistryDeclaration

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
    SettingsFile(
        "mapping", MappingFile, "`sacbe node apply`: which facts the answers of a service have"
    ),
    SettingsFile("registry", CentralSettings, "`sacbe registry`"),
    SettingsFile(
        "instance", RegistryDeclaration, "`sacbe registry apply`: who and what is in an instance"
    ),
    SettingsFile(
        "once", OnceDeclaration, "`sacbe catalog vocabulary apply`: what counts as a fact"
    ),
    SettingsFile("adapter", load_kind(DEFAULT).settings, f'`sacbe adapter`, of kind "{DEFAULT}"'),
    *(
        SettingsFile(
            f"adapter-{kind}", load_kind(kind).settings, f'`sacbe adapter`, of kind "{kind}"'
        )
        for kind in MODULES
        if kind != DEFAULT
    ),
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

_ERRORS = """\
# Fault codes

<!-- Written by `make docs` from node/messages/code_table.py; change that. -->

A fault is a code, a sentence and an id. The id stands in the log of the node that made the fault,
so give it to its operator when you ask.

`server.serverproxy.service_failed.http_error` is read from the left: which side failed, groups,
and what happened. The sides:

| Code begins with | Who complains |
| --- | --- |
| `client.` | the consumer's node, about what its information system sent (SOAP) |
| `server.clientproxy.` | the consumer's node |
| `server.clientproxy.service_failed.` | the consumer's node, about the answer of the provider's |
| `server.serverproxy.` | the provider's node |
| `server.serverproxy.service_failed.` | the provider's node, about its information system |
| `server.serverproxy.opmonitor.` | the provider's node, about a request for monitoring data |
| anything else | the provider's information system: its own fault, passed on |

Nodes of X-Road up to 7.7.1 spell codes in the old way, and both spellings reach a consumer. With
`legacy_fault_codes` this node does so too.
"""


def generated() -> Mapping[Path, str]:
    """Every generated file with its content."""
    found = {
        ROOT / "config" / f"{file.name}.example.toml": describe_settings(file.settings)
        for file in FILES
    }
    sections = [_section(file) for file in FILES]
    codes = [_codes(title, group) for title, group in TABLE]
    return found | {
        ROOT / "docs" / "settings.md": "\n".join([_INTRODUCTION, *sections]),
        ROOT / "docs" / "errors.md": "\n".join([_ERRORS, *codes]),
        PAGE: build_page(),
    }


def _section(file: SettingsFile) -> str:
    example = f"[`config/{file.name}.example.toml`](../config/{file.name}.example.toml)"
    return (
        f"## {file.name}.toml\n\nRead by {file.use}. Example: {example}.\n\n"
        f"{settings_table(file.settings)}"
    )


def _codes(title: str, codes: tuple[FaultCode, ...]) -> str:
    """A table of codes: what to do where Sacbe raises them, else why it does not."""
    foreign = all(code.origin is Origin.NEVER for code in codes)
    last = "Why not here" if foreign else "What to do | Raised by"
    head = f"| Code | Old spelling | Meaning | {last} |"
    rows = [head, "| --- " * (head.count("|") - 1) + "|"]
    for code in codes:
        end = code.why if foreign else f"{code.todo} | {code.origin}"
        old = f"`{code.old}`" if code.old else "none"
        rows.append(f"| `{code.name}` | {old} | {code.meaning} | {end} |")
    return f"## {title}\n\n" + "\n".join(rows) + "\n"


def main() -> int:
    """Write what is not as it must be, and name it."""
    for path, text in generated().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
