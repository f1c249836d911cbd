"""A SOAP service as REST: a real one by another maker, and ones that misbehave."""

import asyncio
import base64
import contextlib
import gzip
import importlib.util
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.soap import calling
from adapters.soap.calling import HttpCaller
from adapters.soap.content import Anything, Element
from adapters.soap.envelope import Answer, open_answer, read_body
from adapters.soap.kind import KIND, open_soap
from adapters.soap.settings import (
    CallingSettings,
    DescriptionSettings,
    EndpointSettings,
    ServiceTlsSettings,
    SoapAdapterSettings,
)
from config.settings import parse_settings
from tests.soap_descriptions import SOAP12_BINDING, wsdl
from tests.soap_services import (
    Rest,
    Service,
    adapter,
    echoed,
    envelope,
    fault,
    key_pair,
    listening,
    spyne_persons,
)
from trust.errors import ConfigurationError, MalformedMessage, StorageError
from trust.settings import ByteSize

Opened = Callable[..., AbstractAsyncContextManager[Rest]]
_spyne = pytest.mark.skipif(
    importlib.util.find_spec("spyne") is None or sys.version_info >= (3, 12),
    reason="spyne is not here, or not for this Python",
)
UNFIT = "the source answered something else than it should"
QUICK = CallingSettings(timeout=timedelta(seconds=2), max_answer=ByteSize(64 * 1024))


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """An adapter for the echo service, with the settings of a test."""

    @asynccontextmanager
    async def open_one(
        service: Service,
        *,
        calling: CallingSettings = QUICK,
        data: bytes | None = None,
        tls: ssl.SSLContext | None = None,
        **more: object,
    ) -> AsyncIterator[Rest]:
        (tmp_path / "a.wsdl").write_bytes(data or wsdl())
        async with listening(service, tls) as address:
            settings = SoapAdapterSettings(
                kind="soap",
                title="Echo",
                port=0,
                wsdl=DescriptionSettings(file=tmp_path / "a.wsdl", get=("echo",)),
                endpoint=EndpointSettings(address=address),
                calling=calling,
                **more,  # type: ignore[arg-type]
            )
            async with adapter(settings, await open_soap(settings)) as rest:
                yield rest

    return open_one


# A real service.


@_spyne
async def test_a_service_of_another_maker_is_asked_as_rest(tmp_path: Path) -> None:
    with spyne_persons() as (_, described):
        (tmp_path / "persons.wsdl").write_bytes(described)
        settings = SoapAdapterSettings(
            kind="soap",
            title="Persons",
            port=0,
            wsdl=DescriptionSettings(file=tmp_path / "persons.wsdl", get=("greet",)),
            endpoint=EndpointSettings(address="wsdl"),
        )
        async with adapter(settings, await open_soap(settings)) as rest:
            person = {
                "code": "38001085718",
                "born": "1980-01-08",
                "seen": "2026-11-21T20:30:00.500000+02:00",
                "income": "12.340",
                "height": 1.5e300,
                "alive": True,
                "status": "resident",
                "photo": base64.b64encode(b"\x00\xff").decode(),
                "addresses": {
                    "Address": [{"kind": "home", "street": "A & B <1>", "number": 3}, None]
                },
                "names": ["Ülo", "", " two  words "],
                "mother": {"code": "2", "addresses": {}},
            }
            assert await rest.call("/echo", {"person": person}) == (200, {"echoResult": person})
            assert await rest.call("/greet?name=%C3%9Clo&times=2") == (
                200,
                {"greetResult": "Hello Ülo Hello Ülo"},
            )
            assert await rest.call("/anything", {"text": "x"}) == (
                200,
                {"anythingResult": {"root": {"@id": "1", "child": "x"}}},
            )
            status, answer = await rest.call("/echo", {"person": person | {"status": "dead"}})
            assert (status, answer["parameter"]) == (400, "person.status")
            assert await rest.call("/fail", {"side": "Client"}) == (
                400,
                {"error": "There is no such person.", "code": "Client.NoSuchPerson"},
            )
            assert (await rest.call("/fail", {"side": "Server"}))[0] == 502
            assert await rest.call("/health/ready") == (200, {"ready": True})
            status, description = await rest.call("/openapi.json")
            validator = pytest.importorskip("openapi_spec_validator")
            validator.validate(description)


# What is sent.


async def test_a_request_is_an_envelope_with_its_action(opened: Opened) -> None:
    service = Service()
    async with opened(service) as rest:
        assert await rest.call("/echo?text=%3Ca%3E") == (200, {"text": "hi"})
    assert service.requests == [
        b"<?xml version='1.0' encoding='utf-8'?>\n"
        b'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/">'
        b'<soapenv:Header/><soapenv:Body><ns0:echo xmlns:ns0="urn:t"><ns0:text>&lt;a&gt;</ns0:text>'
        b"</ns0:echo></soapenv:Body></soapenv:Envelope>"
    ]
    headers = service.headers[0]
    assert headers["Content-Type"] == "text/xml; charset=utf-8"
    assert headers["SOAPAction"] == '"urn:t/echo"'


async def test_soap_1_2_has_its_own_envelope_and_type(opened: Opened) -> None:
    answer = echoed().replace(
        b"schemas.xmlsoap.org/soap/envelope/", b"www.w3.org/2003/05/soap-envelope"
    )
    service = Service(answer, "application/soap+xml; charset=utf-8")
    async with opened(service, data=wsdl(binding=SOAP12_BINDING)) as rest:
        assert await rest.call("/echo?text=a") == (200, {"text": "hi"})
    content_type = service.headers[0]["Content-Type"]
    assert content_type == 'application/soap+xml; charset=utf-8; action="urn:t/echo"'
    assert b"http://www.w3.org/2003/05/soap-envelope" in service.requests[0]


# Faults.


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("soap:Client", 400, "Client"),
        ("s:Client.Data", 400, "Client.Data"),
        ("s:Server", 502, "Server"),
        ("wsse:FailedAuthentication", 502, "FailedAuthentication"),
        ("", 502, None),
    ],
)
@pytest.mark.parametrize("http", [200, 500, 400])
async def test_a_fault_is_told_by_its_code_and_sentence(
    opened: Opened, code: str, status: int, told: str | None, http: int
) -> None:
    async with opened(Service(fault(code, "No such person."), status=http)) as rest:
        expected: dict[str, object] = {"error": "No such person."}
        expected |= {"code": told} if told else {}
        assert await rest.call("/echo?text=a") == (status, expected)


@pytest.mark.parametrize(
    ("detail", "status"),
    [
        ("not_found", 404),
        ("timeout", 504),
        ("unavailable", 503),
        ("bad_parameter: code", 400),
        ("c0ffee-12", 400),
        ("not_found<x/>", 404),
    ],
)
async def test_the_word_in_a_fault_of_another_adapter_gives_the_status(
    opened: Opened, detail: str, status: int
) -> None:
    told = fault("s:Client", "No.", f"<faultDetail>{detail}</faultDetail>")
    told = told.replace(b"<detail>", b'<detail xmlns="">')
    async with opened(Service(told, status=500)) as rest:
        assert await rest.call("/echo?text=a") == (status, {"error": "No.", "code": "Client"})


async def test_a_fault_of_soap_1_2_tells_its_innermost_code(opened: Opened) -> None:
    body = (
        "<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>m:NoPerson</s:Value>"
        '</s:Subcode></s:Code><s:Reason><s:Text xml:lang="en">No.</s:Text></s:Reason></s:Fault>'
    )
    data = envelope(body).replace(
        b"schemas.xmlsoap.org/soap/envelope/", b"www.w3.org/2003/05/soap-envelope"
    )
    service = Service(data, "application/soap+xml", status=500)
    async with opened(service, data=wsdl(binding=SOAP12_BINDING)) as rest:
        assert await rest.call("/echo?text=a") == (400, {"error": "No.", "code": "NoPerson"})


async def test_a_huge_fault_is_cut_and_its_detail_stays_here(opened: Opened) -> None:
    body = fault("s:" + "C" * 5000, "T" * 5000, "<row>secret</row>" * 1000)
    async with opened(Service(body, status=500)) as rest:
        status, answer = await rest.call("/echo?text=a")
    assert status == 502
    assert answer == {"error": "T" * 1000, "code": "C" * 255}


async def test_the_sentence_of_a_fault_can_be_kept_back(opened: Opened) -> None:
    calling = replace(QUICK, fault_texts=False)
    async with opened(Service(fault("s:Server", "row 7 of table p")), calling=calling) as rest:
        assert await rest.call("/echo?text=a") == (
            502,
            {"error": "the service refused", "code": "Server"},
        )


# Answers that are none.

_DTD = b'<!DOCTYPE s [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>' + echoed("&b;")
_DEEP = envelope("<a>" * 300 + "</a>" * 300)
_WIDE = envelope("<a>" + "<b/>" * 12_000 + "</a>")


@pytest.mark.parametrize(
    "service",
    [
        Service(b"<html/>", "text/html"),
        Service(b"<html/>", "text/html", status=404),
        Service(echoed(), "application/json"),
        Service(echoed(), ""),
        Service(b"", "text/xml"),
        Service(b"{}", "text/xml"),
        Service(_DTD),
        Service(_DEEP),
        Service(_WIDE),
        Service(echoed(), status=500),
        Service(echoed(), status=302),
        Service(envelope("")),
        Service(envelope('<a xmlns="urn:t"/><b xmlns="urn:t"/>')),
        Service(
            envelope(
                '<echoResponse xmlns="urn:t" i:nil="true" '
                'xmlns:i="http://www.w3.org/2001/XMLSchema-instance"/>'
            )
        ),
        Service(b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"/>'),
        Service(b"<Envelope/>"),
        Service(b"--b--", "multipart/related; boundary=b"),
        Service(envelope('<other xmlns="urn:t"/>')),
        Service(envelope('<echoResponse xmlns="urn:t"/>')),
        Service(envelope('<echoResponse xmlns="urn:t"><text/><more/></echoResponse>')),
        Service(echoed() + b"x"),
        Service(b"x" * 70_000),
        Service(echoed("x" * 70_000)),
        Service(b"--b\r\n\r\nx\r\n--b--", "multipart/related"),
        Service(b"--b\r\n\r\nx\r\n--b--", "multipart/related; boundary=b"),
        Service(b"--b\r\n", "multipart/related; boundary=b"),
        Service(gzip.compress(echoed(), mtime=0)),
    ],
    ids=lambda service: f"{service.content_type}-{service.status}-{service.body[:20]!r}",
)
async def test_what_is_no_answer_is_502(opened: Opened, service: Service) -> None:
    async with opened(service) as rest:
        assert await rest.call("/echo?text=a") == (502, {"error": UNFIT})


@pytest.mark.parametrize("status", [429, 503])
async def test_a_service_that_says_to_wait_is_503(opened: Opened, status: int) -> None:
    async with opened(Service(b"later", "text/plain", status)) as rest:
        assert (await rest.call("/echo?text=a"))[0] == 503


async def test_an_endless_answer_is_cut(opened: Opened) -> None:
    sent = 0

    async def pour(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Type": "text/xml"})
        await response.prepare(request)
        while True:
            await response.write(b"<" * 65536)
            sent += 1

    async with opened(Service(answerer=pour)) as rest:
        assert (await rest.call("/echo?text=a"))[0] == 502
    assert sent < 200


async def test_a_compressed_answer_is_not_unpacked(opened: Opened) -> None:
    async def pack(request: web.Request) -> web.StreamResponse:
        headers = {"Content-Type": "text/xml", "Content-Encoding": "gzip"}
        return web.Response(body=gzip.compress(b"x" * 10_000_000), headers=headers)

    async with opened(Service(answerer=pack)) as rest:
        assert (await rest.call("/echo?text=a"))[0] == 502


async def test_a_slow_service_is_504(opened: Opened) -> None:
    async def sleep(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(5)
        raise AssertionError

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/xml"})
        await response.prepare(request)
        for _ in range(50):
            await response.write(b" ")
            await asyncio.sleep(0.1)
        return response

    calling = replace(QUICK, timeout=timedelta(milliseconds=300))
    for answerer in (sleep, drip):
        async with opened(Service(answerer=answerer), calling=calling) as rest:
            status, answer = await rest.call("/echo?text=a")
        assert (status, answer) == (504, {"error": "the source took too long"})


async def test_redirects_are_not_followed(opened: Opened) -> None:
    elsewhere = Service()

    async def redirect(request: web.Request) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect(address)

    async with listening(elsewhere) as address, opened(Service(answerer=redirect)) as rest:
        assert (await rest.call("/echo?text=a"))[0] == 502
    assert elsewhere.requests == []


async def test_a_service_that_is_away_is_503_and_not_ready(tmp_path: Path) -> None:
    (tmp_path / "a.wsdl").write_bytes(wsdl())
    async with listening(Service()) as address:
        pass
    settings = SoapAdapterSettings(
        kind="soap",
        title="Echo",
        port=0,
        wsdl=DescriptionSettings(file=tmp_path / "a.wsdl"),
        endpoint=EndpointSettings(address=address),
    )
    source = await open_soap(settings)
    assert [*await source.check()] == ["the service: ConnectionRefusedError"]
    async with adapter(settings, source) as rest:
        assert (await rest.call("/echo", {"text": "a"}))[0] == 503
        status, answer = await rest.call("/health/ready")
    assert (status, answer["ready"]) == (503, False)
    assert address.removeprefix("http://").partition("/")[0] not in str(answer)


async def test_the_check_connects_and_asks_nothing() -> None:
    """A node would log a request that is no message as an exchange that failed."""
    received = asyncio.get_running_loop().create_future()

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found = await reader.read()
        writer.close()
        await writer.wait_closed()
        received.set_result(found)

    async with await asyncio.start_server(read, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await HttpCaller(f"http://127.0.0.1:{port}/service", QUICK).problem() is None
        assert await asyncio.wait_for(received, 5) == b""


async def test_the_check_judges_the_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, other = key_pair(tmp_path, "service"), key_pair(tmp_path, "other")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate, pair.key)
    service = Service()
    async with listening(service, tls) as address:
        good, bad = (
            replace(QUICK, tls=ServiceTlsSettings(pinned=(each.certificate,)))
            for each in (pair, other)
        )
        assert await HttpCaller(address, good).problem() is None
        found = await HttpCaller(address, bad).problem()
        assert found == "the service: SSLCertVerificationError"
    assert service.requests == []
    monkeypatch.setattr(calling, "_PROBE", 0.1)
    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the other side goes away
        writer.close()
        await writer.wait_closed()
        gone.set()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        found = await HttpCaller(f"https://127.0.0.1:{port}/", good).problem()
        await asyncio.wait_for(gone.wait(), 5)
    assert found == "the service does not answer"


# Attachments.


def related(*parts: tuple[str, bytes]) -> bytes:
    """A multipart message: header lines and body of each part."""
    return (
        b"".join(b"--b\r\n" + head.encode() + b"\r\n\r\n" + body + b"\r\n" for head, body in parts)
        + b"--b--\r\n"
    )


_PHOTO = """
<xs:element name="echo"><xs:complexType><xs:sequence><xs:element name="text" type="xs:string"/>
</xs:sequence></xs:complexType></xs:element>
<xs:element name="echoResponse"><xs:complexType><xs:sequence>
  <xs:element name="photo" type="xs:base64Binary" maxOccurs="unbounded"/>
</xs:sequence></xs:complexType></xs:element>
"""
_INCLUDE = (
    '<photo><i:Include xmlns:i="http://www.w3.org/2004/08/xop/include" href="cid:{}"/></photo>'
)


def included(*ids: str) -> bytes:
    inside = "".join(_INCLUDE.format(one) for one in ids)
    return envelope(f'<echoResponse xmlns="urn:t">{inside}</echoResponse>')


_XOP = 'Content-Type: application/xop+xml; charset=UTF-8; type="text/xml"\r\nContent-ID: <root>'


async def test_included_attachments_stand_where_they_belong(opened: Opened) -> None:
    body = related(
        ("Content-Type: image/png\r\nContent-ID: <p%1@x>", b"\x00\r\n--\xff"),
        (_XOP, included("p%251@x")),
    )
    service = Service(body, 'multipart/related; boundary=b; start="<root>"')
    async with opened(service, data=wsdl(_PHOTO)) as rest:
        status, answer = await rest.call("/echo?text=a")
    assert (status, answer) == (200, {"photo": [base64.b64encode(b"\x00\r\n--\xff").decode()]})


@pytest.mark.parametrize("ids", [("gone",), ("p", "p"), ("",)])
async def test_includes_that_do_not_fit_are_refused(opened: Opened, ids: tuple[str, ...]) -> None:
    body = related((_XOP, included(*ids)), ("Content-Type: a/b\r\nContent-ID: <p>", b"x"))
    async with opened(Service(body, "multipart/related; boundary=b"), data=wsdl(_PHOTO)) as rest:
        assert (await rest.call("/echo?text=a"))[0] == 502


async def test_other_attachments_are_refused_or_told(opened: Opened) -> None:
    body = related(
        ("Content-Type: text/xml; charset=UTF-8", echoed()),
        ("Content-Type: text/plain\r\nContent-ID: <one>", b"abc"),
        ("Content-Type: image/png\r\nContent-Transfer-Encoding: base64", b"AAEC"),
    )
    service = Service(body, "multipart/related; boundary=b; type=text/xml")
    async with opened(service) as rest:
        assert (await rest.call("/echo?text=a"))[0] == 502
    async with opened(service, calling=replace(QUICK, attachments=True)) as rest:
        assert await rest.call("/echo?text=a") == (
            200,
            {
                "text": "hi",
                "attachments": [
                    {"id": "one", "media_type": "text/plain", "content": "YWJj"},
                    {"id": None, "media_type": "image/png", "content": "AAEC"},
                ],
            },
        )


async def test_an_operation_without_an_answer_may_be_answered_by_nothing(opened: Opened) -> None:
    one_way = wsdl().replace(b'<output message="t:echoResponse"/>', b"")
    one_way = one_way.replace(b'<output><s:body use="literal"/></output>', b"")
    for status in (200, 202, 204):
        async with opened(Service(b"", "", status), data=one_way) as rest:
            assert await rest.call("/echo?text=a") == (200, {})
    async with opened(Service(envelope("")), data=one_way) as rest:
        assert await rest.call("/echo?text=a") == (200, {})
    async with opened(Service(), data=one_way) as rest:
        assert (await rest.call("/echo?text=a"))[0] == 502


async def test_single_values_have_a_field_of_their_own(opened: Opened) -> None:
    schema = (
        '<xs:element name="echo" type="xs:int"/><xs:element name="echoResponse" type="xs:date"/>'
    )
    answer = envelope('<echoResponse xmlns="urn:t">2026-11-21</echoResponse>')
    service = Service(answer)
    async with (
        opened(service, data=wsdl(schema)) as rest,
        rest.client.get(rest.url + "/echo?value=5") as response,
    ):
        assert await response.json() == "2026-11-21"
    assert b">5</ns0:echo>" in service.requests[0]
    calling = replace(QUICK, attachments=True)
    async with opened(service, data=wsdl(schema), calling=calling) as rest:
        found = {"value": "2026-11-21", "attachments": []}
        assert await rest.call("/echo?value=5") == (200, found)


# TLS.


async def test_a_pinned_certificate_is_the_only_one_that_counts(
    opened: Opened, tmp_path: Path
) -> None:
    service_pair, other = key_pair(tmp_path, "service"), key_pair(tmp_path, "other")
    client = key_pair(tmp_path, "client")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(service_pair.certificate, service_pair.key)
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_verify_locations(client.certificate)
    ours = ServiceTlsSettings(
        pinned=(service_pair.certificate,), certificate=client.certificate, key=client.key
    )
    for shown, status in (
        (ours, 200),
        (replace(ours, pinned=(other.certificate,)), 503),
        (replace(ours, pinned=(), authorities=(service_pair.certificate,)), 503),  # the name
        (replace(ours, pinned=()), 503),
        (replace(ours, certificate=None, key=None), 503),
    ):
        async with opened(Service(), tls=tls, calling=replace(QUICK, tls=shown)) as rest:
            assert (await rest.call("/echo?text=a"))[0] == status


async def test_a_pinned_certificate_does_not_vouch_for_others(
    opened: Opened, tmp_path: Path
) -> None:
    authority = key_pair(tmp_path, "authority")
    issued = key_pair(tmp_path, "issued", issuer=authority)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(issued.certificate, issued.key)
    service = Service()
    for pinned, status in ((authority, 503), (issued, 200)):
        shown = ServiceTlsSettings(pinned=(pinned.certificate,))
        async with opened(service, tls=tls, calling=replace(QUICK, tls=shown)) as rest:
            assert (await rest.call("/echo?text=a"))[0] == status
    assert len(service.requests) == 1


@pytest.mark.parametrize("setting", ["pinned", "authorities", "certificate"])
async def test_files_that_hold_no_certificate_end_the_start(
    opened: Opened, setting: str, tmp_path: Path
) -> None:
    pair = key_pair(tmp_path, "client")
    broken = tmp_path / "broken.crt"
    broken.write_text("none")
    ours = ServiceTlsSettings(certificate=pair.certificate, key=pair.key)
    unfit = {
        "pinned": replace(ours, pinned=(broken,)),
        "authorities": replace(ours, authorities=(broken,)),
        "certificate": replace(ours, certificate=broken),
    }
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pair.certificate, pair.key)
    with pytest.raises(ConfigurationError, match=r"broken\.crt: found an unfit file"):
        async with opened(Service(), tls=server, calling=replace(QUICK, tls=unfit[setting])):
            pass


async def test_a_key_that_everybody_can_read_ends_the_start(opened: Opened, tmp_path: Path) -> None:
    pair = key_pair(tmp_path, "client")
    pair.key.chmod(0o644)
    tls = ServiceTlsSettings(certificate=pair.certificate, key=pair.key)
    (tmp_path / "a.wsdl").write_bytes(wsdl())
    settings = SoapAdapterSettings(
        kind="soap",
        title="Echo",
        wsdl=DescriptionSettings(file=tmp_path / "a.wsdl"),
        endpoint=EndpointSettings(address="https://127.0.0.1/"),
        calling=CallingSettings(tls=tls),
    )
    with pytest.raises(ConfigurationError, match="open to every user"):
        await open_soap(settings)


# Settings.

_TOML = """
kind = "soap"
title = "Echo"
[wsdl]
file = "a.wsdl"
"""


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("", r"no key 'address' in \[endpoint\]"),
        ('[endpoint]\naddress = "ftp://a/"', "an address with http or https"),
        ('[endpoint]\naddress = "http://u:p@a/"', "an address with http or https"),
        ('[endpoint]\naddress = "http://a:99999/"', "an address with http or https"),
        (
            '[endpoint]\naddress = "http://a/"\n[calling.tls]\nkey = "a.key"',
            "found one of the two, expected certificate and key",
        ),
        (
            '[endpoint]\naddress = "http://a/"\n[calling.tls]\npinned = ["a"]\nauthorities = ["b"]',
            "found authorities beside it",
        ),
    ],
)
def test_contradictions_in_the_settings_are_told_with_their_line(
    more: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        parse_settings(
            KIND.settings, _TOML + more, file="adapter.toml", folder=tmp_path, check=KIND.problems
        )


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ({"operations": ("gone",)}, "operation 'gone': the description has no such operation"),
        ({"get": ("gone",)}, "operation 'gone'"),
        ({"file": Path("missing.wsdl")}, "can't be read"),
        ({"catalogue": Path("other")}, "outside of the catalogue"),
        ({"service": "Z"}, "no service 'Z'"),
        ({"address": "ftp://a/"}, "the WSDL has no address with http or https"),
    ],
)
async def test_what_the_description_does_not_have_ends_the_start(
    description: dict[str, object], words: str, tmp_path: Path
) -> None:
    description = dict(description)
    address = str(description.pop("address", "http://127.0.0.1/"))
    (tmp_path / "a.wsdl").write_bytes(wsdl(address=address))
    anchored = {
        key: tmp_path / value if isinstance(value, Path) else value
        for key, value in description.items()
    }
    settings = SoapAdapterSettings(
        kind="soap",
        title="Echo",
        wsdl=DescriptionSettings(**{"file": tmp_path / "a.wsdl", **anchored}),  # type: ignore[arg-type]
        endpoint=EndpointSettings(address="wsdl"),
    )
    with pytest.raises(StorageError, match=words):
        await open_soap(settings)


_GOOD = (
    (echoed("a & b".replace("&", "&amp;")), "text/xml"),
    (fault("s:Client.A", "Text", "<faultDetail>not_found</faultDetail>"), "text/xml"),
    (related((_XOP, included("p")), ("Content-Type: a/b\r\nContent-ID: <p>", b"x")),
     'multipart/related; boundary=b; start="<root>"'),
)  # fmt: skip


@settings(deadline=None)
@given(st.sampled_from(_GOOD), st.data())
def test_a_damaged_answer_is_read_or_refused(good: tuple[bytes, str], data: st.DataObject) -> None:
    body, content_type = good
    at = data.draw(st.integers(0, len(body) - 1))
    cut = data.draw(st.integers(0, 12))
    put = data.draw(
        st.sampled_from([b"", b"<", b"&", b"--b", b"\r\n", b"\xff", b":", b"</s:Body>"])
    )
    damaged = body[:at] + put + body[at + cut :]
    with contextlib.suppress(MalformedMessage):
        opened = open_answer(damaged, content_type)
        if isinstance(opened, Answer):
            read_body(opened, Element("{urn:t}echoResponse", "e", Anything()), any_name=False)


@given(st.text(';="multipart/related xmlsoap+boundary,\\', max_size=60))
def test_any_content_type_is_read_or_refused(content_type: str) -> None:
    with contextlib.suppress(MalformedMessage):
        open_answer(echoed(), content_type)


async def test_errors_of_an_answer_never_hold_its_values(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    body = envelope('<echoResponse xmlns="urn:t"><photo>38001085718!</photo></echoResponse>')
    async with opened(Service(body), data=wsdl(_PHOTO)) as rest:
        status, answer = await rest.call("/echo?text=a")
    assert (status, answer) == (502, {"error": UNFIT})
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == [
        "operation 'echo': element 'photo' holds a value that does not fit its type: "
        "neither base64 nor hexadecimal"
    ]
