"""WS-Security in requests, judged by programs of others."""

import base64
import hashlib
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from lxml import etree

from adapters.operations import Caller, UpstreamRefused
from adapters.soap.envelope import envelope_bytes, new_envelope
from adapters.soap.kind import open_soap
from adapters.soap.security import SECEXT, UTILITY, Security, Username
from adapters.soap.settings import (
    DescriptionSettings,
    EndpointSettings,
    PasswordType,
    SecuritySettings,
    SignatureSettings,
    SoapAdapterSettings,
    UsernameSettings,
)
from tests.soap_descriptions import wsdl
from tests.soap_services import Service, fault, key_pair, listening
from trust.errors import ConfigurationError
from trust.xmlbytes import parse_xml

AT = datetime(2026, 11, 21, 20, 30, 15, 123456, UTC)
NS = {"wsse": SECEXT, "wsu": UTILITY, "s": "http://schemas.xmlsoap.org/soap/envelope/"}


def text(root: etree._Element, path: str) -> str:
    found = root.find(path, NS)
    assert found is not None
    return found.text or ""


def secured(security: Security) -> etree._Element:
    envelope = new_envelope(soap12=False)
    etree.SubElement(envelope[1], "{urn:t}echo").text = "a"
    security.apply(envelope, AT)
    return parse_xml(envelope_bytes(envelope))


def test_nothing_is_added_where_nothing_is_set() -> None:
    assert len(secured(Security())[0]) == 0


def test_a_password_as_text_comes_with_nonce_and_time() -> None:
    root = secured(Security(Username("me", "pw", PasswordType.TEXT), None, timedelta(minutes=5)))
    (security,) = root[0]
    assert security.get(f"{{{NS['s']}}}mustUnderstand") == "1"
    assert text(root, ".//wsse:Username") == "me"
    assert text(root, ".//wsse:Password") == "pw"
    assert text(root, ".//wsu:Timestamp/wsu:Created") == "2026-11-21T20:30:15.123Z"
    assert text(root, ".//wsu:Timestamp/wsu:Expires") == "2026-11-21T20:35:15.123Z"


def test_a_digest_hides_the_password_and_is_fresh_each_time() -> None:
    security = Security(Username("me", "pä", PasswordType.DIGEST))
    seen = set()
    for _ in range(3):
        root = secured(security)
        nonce = base64.b64decode(text(root, ".//wsse:Nonce"))
        created = text(root, ".//wsse:UsernameToken/wsu:Created").encode()
        expected = hashlib.sha1(nonce + created + "pä".encode()).digest()
        assert base64.b64decode(text(root, ".//wsse:Password")) == expected
        assert "pä" not in etree.tostring(root, encoding="unicode")
        seen.add(nonce)
    assert len(seen) == 3


def signed_parts(data: bytes, certificate: str) -> list[str]:
    """What a signature covers, as signxml finds it; raises signxml.InvalidSignature."""
    signxml = pytest.importorskip("signxml")
    config = signxml.SignatureConfiguration(
        require_x509=True,
        location=".//",
        expect_references=2,
        default_reference_c14n_method=signxml.CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    )
    found = signxml.XMLVerifier().verify(data, x509_cert=certificate, expect_config=config)
    return sorted(etree.QName(one.signed_xml).localname for one in found)


@pytest.mark.parametrize("elliptic", [True, False])
def test_a_signature_over_body_and_time_holds_for_another_program(
    elliptic: bool, tmp_path: Path
) -> None:
    signxml = pytest.importorskip("signxml")
    pytest.importorskip("xmlsec")
    pair = key_pair(tmp_path, "signer", elliptic=elliptic)
    settings = SecuritySettings(
        signature=SignatureSettings(certificate=pair.certificate, key=pair.key)
    )
    root = secured(Security.load(settings))
    certificate = pair.certificate.read_text()
    data = etree.tostring(root)
    assert signed_parts(data, certificate) == ["Body", "Timestamp"]
    for changed in (data.replace(b">a<", b">b<"), data.replace(b"20:35:15", b"21:35:15")):
        assert changed != data
        with pytest.raises(signxml.InvalidSignature):
            signed_parts(changed, certificate)
    der = base64.b64decode(text(root, ".//wsse:BinarySecurityToken"))
    assert base64.b64encode(der).decode() in re.sub(r"\s", "", certificate)
    reference = root.find(".//wsse:SecurityTokenReference/wsse:Reference", NS)
    token = root.find(".//wsse:BinarySecurityToken", NS)
    assert reference is not None
    assert token is not None
    assert reference.get("URI") == f"#{token.get(f'{{{UTILITY}}}Id')}"


def test_secrets_that_do_not_fit_end_the_start(tmp_path: Path) -> None:
    pytest.importorskip("xmlsec")
    one, other = key_pair(tmp_path, "one"), key_pair(tmp_path, "other")
    wrong = SignatureSettings(certificate=one.certificate, key=other.key)
    with pytest.raises(ConfigurationError, match="no key of that certificate"):
        Security.load(SecuritySettings(signature=wrong))
    (tmp_path / "password").write_text("pw\n")
    (tmp_path / "password").chmod(0o644)
    username = UsernameSettings(name="me", password_file=tmp_path / "password")
    with pytest.raises(ConfigurationError, match="open to every user"):
        Security.load(SecuritySettings(username=username))
    (tmp_path / "password").chmod(0o600)
    assert Security.load(SecuritySettings(username=username)).username == Username(
        "me", "pw", PasswordType.TEXT
    )
    (tmp_path / "password").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        Security.load(SecuritySettings(username=username))


async def test_a_service_that_refuses_our_account_is_no_fault_of_the_caller(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.wsdl").write_bytes(wsdl())
    (tmp_path / "password").write_text("pw")
    (tmp_path / "password").chmod(0o600)
    service = Service(fault("wsse:FailedAuthentication", "Unknown account."), status=500)
    async with listening(service) as address:
        settings = SoapAdapterSettings(
            kind="soap",
            title="Echo",
            wsdl=DescriptionSettings(file=tmp_path / "a.wsdl"),
            endpoint=EndpointSettings(address=address),
            security=SecuritySettings(
                username=UsernameSettings(
                    name="me",
                    password_file=tmp_path / "password",
                    password_type=PasswordType.DIGEST,
                )
            ),
        )
        source = await open_soap(settings)
        try:
            with pytest.raises(UpstreamRefused) as caught:
                await source.run(source.operations[0], {"text": "a"}, Caller())
        finally:
            await source.close()
    assert (caught.value.status, caught.value.code) == (502, "FailedAuthentication")
    assert b"UsernameToken" in service.requests[0]
    assert b">pw<" not in service.requests[0]


async def test_a_service_that_wants_a_signature_and_an_account_gets_both(tmp_path: Path) -> None:
    pytest.importorskip("xmlsec")
    (tmp_path / "a.wsdl").write_bytes(wsdl())
    (tmp_path / "password").write_text("pw")
    (tmp_path / "password").chmod(0o600)
    pair = key_pair(tmp_path, "signer", elliptic=False)
    certificate = pair.certificate.read_text()
    service = Service()
    async with listening(service) as address:
        settings = SoapAdapterSettings(
            kind="soap",
            title="Echo",
            wsdl=DescriptionSettings(file=tmp_path / "a.wsdl"),
            endpoint=EndpointSettings(address=address),
            security=SecuritySettings(
                username=UsernameSettings(name="me", password_file=tmp_path / "password"),
                signature=SignatureSettings(certificate=pair.certificate, key=pair.key),
            ),
        )
        source = await open_soap(settings)
        try:
            values = {"text": "õ <&> \n end"}
            assert await source.run(source.operations[0], values, Caller()) == {"text": "hi"}
        finally:
            await source.close()
    (received,) = service.requests
    assert signed_parts(received, certificate) == ["Body", "Timestamp"]
    assert text(parse_xml(received), ".//wsse:Password") == "pw"
