"""Answers of the node's own services keep the request's header and prefixes."""

import pytest
from lxml import etree

from node.messages.soap import SoapMessage, insert_request_hash, parse_soap
from node.messages.soap_answer import build_answer, request_body
from tests.own_vectors import vector
from trust.digests import sha512
from trust.errors import MalformedMessage
from trust.ids import XROAD_NAMESPACE

METRICS = "http://x-road.eu/xsd/op-monitoring.xsd"


def request(wrapper: str, declared: str = "", name: str = "good") -> SoapMessage:
    """The good request in the prefixes of a real collector, with another wrapper."""
    text = vector(f"soap/{name}").payload.decode().replace("soapenv", "SOAP-ENV")
    body = text.index("<pop:personData>"), text.index("</pop:personData>") + 17
    text = text[: body[0]] + wrapper + text[body[1] :]
    message = parse_soap(text.replace(" xmlns:pop", f"{declared} xmlns:pop").encode(), "text/xml")
    assert isinstance(message, SoapMessage)
    return message


def fill(wrapper: etree._Element) -> None:
    namespace = etree.QName(wrapper).namespace
    etree.SubElement(wrapper, etree.QName(namespace, "nextRecordsFrom")).text = "1 < 2"


def body_of(answer: bytes) -> str:
    text = answer.decode()
    start = text.index("<SOAP-ENV:Body>") + len("<SOAP-ENV:Body>")
    return text[start : text.index("</SOAP-ENV:Body>")].strip()


OM = f' xmlns:om="{METRICS}"'
NEXT = "nextRecordsFrom>1 &lt; 2"


@pytest.mark.parametrize(
    ("wrapper", "declared", "namespace", "expected"),
    [
        ("<om:personData><om:x/></om:personData>", OM, None,
         f"<om:personDataResponse><om:{NEXT}</om:nextRecordsFrom></om:personDataResponse>"),
        (f"<om:personData{OM} a='b'>x</om:personData>", "", None,
         f"<om:personDataResponse{OM}><om:{NEXT}</om:nextRecordsFrom></om:personDataResponse>"),
        ("<om:personData/>", f'{OM} xmlns:same="{METRICS}"', None,
         f"<om:personDataResponse><om:{NEXT}</om:nextRecordsFrom></om:personDataResponse>"),
        (f'<personData xmlns="{METRICS}"/>', "", None,
         f'<personDataResponse xmlns="{METRICS}"><{NEXT}</nextRecordsFrom></personDataResponse>'),
        ("<personData/>", "", None,
         f"<personDataResponse><{NEXT}</nextRecordsFrom></personDataResponse>"),
        ("<personDataPlease/>", "", XROAD_NAMESPACE,
         f"<xro:personDataResponse><xro:{NEXT}</xro:nextRecordsFrom></xro:personDataResponse>"),
        ("<personData/>", "", METRICS,
         f'<xroad:personDataResponse xmlns:xroad="{METRICS}"><xroad:{NEXT}'
         "</xroad:nextRecordsFrom></xroad:personDataResponse>"),
    ],
)  # fmt: skip
def test_the_wrapper_keeps_its_prefix(
    wrapper: str, declared: str, namespace: str | None, expected: str
) -> None:
    answer = build_answer(request(wrapper, declared), fill, namespace=namespace)
    assert body_of(answer) == expected


@pytest.mark.parametrize("name", ["good", "good-all-fields", "good-latin-1", "good-unknown-field"])
def test_the_header_is_that_of_the_request(name: str) -> None:
    raw = vector(f"soap/{name}").payload
    message = parse_soap(raw, "text/xml")
    assert isinstance(message, SoapMessage)
    answer = build_answer(message, fill)
    assert answer.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<soapenv:Envelope ')
    read = parse_soap(answer, "text/xml; charset=UTF-8")
    assert isinstance(read, SoapMessage)
    assert (read.header, read.body_name) == (message.header, "personDataResponse")
    header = raw[raw.index(b"<soapenv:Header>") : raw.index(b"</soapenv:Header>")]
    assert header.decode(message.charset).encode() in answer


def test_an_answer_takes_the_hash_of_the_request() -> None:
    message = request("<om:personData/>", OM, name="good-all-fields")
    answer = insert_request_hash(build_answer(message, fill), "utf-8", sha512(message.raw))
    read = parse_soap(answer, "text/xml")
    assert isinstance(read, SoapMessage)
    assert read.header.request_hash not in (None, message.header.request_hash)


def test_the_body_of_a_request_can_be_read() -> None:
    wrapper = request_body(request("<om:personData><om:x>1</om:x></om:personData>", OM))
    assert wrapper.findtext(f"{{{METRICS}}}x") == "1"


@pytest.mark.parametrize(
    ("name", "code"), [("empty-body", "invalid_body"), ("no-body", "missing_body")]
)
def test_a_message_without_a_wrapper_has_no_answer(name: str, code: str) -> None:
    good = request("<personData/>")
    empty = SoapMessage(
        vector(f"soap/{name}").payload, good.charset, good.header, good.body_name
    )  # whoever makes one by hand
    with pytest.raises(MalformedMessage) as error:
        build_answer(empty, fill)
    assert error.value.code == code
