"""Time-stamp tokens: those of X-Road, of our test service, of OpenSSL; and damaged ones."""

import contextlib
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from scripts.stamping import encode_integer
from tests.pki import NOON, Pki
from tests.vector_files import vector_path
from trust.asn1 import NotAsn1
from trust.configuration.confparts import parse_shared_parameters
from trust.evidence.timestamps import TimestampVerdict, check_timestamp, parse_timestamp
from trust.pki.keys import KeyType
from trust.report import Outcome

_TOKENS = "asic/src/lib/globalconf-impl/src/test/timestamps"
_CONFS = "asic/src/lib/globalconf-core/src/test/resources/globalconf_good_v2"
DATA = b"what is stamped"


@pytest.fixture(scope="module")
def pki() -> Pki:
    return Pki()


def _services(*, of_ocsp: bool = False) -> list[x509.Certificate]:
    """The time-stamping services of the reference configuration, or its OCSP responders."""
    found = []
    for path in sorted(vector_path(_CONFS).glob("*/shared-params.xml")):
        shared = parse_shared_parameters(path.read_bytes(), 2)
        if of_ocsp:
            responders = (
                r for ca in shared.approved_cas for a in ca.authorities for r in a.responders
            )
            found += [r.certificate for r in responders if r.certificate is not None]
        else:
            found += [tsa.certificate for tsa in shared.approved_tsas]
    assert found
    return found


def _vector(name: str) -> bytes:
    return vector_path(f"{_TOKENS}/{name}").read_bytes()


def _failed(verdict: TimestampVerdict, code: str) -> bool:
    return (
        verdict.check.outcome is Outcome.FAILED
        and verdict.check.code == code
        and (verdict.gen_time is None)
    )


@pytest.mark.interop
def test_the_reference_token_of_2012_holds() -> None:
    verdict = check_timestamp(_vector("valid"), _vector("stamped-data"), _services())
    assert verdict.check.outcome is Outcome.PASSED, verdict.check.detail
    assert verdict.gen_time == datetime(2012, 11, 29, 13, 10, 4, tzinfo=UTC)
    assert "timestamp1" in verdict.tsa


@pytest.mark.interop
def test_the_reference_token_does_not_hold_for_other_data() -> None:
    data = bytearray(_vector("stamped-data"))
    data[42] ^= 1
    verdict = check_timestamp(_vector("valid"), bytes(data), _services())
    assert _failed(verdict, "malformed_signature")


@pytest.mark.interop
def test_the_reference_token_is_not_by_an_ocsp_responder() -> None:
    certificates = _services(of_ocsp=True)
    verdict = check_timestamp(_vector("valid"), _vector("stamped-data"), certificates)
    assert _failed(verdict, "mlog.tsp_certificate_not_found")


@pytest.mark.interop
def test_the_reference_token_with_another_signature_is_refused() -> None:
    verdict = check_timestamp(_vector("invalid-signature"), _vector("stamped-data"), _services())
    assert _failed(verdict, "mlog.timestamp_signer_verification_failed")


@pytest.mark.interop
def test_a_whole_response_of_the_reference_is_read() -> None:
    path = "asic/src/addons/messagelog/messagelog-addon/src/test/resources/tsp.response"
    token = parse_timestamp(vector_path(path).read_bytes())
    assert token.gen_time == datetime(2014, 5, 6, 8, 28, 49, tzinfo=UTC)


def test_without_any_service_nothing_can_be_judged(pki: Pki) -> None:
    verdict = check_timestamp(pki.timestamp(DATA), DATA, [])
    assert _failed(verdict, "mlog.no_timestamping_provider_found")


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
@pytest.mark.parametrize("certificate", [False, True])
def test_our_services_tokens_hold_with_and_without_certificate(
    kind: KeyType, certificate: bool
) -> None:
    pki = Pki(kind=kind)
    token = pki.timestamp(DATA, certificate=certificate)
    verdict = check_timestamp(token, DATA, [pki.authority.certificate, pki.tsa.certificate])
    assert verdict.check.outcome is Outcome.PASSED, verdict.check.detail
    assert verdict.gen_time == NOON


def test_a_response_holds_like_the_token_inside(pki: Pki) -> None:
    verdict = check_timestamp(pki.timestamp_reply(DATA), DATA, [pki.tsa.certificate])
    assert verdict.gen_time == NOON


def test_a_refusal_is_no_token() -> None:
    with pytest.raises(NotAsn1, match="refused"):
        parse_timestamp(bytes.fromhex("30053003020102"))


def test_an_outdated_service_is_not_believed(pki: Pki) -> None:
    late = NOON + timedelta(days=366)
    verdict = check_timestamp(pki.timestamp(DATA, at=late), DATA, [pki.tsa.certificate])
    assert _failed(verdict, "mlog.timestamp_signer_verification_failed")


def test_a_key_under_the_services_name_is_not_believed(pki: Pki) -> None:
    impostor = replace(pki.tsa, key=pki.stranger.key)
    verdict = check_timestamp(pki.timestamp(DATA, tsa=impostor), DATA, [pki.tsa.certificate])
    assert _failed(verdict, "mlog.timestamp_signer_verification_failed")


def test_an_unlisted_service_is_not_believed(pki: Pki) -> None:
    token = pki.timestamp(DATA, tsa=pki.stranger)
    verdict = check_timestamp(token, DATA, [pki.tsa.certificate])
    assert _failed(verdict, "mlog.tsp_certificate_not_found")


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_no_byte_of_a_token_can_be_changed(kind: KeyType) -> None:
    """Every byte counts; ECDSA signatures have a second form, but not one byte away."""
    pki = Pki(kind=kind)
    token = pki.timestamp(DATA, certificate=True)
    for position in range(len(token)):
        for change in (0x01, 0x80, 0xFF):
            damaged = bytearray(token)
            damaged[position] ^= change
            verdict = check_timestamp(bytes(damaged), DATA, [pki.tsa.certificate])
            assert verdict.gen_time is None, (position, change)
            assert verdict.check.outcome is Outcome.FAILED


@given(st.integers(0, 600), st.integers(0, 12), st.binary(max_size=8))
def test_any_damaged_token_is_read_or_refused(start: int, length: int, other: bytes) -> None:
    token = Pki().timestamp(DATA)
    with contextlib.suppress(NotAsn1):
        parse_timestamp(token[:start] + other + token[start + length :])


# --- made by others -------------------------------------------------------------------------------

_OPENSSL_CONF = """
[tsa]
default_tsa = here
[here]
serial = {folder}/serial
default_policy = 1.2.3.4.1
digests = sha256, sha512
signer_digest = {digest}
ess_cert_id_alg = {ess}
"""


def _openssl(*arguments: str) -> bytes:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl here")
    return subprocess.run([program, *arguments], check=True, capture_output=True).stdout


@pytest.mark.parametrize("ess", ["sha1", "sha256", "sha384"])
@pytest.mark.parametrize(
    ("key", "digest"),
    [(("rsa:2048",), "sha256"), (("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), "sha512")],
)
def test_tokens_of_openssl_hold(tmp_path: Path, key: Sequence[str], digest: str, ess: str) -> None:
    """OpenSSL puts the chain into the token, in an order that DER does not allow."""
    stamped = tmp_path / "data"
    stamped.write_bytes(DATA)
    (tmp_path / "serial").write_text("01\n")
    (tmp_path / "tsa.cnf").write_text(_OPENSSL_CONF.format(folder=tmp_path, digest=digest, ess=ess))
    _openssl(
        "req", "-x509", "-newkey", *key, "-nodes", "-subj", "/CN=tsa", "-days", "3650",
        "-addext", "extendedKeyUsage=critical,timeStamping", "-addext", "keyUsage=digitalSignature",
        "-keyout", f"{tmp_path}/key.pem", "-out", f"{tmp_path}/cert.pem",
    )  # fmt: skip
    (tmp_path / "chain.pem").write_bytes(Pki().authority.certificate.public_bytes(Encoding.PEM))
    request = _openssl("ts", "-query", "-data", str(stamped), "-sha512", "-cert")
    (tmp_path / "query").write_bytes(request)
    reply = _openssl(
        "ts", "-reply", "-config", f"{tmp_path}/tsa.cnf", "-queryfile", f"{tmp_path}/query",
        "-signer", f"{tmp_path}/cert.pem", "-inkey", f"{tmp_path}/key.pem",
        "-chain", f"{tmp_path}/chain.pem",
    )  # fmt: skip
    certificate = x509.load_pem_x509_certificate((tmp_path / "cert.pem").read_bytes())
    verdict = check_timestamp(reply, DATA, [certificate])
    assert verdict.check.outcome is Outcome.PASSED, verdict.check.detail
    assert verdict.gen_time is not None
    assert not check_timestamp(reply, DATA + b"!", [certificate]).gen_time


def _signed_by_openssl(folder: Path, pki: Pki, *options: str) -> bytes:
    """The time-stamp of our service, signed anew: CMS as OpenSSL writes it."""
    (folder / "info").write_bytes(parse_timestamp(pki.timestamp(DATA)).info)
    (folder / "tsa.pem").write_bytes(pki.tsa.certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(
        pki.tsa.key.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return _openssl(
        "cms", "-sign", "-binary", "-nodetach", "-in", f"{folder}/info", "-outform", "DER",
        "-signer", f"{folder}/tsa.pem", "-inkey", f"{folder}/key.pem", *options,
    )  # fmt: skip


_AS_TIMESTAMP = ("-econtent_type", "1.2.840.113549.1.9.16.1.4")


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
@pytest.mark.parametrize("certificates", [(), ("-nocerts",)])
def test_a_service_may_be_named_by_its_key(
    tmp_path: Path, kind: KeyType, certificates: Sequence[str]
) -> None:
    pki = Pki(kind=kind)
    options = (*_AS_TIMESTAMP, "-md", "sha384", "-keyid", *certificates)
    token = _signed_by_openssl(tmp_path, pki, *options)
    assert isinstance(parse_timestamp(token).signer, bytes)
    verdict = check_timestamp(token, DATA, [pki.authority.certificate, pki.tsa.certificate])
    assert verdict.gen_time == NOON, verdict.check.detail
    other = check_timestamp(token, DATA, [pki.authority.certificate])
    assert _failed(other, "mlog.tsp_certificate_not_found")


@pytest.mark.parametrize(
    "options",
    [
        (),
        (*_AS_TIMESTAMP, "-md", "sha1"),
        (*_AS_TIMESTAMP, "-noattr"),
        (*_AS_TIMESTAMP, "-md", "sha256", "-keyopt", "rsa_padding_mode:pss"),
    ],
    ids=["other content", "sha1", "no attributes", "pss"],
)
def test_signed_data_that_is_no_proper_time_stamp_is_refused(
    tmp_path: Path, options: Sequence[str]
) -> None:
    pki = Pki(kind="rsa2048")
    token = _signed_by_openssl(tmp_path, pki, *options)
    verdict = check_timestamp(token, DATA, [pki.tsa.certificate])
    assert _failed(verdict, "malformed_signature")


def test_the_signed_attributes_must_name_the_service(pki: Pki) -> None:
    """Another certificate for the same key and under the same name is another one."""
    old = encode_integer(pki.tsa.certificate.serial_number)
    candidates = (pki.certify("TSA", "tsa", days=days).certificate for days in range(400, 2400))
    listed, new = next(
        (certificate, number)
        for certificate in candidates
        if len(number := encode_integer(certificate.serial_number)) == len(old)
    )
    before, found, after = pki.timestamp(DATA).rpartition(old)
    assert found
    verdict = check_timestamp(before + new + after, DATA, [listed])
    assert _failed(verdict, "mlog.timestamp_signer_verification_failed")
    assert "another certificate" in verdict.check.detail


def test_openssl_accepts_what_we_accept(tmp_path: Path, pki: Pki) -> None:
    """The judge agrees on the tokens that our tests are made of."""
    (tmp_path / "token").write_bytes(pki.timestamp(DATA))
    (tmp_path / "data").write_bytes(DATA)
    (tmp_path / "tsa.pem").write_bytes(pki.tsa.certificate.public_bytes(Encoding.PEM))
    (tmp_path / "ca.pem").write_bytes(pki.authority.certificate.public_bytes(Encoding.PEM))
    _openssl(
        "ts", "-verify", "-token_in", "-in", f"{tmp_path}/token", "-data", f"{tmp_path}/data",
        "-CAfile", f"{tmp_path}/ca.pem", "-untrusted", f"{tmp_path}/tsa.pem",
        "-attime", str(int(NOON.timestamp())),
    )  # fmt: skip
