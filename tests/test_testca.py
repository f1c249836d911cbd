"""The test CA over real HTTP, judged by openssl and by a second time-stamp library."""

import argparse
import asyncio
import contextlib
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
import rfc3161_client
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from scripts import testca
from scripts.authority import TestAuthority
from scripts.issuing import malformed_ocsp_request
from scripts.stamping import (
    TimestampRequest,
    build_imprint_request,
    encode_integer,
    encode_oid,
)
from scripts.testca import running
from tests.pki import NOON, Pki, key, name_of
from trust.asn1 import INTEGER, OBJECT_IDENTIFIER, parse_element, parse_integer, parse_oid
from trust.errors import EvidenceRejected, StorageError
from trust.ids import ClientId
from trust.pki import profiles
from trust.pki.certificates import (
    describe,
    is_auth_certificate,
    is_sign_certificate,
    ocsp_url,
    parse_certificate,
)
from trust.pki.keys import KeyUse, build_csr
from trust.pki.ocsp import CertificateStatus, build_ocsp_request, response_facts
from trust.pki.post import post
from trust.pki.profiles import member_of
from trust.pki.subjects import SubjectProposal

OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
_SUBJECT = name_of(C="XX", O="Agency", businessCategory="GOV", serialNumber="1", CN="Agency")


def _request(use: KeyUse = "sign", *, subject: x509.Name = _SUBJECT) -> bytes:
    return build_csr(
        key("p256", f"testca {use}"), use, SubjectProposal(subject, "ss1.example.test")
    )


@dataclass
class Served:
    """A running test CA and how to talk to it."""

    authority: TestAuthority
    url: str
    session: aiohttp.ClientSession

    async def certify(self, use: KeyUse, query: str = "") -> x509.Certificate:
        pem = await post(self.session, f"{self.url}/sign/{use}{query}", _request(use), "text/plain")
        return parse_certificate(pem)

    async def status(self, certificate: x509.Certificate, issuer: x509.Certificate) -> bytes:
        request = build_ocsp_request(certificate, issuer)
        return await post(self.session, f"{self.url}/ocsp", request, "application/ocsp-request")


@contextlib.asynccontextmanager
async def _served(folder: Path, *, intermediate: bool = False) -> AsyncIterator[Served]:
    authority = TestAuthority.open(folder, datetime.now(UTC), intermediate=intermediate)
    async with running(authority) as url, aiohttp.ClientSession() as session:
        yield Served(authority, url, session)


def _openssl(*arguments: str | Path) -> str:
    assert OPENSSL is not None
    done = subprocess.run(
        [OPENSSL, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr


async def test_requests_become_certificates_of_their_use(tmp_path: Path) -> None:
    async with _served(tmp_path) as served:
        sign = await served.certify("sign", "?profile=Basic")
        auth = await served.certify("auth")
        assert is_sign_certificate(sign)
        assert not is_auth_certificate(sign)
        assert is_auth_certificate(auth)
        assert not is_sign_certificate(auth)
        assert member_of(sign, profiles.BASIC, "TEST") == ClientId("TEST", "GOV", "1")
        assert ocsp_url(sign) == f"{served.url}/ocsp"
        names = auth.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["ss1.example.test"]


async def test_the_life_of_a_certificate_can_be_asked_for(tmp_path: Path) -> None:
    async with _served(tmp_path) as served:
        short = await served.certify("sign", "?days=0.5")
        left = short.not_valid_after_utc - datetime.now(UTC)
        assert timedelta(hours=11) < left <= timedelta(hours=12)


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("/sign/sign", b"no request", "invalid_request"),
        ("/sign/sign?profile=Nobody", None, "Unknown certificate profile"),
        ("/sign/sign?profile=Fo", None, "incorrect_certificate"),
        ("/sign/sign?days=soon", None, "is no number of days"),
        ("/revoke?serial=soon", b"", "is no serial number"),
        ("/revoke", b"", "is no serial number"),
        ("/revoke?serial=1", b"", "cert_not_found"),
    ],
)
async def test_a_bad_order_is_refused_with_a_sentence(
    tmp_path: Path, path: str, body: bytes | None, text: str
) -> None:
    async with _served(tmp_path) as served:
        data = _request() if body is None else body
        async with served.session.post(served.url + path, data=data) as answer:
            assert answer.status == 400
            assert text in await answer.text()


async def test_a_request_that_its_key_did_not_sign_is_refused(tmp_path: Path) -> None:
    damaged = bytearray(_request())
    damaged[-1] ^= 1
    async with (
        _served(tmp_path) as served,
        served.session.post(f"{served.url}/sign/sign", data=bytes(damaged)) as answer,
    ):
        assert answer.status == 400


@pytest.mark.parametrize("intermediate", [False, True])
async def test_a_certificate_is_good_until_it_is_revoked(
    tmp_path: Path, intermediate: bool
) -> None:
    async with _served(tmp_path, intermediate=intermediate) as served:
        certificate = await served.certify("sign")
        issuer = served.authority.issuing.certificate
        facts = response_facts(await served.status(certificate, issuer))
        assert facts.status is CertificateStatus.GOOD
        assert facts.next_update == facts.this_update + timedelta(hours=1)
        await post(
            served.session, f"{served.url}/revoke?serial={certificate.serial_number}", b"", "x/y"
        )
        facts = response_facts(await served.status(certificate, issuer))
        assert facts.status is CertificateStatus.REVOKED
        assert facts.revoked_at is not None


async def test_a_certificate_of_somebody_else_is_unknown(tmp_path: Path) -> None:
    stranger = Pki().sign(ClientId("TEST", "GOV", "1")).certificate
    async with _served(tmp_path) as served:
        raw = await served.status(stranger, served.authority.issuing.certificate)
        assert response_facts(raw).status is CertificateStatus.UNKNOWN
        malformed = await post(served.session, f"{served.url}/ocsp", b"what?", "text/plain")
        assert malformed == malformed_ocsp_request()


async def test_the_cas_certificates_can_be_had(tmp_path: Path) -> None:
    async with _served(tmp_path, intermediate=True) as served:
        for name, certificate in served.authority.certificates.items():
            async with served.session.get(f"{served.url}/{name}.pem") as answer:
                assert parse_certificate(await answer.read()) == certificate
        async with served.session.get(f"{served.url}/root.key.pem") as answer:
            assert answer.status == 404


def test_the_ca_is_the_same_after_a_restart(tmp_path: Path) -> None:
    first = TestAuthority.open(tmp_path, NOON, intermediate=True)
    certificate = first.certify(_request(), "sign", NOON)
    first.revoke(certificate.serial_number, NOON)
    again = TestAuthority.open(tmp_path, NOON + timedelta(days=1))
    assert again.certificates == first.certificates
    request = build_ocsp_request(certificate, again.issuing.certificate)
    assert response_facts(again.answer_ocsp(request, NOON)).status is CertificateStatus.REVOKED


def test_a_serial_number_that_was_not_issued_cannot_be_revoked(tmp_path: Path) -> None:
    authority = TestAuthority.open(tmp_path, NOON)
    with pytest.raises(EvidenceRejected, match="No certificate"):
        authority.revoke(1, NOON)


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        TestAuthority.open(tmp_path / "file", NOON)


@needs_openssl
@pytest.mark.parametrize("intermediate", [False, True])
async def test_openssl_believes_the_ocsp_responder(tmp_path: Path, intermediate: bool) -> None:
    async with _served(tmp_path / "ca", intermediate=intermediate) as served:
        certificate = await served.certify("sign")
        (tmp_path / "own.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        folder = tmp_path / "ca"
        issuer = folder / ("issuing.cert.pem" if intermediate else "root.cert.pem")
        chain = tmp_path / "chain.pem"
        chain.write_bytes((folder / "root.cert.pem").read_bytes() + issuer.read_bytes())
        raw = await served.status(certificate, served.authority.issuing.certificate)
        (tmp_path / "answer.der").write_bytes(raw)
        question = ("-issuer", issuer, "-cert", tmp_path / "own.pem")
        asked = await asyncio.to_thread(
            _openssl, "ocsp", *question, "-url", f"{served.url}/ocsp", "-CAfile", chain
        )
        stored = await asyncio.to_thread(
            _openssl, "ocsp", *question, "-respin", tmp_path / "answer.der", "-CAfile", chain
        )
        for text in (asked, stored):
            assert "Response verify OK" in text
            assert "own.pem: good" in text


@needs_openssl
@pytest.mark.parametrize("options", [("-cert",), ("-no_nonce",), ()])
async def test_openssl_believes_the_time_stamps(tmp_path: Path, options: tuple[str, ...]) -> None:
    async with _served(tmp_path / "ca") as served:
        (tmp_path / "data").write_bytes(b"data")
        query = tmp_path / "q.tsq"
        _openssl("ts", "-query", "-data", tmp_path / "data", "-sha512", *options, "-out", query)
        reply = await post(
            served.session, f"{served.url}/tsa", query.read_bytes(), "application/timestamp-query"
        )
        (tmp_path / "r.tsr").write_bytes(reply)
        root, tsa = tmp_path / "ca/root.cert.pem", tmp_path / "ca/tsa.cert.pem"
        verify = ("ts", "-verify", "-in", tmp_path / "r.tsr", "-CAfile", root, "-untrusted", tsa)
        assert "Verification: OK" in _openssl(*verify, "-queryfile", query)
        (tmp_path / "data").write_bytes(b"other")
        assert "Verification: FAILED" in _openssl(*verify, "-data", tmp_path / "data")


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_another_library_believes_the_time_stamps(kind: str) -> None:
    pki = Pki(kind="rsa2048" if kind == "rsa2048" else "p256")
    request = TimestampRequest.parse(build_imprint_request(b"data", nonce=7, certificate=True))
    assert (request.nonce, request.wants_certificate) == (b"\x02\x01\x07", True)
    reply = rfc3161_client.decode_timestamp_response(pki.timestamp_reply(b"data"))
    assert reply.tst_info.gen_time == NOON
    verifier = (
        rfc3161_client.VerifierBuilder()
        .tsa_certificate(pki.tsa.certificate)
        .add_root_certificate(pki.root.certificate)
        .build()
    )
    assert verifier.verify_message(reply, b"data")
    with pytest.raises(rfc3161_client.VerificationError):
        verifier.verify_message(reply, b"other")


def test_what_is_no_time_stamp_request_is_rejected(tmp_path: Path) -> None:
    authority = TestAuthority.open(tmp_path, NOON)
    for data in (b"", b"what?", build_imprint_request(b"x")[:-3]):
        reply = rfc3161_client.decode_timestamp_response(authority.stamp(data, NOON))
        assert reply.status == 2


@given(st.integers(0, len(build_imprint_request(b"x")) - 1), st.integers(1, 255))
def test_any_damaged_request_is_read_or_refused(place: int, change: int) -> None:
    damaged = bytearray(build_imprint_request(b"x", nonce=1))
    damaged[place] ^= change
    with contextlib.suppress(ValueError):
        TimestampRequest.parse(bytes(damaged))


@given(st.integers(0, 2**80))
def test_integers_are_written_as_they_are_read(value: int) -> None:
    assert parse_integer(parse_element(encode_integer(value), INTEGER)) == value


@given(
    st.tuples(st.integers(0, 2), st.integers(0, 39)),
    st.lists(st.integers(0, 2**40), min_size=1, max_size=8),
)
def test_object_identifiers_are_written_as_they_are_read(
    first: tuple[int, int], rest: list[int]
) -> None:
    dotted = ".".join(map(str, (*first, *rest)))
    assert parse_oid(parse_element(encode_oid(dotted), OBJECT_IDENTIFIER)) == dotted


async def test_the_command_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "scripts.cli", "testca", "run", "--dir", str(tmp_path), "--port", "0",
        stderr=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            line = (await process.stderr.readline()).decode()
        assert line.startswith("test CA: http://127.0.0.1:")
        url = line.split()[-1] + "/root.pem"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert "CN=Test Root CA" in describe(parse_certificate(await answer.read()))
    finally:
        process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0


def test_the_command_needs_a_folder_and_a_port(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    testca.add_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["run"])
    assert "--dir" in capsys.readouterr().err
