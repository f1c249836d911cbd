"""What a check of the sandbox came to: for people a table, for programs one object."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was tried."""

    name: str
    ok: bool
    detail: str


@dataclass(slots=True)
class Outcome:
    """Everything that was tried and counted.

    Attributes:
        ready_s: seconds until everything was ready.
        exchanges: those that succeeded.
        verified: containers that passed.
        refused: how often each fault code came, without the side that raised it.
        rss_mb: resident memory by node, in MB.
    """

    ready_s: float
    exchanges: int = 0
    verified: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    rss_mb: Mapping[str, float] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return bool(self.steps) and all(step.ok for step in self.steps)

    def as_json(self) -> str:
        """The object that other programs rely on."""
        found = {
            "ok": self.ok,
            "ready_s": round(self.ready_s, 1),
            "exchanges": self.exchanges,
            "verified": self.verified,
            "refused": dict(self.refused),
            "rss_mb": dict(self.rss_mb),
            "steps": [
                {"name": step.name, "ok": step.ok, "detail": step.detail} for step in self.steps
            ],
        }
        return json.dumps(found, ensure_ascii=False)

    def as_table(self) -> str:
        """The same for people."""
        refused = ", ".join(f"{code} {count}" for code, count in self.refused.items())
        memory = ", ".join(f"{name} {value:.0f} MB" for name, value in self.rss_mb.items())
        rows = [("ok" if step.ok else "FAILED", step.name, step.detail) for step in self.steps]
        rows += [
            ("", "ready in", f"{self.ready_s:.1f} s"),
            ("", "exchanges", str(self.exchanges)),
            ("", "containers verified", str(self.verified)),
            ("", "refused", refused or "none"),
            ("", "memory", memory),
        ]
        return "\n".join(table(rows)) + f"\n\n{'All as it must be.' if self.ok else 'FAILED'}"


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines with columns under each other; the last column is as wide as it is."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[-1]]).rstrip()
