"""WS-Security in requests: a UsernameToken, a time, an X.509 signature.

Source: WSS UsernameToken Profile 1.1 3; WSS X.509 Token Profile 1.1 3; WSS SOAP Message Security
1.1 8 and 10.
"""

import base64
import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from lxml import etree

from adapters.soap.envelope import body_of, header_of
from adapters.soap.settings import PasswordType, SecuritySettings, SignatureSettings
from adapters.soap.writing import checked_xml
from trust.errors import ConfigurationError, ConfigurationProblem
from trust.secrets import read_secret

_WSS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss"
SECEXT = f"{_WSS}-wssecurity-secext-1.0.xsd"
UTILITY = f"{_WSS}-wssecurity-utility-1.0.xsd"
_TEXT = f"{_WSS}-username-token-profile-1.0#PasswordText"
_DIGEST = f"{_WSS}-username-token-profile-1.0#PasswordDigest"
_BASE64 = f"{_WSS}-soap-message-security-1.0#Base64Binary"
_X509 = f"{_WSS}-x509-token-profile-1.0#X509v3"
_ID = f"{{{UTILITY}}}Id"
_NONCE_BYTES = 16


@dataclass(frozen=True, slots=True)
class Username:
    name: str
    password: str
    type: PasswordType


@dataclass(frozen=True, slots=True)
class SigningKey:
    certificate: bytes  # DER
    key: bytes  # PEM
    elliptic: bool


@dataclass(frozen=True, slots=True)
class Security:
    """What every request to a service carries; nothing when nothing is set."""

    username: Username | None = None
    signing: SigningKey | None = None
    validity: timedelta | None = None

    @classmethod
    def load(cls, settings: SecuritySettings) -> Self:
        """Read the secrets; ConfigurationError when one is missing, open to all or unfit."""
        username = None
        if (given := settings.username) is not None:
            password = _read_password(given.password_file)
            username = Username(given.name, password, given.password_type)
        signing = None
        if settings.signature is not None:
            _xmlsec()
            signing = _load_signing(settings.signature)
        used = username is not None or signing is not None
        return cls(username, signing, settings.validity if used else None)

    def apply(self, envelope: etree._Element, at: datetime) -> None:
        """Put the security header into an envelope whose body is complete."""
        if self.username is None and self.signing is None:
            return
        header = header_of(envelope)
        namespace = etree.QName(envelope).namespace or ""
        security = etree.Element(f"{{{SECEXT}}}Security", nsmap={"wsse": SECEXT, "wsu": UTILITY})
        header.insert(0, security)
        security.set(f"{{{namespace}}}mustUnderstand", "1")
        stamp = _timestamp(security, at, self.validity) if self.validity is not None else None
        if self.username is not None:
            _username_token(security, self.username, at)
        if self.signing is not None:
            signed = [body_of(envelope), *([stamp] if stamp is not None else [])]
            _sign(security, self.signing, signed)


def _timestamp(security: etree._Element, at: datetime, validity: timedelta) -> etree._Element:
    stamp = etree.SubElement(security, f"{{{UTILITY}}}Timestamp")
    etree.SubElement(stamp, f"{{{UTILITY}}}Created").text = _moment(at)
    etree.SubElement(stamp, f"{{{UTILITY}}}Expires").text = _moment(at + validity)
    return stamp


def _username_token(security: etree._Element, username: Username, at: datetime) -> None:
    token = etree.SubElement(security, f"{{{SECEXT}}}UsernameToken")
    etree.SubElement(token, f"{{{SECEXT}}}Username").text = username.name
    password = etree.SubElement(token, f"{{{SECEXT}}}Password")
    nonce, created = secrets.token_bytes(_NONCE_BYTES), _moment(at)
    if username.type is PasswordType.DIGEST:
        password.set("Type", _DIGEST)
        password.text = password_digest(nonce, created, username.password)
    else:
        password.set("Type", _TEXT)
        password.text = username.password
    written = etree.SubElement(token, f"{{{SECEXT}}}Nonce", EncodingType=_BASE64)
    written.text = base64.b64encode(nonce).decode("ascii")
    etree.SubElement(token, f"{{{UTILITY}}}Created").text = created


def password_digest(nonce: bytes, created: str, password: str) -> str:
    """Base64 of SHA-1 over nonce, time and password, as the profile prescribes it."""
    digest = hashlib.sha1(nonce + created.encode() + password.encode(), usedforsecurity=False)
    return base64.b64encode(digest.digest()).decode("ascii")


def _sign(security: etree._Element, signing: SigningKey, signed: list[etree._Element]) -> None:
    """Sign elements that get an id for it, exclusively canonical, with SHA-256."""
    xmlsec = _xmlsec()
    token = etree.SubElement(
        security,
        f"{{{SECEXT}}}BinarySecurityToken",
        {"EncodingType": _BASE64, "ValueType": _X509, _ID: _fresh_id()},
    )
    token.text = base64.b64encode(signing.certificate).decode("ascii")
    method = "ECDSA_SHA256" if signing.elliptic else "RSA_SHA256"
    signature = xmlsec.template.create(
        security, xmlsec.Transform.EXCL_C14N, getattr(xmlsec.Transform, method), ns="ds"
    )
    security.append(signature)
    context = xmlsec.SignatureContext()
    for node in signed:
        node.set(_ID, _fresh_id())
        context.register_id(node, "Id", UTILITY)
        reference = xmlsec.template.add_reference(
            signature, xmlsec.Transform.SHA256, uri=f"#{node.get(_ID)}"
        )
        xmlsec.template.add_transform(reference, xmlsec.Transform.EXCL_C14N)
    key_info = xmlsec.template.ensure_key_info(signature)
    pointer = etree.SubElement(key_info, f"{{{SECEXT}}}SecurityTokenReference")
    etree.SubElement(pointer, f"{{{SECEXT}}}Reference", URI=f"#{token.get(_ID)}", ValueType=_X509)
    context.key = xmlsec.Key.from_memory(signing.key, xmlsec.KeyFormat.PEM)
    context.sign(signature)


def _fresh_id() -> str:
    return f"id-{secrets.token_hex(12)}"


def _moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def _read_password(path: Path) -> str:
    try:
        return checked_xml(read_secret(path).decode("utf-8"))
    except ValueError as error:
        problem = ConfigurationProblem(str(path), 0, "no text", "a password, UTF-8")
        raise ConfigurationError([problem]) from error


def _xmlsec() -> ModuleType:
    try:
        import xmlsec
    except ImportError as error:
        problem = ConfigurationProblem("security.signature", 0, "no xmlsec", "the extra 'wsse'")
        raise ConfigurationError([problem]) from error
    return xmlsec


def _load_signing(settings: SignatureSettings) -> SigningKey:
    key = read_secret(settings.key)
    try:
        certificate = x509.load_pem_x509_certificate(settings.certificate.read_bytes())
        loaded = load_pem_private_key(key, None)
        if not isinstance(loaded, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise TypeError("neither RSA nor EC")
        if loaded.public_key() != certificate.public_key():
            raise ValueError("the key is of another certificate")
    except (OSError, ValueError, TypeError) as error:
        problem = ConfigurationProblem(
            str(settings.key), 0, "no key of that certificate", "an unencrypted RSA or EC key of it"
        )
        raise ConfigurationError([problem]) from error
    elliptic = isinstance(loaded, ec.EllipticCurvePrivateKey)
    return SigningKey(certificate.public_bytes(Encoding.DER), key, elliptic)
