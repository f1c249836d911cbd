"""Read an element's content into plain values, by the grammar that was declared.

What the grammar does not have is an error and no loss: nothing of an answer is dropped in silence.
Texts of errors name elements, never values.
"""

from collections.abc import Iterator, Mapping

from lxml import etree

from adapters.soap.content import (
    Anything,
    Complex,
    Content,
    Element,
    Group,
    Order,
    Particle,
    Wildcard,
    begins_with_any,
)
from adapters.soap.lexical import Simple, read_simple
from adapters.soap.writing import NIL, XSI
from trust.errors import MalformedMessage

MAX_ANY_DEPTH = 32  # of elements about which nothing is declared
_TYPE = f"{{{XSI}}}type"
_SCHEMA = "{http://www.w3.org/2001/XMLSchema}"
_IGNORED = frozenset(
    (NIL, _TYPE, f"{{{XSI}}}schemaLocation", f"{{{XSI}}}noNamespaceSchemaLocation")
)
_SOAP_ATTRIBUTES = (
    "{http://schemas.xmlsoap.org/soap/envelope/}",
    "{http://www.w3.org/2003/05/soap-envelope}",
    "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd}",
)


def read_content(node: etree._Element, content: Content) -> object:
    """What an element holds; raises MalformedMessage (`invalid_body`) when it does not fit."""
    match content:
        case Anything():
            return read_anything(node)
        case Simple():
            _check_attributes(node, ())
            return _read_text(node, content)
        case Complex(text=Simple() as text, attributes=(), other_attributes=None):
            _check_attributes(node, ())
            return _read_text(node, text)
        case Complex():
            return _read_record(node, content)
    raise AssertionError(content)


def _read_record(node: etree._Element, content: Complex) -> dict[str, object]:
    _check_type(node, content.type_name)
    declared = tuple(attribute.tag for attribute in content.attributes)
    record: dict[str, object] = {}
    if content.other_attributes is None:
        _check_attributes(node, declared)
    elif others := {_local(tag): node.get(tag) for tag in _undeclared(node, declared)}:
        record[content.other_attributes] = others
    for attribute in content.attributes:
        text = node.get(attribute.tag)
        if text is not None:
            record[attribute.field] = _simple(node, attribute.simple, text)
        elif attribute.required:
            raise _unfit(node, f"has no attribute '{_local(attribute.tag)}'")
    if content.text is not None:
        record[content.text_field] = _read_text(node, content.text)
        return record
    children = _children(node)
    _check_no_text(node)
    at = 0
    if content.particle is not None:
        at = _read_particle(node, content.particle, children, 0, record)
    if at < len(children):
        raise _unfit(node, f"holds '{_local(children[at].tag)}', which is not declared there")
    return record


def _read_particle(
    node: etree._Element,
    particle: Particle,
    children: list[etree._Element],
    at: int,
    record: dict[str, object],
) -> int:
    """Read what belongs to a particle from position `at` on, and return where it ends."""
    match particle:
        case Element():
            return _read_elements(node, particle, children, at, record)
        case Wildcard():
            end = len(children) if particle.most is None else at + particle.most
            found = [read_anything(child) for child in children[at:end]]
            if found:
                record[particle.field] = found
            return at + len(found)
        case Group(field=str() as name):
            return _read_repeated(node, particle, name, children, at, record)
        case Group():
            if particle.least == 0 and not _can_start(particle, children, at):
                return at
            return _read_once(node, particle, children, at, record)
    raise AssertionError(particle)


def _read_repeated(
    node: etree._Element,
    group: Group,
    name: str,
    children: list[etree._Element],
    at: int,
    record: dict[str, object],
) -> int:
    items: list[object] = []
    while (group.most is None or len(items) < group.most) and _can_start(group, children, at):
        item: dict[str, object] = {}
        end = _read_once(node, group, children, at, item)
        items.append(item)
        if end == at:
            break
        at = end
    if len(items) < group.least and not all(part.optional for part in group.parts):
        raise _unfit(node, "holds too few of its elements")
    if items or group.least:
        record[name] = items
    return at


def _read_once(
    node: etree._Element,
    group: Group,
    children: list[etree._Element],
    at: int,
    record: dict[str, object],
) -> int:
    match group.order:
        case Order.SEQUENCE:
            for part in group.parts:
                at = _read_particle(node, part, children, at, record)
            return at
        case Order.CHOICE:
            return _read_choice(node, group, children, at, record)
        case Order.ALL:
            return _read_all(node, group, children, at, record)


def _read_choice(
    node: etree._Element,
    group: Group,
    children: list[etree._Element],
    at: int,
    record: dict[str, object],
) -> int:
    if at < len(children):
        tag = children[at].tag
        for part in group.parts:
            if tag in part.starts:
                return _read_particle(node, part, children, at, record)
        for part in group.parts:
            if begins_with_any(part):
                return _read_particle(node, part, children, at, record)
    if not group.optional:
        raise _unfit(node, "holds none of the elements of which it must have one")
    return at


def _read_all(
    node: etree._Element,
    group: Group,
    children: list[etree._Element],
    at: int,
    record: dict[str, object],
) -> int:
    waiting = list(group.parts)
    while at < len(children):
        tag = children[at].tag
        part = next((part for part in waiting if tag in part.starts), None)
        if part is None:
            break
        waiting.remove(part)
        at = _read_particle(node, part, children, at, record)
    for part in waiting:
        if not part.optional:
            _read_particle(node, part, [], 0, record)  # says what is missing
    return at


def _can_start(group: Group, children: list[etree._Element], at: int) -> bool:
    return at < len(children) and (children[at].tag in group.starts or group.wild)


def _read_elements(
    node: etree._Element,
    element: Element,
    children: list[etree._Element],
    at: int,
    record: dict[str, object],
) -> int:
    found: list[object] = []
    while (
        at < len(children)
        and children[at].tag == element.tag
        and (element.most is None or len(found) < element.most)
    ):
        found.append(_read_element(children[at], element))
        at += 1
    if len(found) < element.least:
        raise _unfit(node, f"lacks '{_local(element.tag)}'")
    if element.most != 1:
        if found or element.least:
            record[element.field] = found
    elif found:
        record[element.field] = found[0]
    return at


def _read_element(node: etree._Element, element: Element) -> object:
    if node.get(NIL) in ("true", "1"):
        if not element.nillable:
            raise _unfit(node, "is nil, which is not declared")
        if len(node) or (node.text or "").strip():
            raise _unfit(node, "is nil and yet not empty")
        return None
    return read_content(node, element.content)


def _read_text(node: etree._Element, simple: Simple) -> object:
    if any(isinstance(child.tag, str) for child in node):
        raise _unfit(node, "holds elements where a text must be")
    text = "".join(part for part in node.itertext(etree.Element))
    return _simple(node, simple, text)


def _simple(node: etree._Element, simple: Simple, text: str) -> object:
    try:
        return read_simple(simple, text)
    except ValueError as error:
        raise _unfit(node, f"holds a value that does not fit its type: {error}") from error


def read_anything(node: etree._Element, depth: int = 0) -> object:
    """What an element says when nothing is declared about it.

    A text where there is nothing else; otherwise an object with `@name` for an attribute, the local
    names of elements (a list where one stands there twice) and `#text` beside them.
    """
    if depth > MAX_ANY_DEPTH:
        raise _unfit(node, f"is nested more than {MAX_ANY_DEPTH} deep")
    if node.get(NIL) in ("true", "1"):
        return None
    record: dict[str, object] = {
        f"@{_local(str(name))}": str(value)
        for name, value in node.attrib.items()
        if name not in (NIL, _TYPE)
    }
    repeated: dict[str, list[object]] = {}
    for child in _children(node):
        repeated.setdefault(_local(child.tag), []).append(read_anything(child, depth + 1))
    record |= {name: found[0] if len(found) == 1 else found for name, found in repeated.items()}
    text = "".join(_texts(node))
    if not record:
        return text
    if text.strip():
        record["#text"] = text
    return record


def _children(node: etree._Element) -> list[etree._Element]:
    return list(node.iterchildren(tag=etree.Element))


def _texts(node: etree._Element) -> list[str]:
    """The texts directly inside an element."""
    return [node.text or "", *(child.tail or "" for child in node)]


def _check_no_text(node: etree._Element) -> None:
    if any(text.strip() for text in _texts(node)):
        raise _unfit(node, "holds text between its elements")


def _check_attributes(node: etree._Element, declared: tuple[str, ...]) -> None:
    for tag in _undeclared(node, declared):
        raise _unfit(node, f"has an attribute '{_local(tag)}', which is not declared")


def _undeclared(node: etree._Element, declared: tuple[str, ...]) -> Iterator[str]:
    for name in node.attrib:
        tag = str(name)
        if tag not in declared and tag not in _IGNORED and not tag.startswith(_SOAP_ATTRIBUTES):
            yield tag


def _check_type(node: etree._Element, declared: str) -> None:
    """Refuse a type that the sender put in the place of the declared one: its grammar is another.

    A type that extends the declared one has elements of which the description says nothing.
    """
    text = node.get(_TYPE)
    if text is None:
        return
    prefix, colon, name = text.strip().rpartition(":")
    namespaces: Mapping[str | None, str] = node.nsmap
    namespace = namespaces.get(prefix if colon else None)
    found = f"{{{namespace}}}{name}" if namespace else name
    if declared and found != declared and not found.startswith(_SCHEMA):
        raise _unfit(node, f"is of type '{name}' and not of the declared '{_local(declared)}'")


def _unfit(node: etree._Element, what: str) -> MalformedMessage:
    return MalformedMessage(f"element '{_local(node.tag)}' {what}", "invalid_body")


def _local(tag: object) -> str:
    return str(tag).rpartition("}")[2][:100]
