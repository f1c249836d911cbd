"""What an error becomes at the edge of a node, and what of it stays inside."""

import logging
import uuid

import pytest

from node.exchange.faults import failure_of
from node.messages.fault import Dialect, Side
from trust.errors import AccessDenied, NetworkFailure, PeerFault, StorageError

NEW, OLD = Dialect(), Dialect(snake_case_faults=False)


def test_an_error_of_an_exchange_gets_the_side_and_an_id() -> None:
    failure = failure_of(AccessDenied("Request is not allowed: X"), Side.PROVIDER, NEW)
    assert failure.code == "server.serverproxy.access_denied"
    assert failure.text == "Request is not allowed: X"
    assert failure.fault.detail == failure.error_id
    assert uuid.UUID(failure.error_id).version == 4
    failure = failure_of(NetworkFailure("x", "io_error"), Side.CONSUMER, OLD)
    assert failure.code == "Server.ClientProxy.IOError"


def test_a_peer_s_fault_stays_as_it_came_with_the_peer_s_id() -> None:
    error = PeerFault("Server.ServerProxy.AccessDenied", "No", "its-own-id")
    for dialect in (NEW, OLD):
        failure = failure_of(error, Side.CONSUMER, dialect)
        assert (failure.code, failure.text) == ("Server.ServerProxy.AccessDenied", "No")
        assert failure.error_id == failure.fault.detail == "its-own-id"


@pytest.mark.parametrize("error", [ConnectionResetError("10.0.0.1 hung up"), TimeoutError()])
def test_a_connection_that_ends_is_an_io_error(error: Exception) -> None:
    failure = failure_of(error, Side.CONSUMER, NEW)
    assert failure.code == "server.clientproxy.io_error"
    assert "10.0.0.1" not in failure.text


@pytest.mark.parametrize(
    ("error", "level", "code"),
    [
        (ValueError("the password is secret"), logging.ERROR, "internal_error"),
        (StorageError("/var/lib/secret can't be read"), logging.WARNING, "database_error"),
    ],
)
def test_of_anything_else_only_an_id_is_told_which_leads_to_the_log(
    error: Exception, level: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    failure = failure_of(error, Side.PROVIDER, NEW)
    assert failure.code == f"server.serverproxy.{code}"
    assert "secret" not in failure.text
    (record,) = caplog.records
    assert record.levelno == level
    assert failure.error_id in record.getMessage()
    assert failure.fault.detail == failure.error_id
