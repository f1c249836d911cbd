"""Values of a caller become the other service's request: path, query, headers, body."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from urllib.parse import quote

import msgspec

from adapters.operations import PATH_PARAMETER, BadParameter
from adapters.rest.route import WITH_BODY, Route, Sent
from adapters.rest.settings import Target
from adapters.shapes import ListOf, Record, Scalar, Shape, ValueType

_encode = msgspec.json.Encoder(decimal_format="number", enc_hook=str).encode


@dataclass(frozen=True, slots=True)
class Asked:
    """A request without what every request has: base address, credentials, constant headers."""

    method: str
    path: str  # percent-encoded
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = field(default=None, repr=False)


def build_request(route: Route, values: Mapping[str, object]) -> Asked:
    """Put every value where it goes; raises BadParameter for one that can't stand there."""
    query: list[tuple[str, str]] = [*route.constant]
    headers: list[tuple[str, str]] = []
    body: dict[str, object] = {}
    inputs = {one.name: one for one in route.operation.inputs}
    for name, sent in route.sent.items():
        value = values.get(name)
        if sent.target is Target.BODY:
            if value is not None or inputs[name].required:  # what must be there may be null
                _put(body, sent.steps, plain(value, inputs[name].shape))
        elif value is None or sent.target is None:
            continue
        elif sent.target is Target.QUERY:
            query += _query(name, sent, value)
        else:
            headers.append((sent.name, _header_text(name, value)))
    return Asked(
        route.method.value,
        _path(route, values),
        tuple(query),
        tuple(headers),
        _encode(body) if route.method in WITH_BODY else None,
    )


def _query(name: str, sent: Sent, value: object) -> list[tuple[str, str]]:
    texts = [text_of(item) for item in value] if isinstance(value, list) else [text_of(value)]
    if not sent.join:
        return [(sent.name, text) for text in texts]
    if any(sent.join in text for text in texts):
        raise BadParameter(name, f"parameter '{name}' has an item with '{sent.join}' in it")
    return [(sent.name, sent.join.join(texts))]


def _path(route: Route, values: Mapping[str, object]) -> str:
    parts, end = [], 0
    for match in PATH_PARAMETER.finditer(route.template):
        parts.append(route.template[end : match.start()])
        parts.append(_segment(match[1], values.get(match[1])))
        end = match.end()
    return "".join((*parts, route.template[end:]))


def _segment(name: str, value: object) -> str:
    """A value as one segment of a path, or a part of one: it can't become another path."""
    text = text_of(value) if value is not None else ""
    if not text or text.strip(".") == "" or any(ord(letter) < 32 for letter in text):
        raise BadParameter(name, f"parameter '{name}' can't stand in an address")
    return quote(text, safe="")


def _header_text(name: str, value: object) -> str:
    items = value if isinstance(value, list) else [value]
    text = ", ".join(text_of(item) for item in items)
    if not text.isascii() or not text.isprintable() or text != text.strip():
        raise BadParameter(name, f"parameter '{name}' can't stand in a header")
    return text


def text_of(value: object) -> str:
    """A typed value as a text in an address."""
    match value:
        case bool():
            return "true" if value else "false"
        case Decimal():
            return format(value, "f")
        case datetime() | date():
            return value.isoformat()
        case bytes():
            return base64.b64encode(value).decode()
        case _:
            return str(value)


def plain(value: object, shape: Shape) -> object:
    """A typed value as JSON says it, by its shape."""
    match shape:
        case Record() if isinstance(value, Mapping):
            return {
                one.name: plain(value.get(one.name), one.shape)
                for one in shape.fields
                if value.get(one.name) is not None or one.required
            }
        case ListOf() if isinstance(value, list):
            return [plain(item, shape.item) for item in value]
        case Scalar(type=ValueType.DECIMAL) if isinstance(value, Decimal):
            return format(value, "f")
        case Scalar() if isinstance(value, datetime | date | bytes):
            return text_of(value)
        case _:
            return value


def _put(body: dict[str, object], steps: tuple[str, ...], value: object) -> None:
    """Put a value into an object, making the objects on the way."""
    place = body
    for step in steps[:-1]:
        inner = place.setdefault(step, {})
        if not isinstance(inner, dict):
            raise TypeError(f"two values at {step}")  # told of the declaration before
        place = inner
    place[steps[-1]] = value


def sent_twice(sent: Mapping[str, Sent]) -> list[str]:
    """Names of callers whose places in a body are inside each other, or the same."""
    bodies = [(name, one.steps) for name, one in sent.items() if one.target is Target.BODY]
    return [
        name
        for name, steps in bodies
        for other, longer in bodies
        if name != other and longer[: len(steps)] == steps
    ]
