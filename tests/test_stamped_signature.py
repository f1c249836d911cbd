"""A time-stamp goes into a signature and comes out again, and no other byte moves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.containers import chained, plain, with_bodies
from tests.signing import Signatory
from tests.vector_files import vectors_folder
from trust.base64text import encode_base64
from trust.errors import EvidenceRejected
from trust.evidence.asic import parse_container
from trust.evidence.signature import parse_signature
from trust.evidence.stamped_signature import insert_timestamp, remove_timestamp
from trust.evidence.xades_form import Form

START = b"<xades:UnsignedSignatureProperties>"
ELEMENT = (
    b"<xades:SignatureTimeStamp><xades:EncapsulatedTimeStamp>dG9rZW4="
    b"</xades:EncapsulatedTimeStamp></xades:SignatureTimeStamp>"
)
_XADES = b'xmlns:xades="http://uri.etsi.org/01903/v1.3.2#"'


@pytest.fixture(scope="module")
def signature() -> bytes:
    return plain(Signatory()).signature


def test_a_token_is_put_first_among_the_unsigned_properties(signature: bytes) -> None:
    stamped = insert_timestamp(signature, b"token")
    assert stamped == signature.replace(START, START + ELEMENT)
    for form in Form:
        assert parse_signature(stamped, form).timestamp == b"token"
    assert remove_timestamp(stamped) == signature
    assert remove_timestamp(signature) == signature


def test_signatures_of_every_form_stay_what_they_are() -> None:
    signatory = Signatory()
    for container in (plain(signatory), with_bodies(signatory), chained(signatory)):
        before = parse_signature(container.signature)
        after = parse_signature(insert_timestamp(container.signature, b"token"))
        assert (after.signed_info, after.value) == (before.signed_info, before.value)
        assert after.signed_properties == before.signed_properties


def test_of_two_tokens_in_a_container_the_one_that_was_put_in_counts(signature: bytes) -> None:
    """A peer may send a signature that has a time-stamp already."""
    twice = insert_timestamp(insert_timestamp(signature, b"of the peer"), b"token")
    assert parse_signature(twice, Form.CONTAINER).timestamp == b"token"
    assert remove_timestamp(remove_timestamp(twice)) == signature
    with pytest.raises(EvidenceRejected, match="twice"):
        parse_signature(twice)


@pytest.mark.parametrize(
    "name", ["valid-signed-message", "valid-signed-hashchain", "invalid-not-signed-hashchain"]
)
def test_the_reference_puts_it_at_the_same_place_in_the_same_words(name: str) -> None:
    folder = vectors_folder() / "asic/src/tool/asic-verifier-cli/src/test/resources"
    if not folder.is_dir():
        pytest.skip("the vectors are not here")
    signature = parse_container((folder / f"{name}.asice").read_bytes()).signature
    token = parse_signature(signature, Form.CONTAINER).timestamp
    assert token is not None
    without = remove_timestamp(signature)
    assert len(without) < len(signature) - len(encode_base64(token))
    assert insert_timestamp(without, token) == signature


@given(
    before=st.text("<!-/>x ?[]\n", max_size=40),
    attributes=st.sampled_from([b"", b' Id="a"', b"\n a='>' b = \"'\"\t", b' x:y="" xmlns:x="u"']),
    inside=st.sampled_from([b"", b"\n ", b"<a/>", b"<!-- c -->", b"&#13;"]),
)
def test_the_place_is_found_whatever_stands_around_it(
    before: str, attributes: bytes, inside: bytes
) -> None:
    """The element's name in comments, in text and in values is no place."""
    text = b"<![CDATA[" + START + before.encode().replace(b"]]>", b"") + b"]]>"
    head = b"<r " + _XADES + b" v='xades:UnsignedSignatureProperties>'>\xc3\xa9" + text
    head += b"<!--" + START + b"--><xades:UnsignedSignatureProperties" + attributes + b">"
    tail = inside + b"</xades:UnsignedSignatureProperties></r>"
    stamped = insert_timestamp(head + tail, b"token")
    assert stamped == head + ELEMENT + tail
    assert remove_timestamp(stamped) == head + tail


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<signature/>",
        b"<r>" * 300,
        b"\xff\xfe",
        b'<?xml version="1.0" encoding="no-such"?><r/>',
        b"<!DOCTYPE r><r " + _XADES + b">" + START + b"</xades:UnsignedSignatureProperties></r>",
        b"<r " + _XADES + b"><xades:UnsignedSignatureProperties/></r>",
        b"<r " + _XADES + b">" + (START + b"</xades:UnsignedSignatureProperties>") * 2 + b"</r>",
        b'<r xmlns:xades="another">' + START + b"</xades:UnsignedSignatureProperties></r>",
        ("<r " + _XADES.decode() + ">" + START.decode() + "</xades:UnsignedSignatureProperties></r>"
         ).encode("utf-16"),
    ],
)  # fmt: skip
def test_a_document_without_one_plain_place_is_refused(document: bytes) -> None:
    with pytest.raises(EvidenceRejected):
        insert_timestamp(document, b"token")
    with pytest.raises(EvidenceRejected):
        remove_timestamp(document)
