"""Audit the tree of a log as it lies in the archive store, and find the archived records in it.

The tiles hold every leaf up to the newest checkpoint. Their roots are compared with all
checkpoints, and each archived record with the leaves: one that was time-stamped before the newest
checkpoint and is not in its tree was never logged as it is now.
"""

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from node.archive.store import ArchiveStore
from node.transparency.log_files import FOLDER
from trust.audit.checkpoint_checks import CheckpointVerdict, LogKeys, judge_checkpoint, keys_stated
from trust.audit.findings import Finding
from trust.audit.indications import Level
from trust.audit.log_records import TrustLists
from trust.audit.log_walk import LogWalk, StatedRoot
from trust.errors import EvidenceRejected, MalformedMessage, StorageError
from trust.evidence.checkpoints import Checkpoint
from trust.evidence.merkle import HASH_SIZE
from trust.evidence.notes import MAX_NOTE_BYTES, NoteKey, SignedNote
from trust.evidence.tiles import TILE_WIDTH, Tile
from trust.evidence.timestamps import MAX_TOKEN_BYTES
from trust.report import Check, failed, indeterminate, warning
from trust.witness.announcement import as_witness

_CHECKPOINT = re.compile(rf"{FOLDER}checkpoints/([0-9]{{1,18}})")
_STATEMENT = re.compile(rf"{FOLDER}statements/[0-9]{{1,18}}\.asice")
_MAX_STATEMENT = 4 << 20
_NAMED = 1000  # records outside of the tree that are told


@dataclass(frozen=True, slots=True)
class TreeFound:
    """What the tree in a store showed.

    Attributes:
        levels: how far the archived records that passed were judged.
    """

    facts: tuple[tuple[str, str], ...]
    levels: dict[Level, int]
    findings: Sequence[Finding]


@dataclass
class TileAudit:
    """How the tree in a store is audited; `run` does it once.

    Attributes:
        records: the path of a FoundRecords.
        log_keys, witnesses: keys that the auditor knows from elsewhere.
    """

    store: ArchiveStore
    trust: TrustLists
    records: Path
    log_keys: Sequence[NoteKey] = ()
    witnesses: Sequence[NoteKey] = ()
    findings: list[Finding] = field(default_factory=list)

    async def run(self) -> TreeFound | None:
        """Audit the tree; None where the store has none. Raises StorageError."""
        names = [each.name async for each in self.store.list(FOLDER.rstrip("/"))]
        sizes = sorted(int(m[1]) for name in names if (m := _CHECKPOINT.fullmatch(name)))
        if not sizes and not any(name.startswith(f"{FOLDER}tile/") for name in names):
            return None
        keys = await self._keys([name for name in names if _STATEMENT.fullmatch(name)])
        verdicts = [await self._checkpoint(size, keys, set(names)) for size in sizes]
        newest_at, witnessed = await self._newest(set(names), verdicts)
        walk = LogWalk([StatedRoot(each.size, each.root) for each in verdicts if each.root])
        end = max(sizes, default=0)
        connection = sqlite3.connect(self.records)
        try:
            connection.execute("CREATE TABLE tree (hash BLOB, leaf INTEGER)")
            await self._walk(walk, end, connection)
            connection.execute("CREATE INDEX tree_hash ON tree (hash)")
            good = [c.size for c in verdicts if c.believed and c.size <= walk.agreed]
            in_tree = max(good, default=0)
            self._outside(connection, newest_at)
            levels = self._levels(connection, in_tree, min(witnessed, in_tree))
        finally:
            connection.commit()
            connection.close()
        facts = (
            ("leaves in the tiles", str(end)),
            ("checkpoints", str(len(sizes))),
            ("leaves under a good checkpoint", str(in_tree)),
            ("leaves under a witnessed checkpoint", str(min(witnessed, in_tree))),
        )
        return TreeFound(facts, levels, [*self.findings, *walk.findings])

    async def _keys(self, statements: Sequence[str]) -> LogKeys:
        if self.log_keys:
            return LogKeys(frozenset(key.text for key in self.log_keys), given=True)
        found = []
        for name in statements:
            found.append(("", await self.store.read(name, _MAX_STATEMENT)))
        stated, findings = keys_stated(found, self.trust)
        self.findings += findings
        return LogKeys(frozenset(stated))

    async def _checkpoint(self, size: int, keys: LogKeys, names: set[str]) -> CheckpointVerdict:
        name = f"{FOLDER}checkpoints/{size}"
        note = await self.store.read(name, MAX_NOTE_BYTES)
        token = None
        if f"{name}.tst" in names:
            token = await self.store.read(f"{name}.tst", MAX_TOKEN_BYTES)
        verdict = judge_checkpoint(
            size=size,
            note=note,
            key=_key_of(note, keys),
            token=token,
            cosignatures=(),
            keys=keys,
            witnesses=(),
            trust=self.trust,
        )
        self.findings += [
            Finding(f"checkpoint of {size} leaves", each) for each in verdict.problems
        ]
        return verdict

    async def _newest(
        self, names: set[str], verdicts: Sequence[CheckpointVerdict]
    ) -> tuple[datetime | None, int]:
        """When the newest checkpoint was signed, and its size if a given witness signed it."""
        if f"{FOLDER}checkpoint" not in names:
            return None, 0
        place = "newest checkpoint in the archive store"
        raw = await self.store.read(f"{FOLDER}checkpoint", MAX_NOTE_BYTES)
        try:
            note = SignedNote.parse(raw)
            checkpoint = Checkpoint.parse(note.text)
            cosigned = [note.cosigned_at(as_witness(key)) for key in self.witnesses]
        except (MalformedMessage, EvidenceRejected) as error:
            self.findings.append(Finding(place, failed("checkpoint", error.code, error.text)))
            return None, 0
        same = [each for each in verdicts if each.size == checkpoint.size]
        if not same or same[0].root != checkpoint.root:
            text = f"It is not the checkpoint of {checkpoint.size} leaves that was kept"
            check = failed("checkpoint", "checkpoint_rewritten", text)
            self.findings.append(Finding(place, check))
            return None, 0
        return same[0].at, checkpoint.size if any(cosigned) else 0

    async def _walk(self, walk: LogWalk, end: int, connection: sqlite3.Connection) -> None:
        for first in range(0, end, TILE_WIDTH):
            tile = Tile(0, first // TILE_WIDTH, min(TILE_WIDTH, end - first))
            hashes, problem = await self._tile(tile)
            if problem is not None:
                place = f"tile of leaves {first} to {first + tile.width - 1}"
                self.findings.append(Finding(place, problem))
            walk.take(hashes, [None] * tile.width, ())
            connection.executemany(
                "INSERT INTO tree VALUES (?, ?)",
                ((each, leaf) for leaf, each in enumerate(hashes, first) if each is not None),
            )
        walk.finish(0)

    async def _tile(self, tile: Tile) -> tuple[list[bytes | None], Check | None]:
        """The hashes of a tile; a full one also serves for the partial one that it became."""
        lost: list[bytes | None] = [None] * tile.width
        for each in dict.fromkeys((tile, Tile(tile.level, tile.index))):
            name = FOLDER + each.path
            if await self.store.size_of(name) is None:
                continue
            try:
                data = await self.store.read(name, each.width * HASH_SIZE)
                return list(each.hashes(data)[: tile.width]), None
            except (StorageError, MalformedMessage) as error:
                return lost, failed("tree", "tile_altered", str(error))
        return lost, failed("tree", "tile_removed", f"{FOLDER}{tile.path} is gone")

    def _outside(self, connection: sqlite3.Connection, newest: datetime | None) -> None:
        """Archived records that are not in the tree."""
        rows = connection.execute(
            "SELECT number, file, time FROM found WHERE leaf NOT IN (SELECT hash FROM tree)"
            " ORDER BY number LIMIT ?",
            (_NAMED,),
        )
        for number, file, seconds in rows:
            place = f"record {number} in {file}"
            if newest is None:
                text = "It is not in the tree, whose newest checkpoint is not known"
                check = indeterminate("tree", "record_not_in_tree", text)
            elif seconds < newest.timestamp():
                text = "It was time-stamped before the newest checkpoint, and is not in its tree"
                check = failed("tree", "record_not_in_tree", text)
            else:
                check = warning("tree", "It is younger than the newest checkpoint")
            self.findings.append(Finding(place, check))

    def _levels(
        self, connection: sqlite3.Connection, in_tree: int, witnessed: int
    ) -> dict[Level, int]:
        def count(first: int, end: int) -> int:
            row = connection.execute(
                "SELECT count(*) FROM found WHERE good AND leaf IN"
                " (SELECT hash FROM tree WHERE leaf >= ? AND leaf < ?)",
                (first, end),
            ).fetchone()
            return int(row[0])

        total = int(connection.execute("SELECT count(*) FROM found WHERE good").fetchone()[0])
        cosigned, tree = count(0, witnessed), count(witnessed, in_tree)
        return {
            Level.TIME: total - cosigned - tree,
            Level.TREE: tree,
            Level.WITNESSES: cosigned,
        }


def _key_of(note: bytes, keys: LogKeys) -> str:
    """The known key that is said to have signed a note; one that nobody knows if there is none."""
    try:
        signatures = SignedNote.parse(note).signatures
    except MalformedMessage:
        return ""
    for text in sorted(keys.known):
        key = NoteKey.parse(text)
        if any(each.by(key) for each in signatures):
            return text
    return ""
