"""The account of one exchange: who, what, how it ended; a log line, counts, a record.

What operational monitoring keeps of an exchange is read from here at its end (monitoring.md 2).
"""

import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from catalog.services import ServiceType
from node.body import Section
from node.exchange.request import Request, SoapRequest
from node.messages.represented_party import RepresentedParty
from node.operate.metrics import NodeMetrics, StageClock, stage_line
from trust.ids import ClientId, ServerId, ServiceId

log = logging.getLogger("sacbe.exchange")

_PLAIN = re.compile(r"[A-Za-z0-9_.:-]{1,120}")

ABANDONED = "abandoned"  # nobody waits for the answer any more
REST_VERSION = "1"


class HowItFailed(Protocol):
    """What an account needs to know of a failure."""

    @property
    def code(self) -> str: ...

    @property
    def text(self) -> str: ...

    @property
    def error_id(self) -> str: ...


@dataclass(slots=True)
class MessageSize:
    """How large a message is, without what goes around it between nodes.

    Attributes:
        message: bytes of the SOAP part, or of a REST head.
        payload: bytes of the attachments, or of the REST body.
        attachments: how many a SOAP message has.
    """

    message: int = 0
    payload: int = 0
    attachments: int = 0

    @property
    def total(self) -> int:
        return self.message + self.payload


def now_ms() -> int:
    """Milliseconds of the epoch."""
    return time.time_ns() // 1_000_000


def to_nobody(_account: "Account") -> None:
    """Nobody keeps a record."""


@dataclass(slots=True)
class Account:
    """What is known of an exchange while it runs; written once, at its end.

    with Account("consumer", metrics) as account: …

    Attributes:
        role: consumer or provider.
        ended: is told once, when the exchange has ended.
        client, service_id: as the request names them; None until it was read.
        protocol_version: of the message protocol, `4.0` or `1`.
        peer: the other node.
        client_server, service_server: addresses of the two nodes in the trust list.
        request_in: when the request arrived, in milliseconds of the epoch, as the other three.
        request_out: when it was sent on, to the other node or to the system.
        response_in: when the head of the answer came.
        response_out: when our answer was about to leave.
        request_size, response_size: None until the message is complete.
        rest_method: None for a SOAP call.
        rest_path: at the provider, the pattern of the endpoint that covers a REST call.
        service_type: at the provider.
        status: of the provider's system, 0 until it answered.
        detail: of a refusal, what only the operator of this node is told.
    """

    role: str
    metrics: NodeMetrics
    ended: Callable[["Account"], None] = to_nobody
    clock: StageClock = field(default_factory=StageClock)
    exchange_id: str = "-"
    message_id: str = "-"
    client: ClientId | None = None
    service_id: ServiceId | None = None
    user_id: str | None = None
    issue: str | None = None
    represented_party: RepresentedParty | None = None
    protocol_version: str | None = None
    peer: ServerId | None = None
    client_server: str | None = None
    service_server: str | None = None
    request_in: int = field(default_factory=now_ms)
    request_out: int | None = None
    response_in: int | None = None
    response_out: int | None = None
    request_size: MessageSize | None = None
    response_size: MessageSize | None = None
    rest_method: str | None = None
    rest_path: str | None = None
    service_type: ServiceType | None = None
    status: int = 0
    failure: HowItFailed | None = None
    abandoned: bool = False
    detail: str = ""

    def about(self, request: Request) -> None:
        """Note who asks for what."""
        self.exchange_id, self.message_id = request.request_id, request.message_id
        self.client, self.service_id = request.client, request.service
        self.user_id, self.issue = request.user_id, request.issue
        self.represented_party = request.represented_party
        if isinstance(request, SoapRequest):
            self.request_size = MessageSize(len(request.raw))
            self.protocol_version = request.message.header.protocol_version
        else:
            self.protocol_version = REST_VERSION

    @property
    def succeeded(self) -> bool:
        """Whether a message was delivered that is no error."""
        failed = self.abandoned or self.failure is not None
        refused = self.rest_method is not None and 400 <= self.status <= 599
        return not failed and not refused

    @property
    def status_code(self) -> int | None:
        """What the provider's system answered to a REST call."""
        return None if self.rest_method is None else self.status or None

    def request_is(self, message: bytes, bodies: Sequence[Section]) -> None:
        self.request_size = self._size(message, bodies)

    def response_is(self, message: bytes, bodies: Sequence[Section]) -> None:
        self.response_size = self._size(message, bodies)

    def _size(self, message: bytes, bodies: Sequence[Section]) -> MessageSize:
        count = len(bodies) if self.rest_method is None else 0
        return MessageSize(len(message), sum(body.size for body in bodies), count)

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
        self.abandoned = error is not None
        if self.response_out is None:
            self.response_out = now_ms()
        code = ABANDONED if self.abandoned else failure.code if failure is not None else ""
        self.metrics.exchange_ends(self.role, code, self.clock)
        line = (
            f"role={self.role} exchange={self.exchange_id!r:.60} message={self.message_id!r:.120}"
            f" consumer={_id(self.client)!r:.300} service={_id(self.service_id)!r:.300}"
            f" peer={_id(self.peer)!r:.300} status={self.status}"
            f" in={_bytes(self.request_size)} out={_bytes(self.response_size)}"
            f" ms={self.clock.total * 1000:.1f} {stage_line(self.clock.seconds)}"
            f" fault={_word(code)}"
        )
        if failure is not None:
            detail = f" detail={self.detail!r:.1000}" if self.detail else ""
            text = failure.text
            log.info("%s error=%s text=%.500r%s", line, _word(failure.error_id), text, detail)
        else:
            log.info("%s", line)
        self.ended(self)


def _id(found: ClientId | ServiceId | ServerId | None) -> str:
    return "-" if found is None else str(found)


def _bytes(size: MessageSize | None) -> int:
    return 0 if size is None else size.total


def _word(text: str) -> str:
    """What a peer may have chosen, as one word of bounded length."""
    if not text:
        return "-"
    return text if _PLAIN.fullmatch(text) else f"{text[:120]!r}"
