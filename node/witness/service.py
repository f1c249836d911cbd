"""The built-in service by which other nodes hand us checkpoints of their logs.

It answers as C2SP's witnesses do: 200 with our cosignature, 409 with the size at which we stand
when the offer begins elsewhere, 422 when the log did what no log may do. Who is not registered, or
speaks of another's log, gets a fault like everybody who may not call a service.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from catalog.services import ServiceType
from node.exchange.builtin import Call, RestAnswer
from node.transparency.transparency import LogKey
from trust.errors import AccessDenied
from trust.evidence.notes import cosign
from trust.ids import ServerId
from trust.witness.announcement import (
    KEY_HEADER,
    METHOD,
    SERVICE_CODE,
    Announcement,
    BadCheckpoint,
    as_witness,
    server_of,
)
from trust.witness.witness_store import WitnessStore
from trust.witness.witnessing import Alarm, Behind, Raised, Verdict

_TEXT = b"text/plain; charset=utf-8"
_SIZE = b"text/x.tlog.size"


@dataclass(frozen=True, slots=True)
class WitnessService:
    """Takes announcements of logs for every hosted client."""

    store: WitnessStore
    key: LogKey
    clock: Callable[[], datetime]
    on_alarm: Callable[[], Awaitable[None]]

    @property
    def type(self) -> ServiceType:
        return ServiceType.REST

    def takes(self, call: Call) -> bool:
        return call.is_rest(METHOD, SERVICE_CODE)

    def check_access(self, call: Call) -> None:
        """A member speaks for the logs of its own nodes; which ones, the announcement says."""
        if call.request.client.subsystem_code is not None:
            raise AccessDenied(f"Request is not allowed: {call.request.service}")

    async def answer(self, call: Call) -> RestAnswer:
        """Judge an announcement; raises MalformedMessage, EvidenceRejected, StorageError."""
        head = call.head
        source, at = head.request_id.encode(), self.clock()
        try:
            said = Announcement.parse(head.headers, head.client)
        except BadCheckpoint as error:
            self._check_registered(server_of(error.origin), call)
            raised = Raised(Alarm.UNSIGNED, error.text)
            await self.store.refuse(error.origin, raised, error.note, source, at)
            await self.on_alarm()
            return _answer(422, _TEXT, raised.text)
        self._check_registered(said.server, call)
        verdict = await self.store.take(said, source, at)
        if isinstance(verdict, Raised):
            await self.on_alarm()
        return self._told(said, verdict, at)

    def _check_registered(self, server: ServerId, call: Call) -> None:
        if call.snapshot.conf.server(server, call.snapshot.at) is None:
            raise AccessDenied(f"Request is not allowed: {server} is not registered")

    def _told(self, said: Announcement, verdict: Verdict, at: datetime) -> RestAnswer:
        if isinstance(verdict, Raised):
            return _answer(422, _TEXT, f"{verdict.alarm}: {verdict.text}")
        if isinstance(verdict, Behind):
            return _answer(409, _SIZE, str(verdict.size))
        line = cosign(said.checkpoint.text, as_witness(self.key.public), at, self.key.sign).line
        key = (KEY_HEADER.lower().encode(), self.key.public.text.encode())
        return RestAnswer(200, ((b"content-type", _TEXT), key), line.encode())


def _answer(status: int, content_type: bytes, text: str) -> RestAnswer:
    return RestAnswer(status, ((b"content-type", content_type),), f"{text}\n".encode())
