"""The commands on the pages for administrators, run in the order in which they stand there.

A block marked `sh` is run, all of a page in one shell. A block marked `text` behind it says what is
to be seen: each of its lines must be part of a line of the output, in this order; `…` stands for
anything.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.postgres_binaries import find_binaries
from tests.database_fixtures import quick_folder
from trust.errors import StorageError

pytestmark = [pytest.mark.sandbox, pytest.mark.xdist_group("sandbox")]

DOCS = Path(__file__).parents[1] / "docs"
PATIENCE = 180  # seconds for a page that takes about twenty
_BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_END = "--- end of block"


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder in which `.venv` is that of the tests."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    try:
        find_binaries()
    except StorageError as error:
        pytest.skip(str(error))
    folder = quick_folder()
    (folder / ".venv").symlink_to(sys.prefix)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def blocks_of(text: str) -> list[tuple[str, str]]:
    """The blocks of a page: what is to be run, and what is then to be seen, empty where unsaid."""
    found: list[tuple[str, str]] = []
    for kind, content in _BLOCK.findall(text):
        if kind == "sh":
            found.append((content, ""))
        else:
            command, seen = found[-1]
            found[-1] = command, seen + content
    return found


def outputs_of(commands: list[str], place: Path) -> list[str]:
    """Run commands in one shell; the output of each, standard error in its place."""
    script = "".join(f"{command}echo; echo '{_END}'\n" for command in commands)
    shell = subprocess.Popen(
        ["sh", "-c", script],
        cwd=place,
        env={name: value for name, value in os.environ.items() if not name.startswith("SACBE_")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = shell.communicate(timeout=PATIENCE)
    finally:
        with_everybody(shell.pid, signal.SIGKILL)
    return output.split(f"{_END}\n")[:-1]


def with_everybody(session: int, number: signal.Signals) -> None:
    """Send a signal to what a shell left behind."""
    try:
        os.killpg(session, number)
    except ProcessLookupError:
        return


def unseen(expected: str, output: str) -> list[str]:
    """The lines that should be seen and are not, in this order."""
    lines = iter(output.splitlines())
    return [wanted for wanted in expected.splitlines() if not _found(wanted, lines)]


def _found(wanted: str, lines: Iterator[str]) -> bool:
    pattern = ".*".join(map(re.escape, wanted.strip().split("…")))
    return any(re.search(pattern, line) for line in lines)


def test_the_tutorial_holds(place: Path) -> None:
    blocks = blocks_of((DOCS / "tutorial.md").read_text(encoding="utf-8"))
    assert len(blocks) >= 15
    check(blocks, place)


def check(blocks: list[tuple[str, str]], place: Path) -> None:
    outputs = outputs_of([command for command, _ in blocks], place)
    for (command, expected), output in zip(blocks, outputs, strict=True):
        missing = unseen(expected, output)
        assert not missing, f"{command}\nshould show\n{missing[0]}\nand showed\n{output}"


def test_what_is_expected_is_looked_for_in_order() -> None:
    assert unseen("a\nb…d\n", "xax\nbcd\n") == []
    assert unseen("b…d\na\n", "a\nbcd\n") == ["a"]
    assert blocks_of("```sh\nls\n```\nso:\n```text\nx\n```\n```console\n$ no\n```\n") == [
        ("ls\n", "x\n")
    ]
