"""Whether an answer answers the request that was sent.

Source: transport.md 9.5; messages.md 3.7; X-Road 7.8 ClientRestMessageProcessor.java,
ClientMessageProcessor.java, SoapUtils.java.
"""

import hmac

from node.messages.rest import RestRequestHead, RestResponseHead
from node.messages.soap import SoapHeader, SoapMessage
from trust.base64text import decode_base64
from trust.errors import EvidenceRejected


def check_answers(
    request: RestRequestHead, response: RestResponseHead, expected_hash: bytes
) -> None:
    """Check that a verified response belongs to the request.

    A response of another exchange, replayed or swapped, is well signed; only this tells.

    Args:
        expected_hash: `rest.request_hash` of what was sent.

    Raises:
        EvidenceRejected: `inconsistent_response`.
    """
    if response.client != request.client:
        raise _inconsistent("Response client id does not match request message")
    if response.message_id != request.message_id:
        raise _inconsistent("Response message id does not match request message")
    if response.service != request.service:
        raise _inconsistent("Response service id does not match request message")
    if response.request_id != request.request_id:
        raise _inconsistent("Response message request id does not match request message")
    if not hmac.compare_digest(response.request_hash, expected_hash):
        raise _inconsistent("Response message hash does not match request message")


def check_soap_answers(request: SoapMessage, response: SoapMessage, request_digest: bytes) -> None:
    """Check that a verified SOAP response belongs to the request.

    Args:
        request_digest: SHA-512 of the request's envelope as it was sent.

    Raises:
        EvidenceRejected: `service_failed.inconsistent_response` when the provider's system did not
            give back a field of the header, `inconsistent_response` for a wrong hash or none.
    """
    if _compared(response.header) != _compared(request.header):
        raise EvidenceRejected(
            "Response from server proxy is not consistent with request",
            "service_failed.inconsistent_response",
        )
    if response.header.request_hash is None:
        raise _inconsistent("Response from server proxy is missing request message hash")
    if not _same_hash(response.header.request_hash, request_digest):
        raise _inconsistent("Request message hash does not match request message")


def _compared(header: SoapHeader) -> tuple[object, ...]:
    """What a response must repeat; not the server that was targeted, nor the version."""
    return (
        header.client, header.service, header.user_id, header.issue, header.represented_party,
        header.message_id,
    )  # fmt: skip


def _same_hash(text: str, expected: bytes) -> bool:
    try:
        return hmac.compare_digest(decode_base64(text), expected)
    except ValueError:
        return False


def _inconsistent(text: str) -> EvidenceRejected:
    return EvidenceRejected(text, "inconsistent_response")
