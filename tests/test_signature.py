"""XAdES signatures: canonical as written, read strictly, judged by others."""

import base64
import hashlib
import re
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from tests.pki import NOON, Pki
from tests.signature_edits import FIRST, OLD, STAMP, UNFIT, WRAPPED, edit
from tests.signing import MESSAGE, PARTS, Signatory, digests
from tests.vector_files import vector_path
from trust.digests import SHA512_URI
from trust.errors import CannotSign, EvidenceRejected
from trust.evidence.hashchain import PartDigest
from trust.evidence.signature import build_signature, parse_signature
from trust.evidence.signature_verifier import verify_content
from trust.evidence.xades_form import Form
from trust.evidence.xades_properties import embedded_certificates
from trust.names import build_name

DS = "{http://www.w3.org/2000/09/xmldsig#}"
XADES = "{http://uri.etsi.org/01903/v1.3.2#}"


@pytest.fixture(scope="module")
def signatory() -> Signatory:
    return Signatory()


@pytest.fixture(scope="module")
def document(signatory: Signatory) -> bytes:
    return signatory.document(PARTS)


def canonical(element: etree._Element) -> bytes:
    return etree.tostring(element, method="c14n", exclusive=False, with_comments=False)


class RecordingKey:
    """A key that keeps what it was asked to sign."""

    def __init__(self, signatory: Signatory) -> None:
        self.key = signatory.signer.key
        self.algorithm = self.key.algorithm
        self.asked = b""

    def sign(self, data: bytes) -> bytes:
        self.asked = data
        return self.key.sign(data)


# --- writing ----------------------------------------------------------------------------------

AWKWARD = "<&>\"',+;=#\\ \r\n\t\x01\x7f é \ufffe\uffff ]]>"


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    name=st.text(alphabet=AWKWARD + "aZ", min_size=1, max_size=12),
    parts=st.integers(1, 4),
    second=st.integers(0, 10**9),
)
def test_what_is_signed_is_the_canonical_form_of_what_is_written(
    name: str, parts: int, second: int
) -> None:
    pki = Pki()
    issuer_name = build_name([(NameOID.ORGANIZATION_NAME, name), (NameOID.COMMON_NAME, "CA")])
    pki.authority = pki.certify(issuer_name, "ca", issuer=None, label="awkward CA")
    signatory = Signatory(pki)
    key = RecordingKey(signatory)
    raw = build_signature(
        [PartDigest.of(f"/part{number}", b"x") for number in range(parts)],
        certificate=signatory.signer.certificate,
        intermediates=[pki.authority.certificate],
        ocsp_responses=[signatory.ocsp],
        key=key,
        at=datetime.fromtimestamp(second, UTC),
    )
    root = etree.fromstring(raw)
    signed_info = root[0][0]
    assert canonical(signed_info) == key.asked
    properties = root.find(f".//{XADES}SignedProperties")
    assert properties is not None
    stated = signed_info[-1].findtext(f"{DS}DigestValue")
    assert stated == base64.b64encode(hashlib.sha512(canonical(properties)).digest()).decode()
    parsed = parse_signature(raw)
    assert parsed.signed_info == key.asked
    assert parsed.signing_time == datetime.fromtimestamp(second, UTC)


def test_a_signature_of_one_part_has_the_documented_form(signatory: Signatory) -> None:
    text = signatory.document({"/message.xml": MESSAGE}).decode()
    start = (
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?><asic:XAdESSignatures'
        ' xmlns:asic="http://uri.etsi.org/02918/v1.2.1#"'
        ' xmlns:ds="http://www.w3.org/2000/09/xmldsig#"'
        ' xmlns:xades="http://uri.etsi.org/01903/v1.3.2#"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><ds:Signature Id="signature">'
        "<ds:SignedInfo><ds:CanonicalizationMethod"
    )
    assert text.startswith(start)
    digest = base64.b64encode(hashlib.sha512(MESSAGE).digest()).decode()
    assert (
        '<ds:Reference Id="signature-reference-0" URI="/message.xml">'
        f'<ds:DigestMethod Algorithm="{SHA512_URI}"></ds:DigestMethod>'
        f"<ds:DigestValue>{digest}</ds:DigestValue></ds:Reference>"
        '<ds:Reference Id="signature-reference-1" Type="http://uri.etsi.org/01903#SignedProperties"'
        ' URI="#signed-properties">'
    ) in text
    assert "<xades:SigningTime>2026-11-21T12:00:00.000Z</xades:SigningTime>" in text
    assert '<xades:EncapsulatedOCSPValue Id="ocsp-response-1">' in text
    assert "CompleteCertificateRefs" not in text
    assert "\n" not in text


def formats(raw: bytes) -> list[tuple[str | None, str | None]]:
    found = etree.fromstring(raw).iter(f"{XADES}DataObjectFormat")
    return [(one.get("ObjectReference"), one.findtext(f"{XADES}MimeType")) for one in found]


def test_every_part_has_its_reference_and_format(signatory: Signatory, document: bytes) -> None:
    assert [part.name for part in parse_signature(document).references] == list(PARTS)
    assert formats(document) == [
        ("#signature-reference-0", "text/xml"),
        ("#signature-reference-1", "text/xml"),
    ]
    chained = signatory.chained().signature
    assert formats(chained) == [("#signature-reference-0", "application/hash-chain-result")]


@pytest.mark.interop
def test_the_outline_is_that_of_the_reference_with_several_references(document: bytes) -> None:
    """Elements and attributes as in a signature that X-Road's successor wrote for 7.x."""
    zip_path = vector_path(
        "asic/src/tool/asic-verifier-cli/src/test/resources/valid-non-batch-soap-attachments.asice"
    )
    with zipfile.ZipFile(zip_path) as container:
        theirs = container.read("META-INF/signatures.xml")

    def outline(raw: bytes) -> set[tuple[object, ...]]:
        return {
            (element.tag, *sorted(element.keys()), None if parent is None else parent.tag)
            for element in etree.fromstring(raw).iter()
            for parent in (element.getparent(),)
        }

    assert outline(document) == outline(theirs)


def test_intermediates_and_all_ocsp_responses_are_embedded_in_order() -> None:
    signatory = Signatory(Pki(intermediate=True))
    above = signatory.pki.ocsp(
        signatory.pki.authority.certificate, signer=signatory.pki.root, issuer=signatory.pki.root
    )
    raw = build_signature(
        [PartDigest.of("/message.xml", MESSAGE)],
        certificate=signatory.signer.certificate,
        intermediates=signatory.pki.chain,
        ocsp_responses=[signatory.ocsp, above],
        key=signatory.signer.key,
        at=NOON,
    )
    parsed = parse_signature(raw)
    assert parsed.certificate == signatory.signer.certificate
    assert parsed.embedded_certificates == signatory.pki.chain
    assert parsed.ocsp_responses == (signatory.ocsp, above)
    children = [
        etree.QName(child).localname
        for child in next(etree.fromstring(raw).iter(f"{XADES}UnsignedSignatureProperties"))
    ]
    assert children == ["CompleteCertificateRefs", "CertificateValues", "RevocationValues"]


def test_nothing_is_signed_without_an_ocsp_response_or_with_bad_names(
    signatory: Signatory,
) -> None:
    def build(names: list[str], responses: list[bytes]) -> bytes:
        return build_signature(
            [PartDigest.of(name, b"") for name in names],
            certificate=signatory.signer.certificate,
            intermediates=(),
            ocsp_responses=responses,
            key=signatory.signer.key,
            at=NOON,
        )

    with pytest.raises(CannotSign, match="no OCSP response"):
        build(["/message.xml"], [])
    for names in ([], ["/message.xml", "/message.xml"], ['/a"b'], ["/a&b"], [""]):
        with pytest.raises(ValueError, match=r"name"):
            build(names, [signatory.ocsp])


# --- judged by others -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_signxml_accepts_our_signatures(kind: str) -> None:
    signxml = pytest.importorskip("signxml")
    signatory = Signatory(Pki(kind="p256" if kind == "p256" else "rsa2048"))
    verifier = signxml.XMLVerifier()

    def judge(raw: bytes) -> list[bytes]:
        found = verifier.verify(
            raw,
            x509_cert=signatory.signer.certificate,
            uri_resolver=lambda uri: PARTS[uri],
            expect_config=signxml.SignatureConfiguration(
                require_x509=True, location=".//", expect_references=3
            ),
            id_attribute="Id",
        )
        return [one.signed_data for one in found]

    raw = signatory.document(PARTS)
    signed = judge(raw)
    assert list(PARTS.values()) == signed[:2]
    assert signed[2].startswith(b"<xades:SignedProperties ")
    with pytest.raises(signxml.exceptions.InvalidSignature):
        judge(raw.replace(b"2026-11-21T12", b"2026-11-21T13"))


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_xmlsec_accepts_our_signature_values(kind: str) -> None:
    xmlsec = pytest.importorskip("xmlsec")
    signatory = Signatory(Pki(kind="p256" if kind == "p256" else "rsa2048"))
    pem = signatory.signer.certificate.public_bytes(Encoding.PEM)
    raw = signatory.document({"/message.xml": MESSAGE})

    def judge(raw: bytes) -> None:
        root = etree.fromstring(raw)
        context = xmlsec.SignatureContext()
        context.key = xmlsec.Key.from_memory(pem, xmlsec.constants.KeyDataFormatCertPem)
        signed_info = root[0][0]
        method = {"p256": "EcdsaSha512", "rsa2048": "RsaSha512"}[kind]
        context.verify_binary(
            canonical(signed_info),
            getattr(xmlsec.constants, f"Transform{method}"),
            base64.b64decode(root[0][1].text or ""),
        )

    judge(raw)
    with pytest.raises(xmlsec.Error):
        judge(raw.replace(b"signature-reference-0", b"signature-reference-9"))


# --- reading ----------------------------------------------------------------------------------


def test_what_is_written_is_read_back(signatory: Signatory, document: bytes) -> None:
    parsed = parse_signature(document)
    assert parsed.raw == document
    assert parsed.certificate == signatory.signer.certificate
    assert parsed.algorithm == signatory.signer.key.algorithm
    assert parsed.references == tuple(digests(PARTS).values())
    assert parsed.signing_time == NOON
    assert parsed.ocsp_responses == (signatory.ocsp,)
    assert parsed.timestamp is None
    assert parsed.certificate_digest.digest == hashlib.sha512(signatory.signer.der).digest()


def insert(document: bytes, what: str, behind: str = FIRST) -> bytes:
    text = document.decode()
    assert text.count(behind) == 1
    return text.replace(behind, behind + what).encode()


def test_a_token_in_todays_form_is_found_everywhere(document: bytes) -> None:
    stamped = insert(document, WRAPPED)
    assert parse_signature(stamped).timestamp == b"token"
    assert parse_signature(stamped, Form.CONTAINER).timestamp == b"token"


@pytest.mark.parametrize("stamp", [STAMP, OLD])
def test_a_token_in_an_old_form_is_found_in_containers_only(document: bytes, stamp: str) -> None:
    stamped = insert(document, stamp)
    assert parse_signature(stamped, Form.CONTAINER).timestamp == b"token"
    with pytest.raises(EvidenceRejected) as caught:
        parse_signature(stamped)
    assert caught.value.code == "malformed_signature"


def test_a_container_may_have_white_space_where_the_transport_may_not(document: bytes) -> None:
    spaced = document.replace(b"<ds:Signature ", b"\n <ds:Signature ")
    assert parse_signature(spaced, Form.CONTAINER).signing_time == NOON
    with pytest.raises(EvidenceRejected, match="white space before"):
        parse_signature(spaced)


@pytest.mark.parametrize(
    ("change", "reason"),
    UNFIT,
)
def test_forms_that_no_honest_server_writes_are_refused(
    document: bytes, change: Callable[[str], str], reason: str
) -> None:
    with pytest.raises(EvidenceRejected, match=reason) as caught:
        parse_signature(change(document.decode()).encode())
    assert caught.value.code in {"malformed_signature", "invalid_xml"}


def test_other_prefixes_are_refused_because_others_could_not_read_them(document: bytes) -> None:
    renamed = document.replace(b"xmlns:ds=", b"xmlns:d=").replace(b"<ds:", b"<d:")
    with pytest.raises(EvidenceRejected, match="has another prefix"):
        parse_signature(renamed.replace(b"</ds:", b"</d:"))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2012-10-08T17:08:44.967+03:00", datetime(2012, 10, 8, 14, 8, 44, 967000, UTC)),
        ("2012-10-08T17:08:44.9671239-03:30", datetime(2012, 10, 8, 20, 38, 44, 967123, UTC)),
        ("2024-07-09T07:38:53Z", datetime(2024, 7, 9, 7, 38, 53, tzinfo=UTC)),
    ],
)
def test_signing_times_are_read_in_every_zone(document: bytes, text: str, moment: datetime) -> None:
    changed = document.replace(b"2026-11-21T12:00:00.000Z", text.encode())
    assert parse_signature(changed).signing_time == moment


def test_a_signature_without_signing_time_is_read(document: bytes) -> None:
    changed = re.sub(rb"<xades:SigningTime>.*</xades:SigningTime>", b"", document)
    assert parse_signature(changed).signing_time is None


def test_too_large_or_too_many_is_refused(document: bytes) -> None:
    blown_up = document + b" " * (2 * 1024 * 1024)
    with pytest.raises(EvidenceRejected) as caught:
        parse_signature(blown_up)
    assert caught.value.code == "invalid_xml"
    with pytest.raises(EvidenceRejected, match="more than 10000 elements"):
        parse_signature(
            insert(document, "<xades:MimeType/>" * 10_001, "<xades:SigPolicyQualifier>")
        )
    one = re.search(rb'<ds:Reference Id="signature-reference-1".*?</ds:Reference>', document)
    assert one
    many = b"".join(
        one[0].replace(b"reference-1", b"more-%d" % n).replace(b"ment1", b"ment%d" % n)
        for n in range(2, 1001)
    )
    with pytest.raises(EvidenceRejected, match="more than 1000 references"):
        parse_signature(document.replace(one[0], one[0] + many))
    responses = b"<xades:EncapsulatedOCSPValue>AAAA</xades:EncapsulatedOCSPValue>" * 101
    with pytest.raises(EvidenceRejected, match="OCSP responses are too many"):
        parse_signature(insert(document, responses.decode(), "<xades:OCSPValues>"))


@pytest.mark.parametrize(
    "raw", [b"", b"<a", b"<a/>", b"<!DOCTYPE a><a/>", b"<?x?>", b"\xff\xfe<\x00a\x00/\x00>\x00"]
)
def test_what_is_no_signature_is_refused(raw: bytes) -> None:
    with pytest.raises(EvidenceRejected) as caught:
        parse_signature(raw)
    assert caught.value.code in {"malformed_signature", "invalid_xml"}


# --- embedded certificates --------------------------------------------------------------------

EXTRA = "asic/src/lib/globalconf-impl/src/test/signatures/extra-certs-"


def read_extra(name: str, *, keep: int) -> tuple[x509.Certificate, ...]:
    """Read the embedded certificates of a vector, with only `keep` of its references."""
    root = etree.parse(vector_path(f"{EXTRA}{name}.xml")).getroot()
    refs = next(root.iter(f"{XADES}CertRefs"))
    for extra in refs[keep:]:
        refs.remove(extra)
    by_id = {str(element.get("Id")): element for element in root.iter() if element.get("Id")}
    return embedded_certificates(next(root.iter(f"{XADES}QualifyingProperties")), by_id)


@pytest.mark.interop
@pytest.mark.parametrize("name", ["missing-id", "missing-cert", "digest-invalid"])
def test_the_first_embedded_certificate_of_each_vector_is_good_and_the_second_bad(
    name: str,
) -> None:
    assert len(read_extra(name, keep=1)) == 1
    reasons = {"digest-invalid": "digest does not match"}
    with pytest.raises(EvidenceRejected, match=reasons.get(name, "Could not find")) as caught:
        read_extra(name, keep=2)
    assert caught.value.code == "malformed_signature"


CHAINED_CERTIFICATE = Signatory(Pki(intermediate=True))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (edit('URI="#encapsulated-cert-1"', 'URI="#signature-value"'), "Could not find certif"),
        (edit('URI="#encapsulated-cert-1"', 'URI="encapsulated-cert-1"'), "Could not find certif"),
        (edit(' URI="#encapsulated-cert-1"', ""), "Could not find certificate"),
        (edit("(<xades:CertRefs>.*?<ds:DigestValue>).{8}", r"\1AAAAAAAA"), "does not match"),
        (edit("(<xades:CertRefs>)(<xades:Cert .*?</xades:Cert>)", r"\1" + r"\2" * 11), "too many"),
    ],
)
def test_embedded_certificates_must_fit_their_references(
    change: Callable[[str], str], reason: str
) -> None:
    text = CHAINED_CERTIFICATE.document({"/message.xml": MESSAGE}).decode()
    assert len(parse_signature(text.encode()).embedded_certificates) == 1
    with pytest.raises(EvidenceRejected, match=reason):
        parse_signature(change(text).encode())


# --- damaged ----------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::Warning:cryptography", "ignore::UserWarning")
@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_flipped_byte_never_changes_what_a_good_signature_says(data: st.DataObject) -> None:
    """Either it is refused, or the flip was in something that nobody signs and nobody reads."""
    signatory = CHAINED_CERTIFICATE
    message = signatory.direct()
    place = data.draw(st.integers(0, len(message.signature) - 1))
    flipped = bytearray(message.signature)
    flipped[place] ^= 1 << data.draw(st.integers(0, 7))
    changed = type(message)(bytes(flipped), message.parts)
    content = verify_content(changed)
    if content.report.verdict == "passed":
        assert content.signature is not None
        before = parse_signature(message.signature)
        after = content.signature
        assert after.certificate == before.certificate
        assert after.references == before.references
        assert after.signed_properties == before.signed_properties


VECTORS = [
    "common/common-test/src/test/signatures/sign-0.xml",
    "lib/globalconf-impl/src/test/signatures/batch-sig.xml",
    "lib/globalconf-impl/src/test/signatures/extra-certs-digest-invalid.xml",
    "lib/globalconf-impl/src/test/signatures/xades.signature.ts.xml",
    "lib/globalconf-impl/src/test/signatures/non-batch-sig/signatures.xml",
]
PIECES = [b"<", b">", b"&", b'"', b"=", b"A", b"#", b"</", b"<ds:Signature>", b"&#13;", b"\x00"]


@pytest.mark.interop
@pytest.mark.filterwarnings("ignore::Warning:cryptography", "ignore::UserWarning")
@pytest.mark.parametrize("name", VECTORS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_vectors_are_read_or_refused(name: str, data: st.DataObject) -> None:
    raw = vector_path(f"asic/src/{name}").read_bytes()
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(raw) - 1))
        length = data.draw(st.integers(0, 40))
        raw = raw[:start] + data.draw(st.sampled_from(PIECES)) + raw[start + length :]
    form = data.draw(st.sampled_from(Form))
    try:
        parsed = parse_signature(raw, form)
    except EvidenceRejected as error:
        code = error.code
    else:
        assert parsed.raw == raw
        return
    assert code in {"invalid_xml", "malformed_signature"}
