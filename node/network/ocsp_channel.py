"""OCSP responses of a peer's TLS certificates, asked for on its port 5577.

    GET /?cert=<sha1>&cert=<sha1>&cert_hash=<sha256>&cert_hash=<sha256>   → multipart/related

A 7.8 server reads only `cert`; `cert_hash` is what its successors will read. What comes back is
evidence that nobody believes yet. Source: transport.md 2.5;
X-Road 7.8 CertHashBasedOcspResponderClient.java, CertHashBasedOcspResponder.java.
"""

import hashlib
from collections.abc import Sequence
from datetime import timedelta

from node.messages.mediatype import MULTIPART_RELATED, OCSP_RESPONSE, MediaType
from node.messages.multipart import MultipartReader, PartData, PartEnd, PartHead, new_boundary
from node.network.answer import Limits
from node.network.http_head import OutboundRequest
from node.network.outbound import Timeouts
from node.network.pool import Destination, open_connection
from trust.errors import MalformedMessage, UntrustedPeer
from trust.pki.ocsp import MAX_RESPONSE_BYTES

MAX_CERTIFICATES = 10
_TIMEOUTS = Timeouts(
    connect=timedelta(seconds=20), read=timedelta(seconds=30), total=timedelta(seconds=30)
)
_LIMITS = Limits(head_bytes=16 * 1024, headers=100)
_ACCEPTED = frozenset({*range(200, 209), 226})


def ocsp_target(certificates: Sequence[bytes]) -> str:
    """The request target that asks for the responses of these DER certificates."""
    sha1 = [f"cert={_sha1(one)}" for one in certificates]
    sha256 = [f"cert_hash={hashlib.sha256(one).hexdigest()}" for one in certificates]
    return "/?" + "&".join(sha1 + sha256)


def _sha1(certificate: bytes) -> str:
    return hashlib.sha1(certificate, usedforsecurity=False).hexdigest()


def parse_ocsp_answer(content_type: str, body: bytes) -> tuple[bytes, ...]:
    """The OCSP responses in an answer, in order; parts of other types are skipped.

    Raises MalformedMessage for what is no multipart/related with at most ten small parts.
    """
    media = MediaType.parse(content_type)
    if media.base != MULTIPART_RELATED:
        raise MalformedMessage(f"Invalid content type: {media.base:.80}", "invalid_content_type")
    reader = MultipartReader(media.boundary())
    found: list[bytes] = []
    part, wanted = bytearray(), False
    for event in reader.feed(body):
        match event:
            case PartHead():
                part, wanted = bytearray(), _is_response(event)
            case PartData(data):
                part += data
            case PartEnd() if wanted:
                found.append(bytes(part))
            case _:
                continue
    reader.close()
    if len(found) > MAX_CERTIFICATES or any(len(one) > MAX_RESPONSE_BYTES for one in found):
        raise MalformedMessage("Too many or too large OCSP responses")
    return tuple(found)


def _is_response(head: PartHead) -> bool:
    values = head.values("content-type")
    return bool(values) and MediaType.parse(values[0]).base == OCSP_RESPONSE


def build_ocsp_answer(responses: Sequence[bytes]) -> tuple[str, bytes]:
    """Content type and body that carry OCSP responses, as the reference writes them."""
    boundary = new_boundary("jetty")
    body = bytearray()
    for number, response in enumerate(responses):
        body += b"\r\n" if number else b""
        body += f"--{boundary}\r\nContent-Type: {OCSP_RESPONSE}\r\n\r\n".encode() + response
    body += f"\r\n--{boundary}--\r\n".encode()
    content_type = (
        f'{MULTIPART_RELATED}; type="{OCSP_RESPONSE}"; charset=UTF-8; boundary={boundary}'
    )
    return content_type, bytes(body)


async def fetch_ocsp_responses(
    host: str, port: int, host_header: str, certificates: Sequence[bytes]
) -> tuple[bytes, ...]:
    """Ask a peer for the OCSP responses of its own certificates, one for each.

    Raises NetworkFailure when it can't be asked, UntrustedPeer (`internal_error`) when it answers
    with anything but exactly as many responses. They are not matched to certificates here.
    """
    request = OutboundRequest(
        "GET", ocsp_target(certificates), host_header, (("Accept", MULTIPART_RELATED),)
    )
    connection = await open_connection(Destination(host, port), _LIMITS, _TIMEOUTS.connect)
    try:
        answer = await connection.exchange(request, _TIMEOUTS)
        body = await answer.read(MAX_CERTIFICATES * (MAX_RESPONSE_BYTES + 1024))
    finally:
        await connection.finish()
        connection.close()
    expected = len(certificates)
    if answer.head.status not in _ACCEPTED:
        raise _incomplete(expected, 0)
    try:
        found = parse_ocsp_answer(answer.head.first("content-type") or "", body)
    except MalformedMessage as error:
        raise _incomplete(expected, 0) from error
    if len(found) != expected:
        raise _incomplete(expected, len(found))
    return found


def _incomplete(expected: int, got: int) -> UntrustedPeer:
    return UntrustedPeer(
        f"Could not get all OCSP responses from server (expected {expected}, but got {got})",
        "internal_error",
    )
