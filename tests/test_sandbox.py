"""The sandbox as a person meets it: real processes, pasted commands, Ctrl-C."""

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.ecosystem.questions import UNKNOWN_PERSON
from scripts.ecosystem.story import (
    ACCESS_DENIED,
    AT_ONCE,
    FORGED,
    MEMORY_LIMIT,
    REPLAYED,
    UNREACHABLE,
)
from scripts.postgres_binaries import find_binaries
from scripts.postgres_process import workers_in
from tests.database_fixtures import quick_folder
from trust.errors import StorageError

pytestmark = [pytest.mark.sandbox, pytest.mark.xdist_group("sandbox")]

ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-m", "scripts.cli", "sandbox"]
LAST_LINE = "Ctrl-C stops everything."
PATIENCE = 240  # seconds for what takes about a minute
SPYNE = sys.version_info < (3, 12) and importlib.util.find_spec("spyne") is not None


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for a sandbox, in memory where that is possible."""
    try:
        find_binaries()
    except StorageError as error:
        pytest.skip(str(error))
    folder = quick_folder()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_the_scripted_story_holds(place: Path) -> None:
    ran = subprocess.run(
        [*COMMAND, "--check", "--json"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(place)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert list(found) == [
        "ok", "ready_s", "exchanges", "verified", "refused", "rss_mb", "steps",
    ]  # fmt: skip
    assert found["ok"] is True
    assert [step for step in found["steps"] if step["ok"] is not True] == []
    refused = {ACCESS_DENIED: 1, FORGED: 1, REPLAYED: 1, UNREACHABLE: 1}
    told = {UNKNOWN_PERSON: 1, f"{ACCESS_DENIED}.purpose_not_granted": 1}
    assert found["refused"] == refused | (told if SPYNE else {})
    # of persons: by GET, by POST, many at once, after the node's return; of income: by REST, by
    # SOAP, what else the authority offers, and its description
    between_nodes = AT_ONCE + 3 + 4
    # status, certificate, status through the bridge, services, WSDL; records and health
    between_nodes += 7 if SPYNE else 0
    # for cases: three registries, two for derived facts, four with the right to a fourth service,
    # three without it again, and what a plain client asks
    between_nodes += 13 if SPYNE else 0
    # the rogue's, and what the own node tells of itself
    alone = 2 if SPYNE else 1
    asked_again = found["exchanges"] - between_nodes - alone  # records are told a moment later
    assert 0 <= asked_again < 20
    # request and answer at both nodes; the rogue's at one; what the library asked, at its own;
    # of what a system itself refused, the request at both; of a purpose, the request at one
    assert found["verified"] == 4 * (between_nodes + asked_again) + 2 + 1 + (3 if SPYNE else 0)
    assert set(found["rss_mb"]) == {"CIVIL", "MUNI", "TAX"} | ({"SOCIAL"} if SPYNE else set())
    assert all(0 < size < MEMORY_LIMIT for size in found["rss_mb"].values())
    assert list(place.iterdir()) == [], "the temporary folder stayed"


def test_the_printed_commands_work_and_a_second_start_continues(place: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    folder = place / "kept"
    with started(folder) as first:
        commands = printed_commands(first)
        if SPYNE:
            assert "householdIncome" in answered(commands.pop(0), "Submissions spared: 4")
        call, download, verify, receipt, judge, log, audit, reconcile, *soap = commands
        assert json.loads(pasted(call))["national_id"] in call
        pasted(download)
        assert pasted(verify).startswith("PASSED ")
        pasted(receipt)
        assert pasted(judge).startswith("PASSED ")
        assert "people" in pasted(log)
        assert pasted(audit).startswith("PASSED ")
        assert "Equal." in pasted(reconcile)
        assert len(soap) == int(SPYNE)
        assert all(":contributionStatusResponse" in pasted(one) for one in soap)
        second = subprocess.run(
            [*COMMAND, "--dir", str(folder)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert second.returncode == 2
        assert "A sandbox runs in" in second.stderr
        first.send_signal(signal.SIGINT)
        assert first.wait(PATIENCE) == 0
    assert left_over(folder) == []

    for container in folder.glob("*.asice"):
        container.unlink()
    services = folder / "civil" / "services.toml"
    edited = f"# by hand\n{services.read_text(encoding='utf-8')}"
    services.write_text(edited, encoding="utf-8")
    with started(folder) as again:
        printed_commands(again)
        assert services.read_text(encoding="utf-8") == edited
        pasted(download)
        assert pasted(verify).startswith("PASSED ")
        again.kill()
        again.wait(PATIENCE)
    until_nothing_is_left(folder)


@contextlib.contextmanager
def started(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A sandbox in a session of its own, as in another terminal."""
    with (folder.parent / "progress").open("a", encoding="utf-8") as progress:
        process = subprocess.Popen(
            [*COMMAND, "--dir", str(folder)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=progress,
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def printed_commands(process: "subprocess.Popen[str]") -> list[str]:
    """What the sandbox prints once it is ready."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.strip())
        if lines[-1] == LAST_LINE:
            break
    else:
        pytest.fail("The sandbox ended before it was ready")
    ours = (" verify ", " log search ", " audit ", " reconcile ", " once evidence ")
    return [line for line in lines if line.startswith("curl ") or any(w in line for w in ours)]


def pasted(command: str) -> str:
    """The output of a command that somebody pastes into a shell, wherever that is."""
    ran = subprocess.run(
        ["/bin/sh", "-c", command], cwd="/", capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
    return ran.stdout


def answered(command: str, text: str) -> str:
    """The output of a command that asks for facts, once the node has the catalog for all."""
    deadline = time.monotonic() + PATIENCE
    while True:
        ran = subprocess.run(
            ["/bin/sh", "-c", command], cwd="/", capture_output=True, text=True, check=False
        )
        if text in ran.stdout:
            return ran.stdout
        assert time.monotonic() < deadline, f"{command}\n{ran.stdout}{ran.stderr}"
        time.sleep(1)


def left_over(folder: Path) -> list[str]:
    """The processes that belong to a sandbox's folder."""
    found = [f"postgres {pid}" for pid in workers_in(folder / "postgres" / "data")]
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if any(str(folder) in word for word in words):
                found.append(" ".join(words))
    return found


def until_nothing_is_left(folder: Path) -> None:
    """Children of a killed sandbox get their signal at once, and some seconds to end."""
    deadline = time.monotonic() + PATIENCE
    while found := left_over(folder):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
