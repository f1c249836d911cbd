"""`sacbe node witness` and `sacbe registry witness`: logs, alarms, and how they are settled."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from node.log.messagelog import MIGRATIONS
from scripts.cli import main
from tests.log_leaves import NOON, SERVER, add_leaves, transparency
from tests.test_node_command import SETTINGS
from trust.database import Pool, PoolSettings, migrate, open_pool
from trust.evidence.checkpoints import CheckpointOffer
from trust.evidence.notes import NoteKey, NoteKeyKind, cosign
from trust.registry import registry_app
from trust.witness.announcement import Announcement, announcement_headers, as_witness
from trust.witness.witness_store import WitnessStore
from trust.witness.witnessing import Alarm, Raised

LOG = "sacbe/EX/GOV/1001/NODE1"
REGISTRY = """
address = "127.0.0.1:8090"
data = "data"
[keys]
folder = "registry-keys"
password_file = "keys.password"
[database]
dsn_file = "database.dsn"
"""


def prepare(
    dsn: str, component: str, folder: Path, do: Callable[[Pool], Coroutine[None, None, None]]
) -> None:
    async def run() -> None:
        pool = await open_pool(dsn, "sacbe-test", PoolSettings(max_connections=3))
        try:
            await migrate(pool, component, folder)
            await do(pool)
        finally:
            await pool.close()

    asyncio.run(run())


async def alarmed(pool: Pool) -> None:
    await WitnessStore(pool).refuse(LOG, Raised(Alarm.FORK, "two roots"), b"note", b"e1", NOON)


@pytest.fixture
def folder(tmp_path: Path, database_dsn: str) -> Path:
    (tmp_path / "node.toml").write_text(SETTINGS, encoding="utf-8")
    (tmp_path / "registry.toml").write_text(REGISTRY, encoding="utf-8")
    for name, text in (("database.dsn", database_dsn), ("keys.password", "open sesame\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(0o600)
    return tmp_path


def node(folder: Path, *words: str) -> int:
    return main(["node", "witness", "--config", str(folder / "node.toml"), *words])


def registry(folder: Path, *words: str) -> int:
    return main(["registry", "witness", "--config", str(folder / "registry.toml"), *words])


def test_a_node_without_checkpoints_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert node(folder) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Our log has no checkpoint yet.",
        "No log of another node has been announced yet.",
        "No alarms.",
    ]


def test_our_log_and_those_of_others_are_shown(
    folder: Path, database_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def do(pool: Pool) -> None:
        log = transparency(pool)
        await add_leaves(pool, 7)
        await log.round()
        newest = await log.newest()
        assert newest is not None
        offer = CheckpointOffer(0, (), newest.note)
        said = Announcement.parse(announcement_headers(log.key.public, offer), SERVER.owner)
        await WitnessStore(pool).take(said, b"e0", NOON)
        witness = NoteKey("sacbe/EX/GOV/2002/NODE2", NoteKeyKind.WITNESS, log.key.public.public)
        line = cosign(said.checkpoint.text, witness, NOON, log.key.sign)
        await log.cosigned(7, as_witness(witness), line, NOON)
        await add_leaves(pool, 1)

    prepare(database_dsn, "node", MIGRATIONS, do)
    assert node(folder) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == (
        "Our log: 8 records, checkpoint of 7 at 2026-11-21 12:00:00Z, not time-stamped yet"
    )
    assert shown[1].startswith("  key sacbe/EX/GOV/1001/NODE1+")
    assert shown[2:] == [
        "  sacbe/EX/GOV/2002/NODE2 signed 7 records at 2026-11-21 12:00:00Z",
        f"{LOG}: 7 records at 2026-11-21 12:00:00Z, seen 2026-11-21 12:00:00Z",
        "No alarms.",
    ]


@pytest.mark.parametrize("kind", ["node", "registry"])
def test_alarms_are_shown_until_they_are_settled(
    folder: Path, database_dsn: str, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    run = node if kind == "node" else registry
    migrations = MIGRATIONS if kind == "node" else registry_app.MIGRATIONS
    prepare(database_dsn, kind, migrations, alarmed)
    assert run(folder) == 1
    line = f"ALARM 1 (fork) at 2026-11-21 12:00:00Z: {LOG}: two roots"
    assert line in capsys.readouterr().out.splitlines()
    assert run(folder, "--settle", LOG) == 0
    assert capsys.readouterr().out == f"{LOG}: 1 alarms settled\n"
    assert run(folder) == 0
    assert "No alarms." in capsys.readouterr().out
    assert run(folder, "--all") == 0
    assert "ALARM 1 (fork) at 2026-11-21 12:00:00Z, settled 20" in capsys.readouterr().out
