"""The edge: what an error becomes for an information system or for another node.

Nothing else turns an error into an answer. What is not an ExchangeError becomes one internal error
whose id stands in the log; what it says stays inside.
"""

import logging
import uuid
from dataclasses import dataclass

from aiohttp import web

from node.exchange.respond import respond_bytes
from node.messages.envelope import build_bare_fault_headers
from node.messages.fault import Dialect, Fault, Side, build_fault_xml, build_rest_error
from trust.errors import ExchangeError, NetworkFailure, PeerFault, SacbeError

log = logging.getLogger("sacbe.fault")


@dataclass(frozen=True, slots=True)
class Failure:
    """An exchange that failed, as it is told and as it is counted."""

    fault: Fault
    error_id: str

    @property
    def code(self) -> str:
        return self.fault.code

    @property
    def text(self) -> str:
        return self.fault.text


def failure_of(error: Exception, side: Side, dialect: Dialect) -> Failure:
    """Name the side in front of the code, in the spelling of the receiver."""
    error_id = str(uuid.uuid4())
    known = _exchange_error(error, error_id)
    fault = Fault.of(known, side, error_id, dialect)
    if isinstance(known, PeerFault) and known.detail:
        error_id = known.detail  # the id under which the other node's log has it
    return Failure(fault, error_id)


def _exchange_error(error: Exception, error_id: str) -> ExchangeError:
    if isinstance(error, ExchangeError):
        return error
    if isinstance(error, (ConnectionError, TimeoutError)):
        return NetworkFailure("The connection was closed or stood still", "io_error")
    if isinstance(error, SacbeError):
        log.warning("error=%s %s: %s", error_id, type(error).__name__, error)
    else:
        log.error("error=%s unexpected", error_id, exc_info=error)
    return ExchangeError("Internal error; the log of the server has its cause")


async def tell_system(request: web.BaseRequest, failure: Failure) -> web.StreamResponse:
    """Answer an information system that called by REST."""
    _require_unanswered(request)
    answer = build_rest_error(failure.fault, request.headers.getall("Accept", []))
    return await respond_bytes(request, answer.status, answer.headers, answer.body)


async def tell_peer(request: web.BaseRequest, failure: Failure) -> web.StreamResponse:
    """Answer another node with a bare fault; the status is 200 whatever happened."""
    _require_unanswered(request)
    body = build_fault_xml(failure.fault)
    return await respond_bytes(request, 200, build_bare_fault_headers(), body)


def _require_unanswered(request: web.BaseRequest) -> None:
    """Cut the connection when an answer has begun, which a second one must not follow."""
    if request.writer.output_size > 0:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionAbortedError("the exchange failed after its answer had begun")
