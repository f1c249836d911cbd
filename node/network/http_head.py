"""Heads of outgoing HTTP requests and of their answers, as values.

Names and values are text that stands for bytes: UTF-8, with surrogates for what is not, so that
every byte of a header survives on its way through (messages.md 5.2).
"""

import re
from collections.abc import AsyncIterable, Iterable
from dataclasses import dataclass, field
from typing import Self

from trust.errors import MalformedMessage

Headers = tuple[tuple[str, str], ...]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(r"[\x21-\x7e\x80-\U0010ffff]+")
_FRAMING = frozenset({"content-length", "transfer-encoding", "host", "connection"})
_WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})  # say so even when there is no body


@dataclass(frozen=True, slots=True)
class OutboundRequest:
    """A request as it is to be sent; framing headers and `Host` are added when it is written.

    Attributes:
        target: origin form, raw: what the request line will hold.
        host: value of the `Host` header.
        body: the whole body, for those that are at hand.
        stream: the body when it is not; `length` is its length if known, else it is sent chunked.
    """

    method: str
    target: str
    host: str
    headers: Headers = ()
    body: bytes = field(default=b"", repr=False)
    stream: AsyncIterable[bytes] | None = None
    length: int | None = None


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """Status line and headers of an answer; headers in order and spelling, repeats kept."""

    status: int
    reason: str
    raw_headers: tuple[tuple[bytes, bytes], ...]

    @classmethod
    def read(cls, status: int, reason: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Self:
        """Make a head from what the parser found; a reason that is not UTF-8 is ISO-8859-1."""
        try:
            words = reason.decode("utf-8")
        except UnicodeDecodeError:
            words = reason.decode("latin-1")
        return cls(status, words, tuple(headers))

    @property
    def headers(self) -> Headers:
        """The headers as text."""
        return tuple((_text(name), _text(value)) for name, value in self.raw_headers)

    def all(self, name: str) -> list[str]:
        """The values of a header, given in lower case, whatever its case."""
        wanted = name.encode("ascii")
        return [_text(value) for key, value in self.raw_headers if key.lower() == wanted]

    def first(self, name: str) -> str | None:
        """The first value of a header, given in lower case, whatever its case, or None."""
        return next(iter(self.all(name)), None)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def build_request_head(request: OutboundRequest) -> bytes:
    """Write request line and headers with the empty line that ends them.

    Raises MalformedMessage for what would break out of its line: a method or name that is no token,
    white space in the target, line ends or NUL in a value.
    """
    if not _TOKEN.fullmatch(request.method) or not _TARGET.fullmatch(request.target):
        raise MalformedMessage("The request line can't be written as HTTP", "internal_error")
    lines = [f"{request.method} {request.target} HTTP/1.1", f"Host: {request.host}"]
    for name, value in request.headers:
        if not _TOKEN.fullmatch(name):
            raise MalformedMessage("A header name can't be written as HTTP", "internal_error")
        if name.lower() in _FRAMING:
            raise ValueError(f"{name} is written by the client itself")
        lines.append(f"{name}: {value}")
    lines += _framing(request)
    text = "\r\n".join(lines)
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1 or "\0" in text:
        raise MalformedMessage("A header value can't be written as HTTP", "internal_error")
    return text.encode("utf-8", "surrogateescape") + b"\r\n\r\n"


def _framing(request: OutboundRequest) -> list[str]:
    if request.stream is not None:
        if request.length is None:
            return ["Transfer-Encoding: chunked"]
        return [f"Content-Length: {request.length}"]
    if request.body or request.method in _WITH_LENGTH:
        return [f"Content-Length: {len(request.body)}"]
    return []
