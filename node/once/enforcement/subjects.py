"""Which endpoint a call is for, and whom it is about.

The provider's system gets the request as it came and may read its path in more than one way. So an
endpoint is found only when every reading leads to it, and a subject counts as named only when every
reading, and every place that may be read, names the same one.

Source: catalog/paths.py; RFC 6901; RFC 8259.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from urllib.parse import parse_qsl, unquote

from lxml import etree

from catalog.fields.json_text import NoJson, Number, parse_json
from catalog.fields.paths import steps_of
from catalog.mapping import EndpointMapping, Place, ServiceMapping, SubjectParameter
from catalog.services import ANY_METHOD
from node.exchange.allowance import AskedCall
from node.messages.fault import SOAP_ENVELOPE
from trust.errors import MalformedMessage
from trust.xmlbytes import parse_xml

MAX_BODY = 1024 * 1024  # bytes of a request in which a subject is looked for
_LONGEST = 1024  # characters of an identifier
_MOST_PARAMETERS = 1000
_BODY = f"{{{SOAP_ENVELOPE}}}Body"


class TwoSubjects(ValueError):
    """A request may be read as one about this person or about that one, or not by us."""


def may_name_somebody(mapping: ServiceMapping, call: AskedCall) -> bool:
    """Whether a system may read a call as one about somebody, in some way or other.

    Some systems care neither for a slash at the end nor for the case of letters.
    """
    readings = call.path.readings if call.path is not None else ()
    meant = [one for one in mapping.endpoints if one.subject is not None]
    return any(
        one.method.upper() in (_read_as(call.method), ANY_METHOD)
        and _values(one.path.casefold(), reading.casefold().rstrip("/")) is not None
        for one in meant
        for reading in readings
    )


def _read_as(method: str) -> str:
    return "GET" if method == "HEAD" else method


def endpoint_of(mapping: ServiceMapping, call: AskedCall) -> EndpointMapping | None:
    """What is known of the part of a service that a call is for; None when nothing is."""
    if not mapping.endpoints:
        return None
    if call.path is None:
        soap = (one for one in mapping.endpoints if not one.method and not one.path)
        return next(soap, None)
    found = [_endpoint(mapping, call.method, reading) for reading in call.path.readings]
    if not found or any(one is not found[0] for one in found):
        return None
    return found[0]


def _endpoint(mapping: ServiceMapping, method: str, reading: str) -> EndpointMapping | None:
    """The endpoint with the fewest parameters of those that match."""
    wanted = _read_as(method)
    fitting = [
        one
        for one in mapping.endpoints
        if one.method.upper() in (wanted, ANY_METHOD) and _values(one.path, reading) is not None
    ]
    return min(fitting, key=lambda one: one.path.count("{"), default=None)


@lru_cache(1000)
def _template(path: str) -> tuple[tuple[str, bool], ...]:
    """The segments of a path, each with whether it is a parameter."""
    return tuple(
        (segment[1:-1], True)
        if segment.startswith("{") and segment.endswith("}")
        else (unquote(segment), False)
        for segment in path.split("/")
    )


def _values(path: str, reading: str) -> dict[str, str] | None:
    """The parameters of a path; None when it is another one."""
    template, segments = _template(path), reading.split("/")
    if len(template) != len(segments):
        return None
    found: dict[str, str] = {}
    for (name, is_parameter), segment in zip(template, segments, strict=True):
        if not is_parameter and name != segment:
            return None
        if is_parameter:
            if not segment:
                return None
            found[name] = segment
    return found


def subject_of(endpoint: EndpointMapping | None, call: AskedCall) -> str | None:
    """The identifier of the subject; None when the call names none.

    Raises TwoSubjects.
    """
    if endpoint is None or endpoint.subject is None:
        return None
    named = {value for value in _named(endpoint, endpoint.subject, call) if value}
    if len(named) > 1 or not all(map(_is_plain, named)):
        raise TwoSubjects
    found = next(iter(named), None)
    return found if found is None or len(found) <= _LONGEST else found[:_LONGEST]


def _is_plain(value: str) -> bool:
    """Whether no system can read a value as another one, that white space or odd digits hide."""
    same = unicodedata.normalize("NFKC", value) == value
    return same and value.isprintable() and value == value.strip()


def _named(endpoint: EndpointMapping, subject: SubjectParameter, call: AskedCall) -> Iterator[str]:
    match subject.place:
        case Place.PATH:
            for reading in call.path.readings if call.path is not None else ():
                yield (_values(endpoint.path, reading) or {}).get(subject.name, "")
        case Place.QUERY:
            yield from _in_query(call.query, subject.name)
        case Place.BODY if call.path is None:
            yield from _in_envelope(call.envelope, steps_of(subject.name))
        case Place.BODY:
            yield from _in_json(call, steps_of(subject.name))


def _in_query(query: str, name: str) -> Iterator[str]:
    """The values of a parameter, also where a semicolon parts parameters.

    Raises TwoSubjects where one has a name that some systems take for that of the parameter.
    """
    for way in dict.fromkeys((query, query.replace(";", "&"))):
        for other, value in _pairs(way):
            if other == name:
                yield value
            elif _alike(other, name):
                raise TwoSubjects


def _alike(name: str, other: str) -> bool:
    """Whether some system may take names for one: letters of another case, `id[]` for `id`."""
    return _plainest(name) == _plainest(other)


def _plainest(name: str) -> str:
    return name.partition("[")[0].strip().casefold()


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
    except ValueError as error:  # more than are looked at
        raise TwoSubjects from error


def _in_json(call: AskedCall, steps: Sequence[str]) -> Iterator[str]:
    body = call.body
    if body is None:
        return
    if body.size > MAX_BODY:
        raise TwoSubjects
    try:
        value = parse_json(body.read_at(0, body.size))
    except NoJson as error:
        raise TwoSubjects from error
    for step in steps:
        if isinstance(value, dict):
            if any(_alike(name, step) for name in value if name != step):
                raise TwoSubjects
            value = value.get(step)
        elif isinstance(value, list) and step.isascii() and step.isdigit():
            value = value[int(step)] if int(step) < len(value) else None
        else:
            return
    if isinstance(value, (str, Number)):
        yield str(value)
    elif value is not None:
        raise TwoSubjects


def _in_envelope(raw: bytes, steps: Sequence[str]) -> Iterator[str]:
    try:
        envelope = parse_xml(raw, what="SOAP message")
    except MalformedMessage:
        return
    found = list(envelope.iterchildren(tag=_BODY))
    for step in steps:
        if step.startswith("@"):
            yield from (_attribute(element, step[1:]) for element in found)
            return
        found = [
            child
            for element in found
            for child in element.iterchildren(tag=etree.Element)
            if etree.QName(child).localname == step
        ]
    yield from ("".join(str(text) for text in element.itertext()).strip() for element in found)


def _attribute(element: etree._Element, name: str) -> str:
    return next(
        (value for tag, value in element.attrib.items() if etree.QName(tag).localname == name), ""
    )
