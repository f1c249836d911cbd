"""Terms of rights to a SOAP service, through two real nodes; and what a SOAP request is for."""

import logging
import re
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from lxml import etree

from catalog.terms import NO_TERMS, Terms
from catalog.uris import ONCE_NAMESPACE
from node.messages.intent import NO_INTENT, Intent, intent_of
from node.messages.soap import SoapMessage, parse_soap
from node.messages.soap_notes import with_notes
from scripts.postgres import PostgresServer
from tests.drafts import Part
from tests.exchange_stage import verified
from tests.raw_http import RawMessage, ask, build_head
from tests.scene import answering, records, unexpected
from tests.soap_messages import Envelope, answer_to
from tests.soap_stage import TEXT, packed
from tests.terms_stage import PURPOSE, SCHEME, Stage, pseudonym, terms_stage
from trust.errors import MalformedMessage

pytestmark = pytest.mark.asyncio(loop_scope="module")

CODE = Terms(fields=("urn:c:code",), purposes=(PURPOSE,))
TWO = "<code>39001010000</code><tax>secret</tax><person id='secret'>secret</person>"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    async with terms_stage(tmp_path_factory.mktemp("terms"), postgres_server) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def stage(module_stage: Stage) -> Stage:
    await module_stage.reset()
    return module_stage


@pytest.fixture(autouse=True)
def _nothing_unexpected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.INFO)
    yield
    assert unexpected(caplog) == []


def once(**texts: str) -> str:
    return "".join(
        f'<o:{name} xmlns:o="{ONCE_NAMESPACE}">{text}</o:{name}>' for name, text in texts.items()
    )


def request(more: str = "", number: int = 1) -> Envelope:
    asked = "<code>39001010000</code>"
    return Envelope(message_id=f"terms-{number}", content=asked, more=more, issue="case 7")


def answered(asked: RawMessage, content: str = TWO) -> bytes:
    """What the service says to an `Envelope` that came alone."""
    said = re.sub(rb"<code>.*</code>", content.encode(), answer_to(asked.body))
    return said.replace(b"<soapenv:Body>", b"<soapenv:Body><!-- secret -->")


async def call(stage: Stage, envelope: Envelope) -> bytes:
    head = (("Host", "node"), ("Content-Type", TEXT), ("SOAPAction", '""'))
    whole = (*head, ("Content-Length", str(len(envelope.raw))))
    port = stage.consumer.running.ports["systems http"].number
    answer = await ask("127.0.0.1", port, build_head("POST / HTTP/1.1", whole) + envelope.raw)
    assert answer is not None
    return answer.body


def notes(raw: bytes) -> dict[str, str]:
    header = etree.fromstring(raw)[0]
    found = header.findall(f"{{{ONCE_NAMESPACE}}}*")
    return {etree.QName(one).localname: one.text or "" for one in found}


async def test_a_soap_answer_is_cut_down_before_it_is_signed(stage: Stage) -> None:
    await stage.grant(CODE)
    stage.system.answer = lambda asked: answering(
        answered(asked), headers=(("Content-Type", TEXT),)
    )
    raw = await call(stage, request(once(purpose=PURPOSE, legalBasis="urn:law")))
    assert b"secret" not in raw
    assert b"<code>39001010000</code></p:getStateResponse>" in raw
    base = "/getStateResponse"
    assert notes(raw) == {
        "purpose": PURPOSE, "legalBasis": "urn:law", "grant": notes(raw)["grant"],
        "given": "code", "withheld": f"{base}/tax,{base}/person,{base}/person/@id",
    }  # fmt: skip
    asked, response = await records(stage.provider, message_id="terms-1")
    assert raw == response.message
    await verified(stage.instance, stage.provider, response, [])
    [use] = await stage.uses()
    assert (use["given"], use["case_id"]) == (["urn:c:code"], "case 7")
    assert use["subject"] == pseudonym(SCHEME, "39001010000")
    assert use["grant_number"] == int(notes(raw)["grant"])
    assert use["exchange_id"] == asked.exchange_id


async def test_attachments_of_an_answer_that_is_cut_down_stay_and_are_named(stage: Stage) -> None:
    await stage.grant(CODE)

    def pack(asked: RawMessage) -> bytes:
        parts = [Part(TEXT, answered(asked)), Part("image/png", b"secret" * 1000)]
        related = (("Content-Type", 'multipart/related; type="text/xml"; boundary=b'),)
        return answering(packed("b", parts), headers=related)

    stage.system.answer = pack
    raw = await call(stage, request(once(purpose=PURPOSE)))
    assert b"secret" not in raw
    assert notes(raw)["withheld"].split(",")[-1] == "attachments"
    [use] = await stage.uses()
    assert use["withheld"][-1] == "attachments"


@pytest.mark.parametrize(
    ("terms", "more", "word"),
    [
        (CODE, "", "access_denied.purpose_missing"),
        (CODE, once(purpose="urn:other"), "access_denied.purpose_not_granted"),
        (CODE, once(purpose=PURPOSE, fields="tax"), "access_denied.fields_not_granted"),
        (None, once(purpose=PURPOSE), "access_denied"),
        (CODE, once(purpose="x" * 2000), "invalid_intent"),
        (CODE, once(purpose="a\tb"), "invalid_intent"),
        (CODE, once(purpose=PURPOSE) * 2, "duplicate_header_field"),
    ],
)
async def test_a_soap_request_is_refused_for_its_terms(
    stage: Stage, terms: Terms | None, more: str, word: str
) -> None:
    await stage.grant(*(() if terms is None else (terms,)))
    raw = await call(stage, request(more))
    assert re.search(rb"<faultcode>[^<]*\b" + word.encode() + rb"</faultcode>", raw)
    assert stage.system.requests == []


@pytest.mark.parametrize(
    ("content_type", "body", "status", "word"),
    [
        (TEXT, b"secret", "200 OK", b"answer_not_reducible"),
        ("secret/secret", b"x", "200 OK", b"answer_not_reducible"),
        (TEXT, b"x", "503 secret", b"http_error"),
        (TEXT, b'<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body><S:Fault>'
         b"<faultcode>S:Client.secret</faultcode><faultstring>secret</faultstring><detail>secret"
         b"</detail></S:Fault></S:Body></S:Envelope>", "500 x", b"SOAP-ENV:Client<"),
        (TEXT, b"", "200 OK", b"answer_not_reducible"),
    ],
)  # fmt: skip
async def test_no_word_of_a_system_leaves_that_answers_rubbish_or_a_fault(
    stage: Stage, content_type: str, body: bytes, status: str, word: bytes
) -> None:
    await stage.grant(CODE)
    headers = (("Content-Type", content_type),)
    stage.system.answer = lambda _: answering(body, status, headers)
    raw = await call(stage, request(once(purpose=PURPOSE)))
    assert word in raw
    assert b"secret" not in raw


async def test_a_plain_soap_client_notices_nothing_and_one_with_an_intent_is_told(
    stage: Stage,
) -> None:
    await stage.grant(NO_TERMS)
    stage.system.answer = lambda asked: answering(
        answered(asked), headers=(("Content-Type", TEXT),)
    )
    plain = await call(stage, request())
    assert b"secret" in plain
    assert ONCE_NAMESPACE.encode() not in plain
    told = await call(stage, request(once(procedure="urn:proc")))
    assert notes(told) == {"procedure": "urn:proc", "grant": "0", "given": "*"}
    assert b"<tax>secret</tax>" in told
    first, second = await stage.uses()
    assert (first["procedure"], second["procedure"]) == ("", "urn:proc")


# --- what a request says --------------------------------------------------------------------------


def read(envelope: Envelope) -> SoapMessage:
    found = parse_soap(envelope.raw, "text/xml")
    assert isinstance(found, SoapMessage)
    return found


async def test_the_intent_of_a_soap_request_is_read() -> None:
    more = once(purpose=" urn:p\n", legalBasis="urn:l", procedure="urn:q", fields="a, /b ,,a")
    found = intent_of(read(Envelope(more=more, issue="7\u200b8", user_id="EE1")))
    assert found == Intent("urn:p", "urn:l", "urn:q", ("a", "/b"), "78", "EE1", "")
    assert found.stated
    plain = intent_of(read(Envelope(user_id=None)))
    assert plain == NO_INTENT
    assert not plain.stated


async def test_an_element_inside_an_intent_is_refused() -> None:
    with pytest.raises(MalformedMessage, match="must hold text alone"):
        read(Envelope(more=once(purpose="urn:p<a/>")))


async def test_notes_take_the_place_of_those_that_are_there() -> None:
    envelope = Envelope(more=once(grant="9", withheld="x", purpose="urn:p"))
    raw = with_notes(envelope.raw, (("grant", "7"), ("given", "a,b\u202e")))
    assert notes(raw) == {"purpose": "urn:p", "grant": "7", "given": "a,b"}
    assert read(envelope).header == parse_soap(raw, "text/xml").header  # type: ignore[union-attr]
