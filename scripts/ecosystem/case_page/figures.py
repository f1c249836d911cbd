"""What once-only came to at each node: what `sacbe once report` prints, run as an auditor would."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from scripts.ecosystem.case_page.places import NodePlace, Places
from trust.errors import MalformedMessage, SacbeError

_FRESH = 5.0  # seconds for which a report is shown again
_PATIENCE = 30.0  # seconds
_AT_ONCE = 2  # reports
_LARGEST = 1 << 20  # bytes of a report


class NoReport(SacbeError):
    """A command told no figures."""


class Group(msgspec.Struct, frozen=True):
    """One row of a report, in the words of `node.once.figures`."""

    group: str
    answers: int = 0
    given: int = 0
    withheld: int = 0
    questions: int = 0
    fetched: int = 0
    spared: int = 0
    refused: dict[str, int] = {}
    told_no: dict[str, int] = {}


class _Report(msgspec.Struct, frozen=True):
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class NodeFigures:
    """The figures of one node by procedure; `problem` says why there are none."""

    name: str
    groups: tuple[Group, ...] = ()
    problem: str = ""


@dataclass(slots=True)
class Reports:
    """Asks all nodes' databases, once in a few seconds."""

    places: Places
    _found: Sequence[NodeFigures] = ()
    _until: float = 0.0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def all(self) -> Sequence[NodeFigures]:
        async with self._lock:
            if time.monotonic() >= self._until:
                turns = asyncio.Semaphore(_AT_ONCE)
                nodes = self.places.nodes.values()
                self._found = await asyncio.gather(*(self._one(node, turns) for node in nodes))
                self._until = time.monotonic() + _FRESH
            return self._found

    async def _one(self, node: NodePlace, turns: asyncio.Semaphore) -> NodeFigures:
        async with turns:
            try:
                printed = await _run(*self.command(node))
                return NodeFigures(node.name, read_report(printed))
            except (SacbeError, OSError, TimeoutError) as error:
                return NodeFigures(node.name, problem=str(error) or type(error).__name__)

    def command(self, node: NodePlace) -> tuple[str, ...]:
        return (*self.places.command, "once", "report", "--config", node.config, "--json")


def read_report(printed: bytes) -> tuple[Group, ...]:
    """Read what the command printed, or raise MalformedMessage."""
    try:
        return msgspec.json.decode(printed, type=_Report).groups
    except msgspec.MsgspecError as error:
        raise MalformedMessage(f"The report is of another form: {error}") from error


async def _run(*words: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(_PATIENCE):
            out, _ = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode or len(out) > _LARGEST:
        raise NoReport(f"The report ended with exit code {process.returncode}")
    return out


def totals(groups: Sequence[Group]) -> Mapping[str, int]:
    """The sums of all groups."""
    return {
        "given": sum(one.given for one in groups),
        "withheld": sum(one.withheld for one in groups),
        "fetched": sum(one.fetched for one in groups),
        "spared": sum(one.spared for one in groups),
        "refused": sum(sum(one.refused.values()) for one in groups),
        "told_no": sum(sum(one.told_no.values()) for one in groups),
    }
