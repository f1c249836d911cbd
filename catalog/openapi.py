"""OpenAPI descriptions as far as a node needs them: endpoints, what is odd, whose address.

A document is JSON or YAML. YAML is read event by event: libyaml never sees more nesting than
MAX_DEPTH, aliases are counted by what they stand for, and nothing but plain values is made. It is
written anew from the same events, without comments, so that an address in one does not leak.

Source: messages.md 8.2, 8.3; metadata.md 6; X-Road 7.8 OpenApiParser.java, Openapi3Anonymiser.java.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from typing import Any
from urllib.parse import urljoin, urlsplit

import yaml

from catalog.services import Endpoint
from trust.errors import ExchangeError

MAX_BYTES = 10 * 1024 * 1024
MAX_DEPTH = 64
MAX_VALUES = 500_000  # in the whole document, what aliases stand for included
MAX_ENDPOINTS = 5_000
_MAX_TAG_DIRECTIVES = 100  # libyaml compares each with all before it
_TAG_DIRECTIVE = re.compile(rb"%\x00?T\x00?A\x00?G")  # as UTF-8 or UTF-16
_TEXT_UNIT = 64  # characters that weigh as much as a value
_MAX_WARNINGS = 50
_MAX_PATH = 2_000
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PARAMETER = re.compile(r"\{[^/]*}")
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_SUPPORTED = re.compile(r"3\.0(?:\..*)?|3\.1\.0")
_URL = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?#\[\]]|%[0-9A-Fa-f]{2}|[^\x00-\xa0])*")
_CORE_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp", "merge")
)
_CONSTANTS = {"": None, "~": None, "null": None, "true": True, "false": False}
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,300})(?:\.[0-9]{1,300})?(?:[eE][-+]?[0-9]{1,3})?")
_ENDLESS = 1 << 30  # columns: no text is folded


class DocumentType(Enum):
    JSON = "JSON"
    YAML = "YAML"


class UnreadableDescription(ExchangeError):
    """A document that is no OpenAPI description, or one beyond the bounds."""


@dataclass(frozen=True, slots=True)
class OpenapiDescription:
    """What a description says.

    Attributes:
        base_url: of the first server, as written; empty when there is none.
    """

    version: str
    title: str
    base_url: str
    endpoints: tuple[Endpoint, ...]
    warnings: tuple[str, ...]


def document_type(content_types: Sequence[str], path: str) -> DocumentType:
    """How a downloaded document is to be read, by its Content-Type headers and the URL's path."""
    if any("application/json" in value for value in content_types):
        return DocumentType.JSON
    if "application/x-yaml" in content_types:
        return DocumentType.YAML
    return DocumentType.JSON if path.endswith(".json") else DocumentType.YAML


def parse_document(raw: bytes, kind: DocumentType) -> dict[str, Any]:
    """The document as plain values; raises UnreadableDescription."""
    return _parse(raw, kind).value


def parse_openapi(raw: bytes, kind: DocumentType) -> OpenapiDescription:
    """Read endpoints and what is odd; raises UnreadableDescription."""
    return read_openapi(parse_document(raw, kind))


def read_openapi(document: Mapping[str, Any]) -> OpenapiDescription:
    """The same of a document that was parsed."""
    return _Reader(document).read()


def hide_addresses(raw: bytes, kind: DocumentType) -> bytes:
    """The description as others get it: of each server's URL only the path is left.

    URLs with a `{variable}` stay as they are, and so do servers of paths and operations.

    Raises:
        UnreadableDescription: it can't be read.
        ExchangeError: its version or a server's URL is wrong; the text says which.
    """
    document = _parse(raw, kind)
    _check_version(document.value)
    servers = document.value.get("servers")
    hidden: dict[int, str] = {}
    for server in servers if isinstance(servers, list) else ():
        url = server.get("url") if isinstance(server, dict) else None
        if isinstance(url, str) and not ("{" in url and "}" in url):
            path = _path_of(url)
            if isinstance(url, _YamlText):
                hidden[url.event] = path
            else:
                server["url"] = path
    if kind is DocumentType.YAML:
        return _write_yaml(raw, hidden)
    return json.dumps(document.value, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "replace"
    )


def resolve_base(base_url: str, description_url: str) -> str:
    """Where the described service is: its first server's URL, relative to the description's own."""
    if "{" in base_url:
        return base_url
    try:
        return urljoin(description_url, base_url) if base_url else urljoin(description_url, "/")
    except ValueError:
        return base_url


def _check_version(value: Mapping[str, Any]) -> None:
    version = value.get("openapi")
    if version is None or (isinstance(version, str) and version.startswith("3.")):
        return
    pieces = json.JSONEncoder(ensure_ascii=False, default=str).iterencode(version)
    shown = "".join(islice(pieces, 100))  # aliases in it may stand for very much
    raise ExchangeError(
        "Incompatible openapi version. Openapi version 3 or greater expected. "
        f"Given openapi document is of version {shown:.100}"
    )


def _path_of(url: str) -> str:
    """The path of a URL, still percent-encoded (the reference decodes it, which is no URL then)."""
    try:
        if not _URL.fullmatch(url):
            raise ValueError("a character that no URL has")
        parts = urlsplit(url)
    except ValueError as error:
        raise ExchangeError(f"Can't parse url string: {url:.500}") from error
    if parts.scheme and not parts.netloc and not parts.path.startswith("/"):
        return ""  # mailto:, urn: have none
    return parts.path


class _Reader:
    def __init__(self, value: Mapping[str, Any]) -> None:
        self._value = value
        self._warnings: dict[str, None] = {}

    def read(self) -> OpenapiDescription:
        found = self._value.get("openapi", "")
        version = "" if isinstance(found, dict | list) else str(found)
        if not version:
            self._warn("there is no version under 'openapi'")
        elif not _SUPPORTED.fullmatch(version):
            self._warn(f"version '{version:.40}' is not among 3.0.x and 3.1.0")
        info = self._value.get("info")
        title = info.get("title") if isinstance(info, dict) else None
        if not isinstance(title, str):
            self._warn("there is no title under 'info'")
        return OpenapiDescription(
            version=version,
            title=title[:1000] if isinstance(title, str) else "",
            base_url=self._base_url(),
            endpoints=self._endpoints(),
            warnings=tuple(self._warnings)[:_MAX_WARNINGS],
        )

    def _warn(self, text: str) -> None:
        self._warnings.setdefault(text[:500], None)

    def _base_url(self) -> str:
        servers = self._value.get("servers")
        first = servers[0] if isinstance(servers, list) and servers else None
        url = first.get("url") if isinstance(first, dict) else None
        return str(url) if isinstance(url, str) else ""

    def _endpoints(self) -> tuple[Endpoint, ...]:
        paths = self._value.get("paths")
        if not isinstance(paths, dict):
            self._warn("there are no paths")
            return ()
        found: dict[Endpoint, None] = {}
        for path, item in paths.items():
            for endpoint in self._of_path(str(path), item):
                if endpoint in found:
                    self._warn(f"'{endpoint}' stands there twice, but for parameters' names")
                elif len(found) >= MAX_ENDPOINTS:
                    self._warn(f"there are more than {MAX_ENDPOINTS} endpoints; the rest is cut")
                    return tuple(found)
                found[endpoint] = None
        if not found:
            self._warn("there is no endpoint")
        return tuple(found)

    def _of_path(self, path: str, item: object) -> Iterator[Endpoint]:
        if path.startswith("x-"):
            return
        if not path.startswith("/") or len(path) > _MAX_PATH or _CONTROL.search(path):
            self._warn(f"'{path:.100}' is no path: left out")
            return
        if not isinstance(item, dict):
            self._warn(f"path '{path}' has no operations")
            return
        if "$ref" in item:
            self._warn(f"path '{path}' refers to another place, which is not followed")
        for method in _METHODS:
            if method in item:
                yield Endpoint(method.upper(), _PARAMETER.sub("*", path))


# --- the two notations ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Document:
    value: dict[str, Any]


def _parse(raw: bytes, kind: DocumentType) -> _Document:
    if len(raw) > MAX_BYTES:
        raise UnreadableDescription(f"The description is larger than {MAX_BYTES} bytes")
    value = _read_json(raw) if kind is DocumentType.JSON else _read_yaml(raw)
    if not isinstance(value, dict):
        raise UnreadableDescription("The description is no object")
    return _Document(value)


def _read_json(raw: bytes) -> object:
    try:
        return json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise UnreadableDescription(f"The description is no JSON: {error}") from error


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no number")


class _YamlText(str):
    """A text with the number of the event that it came with."""

    event = -1

    @classmethod
    def at(cls, text: str, event: int) -> "_YamlText":
        made = cls(text)
        made.event = event
        return made


def _read_yaml(raw: bytes) -> object:
    if sum(1 for _ in _TAG_DIRECTIVE.finditer(raw)) > _MAX_TAG_DIRECTIVES:
        raise UnreadableDescription("The description is no YAML: it has too many directives")
    try:
        return _YamlComposer().compose(yaml.parse(raw, Loader=yaml.CSafeLoader))
    except (yaml.YAMLError, UnicodeError, ValueError) as error:
        raise UnreadableDescription(f"The description is no YAML: {error}") from error


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come."""

    value: dict[str, Any] | list[Any]
    anchor: str | None
    weight: int = 1
    key: object = None
    has_key: bool = False


@dataclass(slots=True)
class _YamlComposer:
    """Makes plain values of events, without recursion and with bounds on all that grows.

    Plain scalars are read as the core schema of YAML 1.2 has them: `yes` and dates are texts.

    The weight of a value is how many values it holds when every alias is written out; a long text
    weighs more, for as a key or in a message it is copied.
    """

    _anchors: dict[str, tuple[object, int]] = field(default_factory=dict)
    _open: list[_Open] = field(default_factory=list)
    _roots: list[object] = field(default_factory=list)

    def compose(self, events: Iterator[yaml.Event]) -> object:
        for number, event in enumerate(events):
            if number > 2 * MAX_VALUES:
                raise ValueError("it holds too much")
            self._take(event, number)
        if len(self._roots) != 1:
            raise ValueError("it is not one document")
        return self._roots[0]

    def _take(self, event: yaml.Event, number: int) -> None:
        if isinstance(event, yaml.ScalarEvent):
            value, weight = self._scalar(event, number), 1 + len(event.value) // _TEXT_UNIT
            self._keep(event.anchor, value, weight)
            self._put(value, weight)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:  # inside itself it is not known yet, either
                raise ValueError("an alias leads nowhere")
            self._put(*self._anchors[event.anchor])
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            _check_tag(event.tag)
            if len(self._open) >= MAX_DEPTH:
                raise ValueError("it is nested too deep")
            made: dict[str, Any] | list[Any] = (
                {} if isinstance(event, yaml.MappingStartEvent) else []
            )
            if event.anchor:
                self._anchors.pop(event.anchor, None)
            self._open.append(_Open(made, event.anchor))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            done = self._open.pop()
            self._keep(done.anchor, done.value, done.weight)
            self._put(done.value, done.weight)

    def _keep(self, anchor: str | None, value: object, weight: int) -> None:
        if anchor:
            self._anchors[anchor] = (value, weight)

    def _put(self, value: object, weight: int) -> None:
        if not self._open:
            self._roots.append(value)
            return
        inside = self._open[-1]
        inside.weight += weight
        if inside.weight > MAX_VALUES:
            raise ValueError("it holds too much")
        if isinstance(inside.value, list):
            inside.value.append(value)
        elif not inside.has_key:
            if isinstance(value, dict | list):
                raise ValueError("a key is no text")
            inside.key, inside.has_key = value, True
        else:
            _put_under(inside.value, inside.key, value)
            inside.has_key = False

    def _scalar(self, event: yaml.ScalarEvent, number: int) -> object:
        _check_tag(event.tag)
        plain = event.implicit[0] and not event.tag
        if plain and event.value in _CONSTANTS:
            return _CONSTANTS[event.value]
        if plain and _NUMBER.fullmatch(event.value):
            return json.loads(event.value)
        return _YamlText.at(event.value, number)


def _put_under(mapping: dict[str, Any], key: object, value: object) -> None:
    if key == "<<":
        given = value if isinstance(value, list) else [value]
        for one in given:
            for name, inherited in one.items() if isinstance(one, dict) else ():
                mapping.setdefault(name, inherited)
        return
    mapping["null" if key is None else str(key)] = value


def _check_tag(tag: str | None) -> None:
    """No types of programming languages, here or in what others will read."""
    if tag is not None and tag != "!" and tag not in _CORE_TAGS:
        raise ValueError("it has a tag that is not of the core schema")


def _write_yaml(raw: bytes, replaced: Mapping[int, str]) -> bytes:
    """The same events, some texts replaced; comments are none of them."""

    def events() -> Iterator[yaml.Event]:
        for number, event in enumerate(yaml.parse(raw, Loader=yaml.CSafeLoader)):
            if isinstance(event, yaml.DocumentStartEvent):
                yield yaml.DocumentStartEvent(explicit=True)
            elif isinstance(event, yaml.ScalarEvent) and number in replaced:
                yield yaml.ScalarEvent(
                    event.anchor, None, (False, True), replaced[number], style='"'
                )
            else:
                yield event

    text: str = yaml.emit(events(), Dumper=yaml.CSafeDumper, allow_unicode=True, width=_ENDLESS)
    return text.encode("utf-8", "replace")
