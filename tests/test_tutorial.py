"""The commands on the pages for administrators, run in the order in which they stand there.

A block marked `sh` is run, all of a page in one shell. A block marked `text` behind it says what is
to be seen: each of its lines must be part of a line of the output, in this order; `…` stands for
anything.
"""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg
import pytest
import pytest_asyncio

from scripts.postgres import PostgresServer
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
    blocks = blocks_of(page("tutorial"))
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


SQL = re.compile(r"^```sql\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DSN = "postgresql://town_reader:take-a-better-one@127.0.0.1/land"
USUAL_PORTS = (4000, 5500, 5577, 8080, 8090, 8443, 8888, 9000)


@pytest_asyncio.fixture
async def land(postgres_server: PostgresServer, database_dsn: str) -> AsyncIterator[str]:
    """The database of the page about an own node; the address of the role that reads it."""
    database = urlsplit(database_dsn).path.removeprefix("/")
    (statements,) = SQL.findall(page("own-node"))
    connection = await asyncpg.connect(postgres_server.dsn(database, *superuser(postgres_server)))
    try:
        await connection.execute(statements.replace("DATABASE land", f"DATABASE {database}"))
        yield postgres_server.dsn(database, "town_reader", "take-a-better-one")
        await connection.execute("DROP OWNED BY town_reader; DROP ROLE town_reader")
    finally:
        await connection.close()


def superuser(server: PostgresServer) -> tuple[str, str]:
    address = urlsplit(server.superuser_dsn)
    return unquote(address.username or ""), unquote(address.password or "")


@pytest.mark.database
async def test_a_registry_and_a_node_can_be_set_up_and_run_by_hand(place: Path, land: str) -> None:
    start, stop, end = page("own-node").partition("## 10. Stop")
    text = start + page("registry") + page("trust-list") + stop + end
    assert text.count(DSN) == 1
    text = text.replace(DSN, land)
    for usual, free in zip(USUAL_PORTS, free_ports(len(USUAL_PORTS)), strict=True):
        text = re.sub(rf"\b{usual}\b", str(free), text)
    path = 'PATH="$PWD/.venv/bin:$PATH"\n'
    await asyncio.to_thread(check, [(path, ""), *blocks_of(text)], place)


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def free_ports(count: int) -> list[int]:
    """Ports that nobody has, none twice."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


@pytest.mark.parametrize(
    "path", [DOCS.parent / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda path: path.name
)
def test_every_link_leads_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, heading = link.partition("#")
        if file.startswith("http"):
            continue
        target = path.parent / file if file else path
        assert target.exists(), link
        assert not heading or heading in headings(target), link


def headings(page: Path) -> set[str]:
    """The names by which the headings of a page can be linked to."""
    found = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}
