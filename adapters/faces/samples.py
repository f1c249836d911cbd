"""One call of each operation, to try and to hand to those who will call: by REST and by SOAP.

Values are the declared examples, else something of the type; never anything out of the source.
Identifiers stand in capitals where only the operator knows them.
"""

import base64
import shlex
from urllib.parse import quote, urlencode

import msgspec
from lxml import etree

from adapters.faces.elements import write_record
from adapters.faces.wsdl import SoapService
from adapters.faces.xsd import xml_name
from adapters.operations import PATH_PARAMETER, Method, Operation
from adapters.shapes import Field, ListOf, Record, Scalar, Shape, ValueType
from node.messages.fault import SOAP_ENVELOPE
from trust.ids import IDENTIFIERS_NAMESPACE, XROAD_NAMESPACE

_CLIENT = ("INSTANCE", "CLASS", "CONSUMER", "SUBSYSTEM")
_PROVIDER = ("INSTANCE", "CLASS", "PROVIDER", "SUBSYSTEM")
_NODE = "http://NODE:8080"
_TEXTS = {
    ValueType.TEXT: "text",
    ValueType.INTEGER: "1",
    ValueType.NUMBER: "1.5",
    ValueType.DECIMAL: "1.50",
    ValueType.BOOLEAN: "true",
    ValueType.DATE: "2026-01-31",
    ValueType.DATETIME: "2026-01-31T12:00:00Z",
    ValueType.UUID: "00000000-0000-4000-8000-000000000000",
    ValueType.BINARY: base64.b64encode(b"bytes").decode(),
}
_JSON_LITERALS = {ValueType.INTEGER, ValueType.NUMBER, ValueType.BOOLEAN}
_IDENTIFIERS = ("xRoadInstance", "memberClass", "memberCode", "subsystemCode")


def rest_sample(operation: Operation) -> str:
    """A `curl` line through a consumer's node."""
    in_path = operation.path_parameters
    values = {field.name: _text(field) for field in operation.parameters}
    path = PATH_PARAMETER.sub(lambda match: quote(values[match[1]], safe=""), operation.path)
    query = urlencode(
        {f.name: values[f.name] for f in _needed(operation, in_path)}, quote_via=quote
    )
    address = f"{_NODE}/r1/{'/'.join(_PROVIDER)}/SERVICE{path}{'?' if query else ''}{query}"
    words = ["curl", "-H", f"X-Road-Client: {'/'.join(_CLIENT)}"]
    if operation.body is not None:
        words += ["-H", "Content-Type: application/json", "-d", _json(operation.body)]
    if operation.method is not (Method.GET if operation.body is None else Method.POST):
        words += ["-X", operation.method.value]
    return shlex.join([*words, address])


def _needed(operation: Operation, in_path: tuple[str, ...]) -> list[Field]:
    """The parameters of the query that a sample shows."""
    return [f for f in operation.parameters if f.name not in in_path and _shown(f)]


def _shown(field: Field) -> bool:
    return field.required or field.example is not None


def _json(record: Record) -> str:
    return msgspec.json.encode(_sample(record)).decode()


def _sample(shape: Shape, field: Field | None = None) -> object:
    """A value of a shape, as JSON has it."""
    match shape:
        case Record():
            return {one.name: _sample(one.shape, one) for one in shape.fields if _shown(one)}
        case ListOf():
            return [_sample(shape.item, field)]
        case Scalar():
            text = field.example if field is not None and field.example else _of_type(shape)
            return _literal(shape.type, text)
        case _:
            return "anything"


def _literal(kind: ValueType, text: str) -> object:
    """The text as JSON writes its type, where JSON has that type."""
    if kind not in _JSON_LITERALS:
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _of_type(shape: Scalar) -> str:
    return shape.choices[0] if shape.choices else _TEXTS[shape.type]


def _text(field: Field) -> str:
    shape = field.shape.item if isinstance(field.shape, ListOf) else field.shape
    if field.example is not None:
        return field.example
    return _of_type(shape) if isinstance(shape, Scalar) else "text"


def soap_sample(operation: Operation, service: SoapService) -> str:
    """A whole envelope, to be sent to a consumer's node."""
    nsmap = {"soapenv": SOAP_ENVELOPE, "xro": XROAD_NAMESPACE, "iden": IDENTIFIERS_NAMESPACE,
             "adp": service.namespace}  # fmt: skip
    envelope = etree.Element(f"{{{SOAP_ENVELOPE}}}Envelope", nsmap=nsmap)
    header = etree.SubElement(envelope, f"{{{SOAP_ENVELOPE}}}Header")
    name = xml_name(operation.name)
    _add_identifier(header, "client", "SUBSYSTEM", _CLIENT)
    version = (("serviceVersion", service.version),) if service.version else ()
    _add_identifier(header, "service", "SERVICE", _PROVIDER, (("serviceCode", name), *version))
    for field, text in (("id", "MESSAGE-ID"), ("userId", "OFFICIAL"), ("protocolVersion", "4.0")):
        etree.SubElement(header, f"{{{XROAD_NAMESPACE}}}{field}").text = text
    body = etree.SubElement(envelope, f"{{{SOAP_ENVELOPE}}}Body")
    wrapper = etree.SubElement(body, f"{{{service.namespace}}}{name}")
    inputs = Record(operation.inputs)
    write_record(inputs, _sample(inputs), wrapper, service.namespace)
    return etree.tostring(envelope, encoding="unicode", pretty_print=True)


def _add_identifier(
    header: etree._Element,
    name: str,
    kind: str,
    parts: tuple[str, ...],
    more: tuple[tuple[str, str], ...] = (),
) -> None:
    element = etree.SubElement(header, f"{{{XROAD_NAMESPACE}}}{name}")
    element.set(f"{{{IDENTIFIERS_NAMESPACE}}}objectType", kind)
    for tag, text in (*zip(_IDENTIFIERS, parts, strict=True), *more):
        etree.SubElement(element, f"{{{IDENTIFIERS_NAMESPACE}}}{tag}").text = text
