"""From what was measured to what is told: rates, percentiles, costs per exchange, ratios."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scripts.measuring.stages import StageTimes
from trust.pki.keys import KeyType


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement of one way through.

    Attributes:
        seconds: how long it was.
        latencies: of each exchange that ended meanwhile, in microseconds.
        cpu: CPU seconds of each process concerned.
        stages: time per stage of each node; empty for nginx.
        failed, failure: unexpected answers, and the first of them in words.
    """

    seconds: float
    latencies: Sequence[int] = field(repr=False)
    cpu: Mapping[str, float]
    stages: Mapping[str, StageTimes] = field(default_factory=dict)
    failed: int = 0
    failure: str = ""

    @property
    def rate(self) -> float:
        """Exchanges in a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0


@dataclass(slots=True)
class Case:
    """One kind of key, one size of body: the rounds through the nodes and through nginx."""

    keys: KeyType
    body: str
    nodes: list[Round] = field(default_factory=list)
    nginx: list[Round] = field(default_factory=list)
    rss_mb: dict[str, float] = field(default_factory=dict)  # of each node at the end

    @property
    def ratio(self) -> float | None:
        """How much of nginx's rate the nodes reach: the median of the rounds; None without it."""
        pairs = zip(self.nodes, self.nginx, strict=False)
        ratios = [ours.rate / theirs.rate for ours, theirs in pairs if theirs.rate]
        return statistics.median(ratios) if ratios else None

    @property
    def failure(self) -> str:
        """The first thing that went wrong, or an empty string."""
        return next((one.failure for one in (*self.nodes, *self.nginx) if one.failed), "")


@dataclass(frozen=True, slots=True)
class Figures:
    """What the rounds of one way through say together.

    Attributes:
        per_second: exchanges in a second, the median of the rounds.
        latency_ms: percentiles over all rounds, by name.
        cpu_ms: CPU time in one exchange, by process.
        stages_ms: time in one exchange, by node and stage.
        messages_per_signature: by node.
    """

    exchanges: int
    failed: int
    per_second: float
    latency_ms: Mapping[str, float]
    cpu_ms: Mapping[str, float]
    stages_ms: Mapping[str, Mapping[str, float]]
    messages_per_signature: Mapping[str, float]

    @property
    def cpu_total_ms(self) -> float:
        return sum(self.cpu_ms.values())


def summarise(rounds: Sequence[Round]) -> Figures:
    """Put rounds of the same case together."""
    latencies = sorted(value for one in rounds for value in one.latencies)
    count = len(latencies)
    processes = dict.fromkeys(name for one in rounds for name in one.cpu)
    stages = _stages(rounds)
    return Figures(
        exchanges=count,
        failed=sum(one.failed for one in rounds),
        per_second=statistics.median([one.rate for one in rounds]) if rounds else 0.0,
        latency_ms={
            f"p{percent}": percentile(latencies, percent) / 1000 for percent in (50, 95, 99)
        },
        cpu_ms={
            name: sum(one.cpu.get(name, 0.0) for one in rounds) * 1000 / max(1, count)
            for name in processes
        },
        stages_ms={node: times.per_exchange() for node, times in stages.items()},
        messages_per_signature={
            node: times.messages_per_signature for node, times in stages.items()
        },
    )


def percentile(ordered: Sequence[int], percent: int) -> float:
    """The smallest value that this share of all values does not exceed; 0 without any."""
    if not ordered:
        return 0.0
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def _stages(rounds: Sequence[Round]) -> dict[str, StageTimes]:
    sums: dict[str, StageTimes] = {}
    for one in rounds:
        for node, times in one.stages.items():
            sums[node] = sums[node].plus(times) if node in sums else times
    return sums
