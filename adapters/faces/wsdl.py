"""The adapter's description as a SOAP service: WSDL 1.1, document/literal, one file.

Everything that it needs stands in it, X-Road's header schema too, so that a client reads it without
the network.

Source: messages.md 3.1, 3.2, 8.3, 9.1; pr-mess_x-road_message_protocol.md, annex on WSDL.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from lxml import etree

from adapters.faces.xsd import SAWSDL, XS, declare_record, record_of, xml_name
from adapters.operations import Operation
from adapters.shapes import Record
from catalog.uris import ONCE_NAMESPACE
from trust.ids import XROAD_NAMESPACE

_WSDL = "http://schemas.xmlsoap.org/wsdl/"
_SOAP = "http://schemas.xmlsoap.org/wsdl/soap/"
_HTTP = "http://schemas.xmlsoap.org/soap/http"
_HEADER_MESSAGE = "requestheader"
HEADER_FIELDS = ("client", "service", "userId", "id", "protocolVersion")


@dataclass(frozen=True, slots=True)
class SoapService:
    """What a WSDL says of the service as a whole."""

    title: str
    namespace: str
    version: str  # of every operation, as service identifiers have it


def build_wsdl(
    service: SoapService,
    operations: Sequence[Operation],
    address: str,
    header_schemas: Iterable[etree._Element],
) -> bytes:
    """The description.

    Args:
        address: where the service is.
        header_schemas: X-Road's own, which are put in whole.
    """
    nsmap = {
        "wsdl": _WSDL, "soap": _SOAP, "xs": XS, "xrd": XROAD_NAMESPACE,
        "tns": service.namespace, "sawsdl": SAWSDL,
        "once": ONCE_NAMESPACE,
    }  # fmt: skip
    root = etree.Element(f"{{{_WSDL}}}definitions", nsmap=nsmap)
    root.set("name", "adapter")
    root.set("targetNamespace", service.namespace)
    types = _add(root, "types")
    for schema in header_schemas:
        types.append(schema)
    _add_schema(types, service.namespace, operations)
    _add_messages(root, operations)
    _add_port_type(root, operations)
    _add_binding(root, operations, service.version)
    port = _add(_add(root, "service", name="adapterService"), "port", name="adapterPort")
    port.set("binding", "tns:adapterBinding")
    etree.SubElement(port, f"{{{_SOAP}}}address", location=address)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _add(parent: etree._Element, tag: str, /, **attributes: str) -> etree._Element:
    element = etree.SubElement(parent, f"{{{_WSDL}}}{tag}")
    for name, value in attributes.items():
        element.set(name, value)
    return element


def _add_schema(types: etree._Element, namespace: str, operations: Sequence[Operation]) -> None:
    schema = etree.SubElement(types, f"{{{XS}}}schema", targetNamespace=namespace)
    schema.set("elementFormDefault", "qualified")
    for operation in operations:
        name = xml_name(operation.name)
        declare_record(schema, name, Record(operation.inputs))
        declare_record(schema, f"{name}Response", record_of(operation.answer))


def _add_messages(root: etree._Element, operations: Sequence[Operation]) -> None:
    header = _add(root, "message", name=_HEADER_MESSAGE)
    for field in HEADER_FIELDS:
        _add(header, "part", name=field, element=f"xrd:{field}")
    for operation in operations:
        for name in (xml_name(operation.name), f"{xml_name(operation.name)}Response"):
            _add(_add(root, "message", name=name), "part", name="body", element=f"tns:{name}")


def _add_port_type(root: etree._Element, operations: Sequence[Operation]) -> None:
    port_type = _add(root, "portType", name="adapterPortType")
    for operation in operations:
        name = xml_name(operation.name)
        added = _add(port_type, "operation", name=name)
        documentation = _add(added, "documentation")
        title = etree.SubElement(documentation, f"{{{XROAD_NAMESPACE}}}title")
        title.text = operation.summary or operation.name
        _add(added, "input", message=f"tns:{name}")
        _add(added, "output", message=f"tns:{name}Response")


def _add_binding(root: etree._Element, operations: Sequence[Operation], version: str) -> None:
    binding = _add(root, "binding", name="adapterBinding", type="tns:adapterPortType")
    etree.SubElement(binding, f"{{{_SOAP}}}binding", style="document", transport=_HTTP)
    for operation in operations:
        added = _add(binding, "operation", name=xml_name(operation.name))
        if version:
            etree.SubElement(added, f"{{{XROAD_NAMESPACE}}}version").text = version
        for view in operation.views:
            said = {key: str(value) for key, value in asdict(view).items() if value}
            etree.SubElement(added, f"{{{ONCE_NAMESPACE}}}view", said)
        etree.SubElement(added, f"{{{_SOAP}}}operation", soapAction="", style="document")
        for direction in ("input", "output"):
            _add_parts(_add(added, direction))


def _add_parts(direction: etree._Element) -> None:
    etree.SubElement(direction, f"{{{_SOAP}}}body", use="literal", parts="body")
    for field in HEADER_FIELDS:
        header = etree.SubElement(direction, f"{{{_SOAP}}}header", use="literal", part=field)
        header.set("message", f"tns:{_HEADER_MESSAGE}")
