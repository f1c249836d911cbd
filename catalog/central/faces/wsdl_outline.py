"""The outline of a WSDL: its operations, and the elements of their messages.

Schemas are read as far as they stand in the document itself: elements, sequences and types that
name each other. Whatever is more than that is left to those who read the WSDL.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lxml import etree

from catalog.central.entries import CatalogService
from catalog.central.faces.outline import (
    MAX_DEPTH,
    MAX_ROWS,
    AnswerOutline,
    OperationOutline,
    Outline,
    Row,
)
from catalog.wsdl import MAX_BYTES, parse_wsdl
from trust.xmlbytes import parse_xml

_WSDL = "{http://schemas.xmlsoap.org/wsdl/}"
_XSD = "{http://www.w3.org/2001/XMLSchema}"
_MAX_STEPS = 5_000  # elements of schemas that are looked at


def wsdl_outline(raw: bytes, service: CatalogService) -> Outline:
    """Read a WSDL; raises MalformedMessage.

    Of all its operations the one of the service is told, or all when none has its name.
    """
    parsed = parse_wsdl(raw)
    root = parse_xml(raw, max_bytes=MAX_BYTES)  # its markup was counted
    own = [one for one in parsed.operations if one.code == service.id.service_code]
    fit = [one for one in own if one.version == service.id.service_version] or own
    reader = _Reader(root, service, _globals(root))
    named = dict.fromkeys((one.code, one.title) for one in fit or parsed.operations)
    operations = tuple(reader.operation(code, title) for code, title in list(named)[:50])
    return Outline("its WSDL", operations, len(named))


@dataclass(slots=True)
class _Reader:
    root: etree._Element
    service: CatalogService
    named: Mapping[tuple[str, str], etree._Element]
    steps: int = field(default=0)

    def operation(self, code: str, title: str) -> OperationOutline:
        found = next(
            (one for one in self.root.iterfind(f"{_WSDL}portType/{_WSDL}operation")
             if one.get("name") == code),
            None,
        )  # fmt: skip
        if found is None:
            return OperationOutline(code, title)
        return OperationOutline(
            code,
            title,
            _documentation(found, _WSDL),
            request=tuple(self._message(found.find(f"{_WSDL}input"), {})),
            answers=(
                AnswerOutline(
                    "", "", tuple(self._message(found.find(f"{_WSDL}output"), self._concepts()))
                ),
            ),
        )

    def _concepts(self) -> dict[str, str]:
        return {
            one.path: one.concept
            for endpoint in self.service.mapping.endpoints
            for one in endpoint.fields
            if one.concept
        }

    def _message(self, direction: etree._Element | None, concepts: dict[str, str]) -> list[Row]:
        rows: list[Row] = []
        if direction is None:
            return rows
        wanted = _local(direction.get("message", ""))
        for message in self.root.iterfind(f"{_WSDL}message"):
            if message.get("name") == wanted:
                for part in message.iterfind(f"{_WSDL}part"):
                    self._part(part, rows, concepts)
        return rows

    def _part(self, part: etree._Element, rows: list[Row], concepts: dict[str, str]) -> None:
        if element := part.get("element"):
            known = self._named("element", element)
            if known is not None:
                self._element(known, "", rows, concepts, 0)
        else:
            rows.append(Row(f"/{part.get('name', '')}", _local(part.get("type", ""))))

    def _element(
        self,
        element: etree._Element,
        path: str,
        rows: list[Row],
        concepts: dict[str, str],
        depth: int,
    ) -> None:
        """Add a row for an element, and for every element within it."""
        self.steps += 1
        if len(rows) >= MAX_ROWS or depth > MAX_DEPTH or self.steps > _MAX_STEPS:
            return
        known = element
        if reference := element.get("ref"):
            found = self._named("element", reference)
            known = element if found is None else found
        place = f"{path}/{known.get('name', '')}"
        kind = _local(known.get("type", ""))
        told = kind + (", repeated" if element.get("maxOccurs", "1") not in ("0", "1") else "")
        required = element.get("minOccurs", "1") != "0"
        text = _documentation(known, _XSD)
        rows.append(Row(place, told, required if path else None, text, concepts.get(place, "")))
        inside = known.find(f"{_XSD}complexType")
        if inside is None and kind:
            inside = self._named("complexType", kind)
        if inside is not None:
            for child in self._children(inside, depth):
                self._element(child, place, rows, concepts, depth + 1)

    def _children(self, inside: etree._Element, depth: int) -> Iterator[etree._Element]:
        """The elements of a type; those of the type that it extends first."""
        if depth > MAX_DEPTH:
            return
        for child in inside:
            if child.tag == f"{_XSD}element":
                yield child
            elif child.tag == f"{_XSD}extension":
                extended = self._named("complexType", child.get("base", ""))
                if extended is not None:
                    yield from self._children(extended, depth + 1)
                yield from self._children(child, depth + 1)
            elif child.tag in (
                f"{_XSD}sequence",
                f"{_XSD}all",
                f"{_XSD}choice",
                f"{_XSD}complexContent",
            ):
                yield from self._children(child, depth + 1)

    def _named(self, kind: str, name: str) -> etree._Element | None:
        """A global element or type by its local name."""
        return self.named.get((kind, _local(name)))


def _globals(root: etree._Element) -> Mapping[tuple[str, str], etree._Element]:
    """Global elements and types of all schemas, the first of those with one name."""
    found: dict[tuple[str, str], etree._Element] = {}
    for kind in ("element", "complexType"):
        for one in root.iterfind(f"{_WSDL}types/{_XSD}schema/{_XSD}{kind}"):
            found.setdefault((kind, one.get("name", "")), one)
    return found


def _local(qualified: str) -> str:
    return qualified.rpartition(":")[2]


def _documentation(element: etree._Element, namespace: str) -> str:
    inside = "documentation" if namespace == _WSDL else f"{_XSD}annotation/{_XSD}documentation"
    found = element.find(_WSDL + inside if namespace == _WSDL else inside)
    return "" if found is None else " ".join("".join(found.itertext()).split())
