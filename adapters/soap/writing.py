"""Write a record into an element, in the order that the grammar wants.

Values are typed by the shape that stands for the grammar; what a shape can't say (which branch of a
choice, a group that must be there as a whole) is judged here. Names in errors are those of the JSON
fields, with dots between them.
"""

import re
from collections.abc import Mapping
from decimal import Decimal

from lxml import etree

from adapters.operations import BadParameter
from adapters.soap.content import (
    Anything,
    Complex,
    Content,
    Element,
    Group,
    Order,
    Particle,
    Wildcard,
)
from adapters.soap.lexical import Simple, write_simple

XSI = "http://www.w3.org/2001/XMLSchema-instance"
NIL = f"{{{XSI}}}nil"
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_content(node: etree._Element, content: Content, value: object, place: str = "") -> None:
    """Fill an element with a value that is not None; raises BadParameter."""
    match content:
        case Simple():
            node.text = _checked_text(content, value, place)
        case Anything():
            node.text = _plain_text(value, place)
        case Complex(text=Simple() as text, attributes=(), other_attributes=None):
            node.text = _checked_text(text, value, place)
        case Complex():
            if not isinstance(value, Mapping):
                raise BadParameter(place, f"parameter '{place}' must be an object")
            _write_record(node, content, value, place)


def _write_record(
    node: etree._Element, content: Complex, record: Mapping[str, object], place: str
) -> None:
    for attribute in content.attributes:
        value = record.get(attribute.field)
        inner = _inside(place, attribute.field)
        if value is not None:
            node.set(attribute.tag, _checked_text(attribute.simple, value, inner))
        elif attribute.required:
            raise _missing(inner)
    if content.text is not None:
        value = record.get(content.text_field)
        inner = _inside(place, content.text_field)
        if value is None:
            raise _missing(inner)
        node.text = _checked_text(content.text, value, inner)
    if content.particle is not None:
        _write_particle(node, content.particle, record, place)


def _write_particle(
    node: etree._Element, particle: Particle, record: Mapping[str, object], place: str
) -> None:
    match particle:
        case Wildcard():
            if record.get(particle.field):
                inner = _inside(place, particle.field)
                raise BadParameter(inner, f"parameter '{inner}' can only stand in answers")
        case Element():
            _write_elements(node, particle, record.get(particle.field), place)
        case Group(field=str() as name):
            items = _items(record.get(name), particle, _inside(place, name))
            for number, item in enumerate(items):
                inner = f"{_inside(place, name)}.{number}"
                if not isinstance(item, Mapping):
                    raise BadParameter(inner, f"parameter '{inner}' must be an object")
                _write_once(node, particle, item, inner)
        case Group():
            if particle.least > 0 or given(particle, record):
                _write_once(node, particle, record, place)


def _write_once(
    node: etree._Element, group: Group, record: Mapping[str, object], place: str
) -> None:
    if group.order is not Order.CHOICE:
        for part in group.parts:
            _write_particle(node, part, record, place)
        return
    chosen = [part for part in group.parts if given(part, record)]
    if len(chosen) > 1:
        names = " and ".join(f"'{_given_name(part, record)}'" for part in chosen[:2])
        raise BadParameter(place, f"only one of {names} may be given{_at(place)}")
    if chosen:
        _write_particle(node, chosen[0], record, place)
    elif not group.optional:
        names = ", ".join(f"'{_first_name(part)}'" for part in group.parts)
        raise BadParameter(place, f"one of {names} must be given{_at(place)}")


def _write_elements(node: etree._Element, element: Element, value: object, place: str) -> None:
    inner = _inside(place, element.field)
    if element.most == 1:
        if value is None and element.least == 0:
            return
        _write_element(node, element, value, inner)
        return
    for number, item in enumerate(_items(value, element, inner)):
        _write_element(node, element, item, f"{inner}.{number}")


def _write_element(node: etree._Element, element: Element, value: object, place: str) -> None:
    if value is None and not element.nillable:
        raise _missing(place)
    child = etree.SubElement(node, element.tag)
    if value is None:
        child.set(NIL, "true")
    else:
        write_content(child, element.content, value, place)


def _items(value: object, particle: Element | Group, place: str) -> list[object]:
    items = [] if value is None else value
    if not isinstance(items, list):
        raise BadParameter(place, f"parameter '{place}' must be a list")
    if len(items) < particle.least:
        if not items:
            raise _missing(place)
        raise BadParameter(place, f"parameter '{place}' has fewer than {particle.least} items")
    if particle.most is not None and len(items) > particle.most:
        raise BadParameter(place, f"parameter '{place}' has more than {particle.most} items")
    return items


def given(particle: Particle, record: Mapping[str, object]) -> bool:
    """Whether a record holds anything for a particle; an empty list is nothing."""
    match particle:
        case Element() | Wildcard():
            return record.get(particle.field) not in (None, [])
        case Group(field=str() as name):
            return bool(record.get(name))
        case Group():
            return any(given(part, record) for part in particle.parts)
    raise AssertionError(particle)


def _given_name(particle: Particle, record: Mapping[str, object]) -> str:
    if isinstance(particle, Group) and particle.field is None:
        return next(_given_name(part, record) for part in particle.parts if given(part, record))
    return str(particle.field)


def _first_name(particle: Particle) -> str:
    if isinstance(particle, Group) and particle.field is None:
        return _first_name(particle.parts[0]) if particle.parts else ""
    return str(particle.field)


def _checked_text(simple: Simple, value: object, place: str) -> str:
    try:
        return checked_xml(write_simple(simple, value))
    except ValueError as error:
        raise BadParameter(place, f"parameter '{place}' does not fit: {error}") from error


def _plain_text(value: object, place: str) -> str:
    """A value whose type nothing is known about: single ones only."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float | Decimal):
        try:
            return checked_xml(str(value))
        except ValueError as error:
            raise BadParameter(place, f"parameter '{place}' does not fit: {error}") from error
    raise BadParameter(place, f"parameter '{place}' must be a single value")


def checked_xml(text: str) -> str:
    """The text, or ValueError when XML can't hold it."""
    if _NOT_XML.search(text):
        raise ValueError("a character that XML does not have")
    return text


def _missing(place: str) -> BadParameter:
    return BadParameter(place, f"parameter '{place}' is missing")


def _inside(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _at(place: str) -> str:
    return f" in '{place}'" if place else ""
