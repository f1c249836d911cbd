"""WSDL 1.1 as far as a node needs it: which services it describes, what is odd, whose address.

Nothing is imported and no schema is compiled: what a description says beyond its operations is for
those who read it. Oddities are warnings; only what is no WSDL at all is refused.

Source: messages.md 8.3; metadata.md 4; X-Road 7.8 WsdlParser.java, OverwriteAttributeFilter.java.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from lxml import etree

from catalog.services import RESERVED_CODES
from trust.errors import MalformedMessage
from trust.ids import IDENTIFIERS_NAMESPACE, XROAD_NAMESPACE
from trust.xmlbytes import parse_xml

MAX_BYTES = 10 * 1024 * 1024
HIDDEN_ADDRESS = "http://example.org/xroad-endpoint"
_MAX_TAGS = 300_000
_MAX_EQUALS = 600_000
_MAX_OPERATIONS = 5_000  # of the description, and of one binding
_MAX_OFFERED = 50_000  # operations of all ports, those of a binding once for each of its ports
_MAX_WARNINGS = 50

WSDL = "http://schemas.xmlsoap.org/wsdl/"
SOAP = "http://schemas.xmlsoap.org/wsdl/soap/"
_SOAP12 = "http://schemas.xmlsoap.org/wsdl/soap12/"
_HTTP = "http://schemas.xmlsoap.org/soap/http"
_XROAD_HEADERS = ("client", "service", "id", "protocolVersion")


@dataclass(frozen=True, slots=True)
class Operation:
    """One service of a description: an operation in a binding of SOAP 1.1 over HTTP."""

    code: str
    version: str | None
    title: str
    address: str  # empty when its port has none


@dataclass(frozen=True, slots=True)
class WsdlDescription:
    operations: tuple[Operation, ...]
    warnings: tuple[str, ...]


def parse_wsdl(raw: bytes) -> WsdlDescription:
    """Read the operations; raises MalformedMessage (`invalid_xml`) for what is no WSDL 1.1."""
    root = parse_tree(raw)
    if root.tag != f"{{{WSDL}}}definitions":
        raise MalformedMessage("WSDL does not begin with wsdl:definitions", "invalid_xml")
    return _Reader(root).read()


def hide_addresses(raw: bytes, address: str = HIDDEN_ADDRESS) -> bytes:
    """The description as others get it: every SOAP 1.1 address replaced, in UTF-8.

    Comments stay; addresses of SOAP 1.2 are not touched. Raises MalformedMessage (`invalid_xml`).
    """
    root = parse_tree(raw)
    for element in root.iter(f"{{{SOAP}}}address"):
        if "location" in element.attrib:
            element.set("location", address)
    body = etree.tostring(root.getroottree(), encoding="UTF-8", xml_declaration=False)
    return b'<?xml version="1.0" encoding="UTF-8"?>' + body


def parse_tree(raw: bytes) -> etree._Element:
    """The root of a description, bounded; raises MalformedMessage (`invalid_xml`)."""
    return parse_xml(
        raw, max_bytes=MAX_BYTES, max_tags=_MAX_TAGS, max_equals=_MAX_EQUALS, what="WSDL"
    )


@dataclass(frozen=True, slots=True)
class _Binding:
    """A binding, read once however many ports have it.

    Attributes:
        operations: without addresses; None where it is none of SOAP 1.1 over HTTP.
    """

    operations: tuple[Operation, ...] | None


class _Reader:
    """Follows service, port, binding and port type, and remembers what is odd on the way."""

    def __init__(self, root: etree._Element) -> None:
        self._root = root
        self._bindings = named(root, "binding")
        self._port_types = named(root, "portType")
        self._messages = {
            name: first_named(message, "part") for name, message in named(root, "message").items()
        }
        self._wrappers: dict[str, str | None] = {}
        self._read: dict[str, _Binding] = {}
        self._offered = 0
        self._operations: dict[tuple[str, str], Operation] = {}
        self._only_soap12: set[str] = set()
        self._warnings: dict[str, None] = {}  # each once, in order

    def read(self) -> WsdlDescription:
        for element in children(self._root, "import"):
            location = element.get("location") or element.get("namespace") or ""
            self._warn(f"the import of '{location}' is not followed")
        for service in children(self._root, "service"):
            for port in children(service, "port"):
                self._port(port)
        self._judge_whole()
        return WsdlDescription(tuple(self._operations.values()), tuple(self._warnings))

    def _warn(self, text: str) -> None:
        if len(self._warnings) < _MAX_WARNINGS:
            self._warnings.setdefault(text[:500], None)

    def _port(self, port: etree._Element) -> None:
        name, bound = port.get("name", ""), local_name(port.get("binding", ""))
        if bound not in self._bindings:
            self._warn(f"port '{name}': there is no binding '{port.get('binding', '')}'")
            return
        binding = self._read.get(bound)
        if binding is None:
            binding = self._read[bound] = self._binding(self._bindings[bound])
        if binding.operations is None:
            return
        address = port.find(f"{{{SOAP}}}address")
        location = "" if address is None else address.get("location", "").strip()
        if not _is_http(location):
            self._warn(f"port '{name}' has no http or https address, but '{location:.200}'")
        self._offered += len(binding.operations)
        if self._offered > _MAX_OFFERED:
            self._warn(f"its ports have more than {_MAX_OFFERED} operations: the rest is left out")
            return
        for operation in binding.operations:
            self._offer(replace(operation, address=location))

    def _offer(self, found: Operation) -> None:
        key = (found.code, found.version or "")
        if key not in self._operations and len(self._operations) >= _MAX_OPERATIONS:
            self._warn(f"there are more than {_MAX_OPERATIONS} operations: the rest is left out")
            return
        if key in self._operations and self._operations[key] != found:
            said = found.code if found.version is None else f"{found.code}.{found.version}"
            self._warn(f"operation '{said}' stands there twice; the last one counts")
        self._operations[key] = found

    def _binding(self, binding: etree._Element) -> _Binding:
        soap = binding.find(f"{{{SOAP}}}binding")
        if soap is None:
            if binding.find(f"{{{_SOAP12}}}binding") is not None:
                self._only_soap12.update(
                    operation.get("name", "") for operation in children(binding, "operation")
                )
            return _Binding(None)
        if soap.get("transport") != _HTTP:
            self._warn(f"binding '{binding.get('name', '')}' is not for HTTP: left out")
            return _Binding(None)
        port_type = self._port_types.get(local_name(binding.get("type", "")))
        if port_type is None:
            self._warn(
                f"binding '{binding.get('name', '')}': there is no port type"
                f" '{binding.get('type', '')}'"
            )
        declared = None if port_type is None else first_named(port_type, "operation")
        found: list[Operation] = []
        for operation in children(binding, "operation"):
            if len(found) >= _MAX_OPERATIONS:
                self._warn(f"a binding has more than {_MAX_OPERATIONS} operations: the rest is cut")
                break
            found += self._operation(operation, declared, soap.get("style", "document"))
        return _Binding(tuple(found))

    def _operation(
        self,
        bound: etree._Element,
        declared: dict[str, etree._Element] | None,
        style: str,
    ) -> Iterator[Operation]:
        """The operation, unless it has no name."""
        code = bound.get("name", "").strip()
        if not code:
            self._warn("an operation has no name: left out")
            return
        abstract = None if declared is None else declared.get(code)
        if declared is not None and abstract is None:
            self._warn(f"operation '{code}' is bound and not in its port type")
        found = Operation(code, version_of(bound) or None, _title(abstract), "")
        self._judge(bound, abstract, found, style)
        yield found

    def _judge(
        self, bound: etree._Element, abstract: etree._Element | None, found: Operation, style: str
    ) -> None:
        code = found.code
        if found.version is None:
            self._warn(f"operation '{code}' has no xrd:version")
        if code in RESERVED_CODES:
            self._warn(f"operation '{code}' has a code that the node itself answers")
        own = bound.find(f"{{{SOAP}}}operation")
        if (own.get("style") if own is not None else None) == "rpc" or style == "rpc":
            self._warn(f"operation '{code}' is in RPC style; document/literal is the norm")
        for body in bound.iter(f"{{{SOAP}}}body"):
            if body.get("use") == "encoded":
                self._warn(f"operation '{code}' is SOAP encoded; document/literal is the norm")
        missing = self._missing_headers(bound)
        if missing:
            self._warn(f"operation '{code}': its input has no header {', '.join(missing)}")
        wrapper = self._wrapper(abstract)
        if wrapper is not None and not wrapper.startswith(code):
            self._warn(f"operation '{code}' takes an element '{wrapper}', which no node lets pass")

    def _missing_headers(self, bound: etree._Element) -> list[str]:
        declared = set()
        for header in bound.iterfind(f"{{{WSDL}}}input//{{{SOAP}}}header"):
            parts = self._messages.get(local_name(header.get("message", "")), {})
            part = parts.get(header.get("part", ""))
            if part is not None:
                declared.add(local_name(part.get("element", "")))
        return [name for name in _XROAD_HEADERS if name not in declared]

    def _wrapper(self, abstract: etree._Element | None) -> str | None:
        """The local name of the element that a request's body holds, where the WSDL says it."""
        if abstract is None:
            return None
        given = abstract.find(f"{{{WSDL}}}input")
        name = "" if given is None else local_name(given.get("message", ""))
        if name not in self._wrappers:
            self._wrappers[name] = self._wrapper_of(name)
        return self._wrappers[name]

    def _wrapper_of(self, message: str) -> str | None:
        elements = [
            local_name(part.get("element", ""))
            for part in self._messages.get(message, {}).values()
            if namespace_of(part, part.get("element", ""))
            not in (XROAD_NAMESPACE, IDENTIFIERS_NAMESPACE)
        ]
        return elements[0] if len(elements) == 1 and elements[0] else None

    def _judge_whole(self) -> None:
        codes = {code for code, _ in self._operations}
        for code in sorted(self._only_soap12 - codes):
            self._warn(f"operation '{code}' is bound to SOAP 1.2 only, which nodes do not carry")
        if not self._operations:
            self._warn("there is no operation with a binding of SOAP 1.1 over HTTP")


# --- what others read of a description, too ------------------------------------------------------


def children(parent: etree._Element, name: str) -> Iterator[etree._Element]:
    return parent.iterchildren(f"{{{WSDL}}}{name}")


def named(parent: etree._Element, name: str) -> dict[str, etree._Element]:
    return {child.get("name", ""): child for child in children(parent, name)}


def first_named(parent: etree._Element, name: str) -> dict[str, etree._Element]:
    """The children by their names, the first of each."""
    found: dict[str, etree._Element] = {}
    for child in children(parent, name):
        found.setdefault(child.get("name", ""), child)
    return found


def local_name(qualified: str) -> str:
    return qualified.strip().rpartition(":")[2]


def namespace_of(element: etree._Element, qualified: str) -> str:
    prefix, separator, _ = qualified.strip().rpartition(":")
    return element.nsmap.get(prefix if separator else None) or ""


def version_of(bound: etree._Element) -> str:
    """The text of `version` among the extensions of a bound operation, in any namespace."""
    for child in bound.iterchildren(tag=etree.Element):
        name = etree.QName(child)
        if name.localname == "version" and name.namespace != WSDL:
            return (child.text or "").strip()
    return ""


def _title(abstract: etree._Element | None) -> str:
    documentation = None if abstract is None else abstract.find(f"{{{WSDL}}}documentation")
    if documentation is None:
        return ""
    for child in documentation.iterchildren(tag=etree.Element):
        if etree.QName(child).localname == "title":
            return (child.text or "").strip()[:1000]
    return ""


def _is_http(location: str) -> bool:
    try:
        parts = urlsplit(location)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
