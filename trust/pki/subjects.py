"""The subjects that certificate requests ask for, by certificate profile.

Source: trust.md 9.3; X-Road 7.8 `certificateprofile/impl/*.java`, fields of the forms.
"""

from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

from trust.errors import MalformedMessage
from trust.ids import ClientId, ServerId
from trust.names import build_name
from trust.pki.profiles import BASIC, BASIC_ACME, EJBCA, FI_VRK, FO, IS, SK_KLASS3


@dataclass(frozen=True, slots=True)
class SubjectProposal:
    """What a certificate request should ask for: subject, and a DNS name where it is used."""

    name: x509.Name
    dns_name: str | None = None


@dataclass(frozen=True, slots=True)
class Applicant:
    """Who asks a CA for a certificate: what identifiers and what the operator types in.

    Attributes:
        member: whose certificate it is; for an authentication certificate the server's owner.
        server: the node that will hold the key.
        member_name: as in the trust list.
        country: two letters, for the profiles where the country is not given by the profile.
        dns_name: of the node; needed for authentication certificates.
    """

    member: ClientId
    server: ServerId
    member_name: str
    country: str
    dns_name: str

    @property
    def server_id(self) -> str:
        return "/".join(self.server.parts)


_C, _O, _OU = (
    NameOID.COUNTRY_NAME,
    NameOID.ORGANIZATION_NAME,
    NameOID.ORGANIZATIONAL_UNIT_NAME,
)
_CN, _SERIAL, _CATEGORY = (
    NameOID.COMMON_NAME,
    NameOID.SERIAL_NUMBER,
    NameOID.BUSINESS_CATEGORY,
)
_Fields = tuple[tuple[x509.ObjectIdentifier, str], ...]


def _finnish_number(member: ClientId, server: ServerId) -> str:
    return f"{member.instance}/{server.server_code}/{member.member_class}"


def _sign_fields(profile: str, who: Applicant) -> _Fields:
    member = who.member
    basic = (
        (_C, who.country), (_O, who.member_name), (_CATEGORY, member.member_class),
        (_SERIAL, member.member_code), (_CN, who.member_name),
    )  # fmt: skip
    units = (
        (_O, member.instance), (_OU, member.member_class),
        (_CN, member.member_code), (_SERIAL, who.server_id),
    )  # fmt: skip
    fields: dict[str, _Fields] = {
        BASIC: basic,
        BASIC_ACME: basic,
        EJBCA: ((_C, member.instance), (_O, member.member_class), (_CN, member.member_code)),
        FI_VRK: (
            (_C, "FI"), (_O, who.member_name),
            (_SERIAL, _finnish_number(member, who.server)), (_CN, member.member_code),
        ),
        IS: ((_C, "IS"), *units),
        FO: ((_C, "FO"), *units),
        SK_KLASS3: ((_SERIAL, member.member_code), (_CN, who.member_name)),
    }  # fmt: skip
    return _known(fields, profile)


def _auth_fields(profile: str, who: Applicant) -> _Fields:
    owner = who.server.owner
    basic = (
        (_C, who.country), (_O, who.member_name),
        (_SERIAL, owner.member_code), (_CN, who.dns_name),
    )  # fmt: skip
    fields: dict[str, _Fields] = {
        BASIC: basic,
        BASIC_ACME: basic,
        EJBCA: ((_C, owner.instance), (_CN, who.server.server_code)),
        FI_VRK: (
            (_C, "FI"), (_O, who.member_name),
            (_SERIAL, _finnish_number(owner, who.server)), (_CN, who.dns_name),
        ),
        IS: ((_C, "IS"), (_CN, who.dns_name), (_SERIAL, who.server_id)),
        FO: ((_C, "FO"), (_O, owner.instance), (_CN, who.server_id)),
        SK_KLASS3: ((_SERIAL, owner.member_code), (_CN, who.member_name)),
    }  # fmt: skip
    return _known(fields, profile)


def _known(fields: dict[str, _Fields], profile: str) -> _Fields:
    if profile not in fields:
        text = f"Certificate profile '{profile}' proposes no subject"
        raise MalformedMessage(text, "internal_error")
    return fields[profile]


def subject_for_sign(profile: str, who: Applicant) -> SubjectProposal:
    """The subject to ask for in a signing certificate; raises MalformedMessage without one."""
    dns_name = who.dns_name if profile in {BASIC_ACME, FI_VRK} else None
    return _proposal(_sign_fields(profile, who), dns_name)


def subject_for_auth(profile: str, who: Applicant) -> SubjectProposal:
    """The subject to ask for in an authentication certificate, as `subject_for_sign`.

    The DNS name is asked for in every profile: the reference does so in two, and nothing in the
    protocol reads it, but CAs of today refuse server certificates without one.
    """
    return _proposal(_auth_fields(profile, who), who.dns_name or None)


def _proposal(fields: _Fields, dns_name: str | None) -> SubjectProposal:
    try:
        return SubjectProposal(build_name(fields), dns_name)
    except ValueError as error:
        text = f"A certificate request needs a value for: {error}"
        raise MalformedMessage(text, "cert_validation") from error
