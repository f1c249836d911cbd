"""Judges from elsewhere: tlog-scales reads our log's files, pymerkle builds the same tree."""

from datetime import timedelta
from pathlib import Path

from node.log.messagelog import MIGRATIONS
from tests.foreign_programs import run
from tests.log_leaves import NOON, MemoryStore, add_leaves, transparency
from trust.database import PoolSettings, migrate, open_pool
from trust.evidence.notes import NoteKey, NoteKeyKind, cosign
from trust.witness.announcement import as_witness

_PAIRS = [(1, 1), (1, 2), (3, 7), (4, 8), (255, 256), (256, 1000), (300, 1283), (1283, 1283)]
_INDEXES = [0, 1, 255, 256, 1023, 1024, 1280, 1281, 1282]


async def test_other_programs_read_our_log(database_dsn: str, tmp_path: Path) -> None:
    pool = await open_pool(database_dsn, "sacbe-test", PoolSettings(max_connections=2))
    try:
        await migrate(pool, "node", MIGRATIONS)
        store = MemoryStore()
        log = transparency(pool, store=store)
        await add_leaves(pool, 300)
        await log.make()
        await add_leaves(pool, 983)
        made = await log.make()
        assert made is not None
        witness = NoteKey("witness.example", NoteKeyKind.WITNESS, log.key.public.public)
        line = cosign(made.text, witness, NOON + timedelta(minutes=1), log.key.sign)
        await log.cosigned(made.size, witness, line, NOON)
        await log.store_files()
        for name, data in store.files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        keys = (log.key.public, as_witness(log.key.public), witness)
        answer = await run(
            "tlog",
            "tlog_judge.py",
            {
                "folder": str(tmp_path / "log"),
                "keys": [key.text for key in keys],
                "entries": [str(index).encode().hex() for index in range(made.size)],
                "pairs": _PAIRS,
                "indexes": _INDEXES,
            },
        )
        assert answer["size"] == made.size == 1283
        for said in ("stated", "from_tiles", "pymerkle"):
            assert answer[said] == made.root.hex(), said
        for old, new in _PAIRS:
            proof = await log.consistency(old, new)
            assert answer["consistency"][f"{old} {new}"] == [each.hex() for each in proof]
        for index in _INDEXES:
            ours = await log.inclusion(index + 1000)
            assert answer["inclusion"][str(index)] == [each.hex() for each in ours.proof]
    finally:
        await pool.close()
