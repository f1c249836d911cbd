"""Where an audit takes its trust lists from; small enough to be handed to other processes."""

import re
from dataclasses import dataclass
from pathlib import Path

from node.archive.store import ArchiveStore
from node.archive.trust_list_copies import FOLDER
from scripts.trustlist import load_anchor, load_trust_list
from trust.audit.log_records import OneTrustList, TrustLists
from trust.configuration.confhistory import FolderFiles, TrustListHistory
from trust.configuration.confparts import MAX_PART_BYTES

HISTORY = FOLDER  # in a node's data folder as well
_NAME = re.compile(r"parts/[0-9a-f]{64}\.gz|versions/[0-9TZ.]{23}-[0-9a-f]{16}\.json")


@dataclass(frozen=True, slots=True)
class TrustSource:
    """One list for every moment, or a history; `open` reads it.

    Attributes:
        history: its folder; one that is not there is an empty history.
        conf: a folder, download or anchor whose list counts for every moment, in its place.
        anchors: files; see `TrustListHistory`.
    """

    history: Path
    conf: str = ""
    anchors: tuple[str, ...] = ()

    def open(self) -> TrustLists:
        """Raises SacbeError."""
        if self.conf:
            return OneTrustList(load_trust_list(self.conf))
        return TrustListHistory(FolderFiles(self.history), [load_anchor(n) for n in self.anchors])


async def fetch_history(store: ArchiveStore, folder: Path) -> int:
    """Copy the history out of an archive store; how many files. Raises StorageError, OSError."""
    count = 0
    async for each in store.list(HISTORY):
        name = each.name.removeprefix(f"{HISTORY}/")
        if _NAME.fullmatch(name):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(await store.read(each.name, MAX_PART_BYTES))
            count += 1
    return count
