"""Media types as they stand in Content-Type fields, of HTTP and of parts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from trust.errors import MalformedMessage

MULTIPART_MIXED = "multipart/mixed"
MULTIPART_RELATED = "multipart/related"
TEXT_XML = "text/xml"
XOP_XML = "application/xop+xml"
OCSP_RESPONSE = "application/ocsp-response"
REST_REQUEST = "application/x-road-rest-request"
REST_RESPONSE = "application/x-road-rest-response"
REST_BODY = "application/x-road-rest-body"
HASH_CHAIN_RESULT = "application/hash-chain-result"
HASH_CHAIN = "application/hash-chain"
SIGNATURE = "signature/bdoc-1.0/ts"
SOAP = "text/xml; charset=UTF-8"  # of an envelope that goes alone

_MAX_LENGTH = 8192
_PARAMETER = re.compile(
    r";[ \t]*"
    r"(?:([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*=[ \t]*"
    r'(?:"((?:[^"\\]|\\.)*)"|([^;"]*)))?[ \t]*'
)


@dataclass(frozen=True, slots=True)
class MediaType:
    """A base type and its parameters, both names in lower case; the first of two repeats wins.

    `signature/bdoc-1.0/ts` is one of the protocol's own, so a base type may have two slashes.

    Attributes:
        ambiguous: parameters that another reader may take differently: repeated ones, and those
            in the extended notation of RFC 2231 (`boundary*0=`), by the name without it.
    """

    base: str
    parameters: Mapping[str, str]
    ambiguous: frozenset[str] = field(default=frozenset(), compare=False)

    @classmethod
    def parse(cls, value: str) -> Self:
        """Read a Content-Type value, or raise MalformedMessage (`invalid_content_type`)."""
        base, semicolon, rest = value.partition(";")
        base = base.strip(" \t").lower()
        if not base or len(value) > _MAX_LENGTH:
            raise MalformedMessage(f"Invalid content type: {value[:80]}", "invalid_content_type")
        parameters: dict[str, str] = {}
        ambiguous: set[str] = set()
        at = 0
        rest = semicolon + rest
        while at < len(rest):
            match = _PARAMETER.match(rest, at)
            if match is None:
                raise MalformedMessage(
                    f"Invalid content type: {value[:80]}", "invalid_content_type"
                )
            name, quoted, plain = match.groups()
            if name is not None:
                text = plain.strip(" \t") if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
                plain_name, star, _ = name.lower().partition("*")
                if star or name.lower() in parameters:
                    ambiguous.add(plain_name)
                parameters.setdefault(name.lower(), text)
            at = match.end()
        return cls(base, parameters, frozenset(ambiguous))

    def boundary(self) -> str:
        """The boundary of a multipart type, or MalformedMessage when it names none."""
        found = self.parameters.get("boundary", "")
        if not found:
            raise MalformedMessage(
                "Multipart content type is missing required boundary", "invalid_content_type"
            )
        return found


def with_charset(value: str) -> str:
    """A Content-Type value as X-Road's HTTP server hands it on: the charset last, and UTF-8.

    Raises MalformedMessage (`invalid_content_type`).
    """
    MediaType.parse(value)
    base, semicolon, rest = value.partition(";")
    rest = semicolon + rest
    kept = [base.strip(" \t")]
    at = 0
    while (match := _PARAMETER.match(rest, at)) is not None:
        if (match[1] or "").lower() not in ("", "charset"):
            kept.append(match[0].strip(" \t;"))
        at = match.end()
    return "; ".join(kept) + ";charset=utf-8"


def mixed(boundary: str) -> str:
    """The content type of a transport message and of the attachments nested in one."""
    return f"{MULTIPART_MIXED}; charset=UTF-8; boundary={boundary}"
