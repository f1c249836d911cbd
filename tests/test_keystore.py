"""The key store on disk, and what it takes as a certificate."""

import json
import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from scripts.issuing import CertificateOrder, Use, issue
from tests.pki import DAY, NOON, Pki, name_of
from trust.errors import EvidenceRejected, GlobalConfOutdated, MalformedMessage, StorageError
from trust.ids import ClientId, ServerId
from trust.pki import profiles
from trust.pki.keys import KeyUse
from trust.pki.keystore import KeyEntry, KeyStore
from trust.pki.subjects import Applicant, subject_for_auth, subject_for_sign

MEMBER = ClientId("TEST", "GOV", "1")
PASSWORD = b"correct horse"
_PKI = Pki()
_WHO = Applicant(MEMBER, ServerId(MEMBER, "SS1"), "Agency", "XX", "ss1.example.test")


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore.open(tmp_path / "keys", PASSWORD)


def _certified(
    entry: KeyEntry,
    *,
    use: Use | None = None,
    pki: Pki = _PKI,
    subject: x509.Name | None = None,
    days: int = 365,
) -> bytes:
    """What a CA answers to a request for the key."""
    propose = subject_for_sign if entry.use == "sign" else subject_for_auth
    order = CertificateOrder(
        subject or propose(profiles.BASIC, _WHO).name,
        use or entry.use,
        NOON - 30 * DAY,
        NOON + days * DAY,
    )
    public = entry.key.private_key.public_key()
    return issue(pki.authority, public, order).public_bytes(Encoding.DER)


def test_a_key_is_there_again_after_a_restart(store: KeyStore, tmp_path: Path) -> None:
    made = store.create_key("sign", "p256", "Agency's seal", NOON)
    again = KeyStore.open(tmp_path / "keys", PASSWORD)
    (found,) = again.entries
    assert (found.id, found.use, found.label, found.created) == (
        made.id, "sign", "Agency's seal", NOON,
    )  # fmt: skip
    assert found.key.private_key.public_key() == made.key.private_key.public_key()
    assert (found.active, found.certificate, found.member) == (True, None, None)


def test_files_belong_to_their_owner_alone_and_hold_no_open_key(
    store: KeyStore, tmp_path: Path
) -> None:
    entry = store.create_key("auth", "p256", "tls")
    store.request(entry.id, subject_for_auth(profiles.BASIC, _WHO))
    store.import_certificate(_certified(entry), _PKI.conf(), NOON)
    folder = tmp_path / "keys"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = sorted(folder.iterdir())
    assert [path.name.split(".", 1)[1] for path in files] == ["cert.pem", "json", "key.pem"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in (folder / f"{entry.id}.key.pem").read_bytes()


def test_a_wrong_password_is_told_in_one_sentence_without_it(
    store: KeyStore, tmp_path: Path
) -> None:
    store.create_key("sign", "p256", "")
    with pytest.raises(StorageError) as caught:
        KeyStore.open(tmp_path / "keys", b"battery staple")
    text = str(caught.value)
    assert "The password doesn't open key" in text
    assert "battery staple" not in text + repr(caught.value)
    assert caught.value.__cause__ is None


def test_an_empty_password_and_an_open_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is empty"):
        KeyStore.open(tmp_path / "keys", b"")
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "open").chmod(0o755)
    with pytest.raises(StorageError, match="open to every user"):
        KeyStore.open(tmp_path / "open", PASSWORD)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="can't be used"):
        KeyStore.open(tmp_path / "file", PASSWORD)


def test_the_password_shows_nowhere(store: KeyStore) -> None:
    store.create_key("sign", "p256", "")
    assert "correct horse" not in f"{store!r}{store}{store.entries!r}"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("json", b"{"),
        ("json", b'{"use": "other", "label": "", "created": "", "active": true, "member": null}'),
        ("json", b"[]"),
        ("cert.pem", b"no certificate"),
        ("key.pem", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        ("key.pem", b"x" * 100_000),
    ],
)
def test_damaged_files_are_told(store: KeyStore, tmp_path: Path, name: str, content: bytes) -> None:
    entry = store.create_key("sign", "p256", "")
    (tmp_path / "keys" / f"{entry.id}.{name}").write_bytes(content)
    with pytest.raises(StorageError):
        store.reload()


def test_half_a_key_is_told(store: KeyStore, tmp_path: Path) -> None:
    entry = store.create_key("sign", "p256", "")
    (tmp_path / "keys" / f"{entry.id}.key.pem").unlink()
    with pytest.raises(StorageError, match="only a part"):
        store.reload()


def test_other_files_in_the_folder_are_left_alone(store: KeyStore, tmp_path: Path) -> None:
    store.create_key("sign", "p256", "")
    for name in ("notes.json", ".0123456789abcdef.json.tmp", "lost+found"):
        (tmp_path / "keys" / name).write_bytes(b"?")
    store.reload()
    assert len(store.entries) == 1


def test_what_another_process_wrote_is_read_on_reload(store: KeyStore, tmp_path: Path) -> None:
    other = KeyStore.open(tmp_path / "keys", PASSWORD)
    made = other.create_key("auth", "p256", "")
    assert len(store.entries) == 0
    store.reload()
    assert store.entry(made.id).use == "auth"


def test_a_full_disk_leaves_no_half_key(
    store: KeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        store.create_key("sign", "p256", "")
    assert list((tmp_path / "keys").iterdir()) == []


def test_a_request_is_kept_until_its_certificate_comes(store: KeyStore, tmp_path: Path) -> None:
    entry = store.create_key("sign", "p256", "")
    der = store.request(entry.id, subject_for_sign(profiles.BASIC, _WHO))
    assert x509.load_der_x509_csr(der).public_key() == entry.key.private_key.public_key()
    assert store.entry(entry.id).requested
    assert not store.import_certificate(_certified(entry), _PKI.conf(), NOON).requested


def test_an_unknown_key_is_told(store: KeyStore) -> None:
    with pytest.raises(StorageError, match="has no key 'x'"):
        store.entry("x")


def test_an_imported_certificate_is_there_again_with_its_member(
    store: KeyStore, tmp_path: Path
) -> None:
    entry = store.create_key("sign", "p256", "")
    store.import_certificate(_certified(entry), _PKI.conf(), NOON, local_members={MEMBER})
    (found,) = KeyStore.open(tmp_path / "keys", PASSWORD).entries
    assert found.member == MEMBER
    assert found.certificate is not None
    assert found.certificate.public_bytes(Encoding.DER) == _certified_bytes(store)


def _certified_bytes(store: KeyStore) -> bytes:
    certificate = store.entries[0].certificate
    assert certificate is not None
    return certificate.public_bytes(Encoding.DER)


def test_an_authentication_certificate_has_no_member(store: KeyStore) -> None:
    entry = store.create_key("auth", "p256", "")
    assert store.import_certificate(_certified(entry), _PKI.conf(), NOON).member is None


def test_a_renewed_certificate_takes_the_place_of_the_old_one(store: KeyStore) -> None:
    entry = store.create_key("sign", "p256", "")
    store.import_certificate(_certified(entry), _PKI.conf(), NOON)
    renewed = _certified(entry, days=700)
    store.import_certificate(renewed, _PKI.conf(), NOON)
    assert _certified_bytes(store) == renewed


def test_a_key_can_be_switched_off_and_on(store: KeyStore, tmp_path: Path) -> None:
    entry = store.create_key("sign", "p256", "")
    assert not store.set_active(entry.id, False).active
    assert not KeyStore.open(tmp_path / "keys", PASSWORD).entries[0].active
    assert store.set_active(entry.id, True).active


@pytest.mark.parametrize(
    ("use", "certified", "text"),
    [
        ("sign", "auth", "Authentication certificate cannot be imported to signing keys"),
        ("auth", "sign", "Signing certificate cannot be imported to authentication keys"),
        ("sign", "ca", "cannot be used for signing nor authentication"),
    ],
)
def test_a_certificate_for_another_use_is_not_imported(
    store: KeyStore, use: KeyUse, certified: Use, text: str
) -> None:
    entry = store.create_key(use, "p256", "")
    with pytest.raises(EvidenceRejected, match=text) as caught:
        store.import_certificate(_certified(entry, use=certified), _PKI.conf(), NOON)
    assert caught.value.code == "wrong_cert_usage"


def test_a_certificate_for_both_uses_is_not_imported(store: KeyStore) -> None:
    entry = store.create_key("sign", "p256", "")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name_of(businessCategory="GOV", serialNumber="1"))
        .issuer_name(_PKI.root.certificate.subject)
        .public_key(entry.key.private_key.public_key())
        .serial_number(1)
        .not_valid_before(NOON - DAY)
        .not_valid_after(NOON + DAY)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, content_commitment=True, key_encipherment=False,
                data_encipherment=False, key_agreement=False, key_cert_sign=False,
                crl_sign=False, encipher_only=False, decipher_only=False,
            ),
            critical=True,
        )
        .sign(_PKI.root.key.private_key, hashes.SHA256())
    )  # fmt: skip
    with pytest.raises(EvidenceRejected, match="only one of them") as caught:
        store.import_certificate(certificate.public_bytes(Encoding.DER), _PKI.conf(), NOON)
    assert caught.value.code == "wrong_cert_usage"


def _refusal(store: KeyStore, data: bytes, **options: object) -> str:
    conf = options.pop("conf", _PKI.conf())
    with pytest.raises(EvidenceRejected) as caught:
        store.import_certificate(data, conf, NOON, **options)  # type: ignore[arg-type] # by name
    return caught.value.code


def test_a_certificate_of_no_key_here_is_not_imported(store: KeyStore) -> None:
    stranger = _PKI.sign(MEMBER)
    assert _refusal(store, stranger.der) == "key_not_found"


def test_a_certificate_that_is_there_already_is_not_imported_again(store: KeyStore) -> None:
    entry = store.create_key("sign", "p256", "")
    certificate = _certified(entry)
    store.import_certificate(certificate, _PKI.conf(), NOON)
    assert _refusal(store, certificate) == "cert_exists"


def test_only_approved_cas_of_the_own_instance_count(store: KeyStore) -> None:
    entry = store.create_key("sign", "p256", "")
    other = replace(_PKI, instance="OTHER")
    stranger = other.certify("Other CA", "ca", issuer=None)
    other.authority = stranger
    assert _refusal(store, _certified(entry, pki=other)) == "cert_import_failed"


def test_a_certificate_out_of_its_dates_is_not_imported(store: KeyStore) -> None:
    entry = store.create_key("sign", "p256", "")
    assert _refusal(store, _certified(entry, days=-1)) == "cert_import_failed"


def test_a_certificate_of_a_member_that_is_not_here_is_not_imported(store: KeyStore) -> None:
    entry = store.create_key("sign", "p256", "")
    elsewhere = {ClientId("TEST", "COM", "9")}
    code = _refusal(store, _certified(entry), local_members=elsewhere)
    assert code == "client_not_found"


def test_a_subject_that_the_profile_cannot_read_is_not_imported(store: KeyStore) -> None:
    entry = store.create_key("sign", "p256", "")
    assert _refusal(store, _certified(entry, subject=name_of(CN="x"))) == "incorrect_certificate"
    assert store.entry(entry.id).certificate is None


def test_a_ca_for_authentication_alone_certifies_no_sign_key(store: KeyStore) -> None:
    conf = _PKI.conf(approved_ca=replace(_PKI.approved_ca(), authentication_only=True))
    sign, auth = store.create_key("sign", "p256", ""), store.create_key("auth", "p256", "")
    assert _refusal(store, _certified(sign), conf=conf) == "cert_import_failed"
    assert store.import_certificate(_certified(auth), conf, NOON).certificate is not None


def test_without_a_valid_trust_list_nothing_is_imported(store: KeyStore) -> None:
    entry = store.create_key("sign", "p256", "")
    conf = _PKI.conf(valid_until=NOON - timedelta(seconds=1))
    with pytest.raises(GlobalConfOutdated):
        store.import_certificate(_certified(entry), conf, NOON)


def test_what_is_no_certificate_is_not_imported(store: KeyStore) -> None:
    with pytest.raises(MalformedMessage, match="can't be read"):
        store.import_certificate(b"no certificate", _PKI.conf(), NOON)


def test_descriptions_are_plain_json(store: KeyStore, tmp_path: Path) -> None:
    entry = store.create_key("sign", "p256", "Ämter", NOON)
    store.import_certificate(_certified(entry), _PKI.conf(), NOON)
    found = json.loads((tmp_path / "keys" / f"{entry.id}.json").read_text())
    assert found == {
        "use": "sign", "label": "Ämter", "created": "2026-11-21T12:00:00+00:00",
        "active": True, "member": ["TEST", "GOV", "1"],
    }  # fmt: skip
