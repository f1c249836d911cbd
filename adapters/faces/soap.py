"""The SOAP face: the same operations as X-Road services of message protocol 4.0.

A request's header is answered completely: envelope, header and prefixes stay as they came, and
only the body is another. Faults come with HTTP 500, which a Security Server passes on unchanged.

Source: messages.md 3.3, 3.7, 3.11; metadata.md 4.
"""

from functools import lru_cache
from pathlib import Path

from aiohttp import web
from lxml import etree

from adapters.account import Account, AdapterMetrics
from adapters.calls import Calls, Refusal, unforeseen
from adapters.faces.elements import UnfitAnswer, read_record, write_record
from adapters.faces.rest import read_body
from adapters.faces.wsdl import SoapService, build_wsdl
from adapters.faces.xsd import DATA, ITEM, MEDIA_TYPE, VALUE, record_of, xml_name
from adapters.operations import BadParameter, Caller, Content, Operation
from adapters.settings import AdapterSettings
from adapters.shapes import ListOf, Record
from node.messages.fault import Fault, build_fault_xml
from node.messages.represented_party import RepresentedParty
from node.messages.soap import SoapMessage, parse_soap
from node.messages.soap_answer import build_answer, request_body
from trust.errors import MalformedMessage
from trust.ids import encode_segment
from trust.xmlbytes import parse_xml

PATHS = ("/", "/soap")
_SCHEMAS = Path(__file__).parents[1] / "soap" / "schemas"
_CONTENT_TYPE = "text/xml; charset=utf-8"
_WORDS = {400: "bad_parameter", 403: "refused", 404: "not_found", 413: "too_large", 504: "timeout"}


class SoapFace:
    """Answers the operations of one source at `/soap` and `/`."""

    def __init__(self, calls: Calls, settings: AdapterSettings, metrics: AdapterMetrics) -> None:
        self._calls = calls
        self._metrics = metrics
        self._limit = settings.limits.answer
        self._longest = settings.limits.timeout
        self._namespace = settings.soap.namespace
        self._address = settings.soap.address
        self._operations = {xml_name(one.name): one for one in calls.source.operations}
        service = SoapService(settings.title, settings.soap.namespace, settings.soap.version)
        self._wsdl = lru_cache(maxsize=8)(
            lambda address: build_wsdl(service, calls.source.operations, address, _header_schemas())
        )

    def add_routes(self, app: web.Application) -> None:
        for path in PATHS:
            app.router.add_get(path, self.describe)
            app.router.add_post(path, self.answer)

    async def describe(self, request: web.Request) -> web.Response:
        """The WSDL, for `?wsdl` in any case; the address is the one that was asked."""
        if not any(name.lower() == "wsdl" for name in request.query):
            raise web.HTTPNotFound
        address = self._address or _own_address(request)
        return web.Response(body=self._wsdl(address), content_type="text/xml", charset="utf-8")

    async def answer(self, request: web.Request) -> web.Response:
        with Account("soap", self._metrics) as account:
            try:
                body = await self._answer(request, account)
                account.status = 200
            except Refusal as refusal:
                body = build_fault_xml(_fault(refusal))
                account.status = 500
            account.response_bytes = len(body)
            headers = {"Content-Type": _CONTENT_TYPE}
            return web.Response(status=account.status, body=body, headers=headers)

    async def _answer(self, request: web.Request, account: Account) -> bytes:
        raw = await read_body(request, account, self._longest)
        try:
            message = parse_soap(raw, request.headers.get("Content-Type", ""))
        except MalformedMessage as error:
            raise Refusal(400, error.text, code=error.code) from None
        if not isinstance(message, SoapMessage):
            raise Refusal(400, "a fault is no request", code="invalid_body")
        account.caller = _caller(message)
        operation = self._operation(message)
        account.operation = operation.name
        try:
            given = read_record(Record(operation.inputs), request_body(message), self._namespace)
        except BadParameter as error:
            raise Refusal(400, str(error), parameter=error.parameter) from None
        answer = await self._calls.run(operation, given, account)
        return await self._envelope(message, operation, answer, account)

    def _operation(self, message: SoapMessage) -> Operation:
        """The operation that header and body name; raises Refusal."""
        operation = self._operations.get(message.body_name)
        wrapper = etree.QName(request_body(message))
        if operation is None or message.service.service_code != message.body_name:
            text = f"there is no service '{message.body_name:.100}' here"
            raise Refusal(400, text, code="unknown_service")
        if wrapper.namespace != self._namespace:
            text = f"element '{message.body_name}' is not in the namespace {self._namespace}"
            raise Refusal(400, text, code="invalid_body")
        return operation

    async def _envelope(
        self, message: SoapMessage, operation: Operation, answer: object, account: Account
    ) -> bytes:
        record = record_of(operation.answer)
        if isinstance(answer, Content):
            answer = {MEDIA_TYPE: answer.media_type, DATA: await self._bytes_of(answer)}
        elif isinstance(operation.answer, ListOf):
            answer = {ITEM: answer}
        elif record is not operation.answer:
            answer = {VALUE: answer}

        def fill(wrapper: etree._Element) -> None:
            write_record(record, answer, wrapper, self._namespace)

        try:
            envelope = build_answer(message, fill, namespace=self._namespace)
        except UnfitAnswer as error:
            account.failure = f"the answer is not as declared: {error}"
            raise Refusal(502, "the source answered something else than was declared") from None
        except (TypeError, ValueError, RecursionError) as error:
            raise unforeseen(error, account) from None
        if len(envelope) > self._limit:
            account.failure = f"the answer is longer than limits.answer ({self._limit})"
            raise Refusal(502, "the answer is too large")
        return envelope

    async def _bytes_of(self, content: Content) -> bytes:
        if isinstance(content.data, bytes):
            return content.data
        data = bytearray()
        async for chunk in content.data:
            data += chunk
            if len(data) > self._limit:
                raise Refusal(502, "the answer is too large")
        return bytes(data)


def _own_address(request: web.Request) -> str:
    """Where the service is, for somebody who has asked there for its description."""
    try:
        return f"{request.url.origin()}/soap"
    except ValueError:
        raise web.HTTPBadRequest from None


def _caller(message: SoapMessage) -> Caller:
    """Who the header says is asking, in the words of the REST protocol."""
    header = message.header
    told = {
        "X-Road-Client": header.client.path,
        "X-Road-Id": header.message_id,
        "X-Road-UserId": header.user_id or "",
        "X-Road-Issue": header.issue or "",
        "X-Road-Represented-Party": _party(header.represented_party),
    }
    headers = tuple((name, value) for name, value in told.items() if _is_header(value))
    return Caller(
        header.client.path, header.message_id, header.user_id or "", header.issue or "", headers
    )


def _party(party: RepresentedParty | None) -> str:
    if party is None:
        return ""
    parts = (party.party_class, party.party_code)
    return "/".join(encode_segment(part) for part in parts if part is not None)


def _is_header(value: str) -> bool:
    return bool(value) and value.isprintable()


def _fault(refusal: Refusal) -> Fault:
    """An error as SOAP says it: whose side, a sentence, and a word for programs."""
    side = "Client" if refusal.status < 500 else "Server"
    word = refusal.code or _WORDS.get(refusal.status, "unavailable")
    detail = f"{word}: {refusal.parameter}" if refusal.parameter else word
    return Fault(f"SOAP-ENV:{side}", refusal.text, detail)


def _header_schemas() -> list[etree._Element]:
    """X-Road's schemas of identifiers and header fields, free of addresses."""
    schemas = []
    for name in ("identifiers.xsd", "xroad.xsd"):
        schema = parse_xml((_SCHEMAS / name).read_bytes())
        for element in schema.iter("{http://www.w3.org/2001/XMLSchema}import"):
            element.attrib.pop("schemaLocation", None)
        schemas.append(schema)
    return schemas
