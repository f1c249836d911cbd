"""Which member a signing certificate belongs to, profile by profile."""

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from scripts.issuing import CertificateOrder, issue
from tests.pki import DAY, NOON, Pki, key, name_of
from tests.vector_files import vector_path
from trust.errors import EvidenceRejected, MalformedMessage
from trust.ids import ClientId, ServerId
from trust.pki import profiles
from trust.pki.certificates import parse_certificate
from trust.pki.profiles import escape_value, member_of, profile_named
from trust.pki.subjects import Applicant, subject_for_auth, subject_for_sign

_ISSUER = Pki().authority


def _certificate(subject: x509.Name) -> x509.Certificate:
    order = CertificateOrder(subject, "sign", NOON - DAY, NOON + DAY)
    return issue(_ISSUER, key("p256", "subject").private_key.public_key(), order)


def _read(profile: str, subject: x509.Name) -> tuple[str, ...]:
    return member_of(_certificate(subject), profile, "INST").parts


@pytest.mark.parametrize(
    ("profile", "subject", "member"),
    [
        (profiles.BASIC, name_of(businessCategory="GOV", serialNumber="1"), ("INST", "GOV", "1")),
        (
            profiles.BASIC_ACME,
            name_of(C="XX", CN="x", businessCategory="COM", serialNumber="2"),
            ("INST", "COM", "2"),
        ),
        (profiles.EJBCA, name_of(C="EX", O="GOV", CN="1"), ("EX", "GOV", "1")),
        (profiles.EJBCA, name_of(C="DEVEL", O="GOV", CN="1"), ("DEVEL", "GOV", "1")),
        (
            profiles.FI_VRK,
            name_of(C="FI", O="x", serialNumber="FI-T/SS1/GOV", CN="0245437-2"),
            ("FI-T", "GOV", "0245437-2"),
        ),
        (
            profiles.FI_VRK,  # empty segments at the end do not count in Java
            name_of(C="FI", O="x", serialNumber="FI-T/SS1/GOV//", CN="1"),
            ("FI-T", "GOV", "1"),
        ),
        (profiles.FI_VRK, name_of(C="FI", O="FI-T", OU="GOV", CN="1"), ("FI-T", "GOV", "1")),
        (profiles.FI_VRK, name_of(C="FI-T", O="GOV", CN="1"), ("FI-T", "GOV", "1")),
        (
            profiles.IS,
            name_of(C="IS", O="IS", OU="GOV", CN="1", serialNumber="any"),
            ("IS", "GOV", "1"),
        ),
        (profiles.IS, name_of(C="IS-T", O="GOV", CN="1"), ("IS-T", "GOV", "1")),
        (
            profiles.FO,
            name_of(C="FO", O="FO-T", OU="COM", CN="1", serialNumber="any"),
            ("FO-T", "COM", "1"),
        ),
        (
            profiles.SK_KLASS3,
            name_of(organizationIdentifier="NTREE-10747013"),
            ("INST", "COM", "10747013"),
        ),
        (profiles.SK_KLASS3, name_of(organizationIdentifier="GO:EE-7"), ("INST", "GOV", "7")),
        (profiles.SK_KLASS3, name_of(organizationIdentifier="NP:EE-8"), ("INST", "NGO", "8")),
        (
            profiles.SK_KLASS3,
            name_of(organizationIdentifier="VATFI-1", serialNumber="70000000"),
            ("INST", "NEE", "VATFI-1"),
        ),
        (profiles.SK_KLASS3, name_of(serialNumber="10747013"), ("INST", "COM", "10747013")),
        (profiles.SK_KLASS3, name_of(serialNumber="60747013"), ("INST", "COM", "60747013")),
        (profiles.SK_KLASS3, name_of(serialNumber="70747013"), ("INST", "GOV", "70747013")),
        (profiles.SK_KLASS3, name_of(serialNumber="90747013"), ("INST", "NGO", "90747013")),
        (profiles.SK_ESTE_ID, name_of(serialNumber="378"), ("INST", "PERSON", "378")),
    ],
)  # fmt: skip
def test_each_profile_reads_the_member_from_its_fields(
    profile: str, subject: x509.Name, member: tuple[str, ...]
) -> None:
    assert _read(profile, subject) == member


@pytest.mark.parametrize(
    ("profile", "subject", "code", "text"),
    [
        (profiles.BASIC, name_of(serialNumber="1"), "incorrect_certificate", "business category"),
        (profiles.BASIC, name_of(businessCategory="G"), "incorrect_certificate", "serial number"),
        (profiles.BASIC_ACME, name_of(serialNumber="1"), "invalid_certificate", "business"),
        (profiles.BASIC_ACME, name_of(businessCategory="G"), "invalid_certificate", "serial"),
        (profiles.EJBCA, name_of(O="GOV", CN="1"), "incorrect_certificate", "country code"),
        (profiles.EJBCA, name_of(C="EX", CN="1"), "incorrect_certificate", "organization"),
        (profiles.EJBCA, name_of(C="EX", O="GOV"), "incorrect_certificate", "common name"),
        (
            profiles.FI_VRK,
            name_of(C="SE", O="x", serialNumber="I/S/C", CN="1"),
            "incorrect_certificate",
            "country",
        ),
        (
            profiles.FI_VRK,
            name_of(C="FI", serialNumber="I/S/C", CN="1"),
            "incorrect_certificate",
            "organization",
        ),
        (
            profiles.FI_VRK,
            name_of(C="FI", O="x", serialNumber="I/S/C"),
            "incorrect_certificate",
            "common name",
        ),
        (
            profiles.FI_VRK,
            name_of(C="FI", O="x", serialNumber="I/C", CN="1"),
            "incorrect_certificate",
            "Serial number",
        ),
        (
            profiles.FI_VRK,
            name_of(C="FI", O="x", serialNumber="/I/S/C", CN="1"),
            "incorrect_certificate",
            "Serial number",
        ),
        (
            profiles.FI_VRK,
            name_of(C="SE", O="I", OU="GOV", CN="1"),
            "incorrect_certificate",
            "country",
        ),
        (
            profiles.IS,
            name_of(C="IS", O="I", OU="GOV", CN="1"),
            "incorrect_certificate",
            "serial number",
        ),
        (
            profiles.IS,
            name_of(C="XX", O="I", OU="GOV", CN="1", serialNumber="x"),
            "incorrect_certificate",
            "country",
        ),
        (
            profiles.FO,
            name_of(C="FO", O="I", OU="GOV", CN="1"),
            "incorrect_certificate",
            "serial number",
        ),
        (
            profiles.FO,
            name_of(C="IS", O="I", OU="GOV", CN="1", serialNumber="x"),
            "incorrect_certificate",
            "country",
        ),
        (profiles.FO, name_of(C="FO", O="I", CN="1"), "incorrect_certificate", "unit"),
        (profiles.SK_KLASS3, name_of(CN="x"), "invalid_certificate", "serial number"),
        (profiles.SK_KLASS3, name_of(serialNumber="1234567"), "invalid_certificate", "8 digits"),
        (profiles.SK_KLASS3, name_of(serialNumber="1234567a"), "invalid_certificate", "8 digits"),
        (profiles.SK_KLASS3, name_of(serialNumber="01234567"), "internal_error", "Malformed"),
        (profiles.SK_ESTE_ID, name_of(CN="x"), "invalid_certificate", "serial number"),
        ("org.example.Unknown", name_of(CN="x"), "internal_error", "Unknown certificate profile"),
    ],
)  # fmt: skip
def test_a_subject_without_what_the_profile_reads_is_refused(
    profile: str, subject: x509.Name, code: str, text: str
) -> None:
    with pytest.raises(EvidenceRejected, match=text) as caught:
        _read(profile, subject)
    assert caught.value.code == code


def test_an_attribute_that_is_too_long_for_an_identifier_is_refused() -> None:
    subject = name_of(organizationIdentifier="NTREE-" + "1" * 300)
    with pytest.raises(EvidenceRejected, match="no member identifier") as caught:
        _read(profiles.SK_KLASS3, subject)
    assert caught.value.code == "incorrect_certificate"


def test_of_a_repeated_attribute_the_last_counts() -> None:
    common_names = [(NameOID.COMMON_NAME, "first"), (NameOID.COMMON_NAME, "last")]
    pairs = [(NameOID.COUNTRY_NAME, "EX"), (NameOID.ORGANIZATION_NAME, "GOV"), *common_names]
    subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in pairs])
    assert _read(profiles.EJBCA, subject) == ("EX", "GOV", "last")


def test_of_a_multi_valued_rdn_the_first_attribute_counts_whatever_its_type() -> None:
    pair = x509.RelativeDistinguishedName(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "1"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "unit"),
        ]
    )
    single = [
        x509.RelativeDistinguishedName([x509.NameAttribute(oid, value)])
        for oid, value in ((NameOID.COUNTRY_NAME, "EX"), (NameOID.ORGANIZATION_NAME, "GOV"))
    ]
    certificate = _certificate(x509.Name([*single, pair]))
    first = next(iter(certificate.subject.rdns[-1])).value  # DER decides the order
    assert member_of(certificate, profiles.EJBCA, "INST") == ClientId("EX", "GOV", str(first))


@pytest.mark.parametrize(
    ("value", "escaped"),
    [
        ("A+B=C,1", r"A\+B\=C\,1"), ('"x"', r"\"x\""), ("a\\b", r"a\\b"), ("<a>;", r"\<a\>\;"),
        (" a b ", r"\ a b\ "), ("#1", r"\#1"), ("a#1", "a#1"), ("a/b.c-d", "a/b.c-d"), ("", ""),
        ("  ", r"\ \ "),
    ],
)  # fmt: skip
def test_values_come_with_the_escapes_of_their_text_form(value: str, escaped: str) -> None:
    assert escape_value(value) == escaped


def test_a_code_with_special_characters_matches_no_member() -> None:
    subject = name_of(businessCategory="GOV", serialNumber="1,2")
    assert _read(profiles.BASIC, subject) == ("INST", "GOV", r"1\,2")


def test_profiles_are_found_by_their_short_names() -> None:
    assert profile_named("basic") == profiles.BASIC
    assert profile_named("FiVRK") == profiles.FI_VRK
    assert {profile_named(name) for name in profiles.PROFILES} == profiles.PROFILES
    with pytest.raises(MalformedMessage, match="Unknown certificate profile 'None'"):
        profile_named("None")


_MEMBER = ClientId("FI-T", "GOV", "12345678")
_WHO = Applicant(_MEMBER, ServerId(_MEMBER, "SS1"), "Some Agency", "XX", "ss1.example.test")


@pytest.mark.parametrize("profile", sorted(profiles.PROFILES - {profiles.SK_ESTE_ID}))
def test_the_subject_asked_for_names_the_member_again(profile: str) -> None:
    proposal = subject_for_sign(profile, _WHO)
    read = member_of(_certificate(proposal.name), profile, _MEMBER.instance)
    code_decides = profile == profiles.SK_KLASS3  # class by the first digit of the code
    expected = ClientId("FI-T", "COM", "12345678") if code_decides else _MEMBER
    assert read == expected


@pytest.mark.parametrize("profile", sorted(profiles.PROFILES - {profiles.SK_ESTE_ID}))
def test_the_subject_of_an_authentication_request_has_a_dns_name(profile: str) -> None:
    proposal = subject_for_auth(profile, _WHO)
    assert proposal.dns_name == "ss1.example.test"
    assert proposal.name.get_attributes_for_oid(NameOID.COMMON_NAME)


def test_a_profile_without_subjects_says_so() -> None:
    with pytest.raises(MalformedMessage, match="proposes no subject"):
        subject_for_sign(profiles.SK_ESTE_ID, _WHO)


def test_a_missing_value_for_the_subject_is_named() -> None:
    who = Applicant(_MEMBER, ServerId(_MEMBER, "SS1"), "Some Agency", "", "ss1.example.test")
    with pytest.raises(MalformedMessage, match="countryName"):
        subject_for_sign(profiles.BASIC, who)


def test_the_worked_examples_members_are_read() -> None:
    folder = vector_path("globalconf/worked-example/certs")
    for name, member in (
        ("member-1001-sign.pem", ClientId("TEST", "GOV", "1001")),
        ("member-2002-sign.pem", ClientId("TEST", "COM", "2002")),
    ):
        certificate = parse_certificate((folder / name).read_bytes())
        assert member_of(certificate, profiles.BASIC, "TEST") == member
