"""A source of an adapter in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from adapters.operations import Caller, Operation


@dataclass
class MemorySource:
    """Answers what it is told to, and remembers what it was asked."""

    operations: tuple[Operation, ...]
    trouble: str | None = None
    answers: dict[str, object] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, object], Caller]] = field(default_factory=list)

    async def run(
        self, operation: Operation, values: Mapping[str, object], caller: Caller
    ) -> object:
        self.asked.append((operation.name, dict(values), caller))
        answer = self.answers[operation.name]
        if isinstance(answer, Exception):
            raise answer
        return await answer() if callable(answer) else answer

    async def problem(self) -> str | None:
        return self.trouble

    async def check(self) -> Sequence[str]:
        return ()

    async def close(self) -> None:
        """Nothing is open."""
