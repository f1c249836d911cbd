"""What a node adds to SOAP messages when an operator wants it, and what it never touches."""

import pytest
from lxml import etree

from catalog.services import Repair
from node.messages.mediatype import SOAP
from node.messages.soap import SoapMessage, parse_soap
from node.messages.soap_hash import insert_request_hash
from node.messages.soap_repair import repair_answer, repair_request
from tests.metadata_stage import soap_call
from trust.errors import MalformedMessage

REPRESENTED = (
    '<r:representedParty xmlns:r="http://x-road.eu/xsd/representation.xsd">'
    "<r:partyCode>7</r:partyCode></r:representedParty>"
)
EXTRA = (
    f"<xro:userId>EE1</xro:userId><xro:issue>case 5</xro:issue>{REPRESENTED}"
    "<xro:securityServer iden:objectType='SERVER'><iden:xRoadInstance>T</iden:xRoadInstance>"
    "<iden:memberClass>G</iden:memberClass><iden:memberCode>1</iden:memberCode>"
    "<iden:serverCode>s</iden:serverCode></xro:securityServer>"
)
REQUEST = soap_call("personData", header=EXTRA)


def message(raw: bytes) -> SoapMessage:
    found = parse_soap(raw, SOAP)
    assert isinstance(found, SoapMessage)
    return found


def answer(raw: bytes = REQUEST) -> bytes:
    return raw.replace(b"<xro:personData>", b"<xro:personDataResponse>").replace(
        b"</xro:personData>", b"</xro:personDataResponse>"
    )


def test_an_answer_gets_what_it_lacks_and_then_answers_its_request() -> None:
    asked = message(REQUEST)
    lacking = answer()
    for gone in (b"<xro:issue>case 5</xro:issue>", REPRESENTED.encode(), b"<xro:id>lm-1</xro:id>"):
        assert gone in lacking
        lacking = lacking.replace(gone, b"")
    found = message(repair_answer(lacking, asked)).header
    assert (found.issue, found.represented_party) == ("case 5", asked.header.represented_party)
    assert (found.message_id, found.user_id) == ("lm-1", "EE1")
    assert found.client == asked.client
    hashed = insert_request_hash(repair_answer(lacking, asked), "utf-8", b"digest")
    assert message(hashed).header.request_hash is not None


def test_an_answer_without_header_gets_one_in_its_place() -> None:
    bare = (
        b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
        b'<personDataResponse xmlns="urn:p"><a>&lt;</a></personDataResponse></s:Body></s:Envelope>'
    )
    found = repair_answer(bare, message(REQUEST))
    header, body = etree.fromstring(found)
    assert (header.tag, body.tag) == (
        "{http://schemas.xmlsoap.org/soap/envelope/}Header",
        "{http://schemas.xmlsoap.org/soap/envelope/}Body",
    )
    assert message(found).header.issue == "case 5"
    assert message(found).header.security_server is None  # nobody compares it
    assert b'<personDataResponse xmlns="urn:p"><a>&lt;</a></personDataResponse>' in found


@pytest.mark.parametrize(
    "raw",
    [
        answer(),
        answer().replace(b"case 5", b"case 6"),
        b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault>'
        b"<faultcode>x</faultcode></s:Fault></s:Body></s:Envelope>",
        b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"/>',
    ],
    ids=["complete", "contradicts", "fault", "no body"],
)
def test_what_lacks_nothing_or_is_no_answer_stays_as_it_is(raw: bytes) -> None:
    assert repair_answer(raw, message(REQUEST)) == raw


@pytest.mark.parametrize("raw", [b"", b"<a/>", b"<!DOCTYPE a><a/>", b"{}"])
def test_what_is_no_soap_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedMessage):
        repair_answer(raw, message(REQUEST))


@pytest.mark.parametrize(
    ("sent", "forwarded"),
    [("", '"personData"'), ('""', '"personData"'), ('"urn:own"', '"urn:own"')],
)
def test_an_empty_soap_action_becomes_the_service_code(sent: str, forwarded: str) -> None:
    asked = message(REQUEST)
    assert repair_request(asked, SOAP, sent, {Repair.SOAP_ACTION}) == (asked, forwarded)
    assert repair_request(asked, SOAP, sent, set()) == (asked, sent)


def test_a_code_that_is_no_part_of_a_uri_is_no_soap_action() -> None:
    odd = message(REQUEST.replace(b"personData", "päring".encode()))
    assert repair_request(odd, SOAP, "", {Repair.SOAP_ACTION})[1] == ""


@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"\xef\xbb\xbf",
        b"<?xml version='1.0'?>",
        b'<?xml version="1.0" encoding="utf-8"?>\r\n ',
    ],
)
def test_a_declaration_goes_and_the_rest_is_untouched(before: bytes) -> None:
    envelope = REQUEST.partition(b"?>\n")[2]
    asked = message(before + envelope)
    found, action = repair_request(asked, SOAP, "", {Repair.XML_DECLARATION})
    expected = before + envelope if before == b"\xef\xbb\xbf" else envelope
    assert (found.raw, action) == (expected, "")
    assert found.header == asked.header
    assert repair_request(asked, SOAP, "", {Repair.SOAP_ACTION})[0].raw == before + envelope


def test_a_declaration_that_says_something_stays() -> None:
    latin = REQUEST.replace(b"UTF-8", b"ISO-8859-1").replace(b"case 5", b"p\xe4ring")
    asked = message(latin)
    assert repair_request(asked, SOAP, "", set(Repair))[0].raw == latin
