"""Certificate profiles: which member a signing certificate belongs to.

The trust list names a Java class for each approved CA; the class decides how the subject is read.
An unknown class fails as an internal error, as it does in the reference server.
Source: trust.md 9.3; X-Road 7.8 `certificateprofile/impl/*.java`, `*SubjectClientIdDecoder.java`,
CertUtils.getRDNValue.
"""

from collections.abc import Callable
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

from trust.errors import EvidenceRejected, MalformedMessage
from trust.ids import ClientId
from trust.names import subject_name

_PACKAGE = "ee.ria.xroad.common.certificateprofile.impl."

BASIC = _PACKAGE + "BasicCertificateProfileInfoProvider"
BASIC_ACME = _PACKAGE + "BasicACMECertificateProfileInfoProvider"
EJBCA = _PACKAGE + "EjbcaCertificateProfileInfoProvider"
FI_VRK = _PACKAGE + "FiVRKCertificateProfileInfoProvider"
IS = _PACKAGE + "IsCertificateProfileInfoProvider"
FO = _PACKAGE + "FoCertificateProfileInfoProvider"
SK_KLASS3 = _PACKAGE + "SkKlass3CertificateProfileInfoProvider"
SK_ESTE_ID = _PACKAGE + "SkEsteIdCertificateProfileInfoProvider"

_LABELS = {
    NameOID.COUNTRY_NAME: "country code",
    NameOID.ORGANIZATION_NAME: "organization",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "organization unit",
    NameOID.COMMON_NAME: "common name",
    NameOID.SERIAL_NUMBER: "serial number",
    NameOID.BUSINESS_CATEGORY: "business category",
}
_ESCAPED = frozenset(',"\\+=<>;')
_KLASS3_CLASSES = {"NTREE-": "COM", "GO:EE-": "GOV", "NP:EE-": "NGO"}
_KLASS3_DIGITS = {**dict.fromkeys("123456", "COM"), "7": "GOV", "8": "NGO", "9": "NGO"}


def escape_value(value: str) -> str:
    r"""A subject attribute as the reference reads it: with the escapes of its text form.

    `A+B=C,1` becomes `A\+B\=C\,1`; blanks at the ends and a leading `#` are escaped too, so a
    code that holds such a character matches no certificate, here as there.
    """
    escaped = "".join("\\" + char if char in _ESCAPED else char for char in value)
    if escaped.startswith("#"):
        escaped = "\\" + escaped
    inner = escaped.strip(" ")
    if not inner:
        return "\\ " * len(escaped)
    before = len(escaped) - len(escaped.lstrip(" "))
    after = len(escaped) - len(escaped.rstrip(" "))
    return "\\ " * before + inner + "\\ " * after


@dataclass(frozen=True, slots=True)
class _Subject:
    """A subject name, asked as the reference asks it."""

    name: x509.Name

    def get(self, kind: x509.ObjectIdentifier) -> str | None:
        """The value for an attribute type: the last RDN that holds the type counts.

        Of a multi-valued RDN the first attribute is taken, whatever its type: odd, and what all
        peers do, so that a certificate means the same member everywhere.
        """
        for rdn in reversed(self.name.rdns):
            attributes = list(rdn)
            if any(attribute.oid == kind for attribute in attributes):
                value = attributes[0].value
                return escape_value(value) if isinstance(value, str) else "#" + value.hex()
        return None

    def need(self, kind: x509.ObjectIdentifier, code: str = "incorrect_certificate") -> str:
        value = self.get(kind)
        if value is None:
            text = f"Certificate subject name does not contain {_LABELS[kind]}"
            raise EvidenceRejected(text, code)
        return value

    def need_country(self, country: str) -> None:
        if self.get(NameOID.COUNTRY_NAME) != country:
            text = f"Certificate subject name does not contain valid country code '{country}'"
            raise EvidenceRejected(text, "incorrect_certificate")


_MemberParts = tuple[str, str, str]  # instance, class, code


def _basic(subject: _Subject, instance: str) -> _MemberParts:
    member_class = subject.need(NameOID.BUSINESS_CATEGORY)
    return instance, member_class, subject.need(NameOID.SERIAL_NUMBER)


def _basic_acme(subject: _Subject, instance: str) -> _MemberParts:
    member_class = subject.need(NameOID.BUSINESS_CATEGORY, "invalid_certificate")
    return instance, member_class, subject.need(NameOID.SERIAL_NUMBER, "invalid_certificate")


def _ejbca(subject: _Subject, _instance: str) -> _MemberParts:
    instance = subject.need(NameOID.COUNTRY_NAME)
    member_class = subject.need(NameOID.ORGANIZATION_NAME)
    return instance, member_class, subject.need(NameOID.COMMON_NAME)


def _units(subject: _Subject) -> _MemberParts:
    instance = subject.need(NameOID.ORGANIZATION_NAME)
    member_class = subject.need(NameOID.ORGANIZATIONAL_UNIT_NAME)
    return instance, member_class, subject.need(NameOID.COMMON_NAME)


def _finnish(subject: _Subject, instance: str) -> _MemberParts:
    number = subject.get(NameOID.SERIAL_NUMBER)
    if number is None and subject.get(NameOID.ORGANIZATIONAL_UNIT_NAME) is None:
        return _ejbca(subject, instance)
    subject.need_country("FI")
    if number is None:
        return _units(subject)
    subject.need(NameOID.ORGANIZATION_NAME)
    code = subject.need(NameOID.COMMON_NAME)
    segments = number.rstrip("/").split("/")  # Java's split drops empty segments at the end
    if len(segments) != 3:
        raise EvidenceRejected(
            f"Serial number '{number}' in the certificate subject is no instance/server/class",
            "incorrect_certificate",
        )
    return segments[0], segments[2], code


def _faroese(subject: _Subject, _instance: str) -> _MemberParts:
    subject.need_country("FO")
    parts = _units(subject)
    subject.need(NameOID.SERIAL_NUMBER)
    return parts


def _icelandic(subject: _Subject, instance: str) -> _MemberParts:
    number = subject.get(NameOID.SERIAL_NUMBER)
    if number is None and subject.get(NameOID.ORGANIZATIONAL_UNIT_NAME) is None:
        return _ejbca(subject, instance)
    subject.need_country("IS")
    parts = _units(subject)
    subject.need(NameOID.SERIAL_NUMBER)
    return parts


def _klass3(subject: _Subject, instance: str) -> _MemberParts:
    organization = subject.get(NameOID.ORGANIZATION_IDENTIFIER)
    if not organization:
        number = _estonian_number(subject)
        return instance, _klass3_class(number), number
    for prefix, member_class in _KLASS3_CLASSES.items():
        if organization.startswith(prefix):
            return instance, member_class, organization.removeprefix(prefix)
    return instance, "NEE", organization


def _estonian_number(subject: _Subject) -> str:
    number = subject.get(NameOID.SERIAL_NUMBER)
    if not number:
        raise EvidenceRejected("Subject name does not contain serial number", "invalid_certificate")
    if not number.isdecimal() or len(number) != 8:
        raise EvidenceRejected(
            f"Serial number '{number}' in the certificate subject must be 8 digits",
            "invalid_certificate",
        )
    return number


def _klass3_class(number: str) -> str:
    member_class = _KLASS3_DIGITS.get(number[0])
    if member_class is None:
        raise EvidenceRejected(f"Malformed serial number: {number}", "internal_error")
    return member_class


def _este_id(subject: _Subject, instance: str) -> _MemberParts:
    number = subject.get(NameOID.SERIAL_NUMBER)
    if not number:
        raise EvidenceRejected("Subject name does not contain serial number", "invalid_certificate")
    return instance, "PERSON", number


_READERS: dict[str, Callable[[_Subject, str], _MemberParts]] = {
    BASIC: _basic,
    BASIC_ACME: _basic_acme,
    EJBCA: _ejbca,
    FI_VRK: _finnish,
    IS: _icelandic,
    FO: _faroese,
    SK_KLASS3: _klass3,
    SK_ESTE_ID: _este_id,
}

PROFILES = frozenset(_READERS)


def profile_named(short: str) -> str:
    """The full class name for `Basic`, `Ejbca`, `FiVRK` …; raises MalformedMessage."""
    for profile in PROFILES:
        name = profile.removeprefix(_PACKAGE).removesuffix("CertificateProfileInfoProvider")
        if short.lower() == name.lower() or short == profile:
            return profile
    raise MalformedMessage(f"Unknown certificate profile '{short}'", "invalid_request")


def member_of(certificate: x509.Certificate, profile: str, expected_instance: str) -> ClientId:
    """Read from a signing certificate which member it was issued to.

    Args:
        profile: `certificateProfileInfo` of the issuing CA, the full class name.
        expected_instance: the instance of the member that is expected; the profiles whose
            certificates do not name the instance take this one.

    Raises EvidenceRejected: `incorrect_certificate` or `invalid_certificate` (as the class does)
    for a subject without what the profile reads, `internal_error` for an unknown class.
    """
    reader = _READERS.get(profile)
    if reader is None:
        raise EvidenceRejected(f"Unknown certificate profile '{profile}'", "internal_error")
    try:
        name = subject_name(certificate)
    except (ValueError, TypeError) as error:
        text = f"Certificate subject name can't be read: {error}"
        raise EvidenceRejected(text, "incorrect_certificate") from error
    parts = reader(_Subject(name), expected_instance)
    try:
        return ClientId(*parts)
    except MalformedMessage as error:
        text = f"Certificate subject name holds no member identifier: {error.text}"
        raise EvidenceRejected(text, "incorrect_certificate") from error
