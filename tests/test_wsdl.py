"""WSDL: which services it stands for, what is odd about it, and that its address is hidden."""

import contextlib
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from catalog.wsdl import MAX_BYTES, Operation, hide_addresses, parse_wsdl
from trust.errors import MalformedMessage

GOOD = """<?xml version="1.0" encoding="UTF-8"?>
<!-- kept -->
<wsdl:definitions xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/"
    xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:tns="http://population.example/"
    xmlns:soap12="http://schemas.xmlsoap.org/wsdl/soap12/"
    xmlns:xrd="http://x-road.eu/xsd/xroad.xsd" targetNamespace="http://population.example/">
  <wsdl:message name="header">
    <wsdl:part name="client" element="xrd:client"/>
    <wsdl:part name="service" element="xrd:service"/>
    <wsdl:part name="id" element="xrd:id"/>
    <wsdl:part name="protocolVersion" element="xrd:protocolVersion"/>
  </wsdl:message>
  <wsdl:message name="ask"><wsdl:part name="body" element="tns:personData"/></wsdl:message>
  <wsdl:portType name="people">
    <wsdl:operation name="personData">
      <wsdl:documentation><xrd:title> Données d'une personne </xrd:title></wsdl:documentation>
      <wsdl:input message="tns:ask"/>
    </wsdl:operation>
  </wsdl:portType>
  <wsdl:binding name="people" type="tns:people">
    <soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
    <wsdl:operation name="personData">
      <soap:operation soapAction="" style="document"/>
      <xrd:version>v1</xrd:version>
      <wsdl:input>
        <soap:body use="literal"/>
        <soap:header message="tns:header" part="client" use="literal"/>
        <soap:header message="tns:header" part="service" use="literal"/>
        <soap:header message="tns:header" part="id" use="literal"/>
        <soap:header message="tns:header" part="protocolVersion" use="literal"/>
      </wsdl:input>
    </wsdl:operation>
  </wsdl:binding>
  <wsdl:service name="population">
    <wsdl:port name="people" binding="tns:people">
      <soap:address location="http://10.0.0.7:8080/secret"/><!-- inside -->
    </wsdl:port>
  </wsdl:service>
</wsdl:definitions>
"""
PORT = '<wsdl:port name="people" binding="tns:people">'


def parsed(*changes: tuple[str, str]) -> tuple[tuple[Operation, ...], tuple[str, ...]]:
    text = GOOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    found = parse_wsdl(text.encode())
    return found.operations, found.warnings


def test_an_operation_is_a_service_with_version_title_and_address() -> None:
    address = "http://10.0.0.7:8080/secret"
    assert parsed() == ((Operation("personData", "v1", "Données d'une personne", address),), ())


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("<xrd:version>v1</xrd:version>", "", "operation 'personData' has no xrd:version"),
        ('element="tns:personData"', 'element="tns:ask"', "takes an element 'ask'"),
        ('part="id"', 'part="nothing"', "its input has no header id"),
        ('use="literal"/>\n        <soap:header', 'use="encoded"/><soap:header', "SOAP encoded"),
        ('soapAction="" style="document"', 'style="rpc"', "in RPC style"),
        ("http://10.0.0.7:8080/secret", "jms:queue", "no http or https address, but 'jms:queue'"),
        ("http://10.0.0.7:8080/secret", "http://[", "no http or https address"),
        ('type="tns:people"', 'type="tns:other"', "there is no port type 'tns:other'"),
        ('binding="tns:people"', 'binding="tns:other"', "there is no binding 'tns:other'"),
        ("http://schemas.xmlsoap.org/soap/http", "urn:jms", "is not for HTTP: left out"),
        ("soap:binding", "soap12:binding", "bound to SOAP 1.2 only"),
        ('name="personData"', 'name="listMethods"', "a code that the node itself answers"),
        ('name="personData">\n      <soap', 'name="">\n      <soap', "has no name: left out"),
        (
            '<wsdl:portType name="people">\n    <wsdl:operation name="personData">',
            '<wsdl:portType name="people">\n    <wsdl:operation name="other">',
            "is bound and not in its port type",
        ),
        ('<wsdl:message name="ask">', '<wsdl:import location="x.wsdl"/><wsdl:message name="ask">',
         "the import of 'x.wsdl' is not followed"),
    ],
)  # fmt: skip
def test_what_is_odd_is_a_warning(old: str, new: str, said: str) -> None:
    _, warnings = parsed((old, new))
    assert any(said in warning for warning in warnings), warnings


def test_the_same_operation_elsewhere_is_told_and_the_last_one_counts() -> None:
    second = '<wsdl:port name="b" binding="tns:people"><soap:address location="http://b/"/>'
    operations, warnings = parsed(("</wsdl:service>", f"{second}</wsdl:port></wsdl:service>"))
    assert [operation.address for operation in operations] == ["http://b/"]
    assert warnings == ("operation 'personData.v1' stands there twice; the last one counts",)


def test_every_soap_address_is_hidden_and_nothing_else_is_changed() -> None:
    soap12 = '<soap12:address location="http://10.0.0.7/12"/>'
    found = hide_addresses(GOOD.replace("<!-- inside -->", f"<!-- ä -->{soap12}").encode())
    assert found.startswith(b'<?xml version="1.0" encoding="UTF-8"?><!-- kept --><wsdl:definitions')
    text = found.decode()
    assert "<!-- ä -->" in text
    assert soap12 in text
    assert "secret" not in text
    assert text.count('location="http://example.org/xroad-endpoint"') == 1
    assert parse_wsdl(found).operations[0].version == "v1"


def test_another_encoding_is_written_as_utf_8() -> None:
    text = GOOD.replace("UTF-8", "ISO-8859-1").encode("iso-8859-1")
    assert "Données" in hide_addresses(text).decode("utf-8")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>",
        b"<html/>",
        b'<!DOCTYPE d [<!ENTITY a "b">]><d>&a;</d>',
        b'<!DOCTYPE d SYSTEM "http://127.0.0.1/x"><d/>',
        b"<a>" * 300 + b"</a>" * 300,
        b"<a>" + b"<b/>" * 400_000 + b"</a>",
        b"<a>" + b" " * MAX_BYTES + b"</a>",
    ],
)
def test_what_is_no_wsdl_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedMessage) as caught:
        parse_wsdl(raw)
    assert caught.value.code == "invalid_xml"


def test_warnings_do_not_grow_without_bound() -> None:
    imports = "".join(f'<wsdl:import location="{n}{"x" * 900}"/>' for n in range(1000))
    _, warnings = parsed(('<wsdl:message name="ask">', imports + '<wsdl:message name="ask">'))
    assert len(warnings) == 50
    assert max(map(len, warnings)) == 500


def many(ports: int, operations: int) -> bytes:
    """A WSDL in which every port has one binding, and that many operations."""
    named = "".join(f'<operation name="o{number}"/>' for number in range(operations))
    address = '<s:address location="http://a/"/>'
    listed = "".join(f'<port name="q{n}" binding="b">{address}</port>' for n in range(ports))
    return (
        '<definitions xmlns="http://schemas.xmlsoap.org/wsdl/"'
        f' xmlns:s="http://schemas.xmlsoap.org/wsdl/soap/"><portType name="p">{named}</portType>'
        '<binding name="b" type="p"><s:binding transport="http://schemas.xmlsoap.org/soap/http"/>'
        f'{named}</binding><service name="x">{listed}</service></definitions>'
    ).encode()


def test_many_ports_of_one_large_binding_are_read_at_once() -> None:
    started = time.process_time()
    assert len(parse_wsdl(many(20_000, 4000)).operations) == 4000
    assert time.process_time() - started < 10


def test_operations_beyond_the_limit_are_told() -> None:
    found = parse_wsdl(many(1, 6000))
    assert len(found.operations) == 5000
    assert len(found.warnings) == 50


TAGS = re.findall("<[^>]*>", GOOD)


@given(
    st.lists(st.integers(0, len(TAGS) - 1), max_size=3),
    st.sampled_from(["", "<x/>", 'location="', "&amp;", "<!---->"]),
)
def test_damaged_descriptions_are_read_or_refused(cuts: list[int], put: str) -> None:
    text = GOOD
    for cut in cuts:
        text = text.replace(TAGS[cut], put, 1)
    with contextlib.suppress(MalformedMessage):
        parse_wsdl(text.encode())
        hidden = hide_addresses(text.encode())
        for address in etree.fromstring(hidden).iter(
            "{http://schemas.xmlsoap.org/wsdl/soap/}address"
        ):
            assert address.get("location") in (None, "http://example.org/xroad-endpoint")
