"""What a source's answer says of the facts it was asked for.

Values are taken from where the mapping has them, and believed when they are what it says they are.
Whatever is wrong with one, the others stand. Source: catalog.mapping; RFC 6901.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from lxml import etree

from catalog.fields.conforms import conforms, from_text
from catalog.fields.views import Derivation, derivation_of, derive
from catalog.mapping import EndpointMapping
from catalog.meaning.vocabulary import Concept, FactType
from catalog.uris import ONCE_NAMESPACE
from node.exchange.allowance import MAX_TOLD
from node.exchange.own_call import OwnAnswer
from node.log.uses import WHOLE
from node.messages.fault import parse_envelope
from node.messages.soap import BODY, header_of
from node.once.resolver.json_values import read_json
from node.once.resolver.planning.plan import PlannedExchange
from node.once.resolver.planning.reasons import Missing, Reason
from trust.errors import ExchangeError, MalformedMessage

_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
MAX_VALUES = 1000  # of one fact whose field is repeated
_UNKNOWN = (404, 410)


@dataclass(frozen=True, slots=True)
class Said:
    """What the provider's node says of how it reduced an answer.

    Attributes:
        grant: number of the right; None when it says nothing, so that the answer came whole.
    """

    grant: int | None = None
    given: frozenset[str] = frozenset()
    withheld: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether the answer came as the source's system gave it."""
        return self.grant is None or WHOLE in self.given

    def withholds(self, path: str, name: str) -> bool:
        """Whether a field was taken out, alone or with what is around it, or never granted."""
        return any(
            one in (path, name) or path.startswith(f"{one}/") or one.startswith(f"{path}/")
            for one in self.withheld
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer comes to.

    Attributes:
        facts: values by concept.
        missing: the other concepts that were asked for.
    """

    facts: Mapping[str, object]
    missing: tuple[Missing, ...]
    said: Said = Said()

    @property
    def reduced_here(self) -> bool:
        """Whether the whole answer came and this node alone took what was asked for."""
        return self.said.whole


@dataclass(frozen=True, slots=True)
class AnswerReader:
    """Reads the answers of one exchange.

    Attributes:
        at: the moment of the answer, by which derived facts of a whole answer are computed.
    """

    exchange: PlannedExchange
    concepts: Mapping[str, Concept]
    at: datetime

    def read(self, answer: OwnAnswer) -> Reading:
        """What an answer comes to; never raises for what a source says."""
        said = _said_by_rest(answer.headers)
        if answer.status in _UNKNOWN:
            return self._nothing(Reason.UNKNOWN_SUBJECT, "", said)
        if not 200 <= answer.status < 300:
            return self._nothing(Reason.SOURCE_FAILED, f"HTTP status {answer.status}", said)
        try:
            document = _Document.of(self.exchange, answer)
        except ExchangeError as error:
            return self._nothing(Reason.UNREADABLE_ANSWER, error.text, said)
        facts: dict[str, object] = {}
        missing = []
        for concept, name in self.exchange.asked:
            value = self._fact(document, name, self.concepts[concept])
            if isinstance(value, Reason):
                missing.append(Missing(concept, value, "", self.exchange.service.id))
            else:
                facts[concept] = value
        return Reading(facts, tuple(missing), document.said)

    def _nothing(self, reason: Reason, detail: str, said: Said) -> Reading:
        service = self.exchange.service.id
        missing = (Missing(one, reason, detail, service) for one in self.exchange.concepts)
        return Reading({}, tuple(missing), said)

    def _fact(self, document: "_Document", name: str, concept: Concept) -> object | Reason:
        """The value of one field or view; a list when it is repeated."""
        place = _place_of(self.exchange.endpoint, name)
        if place is None:
            return Reason.NO_FIELD
        try:
            found = self._values(document, place)
        except MalformedMessage:
            return Reason.WRONG_TYPE
        if not found:
            withheld = document.said.withholds(place.path, name)
            return Reason.NOT_GRANTED if withheld else Reason.NO_VALUE
        if not all(conforms(one, place.kind) and conforms(one, concept.type) for one in found):
            return Reason.WRONG_TYPE
        return found if document.repeated(place.path, found) else found[0]

    def _values(self, document: "_Document", place: "_Place") -> list[object]:
        derived = place.derived
        if derived is None or not document.said.whole:
            found = document.values(place.path, place.kind)
        else:  # nobody has computed it yet
            sources = document.values(derived.field.path, derived.field.type)
            found = [derive(derived, one, self.at) for one in sources]
        return [one for one in found if one is not None]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a fact stands, what its values look like, and what it is derived from."""

    path: str
    kind: FactType
    derived: Derivation | None = None


def _place_of(endpoint: EndpointMapping, name: str) -> _Place | None:
    """A view stands beside the field that it is derived from."""
    field = endpoint.field.get(name)
    if field is not None:
        return _Place(field.path, field.type)
    view = endpoint.view[name]
    derived = derivation_of(view, endpoint)
    if derived is None:
        return None
    return _Place(f"{derived.field.path.rpartition('/')[0]}/{name}", view.type, derived)


@dataclass(frozen=True, slots=True)
class _Document:
    """A JSON document or a SOAP body."""

    root: object
    said: Said

    @classmethod
    def of(cls, exchange: PlannedExchange, answer: OwnAnswer) -> "_Document":
        """Raises ExchangeError for what can't be read."""
        if exchange.service.type.is_rest:
            return cls(read_json(answer.body, "The answer"), _said_by_rest(answer.headers))
        envelope = parse_envelope(answer.body)
        return cls(envelope.find(BODY), _said_by_soap(envelope))

    def values(self, path: str, kind: FactType) -> list[object]:
        """Every value at a path; raises MalformedMessage for too many, or text of another form."""
        if isinstance(self.root, etree._Element):
            elements = _elements(self.root, path.split("/")[1:])
            found: Iterable[object] = (_value_of(one, kind) for one in elements)
        else:
            found = _in_json(self.root, path.split("/")[1:])
        values = []
        for value in found:
            values.append(value)
            if len(values) > MAX_VALUES:
                raise MalformedMessage("There are too many values")
        return values

    def repeated(self, path: str, found: list[object]) -> bool:
        """Whether a fact is a list: its pointer goes through one, or its element is repeated."""
        return len(found) > 1 or (not isinstance(self.root, etree._Element) and "/*" in path)


def _in_json(value: object, steps: list[str]) -> Iterator[object]:
    if not steps:
        yield value
        return
    step, rest = steps[0], steps[1:]
    name = step.replace("~1", "/").replace("~0", "~")
    if isinstance(value, dict):
        if name in value:
            yield from _in_json(value[name], rest)
    elif isinstance(value, list) and step == "*":
        for item in value:
            yield from _in_json(item, rest)
    elif isinstance(value, list) and name.isdecimal() and len(name) < 7 and int(name) < len(value):
        yield from _in_json(value[int(name)], rest)


def _elements(element: etree._Element, names: list[str]) -> Iterator[etree._Element]:
    """Every element along a path of local names."""
    if not names:
        yield element
        return
    for child in element.iterchildren(tag=etree.Element):
        if etree.QName(child).localname == names[0]:
            yield from _elements(child, names[1:])


def _value_of(element: etree._Element, kind: FactType) -> object:
    """The value of an element; None when it is nil or empty."""
    if element.get(_NIL, "") in ("true", "1"):
        return None
    if kind is FactType.RECORD:
        return _record(element)
    return from_text(str(element.xpath("string()")), kind)


def _record(element: etree._Element) -> object:
    """An element with others in it as an object, one alone as its text."""
    found: dict[str, object] = {}
    for child in element.iterchildren(tag=etree.Element):
        name, value = etree.QName(child).localname, _record(child)
        before = found.get(name)
        if name not in found:
            found[name] = value
        elif isinstance(before, list):
            before.append(value)
        else:
            found[name] = [before, value]
    return found or str(element.xpath("string()"))


# --- what the provider's node says ----------------------------------------------------------------


def _said_by_rest(headers: Iterable[tuple[str, str]]) -> Said:
    named = {name.lower(): value for name, value in headers}
    return _said(named.get("once-grant"), named.get("once-given"), named.get("once-withheld"))


def _said_by_soap(envelope: etree._Element) -> Said:
    header = header_of(envelope)

    def text(name: str) -> str | None:
        found = header.find(f"{{{ONCE_NAMESPACE}}}{name}")
        return None if found is None else str(found.xpath("string()"))

    return _said(text("grant"), text("given"), text("withheld"))


def _said(grant: str | None, given: str | None, withheld: str | None) -> Said:
    if grant is None:
        return Said()
    number = int(grant) if grant.isdecimal() and len(grant) < 19 else 0
    return Said(number, frozenset(_listed(given)), tuple(_listed(withheld)))


def _listed(text: str | None) -> Iterator[str]:
    """The names of a list, as far as an honest node's goes, without what can't be shown."""
    cut = (text or "")[: 2 * MAX_TOLD]
    shown = "".join(letter if letter.isprintable() else "?" for letter in cut)
    return (one.strip() for one in shown.split(",") if one.strip())
