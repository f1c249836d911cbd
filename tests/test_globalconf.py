"""The questions that nodes ask the trust list, and what expiry hides."""

from dataclasses import replace
from datetime import timedelta
from functools import cache

from tests.pki import NOON, Pki
from trust.globalconf import GlobalConf, InstanceConf, no_expiry
from trust.ids import ClientId, GlobalGroupId, ServerId
from trust.pki.authentication import check_member
from trust.pki.certificates import der
from trust.report import Outcome

OWN = ClientId("TEST", "GOV", "1")
PORTAL = ClientId("TEST", "GOV", "1", "portal")
OTHER = ClientId("TEST", "COM", "2")
PEER = ClientId("PEER", "GOV", "1")
LATE = NOON + timedelta(minutes=11)
FIRST, SECOND, FOREIGN = ServerId(OWN, "SS1"), ServerId(OTHER, "SS2"), ServerId(PEER, "SS1")


@cache
def _pki(instance: str) -> Pki:
    return Pki(NOON, instance)


@cache
def _peer() -> InstanceConf:
    pki = _pki("PEER")
    server = pki.server(FOREIGN, pki.auth(FOREIGN))
    return replace(pki.instance_conf({PEER: ()}, [server], {"all": [PEER]}), private=None)


@cache
def _conf() -> GlobalConf:
    pki = _pki("TEST")
    servers = [
        pki.server(FIRST, pki.auth(FIRST), clients=[PORTAL]),
        pki.server(SECOND, pki.auth(SECOND), clients=[PORTAL, OWN]),
    ]
    return pki.conf(
        {OWN: ("portal", "unused"), OTHER: ()},
        servers,
        {"owners": [OWN]},
        federated=[_peer()],
    )


def _codes(client: ClientId) -> list[str]:
    return [server.id.server_code for server in _conf().servers_of(client, NOON)]


def test_servers_are_found_by_exactly_the_client_or_their_owner() -> None:
    assert _codes(PORTAL) == ["SS1", "SS2"]
    assert _codes(OWN) == ["SS1", "SS2"]
    assert _codes(OTHER) == ["SS2"]
    assert _codes(ClientId("TEST", "GOV", "1", "unused")) == []
    assert _codes(ClientId("TEST", "GOV", "1", "PORTAL")) == []


def test_a_server_hosts_its_clients_and_its_owner() -> None:
    (server,) = _conf().servers_of(OTHER, NOON)
    assert server.hosts(OTHER)
    assert server.hosts(PORTAL)
    assert not server.hosts(ClientId("TEST", "GOV", "1", "unused"))


def test_servers_are_found_by_id() -> None:
    found = _conf().server(FIRST, NOON)
    assert found is not None
    assert found.id == FIRST
    assert _conf().server(ServerId(OWN, "SS9"), NOON) is None


def test_members_of_a_group_are_members_exactly() -> None:
    group = GlobalGroupId("TEST", "owners")
    assert _conf().in_group(OWN, group, NOON)
    assert not _conf().in_group(PORTAL, group, NOON)
    assert not _conf().in_group(OWN, GlobalGroupId("TEST", "nobody"), NOON)
    assert not _conf().in_group(OWN, GlobalGroupId("NOWHERE", "owners"), NOON)


def test_an_expired_federated_instance_is_hidden_and_the_own_one_is_not() -> None:
    conf = _conf()
    assert [one.shared.instance for one in conf.visible(NOON)] == ["TEST", "PEER"]
    assert [one.shared.instance for one in conf.visible(LATE)] == ["TEST"]
    assert conf.server(FOREIGN, NOON) is not None
    assert conf.server(FOREIGN, LATE) is None
    assert conf.servers_of(PEER, NOON)
    assert not conf.servers_of(PEER, LATE)
    assert conf.in_group(PEER, GlobalGroupId("PEER", "all"), NOON)
    assert not conf.in_group(PEER, GlobalGroupId("PEER", "all"), LATE)
    assert len(conf.tsa_certificates(NOON)) == 2
    assert len(conf.tsa_certificates(LATE)) == 1
    assert conf.servers_of(OWN, LATE)


def test_only_the_own_instance_decides_whether_messages_are_exchanged() -> None:
    conf = _conf()
    assert conf.valid(NOON)
    assert not conf.valid(LATE)
    lasting = replace(conf, instances={**conf.instances, "TEST": no_expiry(conf.own)})
    assert lasting.valid(LATE)
    assert lasting.instance("PEER", LATE) is None
    unfinished = replace(conf.own, private=None)
    assert not replace(conf, instances={"TEST": unfinished}).valid(NOON)
    assert not replace(conf, instances={"PEER": _peer()}).valid(NOON)


def test_a_server_is_recognised_by_its_certificate() -> None:
    pki = _pki("TEST")
    identity = pki.auth(FIRST)
    servers = [pki.server(FIRST, identity), pki.server(SECOND, pki.auth(SECOND))]
    conf = pki.conf({OWN: (), OTHER: ()}, servers)
    found = conf.server_of_certificate(der(identity.certificate), NOON)
    assert found is not None
    assert found.id == FIRST
    assert conf.server_of_certificate(b"another", NOON) is None


def test_another_instance_can_not_claim_a_certificate_of_ours() -> None:
    pki = _pki("TEST")
    identity = pki.auth(FIRST)
    claimed = _pki("PEER").server(FOREIGN, identity)
    peer = _pki("PEER").instance_conf({PEER: ()}, [claimed])
    own = pki.instance_conf({OWN: ()}, [pki.server(FIRST, identity)])
    for instances in ({"TEST": own, "PEER": peer}, {"PEER": peer, "TEST": own}):
        conf = GlobalConf("TEST", instances)
        for at in (NOON, LATE):
            for instance in ("", "PEER"):
                found = conf.server_of_certificate(der(identity.certificate), at, instance=instance)
                assert found is not None
                assert found.id == FIRST


def test_of_two_foreign_claims_to_a_certificate_that_of_the_members_instance_counts() -> None:
    thief = ServerId(ClientId("THIEF", "GOV", "1"), "SS1")
    identity = _pki("PEER").auth(FOREIGN)
    claims = {
        server.owner.instance: _pki(server.owner.instance).instance_conf(
            {server.owner: ()}, [_pki(server.owner.instance).server(server, identity)]
        )
        for server in (thief, FOREIGN)
    }
    own = no_expiry(_pki("TEST").instance_conf())
    for names in (("THIEF", "PEER"), ("PEER", "THIEF")):
        conf = GlobalConf("TEST", {**{name: claims[name] for name in names}, "TEST": own})
        for member in (FOREIGN.owner, thief.owner):
            found = conf.server_of_certificate(
                der(identity.certificate), NOON, instance=member.instance
            )
            assert found is not None
            assert found.id.owner == member
            assert check_member(identity.certificate, member, conf, NOON).outcome is Outcome.PASSED
        assert conf.server_of_certificate(der(identity.certificate), LATE, instance="PEER") is None


def test_the_own_version_decides_how_certificates_are_digested() -> None:
    conf = _conf()
    old = replace(conf.own, shared=replace(conf.own.shared, version=2))
    assert conf.auth_hash_name == "sha256"
    assert replace(conf, instances={"TEST": old}).auth_hash_name == "sha1"


def test_the_own_freshness_counts_for_all() -> None:
    assert _conf().ocsp_freshness_seconds == 3600


def test_issuers_are_found_by_name() -> None:
    conf = _conf()
    found = conf.own.issuer_of(_pki("TEST").auth(FIRST).certificate)
    assert found is not None
    assert found[1].certificate == _pki("TEST").authority.certificate
    assert conf.own.issuer_of(_pki("TEST").stranger.certificate) is None
