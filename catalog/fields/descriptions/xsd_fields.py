"""The elements of a SOAP message, out of the schemas that stand in a WSDL.

Local names are what counts; attributes are none of it. Types may refer to themselves: the way ends
where one begins anew, and all looking is bounded.

Source: XML Schema 1.0 part 1; SAWSDL (W3C 2007) 2.1.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lxml import etree

from catalog.fields.descriptions.described import (
    MAX_DEPTH,
    Budget,
    DescribedField,
    Warnings,
)
from catalog.fields.paths import MAX_PATH
from catalog.meaning.vocabulary import FactType
from catalog.uris import ONCE_NAMESPACE, is_uri
from catalog.wsdl import children, local_name, namespace_of

XS = "http://www.w3.org/2001/XMLSchema"
_REFERENCE = "{http://www.w3.org/ns/sawsdl}modelReference"
_WHOLE = (
    "integer", "int", "long", "short", "byte", "nonNegativeInteger", "positiveInteger",
    "nonPositiveInteger", "negativeInteger", "unsignedInt", "unsignedLong", "unsignedShort",
    "unsignedByte",
)  # fmt: skip
_BUILT_IN: Mapping[str, FactType | None] = {
    "date": FactType.DATE,
    "dateTime": FactType.DATETIME,
    "boolean": FactType.BOOLEAN,
    **dict.fromkeys(("decimal", "double", "float"), FactType.NUMBER),
    **dict.fromkeys(_WHOLE, FactType.INTEGER),
    **dict.fromkeys(("anyType", "anySimpleType"), None),
}
_MAX_BASES = 20  # of a simple type

Name = tuple[str, str]  # namespace, local name
_Trail = frozenset[Name | etree._Element]  # types and groups, nameless types by their elements


@dataclass(frozen=True, slots=True)
class Schema:
    namespace: str
    qualified: bool


@dataclass(slots=True)
class SchemaSet:
    """All global parts of the schemas of one WSDL, by kind and name."""

    warnings: Warnings
    parts: dict[str, dict[Name, etree._Element]]
    budget: Budget = field(default_factory=Budget)

    @classmethod
    def of(cls, root: etree._Element, warnings: Warnings) -> "SchemaSet":
        kinds = ("element", "complexType", "simpleType", "group")
        parts: dict[str, dict[Name, etree._Element]] = {kind: {} for kind in kinds}
        for types in children(root, "types"):
            for schema in types.iterchildren(f"{{{XS}}}schema"):
                namespace = schema.get("targetNamespace", "")
                for kind in kinds:
                    for part in schema.iterchildren(f"{{{XS}}}{kind}"):
                        parts[kind].setdefault((namespace, part.get("name", "")), part)
        return cls(warnings, parts)

    def element(self, namespace: str, name: str) -> etree._Element | None:
        """A global element."""
        return self.parts["element"].get((namespace, name))

    def holder(self, element: etree._Element) -> Schema:
        """The schema that a part stands in."""
        schema = next(element.iterancestors(f"{{{XS}}}schema"))
        qualified = schema.get("elementFormDefault") == "qualified"
        return Schema(schema.get("targetNamespace", ""), qualified)

    def fields(self, element: etree._Element) -> Iterator[DescribedField]:
        """The element itself and all below it."""
        return (described for described, _, _ in self.walk(element))

    def walk(
        self, element: etree._Element
    ) -> Iterator[tuple[DescribedField, etree._Element, bool]]:
        """Every element of a message with its declaration and whether it must be there."""
        return self._walk(element, "", True, frozenset())

    def has_parts(self, element: etree._Element) -> bool:
        return self._content(element) is not None

    def _walk(
        self, declared: etree._Element, above: str, required: bool, trail: _Trail
    ) -> Iterator[tuple[DescribedField, etree._Element, bool]]:
        element, trail = self._meant(declared, trail)
        path = f"{above}/{element.get('name', '')}"
        if len(path) > MAX_PATH or not self.budget.take():
            self.warnings.add("the description holds too much: the rest is left out")
            return
        content, circular = self._content(element), False
        name = self._type_name(element)
        if content is not None and name in trail:
            circular = True
        inner = trail if content is None else trail | {name}
        parts = [] if circular or content is None else list(self._parts(content, True, inner))
        is_open = circular or self._is_open(element, content)
        kind = FactType.RECORD if content is not None else self._type(element)
        yield DescribedField(path, kind, self._concept(element), is_open), element, required
        if path.count("/") > MAX_DEPTH:
            self.warnings.add("a message is nested too deep: the rest is left out")
            return
        seen = set()
        for part, needed, way in parts:
            meant = self._meant(part, way)[0].get("name", "")
            if meant not in seen and meant:
                seen.add(meant)
                yield from self._walk(part, path, required and needed, way)

    def _meant(self, element: etree._Element, trail: _Trail) -> tuple[etree._Element, _Trail]:
        """The element itself, or the global one that it refers to."""
        reference = element.get("ref")
        if reference is None:
            return element, trail
        name = (namespace_of(element, reference), local_name(reference))
        return self.parts["element"].get(name, element), trail

    def _type_name(self, element: etree._Element) -> Name | etree._Element:
        """What tells a type when it comes again: its name, or the element of a nameless one."""
        said = element.get("type")
        if said is not None:
            return namespace_of(element, said), local_name(said)
        return element

    def _content(self, element: etree._Element) -> etree._Element | None:
        """The complex type of an element that has elements in it; None for a single value."""
        said = element.get("type")
        if said is None:
            found = element.find(f"{{{XS}}}complexType")
        else:
            name = (namespace_of(element, said), local_name(said))
            found = self.parts["complexType"].get(name)
        if found is None or found.find(f"{{{XS}}}simpleContent") is not None:
            return None
        return found

    def _is_open(self, element: etree._Element, content: etree._Element | None) -> bool:
        if content is not None:
            return next(content.iter(f"{{{XS}}}any"), None) is not None
        return self._type(element) is None

    def _parts(
        self, holder: etree._Element, required: bool, trail: _Trail
    ) -> Iterator[tuple[etree._Element, bool, _Trail]]:
        """The elements in a type or group, those of its base first, with whether each must be."""
        if len(trail) > MAX_DEPTH * 4:
            return
        for child in holder.iterchildren(tag=etree.Element):
            if not self.budget.take():
                return
            kind = local_name(etree.QName(child).localname)
            needed = required and child.get("minOccurs") != "0"
            if kind == "element":
                yield child, needed, trail
            elif kind in ("sequence", "all", "complexContent", "restriction"):
                yield from self._parts(child, needed, trail)
            elif kind == "choice":
                yield from self._parts(child, False, trail)
            elif kind == "extension":
                yield from self._named(child, "complexType", child.get("base", ""), needed, trail)
                yield from self._parts(child, needed, trail)
            elif kind == "group" and child.get("ref"):
                yield from self._named(child, "group", child.get("ref", ""), needed, trail)

    def _named(
        self, at: etree._Element, kind: str, said: str, required: bool, trail: _Trail
    ) -> Iterator[tuple[etree._Element, bool, _Trail]]:
        name = (namespace_of(at, said), local_name(said))
        found = self.parts[kind].get(name)
        if found is not None and name not in trail:
            yield from self._parts(found, required, trail | {name})

    def _type(self, element: etree._Element) -> FactType | None:
        """The type of a single value; None when nothing is known."""
        at, said = element, element.get("type")
        for _ in range(_MAX_BASES):
            if said is None:
                inner = next(_bases(at), None)
                if inner is None:
                    return None
                at, said = inner, inner.get("base")
                continue
            name = (namespace_of(at, said), local_name(said))
            if name[0] == XS:
                return _BUILT_IN.get(name[1], FactType.TEXT)
            found = self.parts["simpleType"].get(name, self.parts["complexType"].get(name))
            if found is None:
                return None
            at, said = found, None
        return None

    def _concept(self, element: etree._Element) -> str:
        """The first meaning of an element, else of its type."""
        holders = [element]
        said = element.get("type")
        if said is not None:
            name = (namespace_of(element, said), local_name(said))
            types = (self.parts[kind].get(name) for kind in ("complexType", "simpleType"))
            holders += [one for one in types if one is not None]
        else:
            inner = (element.find(f"{{{XS}}}{kind}") for kind in ("complexType", "simpleType"))
            holders += [one for one in inner if one is not None]
        for holder in holders:
            words = holder.get(_REFERENCE, "").split()
            if words and is_uri(words[0]):
                return words[0]
            if words:
                self.warnings.add(f"modelReference of '{element.get('name', '')}' is no URI")
        return ""


def _bases(holder: etree._Element) -> Iterator[etree._Element]:
    """Where a type says what it is made of: restriction or extension, below a simple type."""
    for step in ("simpleType", "simpleContent"):
        for inner in holder.iterchildren(f"{{{XS}}}{step}"):
            yield from _bases(inner)
    for inner in holder.iterchildren(f"{{{XS}}}complexType"):
        yield from _bases(inner)
    for step in ("restriction", "extension"):
        yield from holder.iterchildren(f"{{{XS}}}{step}")


def subject_scheme(element: etree._Element) -> str:
    """The kind of identifier that an element of a request is said to hold; empty for none."""
    return element.get(f"{{{ONCE_NAMESPACE}}}subject", "").strip()
