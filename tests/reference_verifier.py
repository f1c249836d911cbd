"""X-Road's own way to read and judge a container, written down a second time for the tests.

Nothing of `trust` is used: XML by lxml, signatures by cryptography, time-stamps by OpenSSL. It is
as lenient as the reference where that is lenient. Not reproduced: whose name stands in the signing
certificate, and whether the OCSP responder was authorised. That it is right where it can be told
shows on the reference's own containers.

Source: signatures.md 5.6, 6.1, 8.5, 9.3, 9.4.
"""

import base64
import hashlib
import io
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from lxml import etree

_DS = "{http://www.w3.org/2000/09/xmldsig#}"
_HC = "{http://cyber.ee/hashchain}"
_EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"
_SIGNATURES = "META-INF/signatures.xml"
_STAMPED_AT = re.compile(r"^Time stamp: (.*) GMT$", re.MULTILINE)


class Refused(Exception):
    """The container fails, with the reference's fault code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Trust:
    """What the reference takes from the global configuration."""

    authorities: Sequence[x509.Certificate]
    tsas: Sequence[x509.Certificate]
    ocsp_freshness: timedelta


def judge(raw: bytes, trust: Trust) -> datetime:
    """When the container was stamped; raises Refused. Skips the test without OpenSSL."""
    files = _load(raw)
    root = _parse(files[_SIGNATURES], "invalid_xml")
    signature = _first(root, "ds:Signature")
    if _first(root, "ds:Object") is None or signature is None:
        raise Refused("malformed_signature")
    uris = [reference.get("URI", "") for reference in signature.iter(f"{_DS}Reference")]
    if not {"/message.xml", "/sig-hashchainresult.xml"} & set(uris):
        raise Refused("malformed_signature")
    value = base64.b64decode(signature.findtext(f"{_DS}SignatureValue") or "")
    stamped = files.get("ts-hashchainresult.xml")
    if stamped is not None:
        try:
            _follow(stamped, "/ts-hashchain.xml", f"/{_SIGNATURES}", files)
        except Refused as error:
            raise Refused("malformed_signature") from error
    at = _stamped_at(_token(root, files), value if stamped is None else stamped, trust)
    if "/sig-hashchainresult.xml" in uris:
        try:
            _follow(files["sig-hashchainresult.xml"], "/sig-hashchain.xml", "/message.xml", files)
        except Refused as error:
            raise Refused(f"malformed_signature.{error.code}") from error
    certificate = _signer(signature)
    _check_signature(signature, value, certificate, files)
    _check_certificate(root, certificate, trust, at)
    return at


# --- loading --------------------------------------------------------------------------------------


def _load(raw: bytes) -> Mapping[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
    except zipfile.BadZipFile:
        files = {}
    if not files.get("mimetype", b"").strip():
        raise Refused("asic_mime_type_not_found")
    if files["mimetype"].lower() != b"application/vnd.etsi.asic-e+zip":
        raise Refused("asic_invalid_mime_type")
    for name, code in (
        (_SIGNATURES, "asic_signature_not_found"),
        ("message.xml", "asic_message_not_found"),
    ):
        if not files.get(name, b"").strip():
            raise Refused(code)
    for kind in ("sig", "ts"):
        pair = {f"{kind}-hashchainresult.xml", f"{kind}-hashchain.xml"}
        if len(pair & files.keys()) == 1:
            raise Refused("asic_hash_chain_not_found")
    return files


def _parse(data: bytes, code: str) -> etree._Element:
    try:
        return etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as error:
        raise Refused(code) from error


def _first(root: etree._Element, name: str) -> etree._Element | None:
    """The first element of a qualified name, prefix and all."""
    prefix, _, local = name.partition(":")
    for element in root.iter():
        if not isinstance(element.tag, str) or element.prefix != prefix:
            continue
        if etree.QName(element).localname == local:
            return element
    return None


# --- time -----------------------------------------------------------------------------------------


def _token(root: etree._Element, files: Mapping[str, bytes]) -> bytes:
    if "META-INF/timestamp.tst" in files:
        return files["META-INF/timestamp.tst"]
    element = _first(root, "xades:EncapsulatedTimeStamp")
    if element is None:
        raise Refused("malformed_signature")
    return base64.b64decode(element.text or "")


def openssl(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl here")
    return subprocess.run([program, *arguments], check=False, capture_output=True)


def _stamped_at(token: bytes, stamped: bytes, trust: Trust) -> datetime:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "token").write_bytes(token)
        (folder / "data").write_bytes(stamped)
        listed = b"".join(tsa.public_bytes(Encoding.PEM) for tsa in trust.tsas)
        (folder / "tsa.pem").write_bytes(listed)
        shown = openssl("ts", "-reply", "-token_in", "-in", f"{folder}/token", "-text")
        found = _STAMPED_AT.search(shown.stdout.decode())
        if found is None:
            raise Refused("malformed_signature")
        moment = " ".join(re.sub(r"\.\d+", "", found[1]).split())
        at = datetime.strptime(moment, "%b %d %H:%M:%S %Y").replace(tzinfo=UTC)
        verified = openssl(
            "ts", "-verify", "-token_in", "-in", f"{folder}/token", "-data", f"{folder}/data",
            "-CAfile", f"{folder}/tsa.pem", "-untrusted", f"{folder}/tsa.pem", "-partial_chain",
            "-attime", str(int(at.timestamp())),
        )  # fmt: skip
        if verified.returncode != 0:
            mismatch = b"message imprint mismatch" in verified.stderr
            raise Refused(
                "malformed_signature" if mismatch else "mlog.timestamp_signer_verification_failed"
            )
    return at


# --- hash chains ----------------------------------------------------------------------------------


def _hash(uri: str, data: bytes) -> bytes:
    return hashlib.new(uri.rpartition("#")[2], data).digest()


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _follow(result: bytes, chain: str, needed: str, files: Mapping[str, bytes]) -> None:
    """Check that a chain leads from its result to a file; attachments in it are taken as stated."""
    top = _parse(result, "invalid_xml")
    steps = _parse(files[chain[1:]], "malformed_hash_chain")
    default = steps.find(f"{_HC}DefaultDigestMethod")
    by_id = {step.get("id"): step for step in steps.iter(f"{_HC}HashStep")}
    reached: set[str] = set()

    def method(entry: etree._Element) -> str:
        own = entry.find(f"{_DS}DigestMethod")
        used = default if own is None else own
        assert used is not None
        return used.get("Algorithm", "")

    def value_of(entry: etree._Element) -> bytes:
        if entry.tag == f"{_HC}StepRef":
            return _hash(method(entry), step_of(entry.get("URI", "")))
        stated = base64.b64decode(entry.findtext(f"{_DS}DigestValue") or "")
        uri = entry.get("URI", "")
        if entry.tag == f"{_HC}DataRef":
            reached.add(uri)
            if not uri.startswith("/attachment"):
                if uri[1:] not in files:
                    raise Refused("invalid_reference")
                if _hash(method(entry), files[uri[1:]]) != stated:
                    raise Refused("invalid_hash_chain_ref")
        return stated

    def step_of(uri: str) -> bytes:
        step = by_id.get(uri.partition("#")[2])
        if step is None or uri.partition("#")[0] not in ("", chain):
            raise Refused("malformed_hash_chain")
        return _der(0x30, b"".join(
            _der(0x30, _der(0x04, value_of(entry)) + _der(0x0C, method(entry).encode()) + b"\x30\0")
            for entry in step
        ))  # fmt: skip

    stated = base64.b64decode(top.findtext(f"{_DS}DigestValue") or "")
    own = top.find(f"{_DS}DigestMethod")
    assert own is not None
    if _hash(own.get("Algorithm", ""), step_of(top.get("URI", ""))) != stated:
        raise Refused("invalid_hash_chain")
    if needed not in reached:
        raise Refused("hashchain_unused_inputs")


# --- signature ------------------------------------------------------------------------------------


def _signer(signature: etree._Element) -> x509.Certificate:
    text = next(signature.iter(f"{_DS}X509Certificate")).text or ""
    return x509.load_der_x509_certificate(base64.b64decode(text))


def _canonical(element: etree._Element, method: str) -> bytes:
    exclusive = method == _EXCLUSIVE
    return etree.tostring(element, method="c14n", exclusive=exclusive, with_comments=False)


def _check_signature(
    signature: etree._Element,
    value: bytes,
    certificate: x509.Certificate,
    files: Mapping[str, bytes],
) -> None:
    info = signature[0]
    data = _canonical(info, info[0].get("Algorithm", ""))
    key = certificate.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(value, data, padding.PKCS1v15(), hashes.SHA512())
        else:
            assert isinstance(key, ec.EllipticCurvePublicKey)
            half = len(value) // 2
            r, s = (int.from_bytes(part, "big") for part in (value[:half], value[half:]))
            key.verify(encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA512()))
    except InvalidSignature as error:
        raise Refused("invalid_signature_value") from error
    for reference in info.iter(f"{_DS}Reference"):
        digest = reference.find(f"{_DS}DigestMethod")
        assert digest is not None
        stated = base64.b64decode(reference.findtext(f"{_DS}DigestValue") or "")
        if _hash(digest.get("Algorithm", ""), _referenced(reference, signature, files)) != stated:
            raise Refused("invalid_signature_value")


def _referenced(
    reference: etree._Element, signature: etree._Element, files: Mapping[str, bytes]
) -> bytes:
    uri = reference.get("URI", "")
    if not uri.startswith("#"):
        if uri[1:] not in files:
            raise Refused("invalid_signature_value")
        return files[uri[1:]]
    (element,) = (one for one in signature.iter() if one.get("Id") == uri[1:])
    transform = next(reference.iter(f"{_DS}Transform"), None)
    return _canonical(element, "" if transform is None else transform.get("Algorithm", ""))


def _check_certificate(
    root: etree._Element, certificate: x509.Certificate, trust: Trust, at: datetime
) -> None:
    issuers = [one for one in trust.authorities if one.subject == certificate.issuer]
    if not issuers:
        raise Refused("internal_error")
    certificate.verify_directly_issued_by(issuers[0])
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        raise Refused("cannot_create_cert_path")
    values = root.iter("{http://uri.etsi.org/01903/v1.3.2#}EncapsulatedOCSPValue")
    for value in values:
        answer = ocsp.load_der_ocsp_response(base64.b64decode(value.text or ""))
        if answer.serial_number == certificate.serial_number:
            fresh = answer.this_update_utc >= at - trust.ocsp_freshness
            if fresh and answer.certificate_status is ocsp.OCSPCertStatus.GOOD:
                return
            raise Refused("invalid_cert_path.incorrect_validation_info")
    raise Refused("invalid_cert_path.cert_validation")
