"""The HTTP headers around a transport message.

Response header names are written in exactly this lower case: an X-Road consumer looks them up in a
case-sensitive map.

Source: transport.md 3; X-Road 7.8 ServerProxyHandler.java, ClientMessageProcessor.java.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from trust.errors import ExchangeError, MalformedMessage

PROXY_VERSION = "7.8.0"  # what we announce: the release whose protocol we speak
HASH_ALGORITHM = "SHA-512"  # with any other one batch signatures break
REST_MESSAGE_TYPE = "REST"

H_HASH_ALGORITHM = "x-hash-algorithm"
H_PROXY_VERSION = "x-proxy-version"
H_ORIGINAL_CONTENT_TYPE = "x-original-content-type"
H_ORIGINAL_SOAP_ACTION = "x-original-soapaction"
H_REQUEST_ID = "x-road-request-id"
H_MESSAGE_TYPE = "x-road-message-type"
H_CONTENT_TYPE = "content-type"

_SOAP_ACTION = re.compile(r"""(?:"[^"<>\\^`{|}\x00-\x20\x7f]*")?""")

Headers = tuple[tuple[str, str], ...]


def build_request_headers(
    content_type: str,
    request_id: str,
    original_content_type: str,
    *,
    soap_action: str | None = None,
) -> Headers:
    """The headers of a request to a peer; chunked framing and Host are the HTTP client's.

    Args:
        content_type: of the transport message, with its boundary.
        request_id: a fresh UUID, one per exchange.
        original_content_type: what the information system sent, empty when it sent none.
        soap_action: verbatim with quotes, empty when absent; None makes it a REST request.
    """
    headers = [
        (H_HASH_ALGORITHM, HASH_ALGORITHM),
        (H_PROXY_VERSION, PROXY_VERSION),
        (H_ORIGINAL_CONTENT_TYPE, original_content_type),
        (H_REQUEST_ID, request_id),
    ]
    if soap_action is None:
        headers.append((H_MESSAGE_TYPE, REST_MESSAGE_TYPE))
    else:
        headers.append((H_ORIGINAL_SOAP_ACTION, soap_action))
    return (*headers, ("Content-Type", content_type))


def build_response_headers(content_type: str, original_content_type: str | None = None) -> Headers:
    """The headers of an answer to a peer; a REST answer has no original content type."""
    headers = [("Content-Type", content_type), (H_HASH_ALGORITHM, HASH_ALGORITHM)]
    if original_content_type is not None:
        headers.append((H_ORIGINAL_CONTENT_TYPE, original_content_type))
    return tuple(headers)


def build_bare_fault_headers() -> Headers:
    """The headers of a fault that is the whole answer, with status 200."""
    return (("Content-Type", "text/xml; charset=utf-8"), ("SOAPAction", ""))


@dataclass(frozen=True, slots=True)
class RequestEnvelope:
    """What a peer says about its request in HTTP headers. None of it is signed."""

    content_type: str
    proxy_version: str  # empty when missing
    original_content_type: str
    request_id: str  # empty when missing
    rest: bool
    soap_action: str

    @classmethod
    def parse(cls, headers: Iterable[tuple[str, str]]) -> Self:
        """Read the headers of a request; `check` judges them, in the provider's order."""
        found = _by_name(headers)
        return cls(
            content_type=found.get(H_CONTENT_TYPE, ""),
            proxy_version=found.get(H_PROXY_VERSION, ""),
            original_content_type=found.get(H_ORIGINAL_CONTENT_TYPE, ""),
            request_id=found.get(H_REQUEST_ID, ""),
            rest=found.get(H_MESSAGE_TYPE) == REST_MESSAGE_TYPE,
            soap_action=found.get(H_ORIGINAL_SOAP_ACTION, ""),
        )


@dataclass(frozen=True, slots=True)
class ResponseEnvelope:
    content_type: str
    original_content_type: str | None

    @classmethod
    def parse(cls, headers: Iterable[tuple[str, str]]) -> Self:
        """Read the headers of an answer.

        Raises:
            MalformedMessage: `invalid_content_type` when it has none.
        """
        found = _by_name(headers)
        content_type = found.get(H_CONTENT_TYPE)
        if not content_type:
            raise MalformedMessage(
                "Could not get content type from response", "invalid_content_type"
            )
        return cls(content_type, found.get(H_ORIGINAL_CONTENT_TYPE))


def check_method(method: str) -> None:
    if method != "POST":
        raise MalformedMessage(
            f"Must use POST request method instead of {method}", "invalid_http_method"
        )


def check_soap_action(value: str) -> None:
    """Check a SOAPAction: absent, empty, or a URI reference in double quotes."""
    if not _SOAP_ACTION.fullmatch(value):
        raise MalformedMessage("Malformed SOAPAction header", "invalid_soap_action")


def check_hash_algorithm(headers: Iterable[tuple[str, str]]) -> None:
    """Check that a peer digests with SHA-512, for a request and for an answer that is no fault.

    X-Road also takes weaker names here and then can't verify a batch signature; an X-Road server
    never sends one.
    """
    value = _by_name(headers).get(H_HASH_ALGORITHM)
    if not value:
        raise ExchangeError("Could not get hash algorithm identifier from message")
    if value.upper() != HASH_ALGORITHM:
        raise ExchangeError(f"Hash algorithm {value!r:.40} is not {HASH_ALGORITHM}")


def _by_name(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Values by lower-case name; the first of repeated ones counts."""
    found: dict[str, str] = {}
    for name, value in headers:
        found.setdefault(name.lower(), value)
    return found
