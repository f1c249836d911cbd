"""The edge: what an error becomes for an information system or for another node.

Nothing else turns an error into an answer. What is not an ExchangeError becomes one internal error
whose id stands in the log; what it says stays inside.
"""

import logging
import uuid
from dataclasses import dataclass, field

from aiohttp import web

from node.exchange.respond import respond_bytes
from node.messages.envelope import build_bare_fault_headers, build_response_headers
from node.messages.fault import (
    FAULT_PART_CONTENT_TYPE,
    Dialect,
    Fault,
    Side,
    build_fault_xml,
    build_rest_error,
)
from node.messages.mediatype import mixed
from node.messages.multipart import MultipartWriter, new_boundary
from trust.errors import ExchangeError, NetworkFailure, PeerFault, SacbeError, StorageError

log = logging.getLogger("sacbe.fault")


class ReceivedFault(PeerFault):
    """A fault that came as SOAP; who speaks SOAP gets it byte for byte."""

    def __init__(self, fault: Fault, raw: bytes) -> None:
        super().__init__(fault.code, fault.text, fault.detail, fault.actor)
        self.raw = raw


@dataclass(frozen=True, slots=True)
class Failure:
    """An exchange that failed, as it is told and as it is counted.

    Attributes:
        raw: the fault as it came, when somebody else raised it.
    """

    fault: Fault
    error_id: str
    raw: bytes | None = field(default=None, repr=False)

    @property
    def code(self) -> str:
        return self.fault.code

    @property
    def text(self) -> str:
        return self.fault.text

    @property
    def xml(self) -> bytes:
        """The fault as SOAP."""
        return build_fault_xml(self.fault) if self.raw is None else self.raw


def failure_of(error: Exception, side: Side, dialect: Dialect) -> Failure:
    """Name the side in front of the code, in the spelling of the receiver."""
    error_id = str(uuid.uuid4())
    known = _exchange_error(error, error_id)
    fault = Fault.of(known, side, error_id, dialect)
    if isinstance(known, PeerFault) and known.detail:
        error_id = known.detail  # the id under which the other node's log has it
    return Failure(fault, error_id, known.raw if isinstance(known, ReceivedFault) else None)


def _exchange_error(error: Exception, error_id: str) -> ExchangeError:
    if isinstance(error, ExchangeError):
        return error
    if isinstance(error, (ConnectionError, TimeoutError)):
        return NetworkFailure("The connection was closed or stood still", "io_error")
    if isinstance(error, SacbeError):
        log.warning("error=%s %s: %s", error_id, type(error).__name__, error)
        if isinstance(error, StorageError):
            text = "The database or the disk can't be used; the log of the server says why"
            return ExchangeError(text, "database_error")
    else:
        log.error("error=%s unexpected", error_id, exc_info=error)
    return ExchangeError("Internal error; the log of the server has its cause")


async def tell_system(request: web.BaseRequest, failure: Failure) -> web.StreamResponse:
    """Answer an information system that called by REST."""
    _require_unanswered(request)
    answer = build_rest_error(failure.fault, request.headers.getall("Accept", []))
    return await respond_bytes(request, answer.status, answer.headers, answer.body)


async def tell_soap_system(request: web.BaseRequest, failure: Failure) -> web.StreamResponse:
    """Answer an information system that called by SOAP; the status is 200 whatever happened."""
    _require_unanswered(request)
    headers = (("Content-Type", FAULT_PART_CONTENT_TYPE), ("SOAPAction", ""))
    return await respond_bytes(request, 200, headers, failure.xml)


async def tell_peer(request: web.BaseRequest, failure: Failure) -> web.StreamResponse:
    """Answer another node with a bare fault; the status is 200 whatever happened."""
    _require_unanswered(request)
    return await respond_bytes(request, 200, build_bare_fault_headers(), failure.xml)


async def pass_fault_on(request: web.BaseRequest, fault_xml: bytes) -> web.StreamResponse:
    """Answer another node with the fault of a system, as the first and only part of a message."""
    _require_unanswered(request)
    boundary = new_boundary()
    writer = MultipartWriter(boundary)
    body = writer.open_part(FAULT_PART_CONTENT_TYPE) + fault_xml + writer.close()
    headers = build_response_headers(mixed(boundary), FAULT_PART_CONTENT_TYPE)
    return await respond_bytes(request, 200, headers, body)


def _require_unanswered(request: web.BaseRequest) -> None:
    """Cut the connection when an answer has begun, which a second one must not follow."""
    if request.writer.output_size > 0:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionAbortedError("the exchange failed after its answer had begun")
