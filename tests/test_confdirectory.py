"""Signed directories: the vectors' verdicts, our own output, and every kind of damage."""

import base64
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from tests.pki import NOON, Pki, key
from tests.published import VALIDITY, Publisher
from tests.vector_files import vector_path
from trust.configuration.confdirectory import (
    Directory,
    DirectoryEntry,
    build_directory,
    parse_directory,
    read_directory,
)
from trust.configuration.confparts import check_part, parse_anchor, parse_shared_parameters
from trust.configuration.mimeparts import read_entity, read_value, split_parts
from trust.digests import RSA_SHA512, SHA512_URI, SIGNATURE_ALGORITHMS, SignatureAlgorithm, digest
from trust.errors import EvidenceRejected, ExchangeError, GlobalConfOutdated, MalformedMessage

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
BEFORE_EXPIRY = datetime(2026, 5, 1, tzinfo=UTC)
EXAMPLE_TIME = datetime(2026, 11, 21, 16, 55, tzinfo=UTC)


def _folder(generation: str, version: int) -> Path:
    return vector_path(f"globalconf/signed/{generation}/V{version}")


def _announced(folder: Path, version: int) -> list[bytes]:
    """The certificates in the shared parameters beside a directory."""
    (path,) = folder.glob("2*/shared-params.xml")
    # The V3 samples have elements of version 4.
    shared = parse_shared_parameters(path.read_bytes(), max(4, version))
    return [
        certificate
        for source in shared.sources
        for certificate in (*source.internal_certificates, *source.external_certificates)
    ]


def _in_anchor(name: str) -> list[bytes]:
    anchor = parse_anchor(vector_path(f"globalconf/{name}").read_bytes())
    return [certificate for source in anchor.sources for certificate in source.certificates]


def _pem(name: str) -> bytes:
    raw = vector_path(f"globalconf/{name}").read_bytes()
    return x509.load_pem_x509_certificate(raw).public_bytes(Encoding.DER)


def _damaged_parts(directory: Directory, root: Path) -> list[str]:
    """Identifiers of the parts whose file has another digest."""
    return [
        entry.identifier
        for entry in directory.entries
        if not entry.matches((root / entry.location.lstrip("/")).read_bytes())
    ]


ACCEPTED = [
    ("first", 3, "2034-04-09T00:36:51"),
    ("first", 4, "2034-05-30T06:46:02"),
    ("first", 5, "2035-03-01T14:39:11"),
    ("rotated", 3, "2034-04-09T00:37:51"),
    ("rotated", 4, "2034-05-30T06:46:32"),
    ("rotated", 5, "2035-03-01T14:38:31"),
    ("rotated", 6, "2035-11-11T03:08:40"),
]


@pytest.mark.parametrize("kind", ["internalconf", "externalconf"])
@pytest.mark.parametrize(("generation", "version", "expires"), ACCEPTED)
def test_published_directories_hold(generation: str, version: int, expires: str, kind: str) -> None:
    folder = _folder(generation, version)
    raw = (folder / kind).read_bytes()
    directory = read_directory(raw, _announced(folder, version), NOVEMBER)
    assert directory.version == version
    assert directory.expires == datetime.fromisoformat(expires + "+00:00")
    assert _damaged_parts(directory, folder.parent) == []


def test_the_anchor_verifies_what_the_list_itself_does_not() -> None:
    folder = _folder("first", 6)
    raw = (folder / "internalconf").read_bytes()
    directory = read_directory(raw, _in_anchor("anchors/system-test-internal.xml"), NOVEMBER)
    assert _damaged_parts(directory, folder.parent) == []
    with pytest.raises(EvidenceRejected) as caught:
        read_directory(raw, _announced(folder, 6), NOVEMBER)
    assert caught.value.code == "global_conf_missing_verification_cert"


def test_a_part_with_another_digest_is_seen() -> None:
    folder = _folder("first", 6)
    raw = (folder / "externalconf").read_bytes()
    directory = read_directory(raw, _announced(folder, 6), NOVEMBER)
    assert _damaged_parts(directory, folder.parent) == ["SHARED-PARAMETERS"]


def test_a_rotated_key_is_found_in_the_list_before_it() -> None:
    raw = (_folder("rotated", 6) / "internalconf").read_bytes()
    assert read_directory(raw, _announced(_folder("first", 6), 6), NOVEMBER).version == 6
    with pytest.raises(EvidenceRejected) as caught:
        read_directory(raw, _in_anchor("anchors/system-test-internal.xml"), NOVEMBER)
    assert caught.value.code == "global_conf_missing_verification_cert"


@pytest.mark.parametrize("name", ["test-conf-simple", "test-conf-detached"])
def test_samples_with_line_feeds_hold_until_they_expire(name: str) -> None:
    raw = vector_path(f"globalconf/parser/{name}.txt").read_bytes()
    consumer, producer = _pem("parser/certs/consumer.pem"), _pem("parser/certs/producer.pem")
    directory = read_directory(raw, [producer, consumer], BEFORE_EXPIRY)
    assert directory.version == 2
    assert {entry.instance for entry in directory.entries} == {"EE"}
    with pytest.raises(GlobalConfOutdated):
        read_directory(raw, [consumer], NOVEMBER)
    with pytest.raises(EvidenceRejected) as caught:
        read_directory(raw, [producer], BEFORE_EXPIRY)
    assert caught.value.code == "global_conf_missing_verification_cert"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("test-conf-malformed", "global_conf_missing_signed_data_expiration_date"),
        ("test-conf-missing-date", "global_conf_header_field_missing"),
        ("test-conf-missing-signature", "global_conf_signature_verification_failure"),
    ],
)
def test_bad_samples_get_the_code_of_the_reference(name: str, code: str) -> None:
    raw = vector_path(f"globalconf/parser/{name}.txt").read_bytes()
    with pytest.raises(ExchangeError) as caught:
        read_directory(raw, [_pem("parser/certs/consumer.pem")], BEFORE_EXPIRY)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("name", "signer", "identifiers"),
    [
        ("internalconf", "internal", ["PRIVATE-PARAMETERS", "SHARED-PARAMETERS", "NEXTUPDATE"]),
        ("externalconf", "external", ["SHARED-PARAMETERS"]),
    ],
)
def test_worked_example_holds(name: str, signer: str, identifiers: list[str]) -> None:
    root = vector_path("globalconf/worked-example")
    raw = (root / "V6" / name).read_bytes()
    certificate = _pem(f"worked-example/certs/conf-{signer}-active.pem")
    directory = read_directory(raw, [certificate], EXAMPLE_TIME)
    assert [entry.identifier for entry in directory.entries] == identifiers
    assert _damaged_parts(directory, root) == []
    with pytest.raises(GlobalConfOutdated):
        read_directory(raw, [certificate], EXAMPLE_TIME + timedelta(minutes=6))


def test_a_configuration_proxys_form_holds() -> None:
    root = vector_path("globalconf/worked-example/confproxy")
    raw = (root / "PROXY1" / "conf-v6").read_bytes()
    directory = read_directory(raw, _in_anchor("worked-example/confproxy/anchor.xml"), EXAMPLE_TIME)
    assert _damaged_parts(directory, root) == []
    assert directory.expires == datetime(2026, 11, 21, 17, tzinfo=UTC)
    for entry in directory.entries:
        part = (root / entry.location.lstrip("/")).read_bytes()
        check_part(entry.identifier, part, directory.version)


# Our own output.


@cache
def _published() -> bytes:
    return Publisher().publish(NOON)["/internalconf?version=6"]


def _certificates() -> tuple[bytes, ...]:
    return Publisher().certificates()


def test_what_we_build_is_read_back() -> None:
    directory = read_directory(_published(), _certificates(), NOON)
    parts = Publisher().parts(6, "internal")
    assert directory.expires == NOON + VALIDITY
    assert directory.version == 6
    assert [entry.identifier for entry in directory.entries] == list(parts)
    for entry in directory.entries:
        name, raw = parts[entry.identifier]
        assert entry.location == f"/V6/20261121120000000000000/{name}"
        assert entry.matches(raw)
        assert not entry.matches(raw + b" ")


def test_what_we_build_has_the_bytes_of_a_central_server() -> None:
    """The worked example is what X-Road's own parser accepted; signatures differ each time."""
    example = (vector_path("globalconf/worked-example") / "V6" / "internalconf").read_bytes()
    signer = _pem("worked-example/certs/conf-internal-active.pem")
    directory = read_directory(example, [signer], None)
    built = build_directory(
        directory,
        key("p256", "any"),
        signer,
        boundaries=("outer0123456789abcdef", "inner0123456789abcdef"),
    )
    lines, expected = built.split(b"\r\n"), example.split(b"\r\n")
    assert len(lines) == len(expected)
    differing = [line for line, other in zip(lines, expected, strict=True) if line != other]
    assert len(differing) == 1  # the signature


class _RsaKey:
    """An RSA key that signs with either scheme."""

    def __init__(self, algorithm: SignatureAlgorithm) -> None:
        self.algorithm = algorithm
        private = key("rsa2048", "directory").private_key
        assert isinstance(private, rsa.RSAPrivateKey)
        self.private = private

    def sign(self, data: bytes) -> bytes:
        scheme: padding.AsymmetricPadding = padding.PKCS1v15()
        if "MGF1" in self.algorithm.uri:
            chosen = self.algorithm.hash
            scheme = padding.PSS(padding.MGF1(chosen), chosen.digest_size)
        return self.private.sign(data, scheme, self.algorithm.hash)


def _rsa_certificate() -> bytes:
    identity = Pki(NOON).certify("conf", "ca", issuer=None, kind="rsa2048", label="directory")
    return identity.certificate.public_bytes(Encoding.DER)


@pytest.mark.parametrize("uri", [uri for uri in SIGNATURE_ALGORITHMS if "ecdsa" not in uri])
def test_rsa_signatures_of_both_schemes_hold(uri: str) -> None:
    directory = Directory(NOON, 2, ())
    certificate = _rsa_certificate()
    raw = build_directory(directory, _RsaKey(SIGNATURE_ALGORITHMS[uri]), certificate)
    assert read_directory(raw, [certificate], NOON) == directory


def test_a_key_of_another_kind_is_refused() -> None:
    certificate = _certificates()[0]
    raw = build_directory(Directory(NOON, 2, ()), _RsaKey(RSA_SHA512), certificate)
    with pytest.raises(EvidenceRejected, match="does not fit") as caught:
        read_directory(raw, [certificate], NOON)
    assert caught.value.code == "global_conf_signature_verification_failure"


def test_a_certificate_that_can_not_be_read_verifies_nothing() -> None:
    raw = build_directory(Directory(NOON, 2, ()), _RsaKey(RSA_SHA512), b"no certificate")
    with pytest.raises(EvidenceRejected) as caught:
        read_directory(raw, [b"no certificate"], NOON)
    assert caught.value.code == "global_conf_signature_verification_failure"


def test_expiry_is_judged_to_the_second() -> None:
    read_directory(_published(), _certificates(), NOON + VALIDITY)
    with pytest.raises(GlobalConfOutdated):
        read_directory(_published(), _certificates(), NOON + VALIDITY + timedelta(microseconds=1))
    read_directory(_published(), _certificates(), None)


def _replaced(old: str, new: str) -> bytes:
    raw = _published().replace(old.encode(), new.encode())
    assert raw != _published()
    return raw


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (
            "Content-Type: application/octet-stream",
            "Content-Type: text/plain",
            "global_conf_header_field_wrong_value",
        ),
        (
            "Content-Type: application/octet-stream",
            "Content-Type: application/octet-stream; charset=x",
            "global_conf_header_field_wrong_value",
        ),
        ("Signature-Algorithm-Id", "X", "global_conf_header_field_missing"),
        ("Verification-certificate-hash", "X", "global_conf_header_field_missing"),
        ("ecdsa-sha512", "ecdsa-sha1", "global_conf_header_field_wrong_value"),
        ("ecdsa-sha512", "rsa-sha512", "global_conf_signature_verification_failure"),
        (
            "hash-algorithm-id=",
            "some-algorithm-id=",
            "global_conf_header_field_missing_parameter",
        ),
        (
            'hash-algorithm-id="http://www.w3.org/2001/04/xmlenc#sha512"',
            'hash-algorithm-id="http://www.w3.org/2000/09/xmldsig#sha1"',
            "global_conf_header_field_wrong_value",
        ),
        (
            'hash-algorithm-id="http://www.w3.org/2001/04/xmlenc#sha512"',
            'hash-algorithm-id="http://www.w3.org/2001/04/xmlenc#sha256"',
            "global_conf_header_field_wrong_value",
        ),
        ("Expire-date: 2026", "Expire-date: 2027", "global_conf_signature_verification_failure"),
        ("\r\n", "\n", "global_conf_signature_verification_failure"),
    ],
)
def test_changed_headers_are_refused(old: str, new: str, code: str) -> None:
    with pytest.raises(ExchangeError) as caught:
        read_directory(_replaced(old, new), _certificates(), NOON)
    assert caught.value.code == code


def _signed(*entries: DirectoryEntry, version: int = 6) -> bytes:
    return Publisher().sign(entries, NOON, version=version)


def _entry(
    identifier: str = "SHARED-PARAMETERS",
    instance: str = "TEST",
    location: str = "/a.xml",
    file_name: str | None = None,
) -> DirectoryEntry:
    value = digest(SHA512_URI, b"a")
    return DirectoryEntry(identifier, instance, location, value, file_name=file_name)


class _Resigned:
    """Signs other content than was built: what a careless or hostile operator might publish."""

    def __init__(self, old: str, new: str) -> None:
        self.old, self.new = old.encode(), new.encode()
        self.algorithm = Publisher().signer("first").key.algorithm

    def read(self, *entries: DirectoryEntry) -> Directory:
        raw = build_directory(
            Directory(NOON + VALIDITY, 6, entries), self, _certificates()[0]
        ).replace(self.old, self.new)
        return read_directory(raw, _certificates(), NOON)

    def sign(self, data: bytes) -> bytes:
        changed = data.replace(self.old, self.new)
        assert changed != data
        return Publisher().signer("first").key.sign(changed)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("Expire-date", "Expires", "global_conf_header_field_missing"),
        ("Expire-date: 2026", "Expire-date: soon", "global_conf_header_field_wrong_value"),
        ("12:10:00Z", "12:10:00", "global_conf_header_field_wrong_value"),
        ("12:10:00Z", "11:10:00Z", "global_conf_outdated"),
        ("Version: 6", "Version: 7", "global_conf_header_field_wrong_value"),
        ("Version: 6", "Version: six", "global_conf_header_field_wrong_value"),
        ("Content-type: app", "Content-type: x", "global_conf_header_field_wrong_value"),
        ("Content-location", "X", "global_conf_header_field_missing"),
        ("Hash-algorithm-id", "X", "global_conf_header_field_missing"),
        ("xmlenc#sha512", "xmlenc#md5", "global_conf_header_field_wrong_value"),
        ("xmlenc#sha512", "xmlenc#sha256", "global_conf_header_field_wrong_value"),
        ("Content-identifier", "X", "global_conf_header_field_missing"),
        (": SHARED-PARAMETERS;", ": ;", "global_conf_header_field_missing"),
        ("; instance='TEST'", "", "global_conf_header_field_missing_parameter"),
        ("; instance='TEST'", "; instance=''", "global_conf_header_field_missing_parameter"),
        ("; instance='TEST'", "; instance='TEST", "global_conf_header_field_wrong_value"),
        (
            "Version: 6",
            "Version: 6\r\nVersion: 6",
            "global_conf_parsing_downloaded_conf_directory_failure",
        ),
        ("/a.xml", "/" + "a" * 2001, "global_conf_header_field_wrong_value"),
    ],
)
def test_signed_content_that_is_wrong_is_refused(old: str, new: str, code: str) -> None:
    with pytest.raises(ExchangeError) as caught:
        _Resigned(old, new).read(_entry())
    assert caught.value.code == code


def test_a_directory_without_version_has_version_two() -> None:
    assert _Resigned("Version: 6\r\n", "").read(_entry()).version == 2


def test_folded_headers_and_double_quotes_are_read() -> None:
    entry = _entry()
    folded = _Resigned("; instance='TEST'", ';\r\n   instance="TEST"')
    assert folded.read(entry).entries == (entry,)


def test_file_names_are_carried() -> None:
    entry = _entry(file_name="own.xml", identifier="OWN")
    assert read_directory(_signed(entry), _certificates(), NOON).entries == (entry,)


def test_a_part_named_twice_is_refused() -> None:
    with pytest.raises(MalformedMessage, match="twice"):
        read_directory(_signed(_entry(), _entry(location="/b.xml")), _certificates(), NOON)


def test_very_many_parts_are_refused() -> None:
    entries = [_entry(identifier=f"PART-{number}") for number in range(201)]
    with pytest.raises(MalformedMessage, match="more than 200"):
        read_directory(_signed(*entries), _certificates(), NOON)
    assert read_directory(_signed(*entries[1:]), _certificates(), NOON).entries


def test_an_unsigned_boundary_can_not_change_what_is_read() -> None:
    inner = parse_directory(_published()).boundary
    with pytest.raises(MalformedMessage, match="does not begin with its boundary"):
        read_directory(_replaced(f"boundary={inner}", f"boundary={inner}--"), _certificates(), NOON)


@pytest.mark.parametrize("raw", [b"", b"\r\n", b"Content-Type: multipart/related; boundary=x\r\n"])
def test_without_any_part_there_is_no_signed_data(raw: bytes) -> None:
    with pytest.raises(MalformedMessage) as caught:
        parse_directory(raw)
    assert caught.value.code == "global_conf_missing_signed_data"


def test_a_text_that_is_no_multipart_has_no_signature() -> None:
    with pytest.raises(MalformedMessage) as caught:
        parse_directory(b"<html>: not a directory</html>")
    assert caught.value.code == "global_conf_missing_signed_data_expiration_date"


def test_a_third_part_is_refused() -> None:
    raw = _published()
    boundary = raw.split(b"boundary=")[1].split(b"\r\n")[0]
    more = raw.replace(b"--" + boundary + b"--", b"--" + boundary + b"\r\n\r\nx")
    with pytest.raises(MalformedMessage, match="3 parts"):
        parse_directory(more)


def test_a_very_large_directory_is_refused() -> None:
    with pytest.raises(MalformedMessage, match="larger than"):
        parse_directory(b"x" * (1024 * 1024 + 1))


@pytest.mark.parametrize("value", ["", "a'b", "a\r\nb", 'a"b', "a;b"])
@pytest.mark.parametrize("name", ["identifier", "instance", "location"])
def test_values_that_would_break_out_are_not_written(name: str, value: str) -> None:
    with pytest.raises(MalformedMessage, match="can't be written"):
        _signed(_entry(**{name: value}))


def test_any_changed_byte_fails_or_changes_nothing() -> None:
    """Inside the signed bytes and the signature every change fails."""
    raw = _published()
    genuine = read_directory(raw, _certificates(), NOON)
    signed = parse_directory(raw).signed
    start = raw.index(signed)
    value = base64.b64encode(parse_directory(raw).signature)
    guarded = {
        *range(start, start + len(signed)),
        *range(raw.index(value), raw.index(value) + len(value)),
    }
    for place in range(len(raw)):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        try:
            found = read_directory(changed, _certificates(), NOON)
        except ExchangeError:
            continue
        assert place not in guarded, place
        assert found == genuine


@given(st.data())
def test_a_damaged_directory_is_refused_or_means_the_same(data: st.DataObject) -> None:
    raw = bytearray(_published())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(raw) - 1))
        end = place + data.draw(st.integers(0, 80))
        raw[place:end] = data.draw(st.sampled_from([b"", b"\r\n", b"\n\n", b"--", b":", b"\xff"]))
    with suppress(ExchangeError):
        found = read_directory(bytes(raw), _certificates(), NOON)
        assert found == read_directory(_published(), _certificates(), NOON)


@given(st.binary(max_size=300), st.text("ab-", max_size=4))
def test_any_bytes_are_split_and_read_or_refused(raw: bytes, boundary: str) -> None:
    joined = b"".join(split_parts(raw, boundary))
    assert len(joined) <= len(raw)
    with suppress(ValueError):
        assert raw.endswith(read_entity(raw).body)


@given(st.text("ab;= \"'", max_size=30))
def test_any_header_value_is_read_or_refused(text: str) -> None:
    with suppress(ValueError):
        value, parameters = read_value(text)
        assert text.startswith(value) or text.strip().startswith(value)
        assert all(name for name in parameters)


def test_too_many_headers_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 50"):
        read_entity(b"".join(b"a%d: x\n" % number for number in range(51)))
