"""What faults mean for the facts that were asked for."""

import pytest

from catalog.terms import Refusal
from node.once.resolver.planning.reasons import Reason
from node.once.resolver.sources.faults import reason_of_fault
from trust.errors import PeerFault

PROVIDER, OWN = "server.serverproxy", "server.clientproxy"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (f"{PROVIDER}.access_denied", Reason.NO_RIGHT),
        ("Server.ServerProxy.AccessDenied", Reason.NO_RIGHT),
        (f"{PROVIDER}.access_denied.something_new", Reason.NO_RIGHT),
        (f"{PROVIDER}.service_failed.network_error", Reason.SOURCE_DOWN),
        (f"{PROVIDER}.service_disabled", Reason.SOURCE_DOWN),
        ("Server.ServerProxy.ServiceDisabled", Reason.SOURCE_DOWN),
        (f"{PROVIDER}.unknown_service", Reason.SOURCE_DOWN),
        (f"{OWN}.network_error", Reason.SOURCE_DOWN),
        (f"{OWN}.io_error", Reason.SOURCE_DOWN),
        (f"{OWN}.logging_failed", Reason.OWN_NODE),
        (f"{OWN}.global_conf_outdated", Reason.OWN_NODE),
        (f"{PROVIDER}.logging_failed", Reason.SOURCE_FAILED),
        (f"{OWN}.service_failed.signature_verification", Reason.SOURCE_DOWN),
        (f"{OWN}.access_denied", Reason.SOURCE_FAILED),
        ("soap:Client", Reason.SOURCE_FAILED),
        ("", Reason.SOURCE_FAILED),
    ],
)
def test_codes(code: str, reason: Reason) -> None:
    assert reason_of_fault(PeerFault(code, "text"))[0] is reason


@pytest.mark.parametrize("refusal", Refusal)
def test_every_refusal_is_a_reason(refusal: Refusal) -> None:
    code = f"{PROVIDER}.access_denied.{refusal.value}"
    found, detail = reason_of_fault(PeerFault(code, "text"))
    assert (found.value, detail) == (refusal.value, "")
