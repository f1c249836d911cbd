"""A REST answer under terms: read whole, cut down, and told in the node's own words.

What the system says besides facts (headers of its own, texts of its errors) may hold facts, too, so
of an answer that is cut down only the status, what was cut down, and headers go out whose meaning
HTTP fixes.
"""

import json
import re
from dataclasses import dataclass, field, replace
from http import HTTPStatus

from catalog.fields.json_text import MAX_JSON_BYTES
from node.exchange.allowance import Allowance
from node.messages.mediatype import MediaType
from node.messages.rest import RestRequestHead
from node.network.information_system import SystemAnswer
from trust.errors import MalformedMessage

RawHeaders = tuple[tuple[bytes, bytes], ...]

_PREFIX = "once-"
_KEPT = frozenset(
    {
        b"allow", b"cache-control", b"content-language", b"date", b"expires", b"pragma",
        b"retry-after", b"vary",
    }
)  # fmt: skip
_NOT_SENT = frozenset(
    {
        "accept-encoding", "range", "if-range", "if-none-match", "if-modified-since",
        "x-http-method", "x-http-method-override", "x-method-override", "x-original-url",
        "x-rewrite-url",
    }
)  # fmt: skip
_NOT_SENT_TO_READ = frozenset({"if-match", "if-unmodified-since"})
_PROBLEM = b"application/problem+json"
_JSON_TYPE = re.compile(r"application/(?:json|[a-z0-9.+-]{1,60}\+json)")
_CHARSETS = ("", "utf-8", "utf8", "us-ascii", "ascii")


@dataclass(frozen=True, slots=True)
class CutAnswer:
    """What goes out.

    Attributes:
        body: None when the answer has none.
    """

    status: int
    reason: str
    headers: RawHeaders
    body: bytes | None = field(repr=False)


def whole_request(head: RestRequestHead) -> RestRequestHead:
    """The request as the system gets it when its answer is to be cut: for all of it, as it is.

    Conditions would tell whether the whole, of which digests are tags, is what somebody guesses;
    other methods and paths than those that were judged are for systems that believe such headers.
    """
    left_out = _NOT_SENT | (_NOT_SENT_TO_READ if head.method in ("GET", "HEAD") else frozenset())
    kept = tuple(pair for pair in head.headers if pair[0].lower() not in left_out)
    return replace(head, headers=(*kept, ("accept-encoding", "identity")))


def note_headers(allowance: Allowance | None) -> RawHeaders:
    """What the consumer is told of what was given, as headers."""
    if allowance is None:
        return ()
    return tuple(
        ((_PREFIX + name).encode(), value.encode("utf-8", "replace"))
        for name, value in allowance.notes()
    )


def without_notes(headers: RawHeaders) -> RawHeaders:
    """A system's headers without those that only the node says."""
    return tuple(pair for pair in headers if not pair[0].lower().startswith(_PREFIX.encode()))


async def cut_answer(answer: SystemAnswer, allowance: Allowance) -> CutAnswer:
    """Read an answer and cut it down.

    Raises:
        TermsNotMet: it can't be cut down, so nothing of it may leave.
        NetworkFailure: it breaks off.
    """
    status = answer.status
    kept = tuple((name, value) for name, value in answer.headers if name.lower() in _KEPT)
    if status >= HTTPStatus.MULTIPLE_CHOICES or not answer.has_entity:
        allowance.nothing_given()
        body = _problem(status) if answer.has_entity and status >= 300 else None
        typed = ((b"content-type", _PROBLEM),) if body is not None else ()
    else:
        media_type = _check_json(answer, allowance)
        body = (await allowance.cut_json(await _read(answer, allowance))).data
        typed = ((b"content-type", media_type.encode()),)
    headers = (*kept, *typed, *note_headers(allowance))
    return CutAnswer(status, _phrase(status), headers, body)


def _check_json(answer: SystemAnswer, allowance: Allowance) -> str:
    """The media type of an answer that can be cut; raises TermsNotMet."""
    named = [(name.lower(), value.decode("latin-1").strip()) for name, value in answer.headers]
    encodings = [value for name, value in named if name == b"content-encoding"]
    if any(value.lower() not in ("", "identity") for value in encodings):
        raise allowance.not_reducible("the service's answer is compressed, which nobody asked for")
    types = [value for name, value in named if name == b"content-type"]
    if len(types) != 1:
        raise allowance.not_reducible("the service's answer does not have one content type")
    try:
        media_type = MediaType.parse(types[0])
    except MalformedMessage as error:
        raise allowance.not_reducible("the content type of the answer can't be read") from error
    base = media_type.base
    if not _JSON_TYPE.fullmatch(base):
        raise allowance.not_reducible(f"the service answered {base[:80]!r}, not JSON")
    if media_type.parameters.get("charset", "").strip().lower() not in _CHARSETS:
        raise allowance.not_reducible("the service's answer is not in UTF-8")
    return base


async def _read(answer: SystemAnswer, allowance: Allowance) -> bytes:
    data = bytearray()
    async for piece in answer.pieces():
        data += piece
        if len(data) > MAX_JSON_BYTES:
            raise allowance.not_reducible(f"the answer has more than {MAX_JSON_BYTES} bytes")
    return bytes(data)


def _problem(status: int) -> bytes:
    """What is said of an error in place of the system's words (RFC 9457)."""
    said = {"type": "about:blank", "title": _phrase(status), "status": status}
    return json.dumps(said).encode()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
