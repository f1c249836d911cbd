"""What monitoring services are asked: the bodies of their requests, judged.

X-Road's daemon reads a body that breaks the schema as far as it can; we refuse it.
Source: monitoring.md 4, 5, 6; X-Road 7.8 op-monitoring.xsd, monitoring.xsd,
OperationalDataRequestHandler.java.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lxml import etree

from node.messages.soap import SoapMessage
from node.messages.soap_answer import request_body
from node.monitoring.record import OUTPUT_FIELDS
from trust.errors import ExchangeError, MalformedMessage
from trust.ids import IDENTIFIERS_NAMESPACE, ClientId

OPERATIONAL_NAMESPACE = "http://x-road.eu/xsd/op-monitoring.xsd"
ENVIRONMENT_NAMESPACE = "http://x-road.eu/xsd/monitoring"
OPERATIONAL_DATA = "getSecurityServerOperationalData"
HEALTH_DATA = "getSecurityServerHealthData"
METRICS = "getSecurityServerMetrics"

_LONG = re.compile(r"[+-]?[0-9]{1,30}")
_LARGEST = 2**63 - 1
_BLANKS = " \t\r\n"
_OBJECT_TYPE = f"{{{IDENTIFIERS_NAMESPACE}}}objectType"
_MEMBER_PARTS = ("xRoadInstance", "memberClass", "memberCode")


class InvalidQuery(ExchangeError):
    """A request to operational monitoring that can't be answered as it stands."""

    code = "opmonitor.client.invalid_request"


@dataclass(frozen=True, slots=True)
class OperationalDataQuery:
    """`getSecurityServerOperationalData`: which records, and what of them.

    Attributes:
        since, until: seconds of the epoch, both included.
        provider: whose services the records are about.
        fields: names of output fields; empty for all.
    """

    since: int
    until: int
    provider: ClientId | None = None
    fields: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, request: SoapMessage) -> "OperationalDataQuery":
        """Read the body of a request; raises InvalidQuery."""
        children = _Children(_wrapper(request, OPERATIONAL_DATA))
        criteria = _Children(children.needed("searchCriteria"))
        since = _long(criteria.needed("recordsFrom"))
        until = _long(criteria.needed("recordsTo"))
        provider = criteria.maybe("client")
        criteria.end()
        output = children.maybe("outputSpec")
        children.end()
        return cls(
            since,
            until,
            None if provider is None else _client(provider),
            frozenset() if output is None else frozenset(_output_fields(output)),
        )

    def check(self, available: int) -> None:
        """Raise InvalidQuery for a time or a field that can't be told.

        Args:
            available: the second before which records are told, of the epoch.
        """
        if self.since < 0:
            raise InvalidQuery("Records from timestamp is a negative number")
        if self.until < 0:
            raise InvalidQuery("Records to timestamp is a negative number")
        if self.until < self.since:
            raise InvalidQuery("Records to timestamp is earlier than records from timestamp")
        if self.since >= available:
            raise InvalidQuery(f"Records not available from {self.since} yet")
        for name in sorted(self.fields - OUTPUT_FIELDS):
            raise InvalidQuery(f"Unknown output field in search criteria: {name[:255]}")


def health_data_provider(request: SoapMessage) -> ClientId | None:
    """Whose services `getSecurityServerHealthData` asks for; None for all. Raises InvalidQuery."""
    children = _Children(_wrapper(request, HEALTH_DATA))
    criteria = children.maybe("filterCriteria")
    children.end()
    if criteria is None:
        return None
    inner = _Children(criteria)
    client = inner.maybe("client")
    inner.end()
    return None if client is None else _client(client)


def metric_names(request: SoapMessage) -> frozenset[str]:
    """The metrics that `getSecurityServerMetrics` asks for, wherever they stand; empty for all."""
    root = request_body(request).getroottree().getroot()
    found = root.iter(f"{{{ENVIRONMENT_NAMESPACE}}}outputField")
    return frozenset(element.text or "" for element in found)


def _wrapper(request: SoapMessage, name: str) -> etree._Element:
    element = request_body(request)
    expected = f"{{{OPERATIONAL_NAMESPACE}}}{name}"
    if element.tag != expected:
        raise InvalidQuery(f"The body holds '{str(element.tag)[:255]}' instead of '{expected}'")
    return element


class _Children:
    """The children of an element, taken in the order of the schema."""

    def __init__(self, parent: etree._Element, namespace: str = OPERATIONAL_NAMESPACE) -> None:
        self._name = etree.QName(parent).localname
        self._namespace = namespace
        self._left = list(parent.iterchildren(tag=etree.Element))
        texts = (parent.text, *(child.tail for child in parent))
        if any(text and text.strip(_BLANKS) for text in texts):
            raise InvalidQuery(f"'{self._name}' must not hold text")

    def maybe(self, name: str) -> etree._Element | None:
        if self._left and self._left[0].tag == f"{{{self._namespace}}}{name}":
            return self._left.pop(0)
        return None

    def needed(self, name: str) -> etree._Element:
        found = self.maybe(name)
        if found is None:
            raise InvalidQuery(f"'{self._name}' lacks '{name}', or it stands in another place")
        return found

    def end(self) -> None:
        """Raise InvalidQuery when anything is left."""
        for child in self._left:
            name = str(child.tag)[:255]
            raise InvalidQuery(f"'{self._name}' must not hold '{name}', or not there")


def _text(element: etree._Element) -> str:
    if len(element):
        raise InvalidQuery(f"'{etree.QName(element).localname}' must hold text alone")
    return element.text or ""


def _long(element: etree._Element) -> int:
    text = _text(element).strip(_BLANKS)
    if not _LONG.fullmatch(text) or not -_LARGEST - 1 <= int(text) <= _LARGEST:
        name = etree.QName(element).localname
        raise InvalidQuery(f"'{text[:40]}' is no value for '{name}', which is a whole number")
    return int(text)


def _client(element: etree._Element) -> ClientId:
    """A member or subsystem, as its `objectType` says."""
    children = _Children(element, IDENTIFIERS_NAMESPACE)
    instance, member_class, member_code = (_text(children.needed(name)) for name in _MEMBER_PARTS)
    subsystem = children.maybe("subsystemCode")
    children.end()
    code = None if subsystem is None else _text(subsystem)
    try:
        client = ClientId(instance, member_class, member_code, code)
    except MalformedMessage as error:
        raise InvalidQuery(f"'client' is no identifier: {error.text}") from error
    found = element.get(_OBJECT_TYPE)
    if found != client.object_type:
        raise InvalidQuery(
            f"objectType of 'client' is '{str(found)[:40]}', but its parts are those of a"
            f" {client.object_type}"
        )
    return client


def _output_fields(element: etree._Element) -> Iterable[str]:
    children = _Children(element)
    while (child := children.maybe("outputField")) is not None:
        yield _text(child)
    children.end()
