"""Whether an answer answers the request that was sent.

Source: transport.md 9.5; X-Road 7.8 ClientRestMessageProcessor.java.
"""

import hmac

from node.messages.rest import RestRequestHead, RestResponseHead
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


def _inconsistent(text: str) -> EvidenceRejected:
    return EvidenceRejected(text, "inconsistent_response")
