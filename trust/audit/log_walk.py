"""Walk once over all leaves of a log, in order, and compare them with what was said of them.

Time-stamps cover ranges of leaves by a hash tree over the signature files; checkpoints state the
root of the tree over all leaves up to a size. Memory is that of a block of digests, of the tree's
right edge and of the checkpoints' sizes and roots.

A checkpoint whose root is another one means that leaves were changed before it, or that the
checkpoint was: when a later one agrees with the leaves, the checkpoint is what was rewritten.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from trust.audit.findings import Finding
from trust.evidence.merkle import Frontier
from trust.evidence.timestamp_tree import BLOCK, block_top, build_tree_result
from trust.report import Check, failed, indeterminate

_TOP = 64  # bytes of a node
_NO_LEAVES = Frontier()


@dataclass(frozen=True, slots=True)
class StampedRange:
    """A time-stamp over some leaves in a row, as the log has it.

    Attributes:
        chain_result: the stamped file; None for the single form.
        tops: the nodes over each block of leaves, one after another; likewise.
    """

    id: int
    first_leaf: int
    leaves: int
    chain_result: bytes | None = field(default=None, repr=False)
    tops: bytes | None = field(default=None, repr=False)

    @property
    def end(self) -> int:
        return self.first_leaf + self.leaves

    @property
    def place(self) -> str:
        return f"time-stamp {self.id} over leaves {self.first_leaf} to {self.end - 1}"


@dataclass(frozen=True, slots=True)
class StatedRoot:
    """What a checkpoint says."""

    size: int
    root: bytes

    @property
    def place(self) -> str:
        return f"checkpoint of {self.size} leaves"


class LogWalk:
    """Takes the leaves as they come and collects what does not fit.

    Args:
        roots: in order of their sizes.
        first: the first leaf that is taken; those before it went after they were archived.
        before: the tree's edge after `first` leaves or a few more, None when it is lost; smaller
            checkpoints can't be compared.
    """

    def __init__(
        self,
        roots: Sequence[StatedRoot],
        first: int = 0,
        before: Frontier | None = _NO_LEAVES,
    ) -> None:
        self.leaf = first  # the next one
        self.agreed = 0  # size of the largest checkpoint that agrees with the leaves
        self.covered = first  # leaves below this are in the range of a time-stamp
        self.findings: list[Finding] = []
        self._frontier = before  # None once a leaf was lost
        self._roots = [each for each in roots if before is None or each.size >= before.size]
        self._first = first
        self._next_root = 0
        self._disagreeing: list[StatedRoot] = []
        self._stamps: deque[StampedRange] = deque()
        self._newest = (-1, -1)
        self._block: list[bytes | None] = []
        self._tops: list[bytes | None] = []

    def take(
        self,
        leaf_hashes: Sequence[bytes | None],
        signature_digests: Sequence[bytes | None],
        stamps: Sequence[StampedRange],
    ) -> None:
        """Take the next leaves, as the log states them, with the digests of their signatures.

        Args:
            leaf_hashes: None for a leaf that is lost.
            signature_digests: None where the record is not at hand.
            stamps: those that cover some of these leaves, in order; one that covered earlier
                leaves as well may come again.
        """
        self._take_stamps(stamps)
        self._take_roots(leaf_hashes)
        for digest in signature_digests:
            self._take_signature(digest)
            self.leaf += 1

    def _take_stamps(self, stamps: Sequence[StampedRange]) -> None:
        for stamp in stamps:
            key = (stamp.first_leaf, stamp.id)
            if key <= self._newest:
                continue
            self._newest = key
            if stamp.first_leaf < self._first < stamp.end:  # its first records are archived
                blocks, rest = divmod(self._first - stamp.first_leaf, BLOCK)
                self._tops, self._block = [None] * blocks, [None] * rest
            elif stamp.first_leaf > self.covered:
                text = f"Leaves {self.covered} to {stamp.first_leaf - 1} have lost their time-stamp"
                self._add(stamp.place, failed("timestamp", "stamp_missing", text))
            elif stamp.first_leaf < self.covered:
                text = f"It covers leaves from {stamp.first_leaf} on again"
                self._add(stamp.place, failed("timestamp", "stamp_overlaps", text))
            self.covered = max(self.covered, stamp.end)
            self._stamps.append(stamp)

    def _take_roots(self, hashes: Sequence[bytes | None]) -> None:
        at, end = 0, self.leaf + len(hashes)
        while self._next_root < len(self._roots) and self._roots[self._next_root].size <= end:
            stated = self._roots[self._next_root]
            to = max(stated.size - self.leaf, at)
            self._extend(hashes[at:to], self.leaf + at)
            at = to
            self._next_root += 1
            if self._frontier is None:
                self._disagreeing.append(stated)
            elif self._frontier.root() == stated.root:
                self._agree(stated.size)
            else:
                self._disagreeing.append(stated)
        self._extend(hashes[at:], self.leaf + at)

    def _extend(self, hashes: Sequence[bytes | None], first: int) -> None:
        """Take hashes in, without those that the edge had from the beginning."""
        if self._frontier is not None and first < self._frontier.size:
            hashes = hashes[self._frontier.size - first :]
        known = [each for each in hashes if each is not None]
        if len(known) < len(hashes):
            self._frontier = None
        if self._frontier is not None:
            self._frontier = self._frontier.extended(known)

    def _agree(self, size: int) -> None:
        """The leaves up to here are those that were signed, so what disagreed was rewritten."""
        for stated in self._disagreeing:
            text = (
                f"It states another root than the leaves have, and the checkpoint of {size} leaves"
                " agrees with them: this checkpoint was rewritten"
            )
            self._add(stated.place, failed("checkpoint", "checkpoint_rewritten", text))
        self._disagreeing.clear()
        self.agreed = size

    def _take_signature(self, digest: bytes | None) -> None:
        while self._stamps and self._stamps[0].end <= self.leaf:
            self._stamps.popleft()
        if not self._stamps or self.leaf < self._stamps[0].first_leaf:
            return
        stamp = self._stamps[0]
        if stamp.chain_result is None or stamp.tops is None:
            return  # the record itself is compared with the token
        self._block.append(digest)
        if len(self._block) == BLOCK or self.leaf + 1 == stamp.end:
            self._end_block(stamp)
        if self.leaf + 1 == stamp.end:
            self._end_stamp(stamp)

    def _end_block(self, stamp: StampedRange) -> None:
        digests = [each for each in self._block if each is not None]
        place = len(self._tops)
        top = None
        if len(digests) == len(self._block):
            top = block_top(digests)
            stated = (stamp.tops or b"")[place * len(top) : (place + 1) * len(top)]
            if stated != top:
                first = stamp.first_leaf + place * BLOCK
                last = first + len(digests) - 1
                text = f"The signatures of leaves {first} to {last} are not those that were stamped"
                self._add(stamp.place, failed("timestamp_chain", "stamped_other", text))
        self._tops.append(top)
        self._block = []

    def _end_stamp(self, stamp: StampedRange) -> None:
        """Compare the whole tree, also where some of its records are not at hand any more."""
        stated = stamp.tops or b""
        tops = [
            stated[place * _TOP : (place + 1) * _TOP] if top is None else top
            for place, top in enumerate(self._tops)
        ]
        self._tops = []
        try:
            result = build_tree_result(b"".join(tops), stamp.leaves)
        except ValueError:  # the row was altered, or ranges overlap
            result = b""
        if result != stamp.chain_result:
            text = "The stamped hash chain result does not lead to the log's signatures"
            self._add(stamp.place, failed("timestamp_chain", "stamped_other", text))

    def finish(self, stamped: int) -> None:
        """There are no more leaves.

        Args:
            stamped: leaves that are under time-stamps, as the log says.
        """
        self._tell_disagreeing()
        for stated in self._roots[self._next_root :]:
            text = f"It says that there are {stated.size} leaves; the log has {self.leaf}"
            self._add(stated.place, failed("tree", "log_shrunk", text))
        if self.covered < stamped:
            lost = f"leaves {self.covered} to {stamped - 1}"
            text = f"The log says that they are time-stamped; there is no time-stamp of {lost}"
            self._add(lost, failed("timestamp", "stamp_missing", text))

    def _tell_disagreeing(self) -> None:
        if not self._disagreeing:
            return
        first = self._disagreeing[0]
        between = f"leaves {self.agreed} to {first.size - 1}"
        if self._frontier is None:
            text = (
                f"The roots of {len(self._disagreeing)} checkpoints can't be compared, because"
                f" leaves are lost; the checkpoint of {self.agreed} leaves is the last that agrees"
            )
            self._add(between, indeterminate("tree", "tree_unknown", text))
            return
        text = (
            f"The log is not the one that was signed: {between} were changed, removed or put in"
            f" after the checkpoint of {first.size} leaves was made"
        )
        more = len(self._disagreeing) - 1
        text += f" ({more} later ones disagree as well)" if more else ", or it was rewritten"
        self._add(between, failed("tree", "tree_altered", text))

    def _add(self, place: str, check: Check) -> None:
        self.findings.append(Finding(place, check))
