"""Read a WSDL with everything that it imports: the one place that knows zeep.

zeep resolves the schemas; every document comes from the offline catalogue and has passed the strict
reader of XML before zeep sees it. What zeep does not keep (enumerations, encoded messages, versions
of X-Road services, documentation) is read from the same documents.

Messages are built and read by our own grammar and not by zeep, for zeep reads a value that does not
fit its type as an absent one, and an empty text too.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, cast
from urllib.parse import urljoin

import zeep.exceptions
from lxml import etree
from zeep import Settings
from zeep.transports import Transport
from zeep.wsdl import Document
from zeep.wsdl.bindings import Soap11Binding, Soap12Binding
from zeep.xsd import elements as xsd
from zeep.xsd import types as xsd_types
from zeep.xsd.elements.indicators import Indicator
from zeep.xsd.types import builtins

from adapters.soap.catalogue import BUILT_IN, BUILT_IN_URL, LOCAL, XML_NAMESPACE
from adapters.soap.content import (
    Anything,
    Attribute,
    Complex,
    Content,
    Element,
    Group,
    Order,
    Particle,
    Wildcard,
)
from adapters.soap.lexical import Simple
from adapters.soap.port import Description, SoapOperation
from trust.errors import MalformedMessage, StorageError
from trust.xmlbytes import parse_xml

MAX_DOCUMENTS = 200
MAX_TOTAL = 32 * 1024 * 1024  # bytes of all documents together
MAX_PARTS = 4000  # elements and attributes of one message, recursion unrolled
MAX_REPEATED = 2000  # groups inside one group, written out
MAX_SUMMARY = 500
_UNROLLED = (3, 2, 1)  # how often a type may contain itself; fewer when that gets too large
_XS = "http://www.w3.org/2001/XMLSchema"
_WSDL = "http://schemas.xmlsoap.org/wsdl/"
_SOAP_BINDINGS = (
    "http://schemas.xmlsoap.org/wsdl/soap/",
    "http://schemas.xmlsoap.org/wsdl/soap12/",
)
_XROAD = "http://x-road.eu/xsd/xroad.xsd"
_ARRAY_TYPE = "{http://schemas.xmlsoap.org/soap/encoding/}arrayType"

# What zeep raises for a description that is wrong; it checks little before it uses.
_ZEEP_ERRORS = (
    zeep.exceptions.Error,
    etree.LxmlError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)

logging.getLogger("zeep").setLevel(logging.ERROR)


class Documents(Protocol):
    """Where documents come from: an offline catalogue."""

    def has(self, url: str) -> bool: ...

    def read(self, url: str) -> bytes: ...


class DescriptionError(StorageError):
    """A WSDL that can't be used, in words for whoever runs the adapter."""


def read_description(
    documents: Documents, location: str, *, service: str = "", port: str = ""
) -> Description:
    """Read the description at an address of the catalogue, or raise DescriptionError.

    Args:
        service, port: names of the ones to use; empty: the only service, and its first port with
            SOAP 1.1, else with SOAP 1.2.
    """
    loader = _Loader(documents)
    try:
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")  # what zeep leaves out is missing below
            document = Document(location, cast("type[Transport]", loader), settings=_strict())
    except (DescriptionError, StorageError):
        raise
    except MalformedMessage as error:
        raise DescriptionError(f"the description can't be used: {error.text}") from error
    except _ZEEP_ERRORS as error:
        raise DescriptionError(f"the description can't be used: {_told(error)}") from error
    chosen = _choose(document, service, port)
    return _Reader(loader.trees).read(chosen)


def _strict() -> Settings:
    return Settings(
        strict=True, forbid_dtd=True, forbid_entities=True, xml_huge_tree=False, force_https=False
    )


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]


class _Loader:
    """What zeep takes for its transport: it reads from the catalogue and can do nothing else."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._read = 0
        self._bytes = 0
        self.trees: list[etree._Element] = []

    def load(self, url: str) -> bytes:
        self._read += 1
        if self._read > MAX_DOCUMENTS:
            raise DescriptionError(f"the description imports more than {MAX_DOCUMENTS} documents")
        if url in BUILT_IN and not self._documents.has(url):
            url = BUILT_IN_URL + BUILT_IN[url]  # zeep asks for some schemas by their namespace
        data = self._documents.read(url)
        self._bytes += len(data)
        if self._bytes > MAX_TOTAL:
            raise DescriptionError(f"the description is larger than {MAX_TOTAL} bytes")
        try:
            root = parse_xml(data, what=f"'{url.removeprefix(LOCAL)[-100:]}'")
        except MalformedMessage as error:
            raise DescriptionError(error.text) from error
        self._supply(root, url)
        self.trees.append(root)
        _check_groups(self.trees)
        return etree.tostring(root, encoding="utf-8")

    def _supply(self, root: etree._Element, url: str) -> None:
        """Point imports of well-known schemas to ours where the catalogue does not have them."""
        for node in root.iter(f"{{{_XS}}}import"):
            name = BUILT_IN.get(node.get("namespace", ""))
            location = node.get("schemaLocation")
            if name and not (location and self._documents.has(urljoin(url, location))):
                node.set("schemaLocation", BUILT_IN_URL + name)
        for schema in root.iter(f"{{{_XS}}}schema"):
            if _lacks_xml_import(schema):
                built_in = BUILT_IN_URL + BUILT_IN[XML_NAMESPACE]
                schema.insert(
                    0,
                    schema.makeelement(
                        f"{{{_XS}}}import", namespace=XML_NAMESPACE, schemaLocation=built_in
                    ),
                )


def _lacks_xml_import(schema: etree._Element) -> bool:
    """Whether a schema uses `xml:lang` or the like without importing what declares it."""
    used = any(
        (node.get("ref") or "").startswith("xml:") for node in schema.iter(f"{{{_XS}}}attribute")
    )
    imported = (node.get("namespace") for node in schema.iterfind(f"{{{_XS}}}import"))
    return used and XML_NAMESPACE not in imported


def _check_groups(trees: list[etree._Element]) -> None:
    """Refuse groups that contain each other so often that zeep would never be done."""
    for kind in ("group", "attributeGroup"):
        tag = f"{{{_XS}}}{kind}"
        inside = {
            node.get("name", ""): [_unprefixed(one.get("ref")) for one in node.iter(tag)][1:]
            for tree in trees
            for node in tree.iter(tag)
            if node.get("name")
        }
        sizes: dict[str, int] = {}
        try:
            largest = max((_size(name, inside, sizes) for name in inside), default=0)
        except RecursionError:
            raise DescriptionError("the groups in it are nested too deeply") from None
        if largest > MAX_REPEATED:
            raise DescriptionError(f"groups in it are repeated more than {MAX_REPEATED} times")


def _size(name: str, inside: Mapping[str, list[str]], sizes: dict[str, int]) -> int:
    """How many groups one stands for; one that contains itself counts once."""
    if name not in sizes:
        sizes[name] = 1
        sizes[name] += sum(_size(one, inside, sizes) for one in inside.get(name, ()))
    return sizes[name]


def _unprefixed(name: str | None) -> str:
    return (name or "").rpartition(":")[2]


@dataclass(frozen=True, slots=True)
class _Port:
    binding: Soap11Binding | Soap12Binding
    address: str


def _choose(document: Document, service: str, port: str) -> _Port:
    services = {name.rpartition("}")[2]: found for name, found in document.services.items()}
    if service and service not in services:
        raise DescriptionError(f"the description has no service '{service}'{_known(services)}")
    if not service and len(services) != 1:
        raise DescriptionError(
            f"the description has {len(services)} services, so 'service' must name one"
            + _known(services)
        )
    found = services[service] if service else next(iter(services.values()))
    ports = {
        name: candidate
        for name, candidate in found.ports.items()
        if isinstance(candidate.binding, Soap11Binding | Soap12Binding)
    }
    if not ports or (port and port not in ports):
        wanted = f"no port '{port}' for SOAP" if port else "no port for SOAP over HTTP"
        raise DescriptionError(f"service '{found.name}' has {wanted}{_known(ports)}")
    by_age = sorted(ports.values(), key=lambda p: isinstance(p.binding, Soap12Binding))
    chosen = ports[port] if port else by_age[0]
    address = (chosen.binding_options or {}).get("address") or ""
    return _Port(chosen.binding, str(address))


def _known(names: Mapping[str, object]) -> str:
    return f"; it has {', '.join(names)}"[:300] if names else ""


class _Reader:
    """Turns what zeep resolved into our own grammar."""

    def __init__(self, trees: list[etree._Element]) -> None:
        self._trees = trees
        self._choices = dict(_enumerations(trees))
        self._optional_choices = set(_optional_in_choices(trees))
        self._notes = _notes_of(trees)

    def read(self, port: _Port) -> Description:
        operations: list[SoapOperation] = []
        refused: list[tuple[str, str]] = []
        for name, found in port.binding.all().items():
            try:
                operations.append(self._operation(port.binding, str(name), found))
            except DescriptionError as error:
                refused.append((str(name), str(error)))
            except _ZEEP_ERRORS as error:
                refused.append((str(name), _told(error)))
        resolved = {str(name) for name in port.binding.all()}
        refused += [
            (name, "its messages can't be resolved")
            for name in _declared(self._trees, port.binding.name.localname)
            if name not in resolved
        ]
        soap12 = isinstance(port.binding, Soap12Binding)
        return Description(port.address, soap12, tuple(operations), tuple(refused))

    def _operation(self, binding: object, name: str, found: object) -> SoapOperation:
        notes = self._notes.get(name, _Notes())
        if notes.encoded:
            raise DescriptionError("its messages are SOAP-encoded; only literal ones are spoken")
        style = getattr(found, "style", "")
        return SoapOperation(
            name=name,
            action=str(getattr(found, "soapaction", None) or ""),
            request=self._message(getattr(found, "input", None)),
            answer=self._message(getattr(found, "output", None)),
            any_answer_name=style == "rpc",
            summary=notes.summary,
            xroad_version=notes.xroad_version,
        )

    def _message(self, message: object) -> Element | None:
        body = getattr(message, "body", None)
        if body is None:
            return None
        if getattr(message, "_is_body_wrapped", False):
            raise DescriptionError("a message has several elements in its body")
        for unrolled in _UNROLLED:
            try:
                return _Builder(self._choices, self._optional_choices, unrolled).top(body)
            except _TooLarge:
                continue
        raise DescriptionError(f"a message has more than {MAX_PARTS} elements and attributes")


class _TooLarge(Exception):
    """A grammar has more parts than anybody reads."""


class _Builder:
    """Builds the grammar of one message, as a tree."""

    def __init__(
        self, choices: dict[str, tuple[str, ...]], optional_choices: set[str], unrolled: int
    ) -> None:
        self._choices = choices
        self._optional_choices = optional_choices
        self._unrolled = unrolled
        self._open: list[object] = []  # the complex types around the one that is built
        self._parts = 0

    def top(self, element: xsd.Element) -> Element:
        """The element in the body; nobody says how often it stands there."""
        return Element(_tag(element), element.qname.localname, self._content(element.type))

    def _content(self, type_: object) -> Content:
        resolved = type_.resolve() if isinstance(type_, xsd_types.Type) else type_
        if isinstance(resolved, xsd_types.ComplexType):
            return self._complex(resolved)
        if isinstance(resolved, xsd_types.AnySimpleType):
            return self._simple(resolved)
        return Anything()

    def _simple(self, type_: xsd_types.AnySimpleType) -> Simple:
        if isinstance(type_, xsd_types.ListType):
            inner = self._simple(type_.item_type)
            return Simple(inner.name, inner.choices, listed=True)
        if isinstance(type_, xsd_types.UnionType):
            return Simple()
        name = next(
            (
                cls._default_qname.localname
                for cls in type(type_).__mro__
                if issubclass(cls, builtins.BuiltinType) and cls.__module__ == builtins.__name__
            ),
            "string",
        )
        return Simple(name, self._choices.get(str(type_.qname), ()))

    def _complex(self, type_: xsd_types.ComplexType) -> Content:
        if self._open.count(type_.qname) >= self._unrolled or _is_array(type_):
            return Anything()
        self._open.append(type_.qname)
        try:
            return self._open_complex(type_)
        finally:
            self._open.pop()

    def _open_complex(self, type_: xsd_types.ComplexType) -> Complex:
        names: set[str] = set()
        particle: Particle | None = None
        text: Simple | None = None
        inner = type_._element
        if isinstance(inner, xsd.Element) and isinstance(inner.type, xsd_types.AnySimpleType):
            text = self._simple(inner.type)
            names.add("value")
        elif inner:
            particle = self._particle(inner, names)
        attributes: list[Attribute] = []
        others: str | None = None
        for _, found in type_.attributes:
            self._count()
            if found.qname is None if isinstance(found, xsd.Attribute) else True:
                others = others or _unique("other_attributes", names)
                continue
            attributes.append(
                Attribute(
                    _tag(found),
                    _unique(found.qname.localname, names, "_attribute"),
                    self._attribute_type(found.type),
                    bool(found.required),
                )
            )
        named = str(type_.qname) if type_.is_global and type_.qname is not None else ""
        return Complex(particle, tuple(attributes), text, other_attributes=others, type_name=named)

    def _attribute_type(self, type_: object) -> Simple:
        content = self._content(type_)
        return content if isinstance(content, Simple) else Simple()

    def _particle(self, found: object, names: set[str], *, in_choice: bool = False) -> Particle:
        self._count()
        match found:
            case xsd.Any():
                field = _unique("other_elements", names)
                return Wildcard(field, int(found.min_occurs), _most(found))
            case xsd.Element():
                return self._element(found, names, in_choice=in_choice)
            case xsd.Group():
                return self._group(found, Order.SEQUENCE, [found.child], names)
            case xsd.Choice():
                return self._group(found, Order.CHOICE, list(found), names)
            case xsd.All():
                return self._group(found, Order.ALL, list(found), names)
            case xsd.Sequence():
                return self._group(found, Order.SEQUENCE, list(found), names)
        raise DescriptionError(f"a type has a part of an unknown kind, {type(found).__name__}")

    def _element(self, found: xsd.Element, names: set[str], *, in_choice: bool) -> Element:
        name = found.qname.localname
        least = int(found.min_occurs)
        if in_choice and name not in self._optional_choices:
            least = 1  # zeep writes 0 for every element of a choice
        return Element(
            _tag(found),
            _unique(name, names),
            self._content(found.type),
            least,
            _most(found),
            bool(found.nillable),
        )

    def _group(self, found: Indicator, order: Order, parts: list[object], names: set[str]) -> Group:
        most = _most(found)
        field = None if most == 1 else _unique("items", names)
        inner = names if most == 1 else set()
        choice = order is Order.CHOICE
        built = tuple(self._particle(part, inner, in_choice=choice) for part in parts)
        return Group(order, built, int(found.min_occurs), most, field)

    def _count(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise _TooLarge


def _tag(found: xsd.Element) -> str:
    return str(found.qname.text)


def _most(found: object) -> int | None:
    most = getattr(found, "max_occurs", 1)
    return None if most == "unbounded" else int(most)


def _is_array(type_: xsd_types.ComplexType) -> bool:
    return any(
        found.qname is not None and found.qname.text == _ARRAY_TYPE
        for _, found in type_.attributes
        if isinstance(found, xsd.Attribute)
    )


def _unique(name: str, names: set[str], suffix: str = "") -> str:
    """A name that no other field of the record has, and remember it."""
    found = name if name not in names or not suffix else name + suffix
    number = 2
    while found in names:
        found = f"{name}{suffix}_{number}"
        number += 1
    names.add(found)
    return found


# What zeep does not keep, read from the documents themselves.


@dataclass(frozen=True, slots=True)
class _Notes:
    encoded: bool = False
    summary: str = ""
    xroad_version: str = ""


def _declared(trees: list[etree._Element], binding: str) -> Iterator[str]:
    """The names of a binding's operations; zeep leaves out what it can't resolve."""
    for tree in trees:
        for node in tree.iter(f"{{{_WSDL}}}binding"):
            if node.get("name") == binding:
                yield from (one.get("name", "") for one in node.iter(f"{{{_WSDL}}}operation"))


def _enumerations(trees: list[etree._Element]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The values of simple types by the name that zeep gives them.

    An anonymous type has the name of its element; where two types of one name have other values,
    neither is enumerated, for it is not known which is meant.
    """
    found: dict[str, set[tuple[str, ...]]] = {}
    for tree in trees:
        for node in tree.iter(f"{{{_XS}}}simpleType"):
            parent = node.getparent()
            name = node.get("name") or (parent.get("name") if parent is not None else None)
            values = node.findall(f"{{{_XS}}}restriction/{{{_XS}}}enumeration")
            if name:
                listed = tuple(value.get("value", "") for value in values)
                found.setdefault(f"{{{_namespace(node)}}}{name}", set()).add(listed)
    for key, variants in found.items():
        (values_of_one, *others) = variants
        if values_of_one and not others:
            yield key, values_of_one


def _namespace(node: etree._Element) -> str:
    """The target namespace of the schema around a node."""
    schema = next(node.iterancestors(f"{{{_XS}}}schema"), None)
    return "" if schema is None else schema.get("targetNamespace", "")


def _optional_in_choices(trees: list[etree._Element]) -> Iterator[str]:
    """Names of elements that need not be there although they are chosen."""
    for tree in trees:
        for node in tree.iter(f"{{{_XS}}}element"):
            parent = node.getparent()
            in_choice = parent is not None and parent.tag == f"{{{_XS}}}choice"
            name = node.get("name") or node.get("ref") or ""
            if in_choice and node.get("minOccurs") == "0":
                yield name.rpartition(":")[2]


def _notes_of(trees: list[etree._Element]) -> dict[str, _Notes]:
    """What the documents say beside the types, by the names of operations."""
    encoded: set[str] = set()
    versions: dict[str, str] = {}
    summaries: dict[str, str] = {}
    for tree in trees:
        for node in tree.iter(f"{{{_WSDL}}}operation"):
            name = node.get("name", "")
            for namespace in _SOAP_BINDINGS:
                if any(b.get("use") == "encoded" for b in node.iter(f"{{{namespace}}}body")):
                    encoded.add(name)
            version = node.findtext(f"{{{_XROAD}}}version")
            if version and version.strip():
                versions[name] = version.strip()
            text = " ".join((_documentation(node) or "").split())
            if text:
                summaries.setdefault(name, text[:MAX_SUMMARY])
    return {
        name: _Notes(name in encoded, summaries.get(name, ""), versions.get(name, ""))
        for name in encoded | set(versions) | set(summaries)
    }


def _documentation(node: etree._Element) -> str | None:
    """The title of X-Road's descriptions, else the plain documentation."""
    inside = node.find(f"{{{_WSDL}}}documentation")
    if inside is None:
        return None
    title = inside.findtext(f"{{{_XROAD}}}title")
    return title or "".join(inside.itertext())
