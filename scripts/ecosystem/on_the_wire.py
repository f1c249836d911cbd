"""What stood in a message that went between nodes: read from the container that a node keeps of it.

Nobody need believe a node for this: the container holds the very bytes that were signed.
"""

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lxml import etree

from trust.errors import MalformedMessage
from trust.evidence.asic import Container, parse_container
from trust.xmlbytes import parse_xml

_ENVELOPE = "{http://schemas.xmlsoap.org/soap/envelope/}"
_ONCE = "{urn:sacbe:once:1}"
_DEEPEST = 40  # levels of a body


@dataclass(frozen=True, slots=True)
class Wire:
    """One message.

    Attributes:
        data: every byte of message and body, without the signature.
        fields: the texts of a body by their paths, as `/birth_date` or `/status`.
        named: what the header says of once-only: `grant`, `given`, `withheld`, `purpose`, …
    """

    data: bytes = field(repr=False)
    fields: Mapping[str, str] = field(repr=False)
    named: Mapping[str, str] = field(repr=False)
    headers: frozenset[str] = frozenset()

    @property
    def given(self) -> tuple[str, ...]:
        return _listed(self.named.get("given", ""))

    @property
    def withheld(self) -> tuple[str, ...]:
        """Paths that the source had and that did not go out."""
        return _listed(self.named.get("withheld", ""))

    @property
    def names(self) -> frozenset[str]:
        """The last steps of all paths in the body."""
        return frozenset(path.rpartition("/")[2] for path in self.fields)


def read_wire(raw: bytes) -> Wire:
    """Read a container, or raise MalformedMessage."""
    container = parse_container(io.BytesIO(raw), keep_attachments=True)
    rest = container.message[:1] != b"<" and not container.message.startswith(b"\xef\xbb\xbf<")
    return _of_rest(container) if rest else _of_soap(container)


def _of_rest(container: Container) -> Wire:
    body = b"".join(one.data or b"" for one in container.attachments)
    try:
        lines = container.message.decode("utf-8").split("\r\n")
        found = json.loads(body) if body else None
    except (ValueError, RecursionError) as error:
        raise MalformedMessage("The message is no REST message with JSON") from error
    pairs = [line.partition(":") for line in lines[2:]]
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}
    named = {
        name.removeprefix("once-").replace("-", "_"): value
        for name, value in headers.items()
        if name.startswith("once-")
    }
    return Wire(
        container.message + b"\n" + body, dict(_in_json(found, "", 0)), named, frozenset(headers)
    )


def _in_json(value: object, path: str, depth: int) -> Iterator[tuple[str, str]]:
    if depth > _DEEPEST:
        raise MalformedMessage(f"The body has more than {_DEEPEST} levels")
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _in_json(one, f"{path}/{name}", depth + 1)
    elif isinstance(value, list):
        for place, one in enumerate(value):
            yield from _in_json(one, f"{path}/{place}", depth + 1)
    elif path:
        yield path, value if isinstance(value, str) else json.dumps(value)


def _of_soap(container: Container) -> Wire:
    root = parse_xml(container.message, what="The message")
    header, body = root.find(f"{_ENVELOPE}Header"), root.find(f"{_ENVELOPE}Body")
    if header is None or body is None:
        raise MalformedMessage("The envelope has no header or no body")
    named = {
        etree.QName(one).localname: str(one.xpath("string()"))
        for one in header.iterchildren(tag=etree.Element)
        if str(one.tag).startswith(_ONCE)
    }
    names = (etree.QName(one).localname.lower() for one in header.iterchildren(tag=etree.Element))
    data = container.message + b"".join(one.data or b"" for one in container.attachments)
    fields = {path: text for top in body for path, text in _in_xml(top, "", 0)}
    return Wire(data, fields, named, frozenset(names))


def _in_xml(element: etree._Element, path: str, depth: int) -> Iterator[tuple[str, str]]:
    """The leaves below an element, which itself is not named."""
    if depth > _DEEPEST:
        raise MalformedMessage(f"The body has more than {_DEEPEST} levels")
    for child in element.iterchildren(tag=etree.Element):
        here = f"{path}/{etree.QName(child).localname}"
        if len(child) == 0:
            yield here, str(child.text or "")
        yield from _in_xml(child, here, depth + 1)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in text.split(",") if one.strip())
