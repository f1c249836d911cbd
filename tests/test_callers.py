"""Which node calls, and for whom it may speak; what is remembered of it and for how long."""

from datetime import timedelta

import pytest

from node.exchange.callers import Caller, Callers
from tests.pki import NOON, Pki
from trust.errors import UntrustedPeer
from trust.globalconf import GlobalConf
from trust.ids import ClientId, ServerId
from trust.pki.ocsp import CertificateStatus

OWNER = ClientId("TEST", "GOV", "1001")
PORTAL = ClientId("TEST", "GOV", "1001", "portal")
TAXES = ClientId("TEST", "GOV", "1002", "taxes")
PKI = Pki()
AUTH = PKI.auth(ServerId(OWNER, "SS1"))
GOOD = (PKI.ocsp(AUTH.certificate),)
REVOKED = (PKI.ocsp(AUTH.certificate, status=CertificateStatus.REVOKED),)
MINUTE = timedelta(minutes=1)


def conf(*clients: ClientId, number: int = 1) -> GlobalConf:
    server = PKI.server(ServerId(OWNER, "SS1"), AUTH, clients=clients)
    return PKI.conf({OWNER: ("portal",)}, [server], number=number)


def identified(callers: Callers) -> Caller:
    found = callers.identify((AUTH.der,), conf(PORTAL), NOON)
    assert found is not None
    return found


def test_only_registered_certificates_that_can_be_read_are_somebody_s() -> None:
    callers = Callers()
    assert identified(callers).server.id == ServerId(OWNER, "SS1")
    stranger = PKI.auth(ServerId(OWNER, "SS2"))
    assert callers.identify((stranger.der,), conf(PORTAL), NOON) is None
    assert callers.identify((), conf(PORTAL), NOON) is None
    assert callers.identify((AUTH.der, b"no certificate"), conf(PORTAL), NOON) is None


def test_a_caller_speaks_for_the_owner_and_the_clients_of_its_server() -> None:
    callers = Callers()
    caller = identified(callers)
    for client in (PORTAL, OWNER):
        callers.require_speaks_for(caller, client, GOOD, conf(PORTAL), NOON)
    with pytest.raises(UntrustedPeer, match="not registered at security server") as caught:
        callers.require_speaks_for(caller, TAXES, GOOD, conf(PORTAL), NOON)
    assert caught.value.code == "ssl_authentication_failed"
    with pytest.raises(UntrustedPeer, match=r"^invalid_cert_path\.cert_validation: ") as caught:
        callers.require_speaks_for(caller, PORTAL, REVOKED, conf(PORTAL), NOON)
    assert caught.value.code == "ssl_authentication_failed"


def test_what_was_good_counts_for_these_responses_this_client_and_this_trust_list_alone() -> None:
    callers = Callers()
    caller = identified(callers)
    callers.require_speaks_for(caller, PORTAL, GOOD, conf(PORTAL), NOON)
    callers.require_speaks_for(caller, PORTAL, GOOD, conf(PORTAL), NOON + MINUTE)
    for client, responses, trusted in (
        (TAXES, GOOD, conf(PORTAL)),
        (PORTAL, REVOKED, conf(PORTAL)),
        (PORTAL, (), conf(PORTAL)),
        (PORTAL, GOOD, conf(number=2)),
    ):
        with pytest.raises(UntrustedPeer):
            callers.require_speaks_for(caller, client, responses, trusted, NOON)


def test_what_was_good_is_judged_again_when_the_responses_are_too_old() -> None:
    callers = Callers()
    caller = identified(callers)
    short = (PKI.ocsp(AUTH.certificate, next_update=timedelta(seconds=20)),)
    callers.require_speaks_for(caller, PORTAL, short, conf(PORTAL), NOON)
    callers.require_speaks_for(caller, PORTAL, short, conf(PORTAL), NOON + timedelta(seconds=20))
    with pytest.raises(UntrustedPeer, match="nextUpdate"):
        callers.require_speaks_for(
            caller, PORTAL, short, conf(PORTAL), NOON + timedelta(seconds=21)
        )


def test_the_memory_of_callers_is_bounded() -> None:
    callers = Callers()
    caller = identified(callers)
    for number in range(600):
        client = ClientId("TEST", "GOV", "1001", f"s{number}")
        callers.require_speaks_for(caller, client, GOOD, conf(client), NOON)
    assert len(callers._passed) == 512


def test_an_extra_response_that_says_nothing_changes_nothing() -> None:
    """An unsuccessful OCSP response can be read, and proves nothing."""
    callers = Callers()
    caller = identified(callers)
    unsuccessful = bytes.fromhex("30030a0101")
    with pytest.raises(UntrustedPeer):
        callers.require_speaks_for(caller, PORTAL, (unsuccessful,), conf(PORTAL), NOON)
    callers.require_speaks_for(caller, PORTAL, (unsuccessful, *GOOD), conf(PORTAL), NOON)
