"""The account of one exchange: who, what, how it ended; one log line and one set of counts."""

import logging
import re
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from node.operate.metrics import NodeMetrics, StageClock, stage_line

log = logging.getLogger("sacbe.exchange")

_PLAIN = re.compile(r"[A-Za-z0-9_.:-]{1,120}")

ABANDONED = "abandoned"  # nobody waits for the answer any more


class HowItFailed(Protocol):
    """What an account needs to know of a failure."""

    @property
    def code(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def error_id(self) -> str: ...


@dataclass(slots=True)
class Account:
    """What is known of an exchange while it runs; written once, at its end.

    with Account("consumer", metrics) as account: …
    """

    role: str  # consumer or provider
    metrics: NodeMetrics
    clock: StageClock = field(default_factory=StageClock)
    exchange_id: str = "-"
    message_id: str = "-"
    consumer: str = "-"
    service: str = "-"
    peer: str = "-"
    status: int = 0  # of the provider's system
    request_bytes: int = 0
    response_bytes: int = 0
    failure: HowItFailed | None = None

    def __enter__(self) -> Self:
        self.metrics.exchange_begins(self.role)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        failure = self.failure
        code = ABANDONED if error is not None else failure.code if failure is not None else ""
        self.metrics.exchange_ends(self.role, code, self.clock)
        line = (
            f"role={self.role} exchange={self.exchange_id!r:.60} message={self.message_id!r:.120}"
            f" consumer={self.consumer!r:.300} service={self.service!r:.300}"
            f" peer={self.peer!r:.300} status={self.status}"
            f" in={self.request_bytes} out={self.response_bytes}"
            f" ms={self.clock.total * 1000:.1f} {stage_line(self.clock.seconds)}"
            f" fault={_word(code)}"
        )
        if failure is not None:
            log.info("%s error=%s text=%.500r", line, _word(failure.error_id), failure.text)
        else:
            log.info("%s", line)


def _word(text: str) -> str:
    """What a peer may have chosen, as one word of bounded length."""
    if not text:
        return "-"
    return text if _PLAIN.fullmatch(text) else f"{text[:120]!r}"
