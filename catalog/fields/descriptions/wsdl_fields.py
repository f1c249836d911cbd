"""What a WSDL says of facts, by SAWSDL and a few attributes of our own.

* `sawsdl:modelReference` on an element of an answer, or on its type: the URI of the fact;
* `once:subject` on an element of a request: the URI of the kind of identifier by which it names
  whom the request is about; `once:default` on another one: its value when who asks gives none;
* `once:view` below an operation of the binding, with the attributes `name`, `source`, `rule`,
  `value` and `concept` as in a mapping file.

`once` stands for `urn:sacbe:once:1`. Schemas count as far as they stand in the WSDL.

Source: SAWSDL (W3C 2007) 2.1; XML Schema 1.0; docs/mapping.md.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from lxml import etree

from catalog.fields.descriptions.described import (
    DescribedEndpoint,
    DescribedParameter,
    Warnings,
)
from catalog.fields.descriptions.xsd_fields import SchemaSet, subject_scheme
from catalog.mapping import Place, Rule, View
from catalog.uris import ONCE_NAMESPACE, is_uri
from catalog.wsdl import (
    SOAP,
    WSDL,
    children,
    first_named,
    local_name,
    named,
    namespace_of,
    parse_tree,
    version_of,
)
from trust.ids import IDENTIFIERS_NAMESPACE, XROAD_NAMESPACE

_MAX_OPERATIONS = 1_000
_MAX_VIEWS = 500

OperationKey = tuple[str, str]  # code, and version or nothing


@dataclass(frozen=True, slots=True)
class DescribedWsdl:
    """The operations by code and version; an empty version is none."""

    operations: Mapping[OperationKey, DescribedEndpoint]
    warnings: tuple[str, ...]


def describe_wsdl(raw: bytes) -> DescribedWsdl:
    """What a WSDL says; raises MalformedMessage for what is no XML or beyond the bounds."""
    root = parse_tree(raw)
    warnings = Warnings()
    reader = _Reader(root, SchemaSet.of(root, warnings), warnings)
    return DescribedWsdl(dict(reader.operations()), tuple(warnings.texts))


class _Reader:
    def __init__(self, root: etree._Element, schemas: SchemaSet, warnings: Warnings) -> None:
        self._root = root
        self._schemas = schemas
        self._warnings = warnings
        self._messages = named(root, "message")
        self._port_types = named(root, "portType")

    def operations(self) -> Iterator[tuple[OperationKey, DescribedEndpoint]]:
        count = 0
        for binding in children(self._root, "binding"):
            if binding.find(f"{{{SOAP}}}binding") is None:
                continue
            port_type = self._port_types.get(local_name(binding.get("type", "")))
            abstract = {} if port_type is None else first_named(port_type, "operation")
            for bound in children(binding, "operation"):
                count += 1
                if count > _MAX_OPERATIONS:
                    self._warnings.add(f"more than {_MAX_OPERATIONS} operations: the rest is left")
                    return
                code = bound.get("name", "").strip()
                if code in abstract:
                    yield (code, version_of(bound)), self._operation(code, bound, abstract[code])

    def _operation(
        self, code: str, bound: etree._Element, abstract: etree._Element
    ) -> DescribedEndpoint:
        asked, answered = (self._element(abstract, way) for way in ("input", "output"))
        endpoint = DescribedEndpoint(open=True, views=tuple(self._views(code, bound)), loose=True)
        if asked is not None:
            schema = self._schemas.holder(asked)
            endpoint = replace(
                endpoint,
                namespace=schema.namespace,
                qualified=schema.qualified,
                parameters=tuple(self._parameters(asked)),
            )
        if answered is not None:
            fields = tuple(self._schemas.fields(answered))
            endpoint = replace(endpoint, fields=fields, open=False)
        return endpoint

    def _element(self, abstract: etree._Element, way: str) -> etree._Element | None:
        """The global element that is the body of a request or an answer."""
        given = abstract.find(f"{{{WSDL}}}{way}")
        message = (
            None if given is None else self._messages.get(local_name(given.get("message", "")))
        )
        parts = [] if message is None else list(children(message, "part"))
        bodies = [
            (namespace_of(part, part.get("element", "")), local_name(part.get("element", "")))
            for part in parts
        ]
        bodies = [one for one in bodies if one[0] not in (XROAD_NAMESPACE, IDENTIFIERS_NAMESPACE)]
        return self._schemas.element(*bodies[0]) if len(bodies) == 1 else None

    def _parameters(self, asked: etree._Element) -> Iterator[DescribedParameter]:
        """The elements of a request, those that hold others left out."""
        for described, element, required in self._schemas.walk(asked):
            if described.path.count("/") < 2 or self._schemas.has_parts(element):
                continue
            scheme = subject_scheme(element)
            if scheme and not is_uri(scheme):
                self._warnings.add(f"once:subject of '{described.path}' is no URI")
                scheme = ""
            default = element.get(f"{{{ONCE_NAMESPACE}}}default", element.get("default"))
            own = f"{{{ONCE_NAMESPACE}}}default" in element.attrib
            yield DescribedParameter(described.path, Place.BODY, required or own, default, scheme)

    def _views(self, code: str, bound: etree._Element) -> Iterator[View]:
        for index, element in enumerate(bound.iterchildren(f"{{{ONCE_NAMESPACE}}}view")):
            if index >= _MAX_VIEWS:
                return
            name, rule = element.get("name", ""), element.get("rule", "")
            concept = element.get("concept", "")
            if not name or rule not in list(Rule) or (concept and not is_uri(concept)):
                text = "has no name, a rule that is unknown, or a concept that is no URI"
                self._warnings.add(f"{code}: a once:view {text}")
                continue
            yield View(
                name, element.get("source", ""), Rule(rule), element.get("value", ""), concept
            )
