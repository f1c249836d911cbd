"""Signatures over batches that were found whole: their other messages need no second look.

All messages of a batch come with the same signature document and the same hash chain result, byte
for byte. That the document is well-formed, that its value is by the key of its certificate and
that it covers this result depends on those bytes alone, so it is remembered under them; it never
ages. Whose certificate it is and whether it counts depends on the trust list, the moment and the
sender, and is judged for every message, as are its own hash chain and its parts.
"""

from dataclasses import dataclass
from threading import Lock

from trust.evidence.signature import Signature
from trust.report import Check

CAPACITY = 256
MAX_REMEMBERED_BYTES = 64 * 1024  # of one signature with its result; an ordinary one has 10 kB


@dataclass(frozen=True, slots=True)
class VerifiedBatch:
    """What every message of a batch has in common.

    Attributes:
        stated_certificate: the check that the signed properties mean this certificate.
        values: the checks of the signature value and of the references.
    """

    signature: Signature
    stated_certificate: Check
    values: tuple[Check, ...]


_Key = tuple[bytes, bytes]


class VerifiedBatches:
    """The last batches whose common part held; they take 16 MB of raw bytes at the most."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.hits = 0
        self._capacity = capacity
        self._known: dict[_Key, VerifiedBatch] = {}
        self._lock = Lock()

    def find(self, signature: bytes, result: bytes | None) -> VerifiedBatch | None:
        """What is known of exactly these two documents."""
        if result is None:
            return None
        found = self._known.get((signature, result))
        if found is not None:
            self.hits += 1
        return found

    def remember(self, result: bytes, batch: VerifiedBatch) -> None:
        """Keep what held; the oldest makes room."""
        key = (batch.signature.raw, result)
        if sum(map(len, key)) > MAX_REMEMBERED_BYTES:
            return
        with self._lock:
            self._known.pop(key, None)
            while len(self._known) >= self._capacity:
                del self._known[next(iter(self._known))]
            self._known[key] = batch
