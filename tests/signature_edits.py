"""What is wrong with a signature's form: changes to its text, each with the reason it gets."""

import base64
import re
from collections.abc import Callable

from trust.digests import SHA512_URI

TOKEN = base64.b64encode(b"token").decode()
STAMP = f"<xades:SignatureTimeStamp>{TOKEN}</xades:SignatureTimeStamp>"
WRAPPED = (
    "<xades:SignatureTimeStamp><xades:EncapsulatedTimeStamp>"
    f"{TOKEN}</xades:EncapsulatedTimeStamp></xades:SignatureTimeStamp>"
)
OLD = (
    '<xades:XAdESTimeStamp><xades:Include URI="x"/><xades:EncapsulatedTimeStamp>'
    f"{TOKEN}</xades:EncapsulatedTimeStamp></xades:XAdESTimeStamp>"
)
FIRST = "<xades:UnsignedSignatureProperties>"


def edit(pattern: str, new: str, count: int = 1) -> Callable[[str], str]:
    def change(text: str) -> str:
        changed, found = re.subn(pattern, new, text, count=count, flags=re.DOTALL)
        assert found, pattern
        return changed

    return change


def twice(pattern: str) -> Callable[[str], str]:
    return edit(f"({pattern})", r"\1\1")


UNFIT: tuple[tuple[Callable[[str], str], str], ...] = (
    (twice("<ds:Signature .*</ds:Signature>"), "unexpected content of asic:XAdESSignatures"),
    (twice("<ds:Object>.*</ds:Object>"), "unexpected content of ds:Signature"),
    (twice("<xades:QualifyingProperties.*</xades:QualifyingProperties>"), "of ds:Object"),
    (twice("<xades:SignedProperties.*</xades:SignedProperties>"), "of xades:Qualifying"),
    (twice("<ds:X509Certificate>.*</ds:X509Certificate>"), "content of ds:X509Data"),
    (twice("<xades:RevocationValues>.*</xades:RevocationValues>"), "stands there twice"),
    (edit(FIRST, FIRST + WRAPPED + WRAPPED), "stands there twice"),
    (edit(FIRST, FIRST + "<xades:CounterSignature/>"), "UnsignedSignatureProperties: [?]"),
    (edit("<ds:KeyInfo>.*</ds:KeyInfo>", ""), "unexpected content of ds:Signature"),
    (edit("<ds:X509Certificate>.*</ds:X509Certificate>", ""), "X509Data: nothing"),
    (edit("<xades:Encapsulated.*Value>", ""), "OCSPValues: nothing"),
    (edit("<xades:UnsignedProperties>.*</xades:UnsignedProperties>", ""), "any OCSP elements"),
    (edit("<xades:SigningCertificate>.*</xades:SigningCertificate>", ""), "SignedSignature"),
    (edit('Target="#signature"', 'Target="#other"'), "belong to another signature"),
    (edit('Id="signature-value"', 'Id="signature"'), "Id 'signature' is no unique"),
    (edit('Id="signature-value"', 'Id="a b"'), "Id 'a b' is no unique"),
    (edit('Id="signature"', 'Id="signature" xml:lang="et"'), "attribute of the namespace xml"),
    (edit('Id="signature"', 'Id="signature" xml:id="x"'), "attribute of the namespace xml"),
    (edit('Id="signature"', 'Id="signature" Other="x"'), "unexpected attribute of ds:Sig"),
    (edit("<xades:SPURI>", '<xades:SPURI xml:space="preserve">'), "attribute of the namespace"),
    (edit("<ds:Signature ", '<ds:Signature xsi:schemaLocation="a b" '), "unexpected attribute"),
    (edit(' Id="signature"', ""), "lacks an attribute: Id"),
    (edit("<asic:XAdES", "<!-- c --><asic:XAdES"), "outside the root element"),
    (edit("</asic:XAdESSignatures>", "</asic:XAdESSignatures><?p i?>"), "outside the root"),
    (edit("<ds:Object>", "<ds:Object><!-- c -->"), "a comment"),
    (edit("<ds:Object>", "<ds:Object><?p i?>"), "a comment or processing instruction"),
    (edit("<ds:DigestValue>", "<ds:DigestValue><!-- c -->"), "a comment"),
    (edit("<ds:Object>", "<ds:Object>text"), "text in ds:Object"),
    (edit("</xades:SignedProperties>", "</xades:SignedProperties>text"), "text between"),
    (edit('URI="/message.xml"', 'URI="http://example.test/"'), "only parts of the message"),
    (edit('URI="/message.xml"', 'URI="file:///etc/passwd"'), "only parts of the message"),
    (edit('URI="/message.xml"', 'URI=""'), "only parts of the message"),
    (edit('URI="/message.xml"', 'URI="#signature"'), "only parts of the message"),
    (edit('URI="/attachment1"', 'URI="/message.xml"'), "Two references to '/message.xml'"),
    (edit('URI="/message.xml"', 'URI="/message.xml" Type="urn:x"'), "of type 'urn:x'"),
    (edit('Type="[^"]*" URI', "URI"), "Reference to '#signed-properties' of type None"),
    (edit('Id="signed-properties"', 'Id="other"'), "Reference to '#signed-properties'"),
    (edit(' Id="signed-properties"', ""), "lacks an attribute: Id"),
    (edit('<ds:Reference Id="signature-reference-2".*?</ds:Reference>', ""), "are not signed"),
    (edit('(<ds:Reference Id="signature-reference-2".*?</ds:Reference>)', r"\1" + (
        '<ds:Reference Type="http://uri.etsi.org/01903#SignedProperties"'
        ' URI="#signed-properties"><ds:DigestMethod Algorithm="x"/><ds:DigestValue/>'
        "</ds:Reference>")), "Two references to '#signed-properties'"),
    (edit('(URI="/message.xml">)', r'\1<ds:Transforms><ds:Transform Algorithm="'
          r'http://www.w3.org/2001/10/xml-exc-c14n#"/></ds:Transforms>'), "as they are"),
    (edit('(URI="#signed-properties">)', r'\1<ds:Transforms><ds:Transform Algorithm="'
          r'http://www.w3.org/TR/1999/REC-xslt-19991116"/></ds:Transforms>'),
     "Canonicalisation 'http://www.w3.org/TR/1999/REC-xslt-19991116' is not"),
    (edit("REC-xml-c14n-20010315", "REC-xml-c14n-20010315#WithComments"), "Canonicalisation"),
    (edit("ecdsa-sha512", "ecdsa-sha1"), "Signature algorithm"),
    (edit(SHA512_URI, "http://www.w3.org/2000/09/xmldsig#sha1", count=0), "Digest algorithm"),
    (edit("<ds:SignatureValue Id=\"signature-value\">", r"\g<0>="), "SignatureValue is not"),
    (edit("<ds:X509Certificate>", "<ds:X509Certificate>AAAA"), "Certificate in the signature"),
    (edit("2026-11-21T12:00:00.000Z", "2026-11-21"), "SigningTime '2026-11-21' is no time"),
    (edit("2026-11-21T12:00:00.000Z", "2026-13-21T12:00:00Z"), "SigningTime"),
    (edit("2026-11-21T12:00:00.000Z", "0001-01-01T00:00:00+14:00"), "SigningTime"),
    (edit("xmlns:xsi=\"[^\"]*\"", 'xmlns:xsi="relative"'), "can't be canonicalised"),
    (edit("02918/v1.2.1#", "02918/v9#"), "Could not find element ds:Signature"),
)  # fmt: skip
