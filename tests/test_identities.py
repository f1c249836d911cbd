"""Which key signs for a member, and which one identifies the node."""

from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest
from cryptography import x509

from scripts.issuing import Identity
from tests.pki import DAY, NOON, Pki
from trust.errors import CannotSign, ExchangeError
from trust.globalconf import GlobalConf
from trust.ids import ClientId, ServerId
from trust.pki.certificates import der
from trust.pki.identities import choose_auth_identity, choose_sign_identity
from trust.pki.keys import KeyUse
from trust.pki.keystore import KeyEntry
from trust.pki.ocsp import CertificateStatus

MEMBER = ClientId("TEST", "GOV", "1")
SERVER = ServerId(MEMBER, "SS1")
_PKI = Pki()
_NUMBERS = count()


def _entry(identity: Identity, use: KeyUse = "sign", member: ClientId | None = MEMBER) -> KeyEntry:
    return KeyEntry(
        f"{next(_NUMBERS):016x}", use, "", NOON, True, identity.key, identity.certificate,
        member if use == "sign" else None,
    )  # fmt: skip


class Cache(dict[bytes, bytes]):
    """OCSP responses by certificate, as the node's cache gives them."""

    def __call__(self, certificate: x509.Certificate) -> bytes | None:
        return self.get(der(certificate))


def _good(*identities: Identity, pki: Pki = _PKI) -> Cache:
    return Cache({one.der: pki.ocsp(one.certificate) for one in identities})


def test_a_good_certificate_signs_for_the_member_and_its_subsystems() -> None:
    signer = _PKI.sign(MEMBER)
    for sender in (MEMBER, ClientId("TEST", "GOV", "1", "portal")):
        cache = _good(signer)
        chosen = choose_sign_identity([_entry(signer)], sender, _PKI.conf(), cache, NOON)
        assert (chosen.member, chosen.certificate) == (MEMBER, signer.certificate)
        assert chosen.intermediates == ()
        assert chosen.ocsp_responses == (cache[signer.der],)


def test_another_members_key_never_signs() -> None:
    other = ClientId("TEST", "GOV", "2")
    signer = _PKI.sign(other)
    with pytest.raises(CannotSign, match="there is no certificate of this member"):
        choose_sign_identity([_entry(signer, member=other)], MEMBER, _PKI.conf(), _good(), NOON)


def test_an_authentication_key_never_signs() -> None:
    node = _PKI.auth(SERVER)
    with pytest.raises(CannotSign, match="no certificate"):
        choose_sign_identity([_entry(node, "auth")], MEMBER, _PKI.conf(), _good(node), NOON)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("inactive", "is not active"),
        ("expired", "is not valid at"),
        ("no ocsp", "Could not get OCSP responses"),
        ("revoked", "certificate status is REVOKED"),
        ("stale", "too old"),
        ("unknown ca", "not issued by an approved CA"),
    ],
)
def test_an_unfit_certificate_is_passed_over_with_its_reason(change: str, text: str) -> None:
    signer = _PKI.sign(MEMBER, days=-1 if change == "expired" else 365)
    entry, cache = _entry(signer), _good(signer)
    if change == "inactive":
        entry = replace(entry, active=False)
    elif change == "no ocsp":
        cache.clear()
    elif change == "revoked":
        response = _PKI.ocsp(signer.certificate, status=CertificateStatus.REVOKED)
        cache[signer.der] = response
    elif change == "stale":
        cache[signer.der] = _PKI.ocsp(signer.certificate, age=DAY)
    elif change == "unknown ca":
        foreign = _PKI.certify("Other CA", "ca", issuer=None)
        signer = _PKI.certify("x", "sign", issuer=foreign)
        entry, cache = _entry(signer), _good(signer)
    with pytest.raises(CannotSign, match="Failed to get signing info") as caught:
        choose_sign_identity([entry], MEMBER, _PKI.conf(), cache, NOON)
    assert text in caught.value.text
    assert caught.value.code == "cannot_create_signature"


def test_the_newest_fit_certificate_signs() -> None:
    names = [_PKI.sign(MEMBER).certificate.subject] * 3
    old, new, newest = (
        _PKI.certify(name, "sign", starts=NOON - age * DAY)
        for name, age in zip(names, (20, 10, 1), strict=True)
    )
    cache = _good(old, new, newest)
    cache[newest.der] = _PKI.ocsp(newest.certificate, status=CertificateStatus.REVOKED)
    entries = [_entry(one) for one in (old, newest, new)]
    chosen = choose_sign_identity(entries, MEMBER, _PKI.conf(), cache, NOON)
    assert chosen.certificate == new.certificate


def test_intermediates_come_along_with_their_responses() -> None:
    pki = Pki(intermediate=True)
    signer = pki.sign(MEMBER)
    middle = Identity(pki.chain[0], pki.authority.key)
    cache = _good(signer, pki=pki)
    with pytest.raises(CannotSign, match="Could not get OCSP responses"):
        choose_sign_identity([_entry(signer)], MEMBER, pki.conf(), cache, NOON)
    cache[middle.der] = pki.ocsp(middle.certificate, issuer=pki.root, signer=pki.root)
    chosen = choose_sign_identity([_entry(signer)], MEMBER, pki.conf(), cache, NOON)
    assert chosen.intermediates == pki.chain
    assert chosen.ocsp_responses == (cache[signer.der], cache[middle.der])


def _registered(*nodes: Identity, server: ServerId = SERVER) -> GlobalConf:
    return _PKI.conf(servers=[_PKI.server(server, *nodes)])


def test_the_registered_certificate_identifies_the_node() -> None:
    node = _PKI.auth(SERVER)
    chosen = choose_auth_identity(
        [_entry(node, "auth")], SERVER, _registered(node), _good(node), NOON
    )
    assert chosen.chain == (node.certificate,)
    assert chosen.key is node.key


@pytest.mark.parametrize("registered_for", [None, ServerId(MEMBER, "OTHER")])
def test_a_certificate_that_is_not_registered_for_this_node_is_not_used(
    registered_for: ServerId | None,
) -> None:
    node = _PKI.auth(SERVER)
    conf = _PKI.conf() if registered_for is None else _registered(node, server=registered_for)
    with pytest.raises(ExchangeError, match="is not registered for this server") as caught:
        choose_auth_identity([_entry(node, "auth")], SERVER, conf, _good(node), NOON)
    assert caught.value.code == "key_not_found"


def test_a_node_without_a_good_certificate_has_no_identity() -> None:
    node = _PKI.auth(SERVER)
    with pytest.raises(ExchangeError, match="there is no authentication certificate"):
        choose_auth_identity([], SERVER, _registered(node), _good(node), NOON)
    later = NOON + timedelta(hours=2)
    with pytest.raises(ExchangeError, match="too old"):
        choose_auth_identity([_entry(node, "auth")], SERVER, _registered(node), _good(node), later)


def test_identities_do_not_show_their_key() -> None:
    signer = _PKI.sign(MEMBER)
    chosen = choose_sign_identity([_entry(signer)], MEMBER, _PKI.conf(), _good(signer), NOON)
    assert "SoftwareKey(EC secp256r1)" in repr(chosen)
