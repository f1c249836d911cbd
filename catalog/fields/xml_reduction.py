"""A SOAP answer cut down to what is granted, as `reduction` cuts JSON.

Places are local names below the soap:Body. An attribute is a field of its own (`person/@id`); of an
element that stays, those that say how it is to be read (`xsi:nil`, `xsi:type`) stay with it. Of the
header only what X-Road prescribes stays, and of the envelope only header and body. Comments and
processing instructions go, except below a place that is granted as a whole.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from lxml import etree

from catalog.fields.reduction import Places, Reduction, Tally
from catalog.fields.selection import Selection, Spot, shapes, spots_below
from catalog.fields.views import Derivation
from catalog.uris import ONCE_NAMESPACE
from trust.ids import XROAD_NAMESPACE
from trust.xmlbytes import parse_xml

_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_BODY = f"{{{_SOAP}}}Body"
_HEADER = f"{{{_SOAP}}}Header"
_STYLE = f"{{{_SOAP}}}encodingStyle"
_OF_THE_PROTOCOL = (
    XROAD_NAMESPACE, "http://x-road.eu/xsd/representation.xsd", ONCE_NAMESPACE,
)  # fmt: skip
_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_NIL = f"{{{_INSTANCE}}}nil"
_OF_THE_FORM = frozenset({_NIL, f"{{{_INSTANCE}}}type"})
_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_XML_NAME = re.compile(r"[^\W\d][\w.\-]*")


def reduce_envelope(raw: bytes, selection: Selection, at: datetime) -> Reduction:
    """Cut a SOAP envelope down to a selection; what comes out is UTF-8.

    Args:
        at: for views, aware.

    Raises:
        MalformedMessage: it is no XML that is read.
    """
    envelope = parse_xml(raw, what="SOAP message")
    tally = Tally(at, Places(selection.known))
    cutter = _Cutter(tally)
    cutter.around(envelope)
    for body in envelope.iterchildren(tag=_BODY):
        cutter.body(body, selection)
    written = etree.tostring(envelope, encoding="UTF-8", xml_declaration=False)
    return tally.total(_DECLARATION + written)


@dataclass(frozen=True, slots=True)
class _Cutter:
    tally: Tally

    def around(self, envelope: etree._Element) -> None:
        """Leave of all that stands around a body what X-Road prescribes."""
        self._bare(envelope)
        for child in list(_elements(envelope)):
            if child.tag not in (_HEADER, _BODY):
                _withhold(child, self.tally.places.at(_local(child)))
                envelope.remove(child)
                continue
            self._bare(child)
            if child.tag == _HEADER:
                self._header(child)

    def _header(self, header: etree._Element) -> None:
        for child in list(_elements(header)):
            if etree.QName(child).namespace not in _OF_THE_PROTOCOL:
                _withhold(child, self.tally.places.at(_local(header)).at(_local(child)))
                header.remove(child)

    def _bare(self, element: etree._Element) -> None:
        """Take remarks, loose text and attributes away, but for how it is to be read."""
        _cut_remarks(element)
        _cut_text(element, self.tally.places)
        for tag in list(element.attrib):
            if tag != _STYLE:
                self.tally.places.at(f"@{etree.QName(tag).localname}").withheld = True
                del element.attrib[tag]

    def body(self, body: etree._Element, selection: Selection) -> None:
        """Cut what is in a body; its one child stays, for it says what is answered."""
        granted, asked = selection.grants_all, selection.asks_all
        spots: tuple[Spot, ...] = (selection.root,)
        for wrapper in _elements(body):
            name = _local(wrapper)
            place = self.tally.places.at(name)
            below = spots_below(spots, (name,), granted=granted, asked=asked)
            if not self.element(wrapper, below, granted, asked, place):
                wrapper.clear(keep_tail=True)

    def element(
        self,
        element: etree._Element,
        spots: tuple[Spot, ...],
        granted: bool,
        asked: bool,
        place: Places,
    ) -> bool:
        """Cut an element; whether it stays.

        Args:
            spots: the places where it stands, as far as something may go out there.
            granted, asked: whether a spot above grants, or asks for, all below.
        """
        single = next(_elements(element), None) is None
        granted = granted or any(one.grants_all for one in spots)
        asked = asked or any(one.asks_all for one in spots)
        whole = granted and asked
        value = whole or (single and _meant(spots, granted=granted, asked=asked))
        loose = single and bool(_text(element).strip())
        if not value and (loose or not shapes(spots, granted=granted, asked=asked)):
            _withhold(element, place)
            return False
        if value:
            self.tally.give(spots)
        if whole and not spots:
            return True
        if not value:
            _cut_text(element, place)
        derived = self._put_views(element, spots)
        self._cut_attributes(element, spots, granted, asked, place)
        if not whole:
            _cut_remarks(element)
        for child in list(_elements(element)):
            name = _local(child)
            if child in derived:
                continue
            below = spots_below(spots, (name,), granted=granted, asked=asked)
            if not self.element(child, below, granted, asked, place.at(name)):
                element.remove(child)
        return True

    def _cut_attributes(
        self,
        element: etree._Element,
        spots: tuple[Spot, ...],
        granted: bool,
        asked: bool,
        place: Places,
    ) -> None:
        for tag in list(element.attrib):
            name = f"@{etree.QName(tag).localname}"
            below = spots_below(spots, (name,), granted=granted, asked=asked)
            if _meant(below, granted=granted, asked=asked):
                self.tally.give(below)
            elif tag not in _OF_THE_FORM:
                place.at(name).withheld = True
                del element.attrib[tag]

    def _put_views(
        self, element: etree._Element, spots: tuple[Spot, ...]
    ) -> tuple[etree._Element, ...]:
        """Put the views of an element beside their sources, while these are still there."""
        return tuple(
            self._put(element, derivation, source)
            for spot in spots
            for derivation, source in spot.views
            if _XML_NAME.fullmatch(derivation.view.name)
        )

    def _put(self, element: etree._Element, derivation: Derivation, source: str) -> etree._Element:
        sources = [child for child in _elements(element) if _local(child) == source]
        found = self.tally.derive(derivation, _value_of(element, sources, source))
        namespace = etree.QName(element).namespace
        derived = etree.Element(etree.QName(namespace, derivation.view.name), nsmap=element.nsmap)
        if found is None:
            derived.set(_NIL, "true")
        else:
            derived.text = str(found).lower()
        if sources:
            sources[-1].addnext(derived)
            derived.tail, sources[-1].tail = sources[-1].tail, None
        else:
            element.append(derived)
        return derived


def _elements(element: etree._Element) -> Iterator[etree._Element]:
    return element.iterchildren(tag=etree.Element)


def _local(element: etree._Element) -> str:
    return etree.QName(element).localname


def _meant(spots: Sequence[Spot], *, granted: bool, asked: bool) -> bool:
    """Whether a single value that stands here may go out."""
    given = granted or any(one.grants or one.grants_all for one in spots)
    return given and (asked or any(one.asks or one.asks_all for one in spots))


def _value_of(element: etree._Element, sources: Sequence[etree._Element], source: str) -> object:
    """The text of a view's source; None when it is missing; an object when it is no single text."""
    if source.startswith("@"):
        found = [
            value
            for tag, value in element.attrib.items()
            if etree.QName(tag).localname == source[1:]
        ]
        return found[0] if len(found) == 1 else found or None
    if len(sources) != 1:
        return sources or None
    [only] = sources
    if next(_elements(only), None) is not None:
        return only
    if only.get(_NIL, "").strip() in ("true", "1"):
        return None
    return _text(only).strip() or None


def _text(element: etree._Element) -> str:
    return "".join([element.text or "", *(child.tail or "" for child in element)])


def _cut_text(element: etree._Element, place: Places) -> None:
    """Take the text away that stands between elements, where there is none to be."""
    if element.text and element.text.strip():
        element.text, place.withheld = None, True
    for child in element:
        if child.tail and child.tail.strip():
            child.tail, place.withheld = None, True


def _cut_remarks(element: etree._Element) -> None:
    """Take comments and processing instructions away, and nothing of the text around them."""
    for child in list(element):
        if isinstance(child.tag, str):
            continue
        before, tail = child.getprevious(), child.tail or ""
        if before is None:
            element.text = (element.text or "") + tail
        else:
            before.tail = (before.tail or "") + tail
        child.tail = None
        element.remove(child)


def _withhold(element: etree._Element, place: Places) -> None:
    """Name everything of an element that does not go out."""
    for tag in element.attrib:
        if tag not in _OF_THE_FORM:
            place.at(f"@{etree.QName(tag).localname}").withheld = True
    children = list(_elements(element))
    if not children or _text(element).strip():
        place.withheld = True
    for child in children:
        _withhold(child, place.at(_local(child)))
