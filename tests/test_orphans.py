"""`kill -9` of whoever started others: nothing is left running, and the next start goes on.

Quick in the normal suite; with SACBE_SOAK=1 (`make soak`) many more kills.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from scripts.postgres_process import workers_in
from tests.database_fixtures import quick_folder
from tests.pki import Pki
from tests.real_nodes import skip_without_postgres
from tests.test_sandbox import left_over, printed_commands, started, until_nothing_is_left
from trust.configuration.confpublish import build_anchor
from trust.globalconf import Anchor, AnchorSource

SOAK = "SACBE_SOAK" in os.environ
KILLS = 30 if SOAK else 3
PATIENCE = 60.0  # seconds
ROOT = Path(__file__).parents[1]
SETTINGS = """
server = "TEST:GOV:1000:NODE1"
data = "data"
[configuration]
anchor = "anchor.xml"
[keys]
folder = "keys"
password_file = "keys.password"
[systems]
host = "127.0.0.1"
http_port = 0
https_port = 0
[peers]
host = "127.0.0.1"
port = 0
ocsp_port = 0
[admin]
port = 0
"""

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.database,
    pytest.mark.xdist_group("sandbox"),
    pytest.mark.timeout(3600 if SOAK else 300),
]


@pytest.fixture
def folder() -> Iterator[Path]:
    skip_without_postgres()
    found = quick_folder()
    yield found
    shutil.rmtree(found, ignore_errors=True)


def test_a_killed_node_takes_its_own_database_with_it_and_starts_again(folder: Path) -> None:
    write_node(folder)
    data = folder / "data" / "postgres" / "data"
    for _ in range(KILLS):
        node = start_node(folder)
        try:
            until_up(node)
            assert workers_in(data) != frozenset()
        finally:
            end(node, signal.SIGKILL)
        until_no_worker(data)
    node = start_node(folder)
    until_up(node)
    assert end(node, signal.SIGTERM) == 0
    assert workers_in(data) == frozenset()


def test_a_sandbox_that_is_killed_while_it_starts_leaves_nothing_and_starts_again(
    folder: Path,
) -> None:
    chance = random.Random()
    place = folder / "kept"
    for _ in range(KILLS):
        with started(place) as process:
            time.sleep(chance.uniform(0.2, 5))
            process.kill()
        until_nothing_is_left(place)
    with started(place) as process:
        assert printed_commands(process) != []
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    assert left_over(place) == []


def write_node(folder: Path) -> None:
    """What a node needs to run that has no registry to ask and no certificate to show."""
    pki = Pki(datetime.now(UTC), "TEST")
    signer = pki.certify("conf", "ca", issuer=None, label="conf")
    certificate = signer.certificate.public_bytes(Encoding.DER)
    source = AnchorSource("http://127.0.0.1:1/internalconf", (certificate,))
    (folder / "anchor.xml").write_bytes(build_anchor(Anchor("TEST", (source,), datetime.now(UTC))))
    (folder / "node.toml").write_text(SETTINGS, encoding="utf-8")
    password = folder / "keys.password"
    password.write_text("open sesame\n", encoding="utf-8")
    password.chmod(0o600)


def start_node(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "scripts.cli", "node", "run", "--config", folder / "node.toml"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def until_up(node: "subprocess.Popen[str]") -> None:
    assert node.stderr is not None
    said = []
    for line in node.stderr:
        said.append(line)
        if line.startswith("Node TEST:GOV:1000:NODE1: "):
            return
    pytest.fail("".join(said))


def end(node: "subprocess.Popen[str]", how: signal.Signals) -> int:
    node.send_signal(how)
    node.communicate(timeout=PATIENCE)
    return node.returncode


def until_no_worker(data: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while workers_in(data):
        assert time.monotonic() < deadline, "the database server outlived its node"
        time.sleep(0.02)
