"""What both protocols' sides of an exchange share that this node's side began."""

from typing import Generic, TypeVar

from node.exchange.received import ReceivedMessage
from node.exchange.request import SoapRequest
from node.log.uses import DataUse
from node.messages.fault import Side
from node.messages.rest import RestRequestHead

R = TypeVar("R", RestRequestHead, SoapRequest)


class Sides(Generic[R]):
    """The request of one exchange, once it is known."""

    side = Side.CONSUMER
    _request: R | None = None

    @property
    def largest(self) -> int | None:
        """What a system asks for may be as large as the node takes."""
        return None

    def use(self, received: ReceivedMessage, peer: str) -> DataUse | None:
        """Nothing is known of what a system's own call is about."""
        return None

    @property
    def ids(self) -> tuple[str, str]:
        """Exchange id and message id; empty while the request has not been read."""
        request = self._request
        return ("", "") if request is None else (request.request_id, request.message_id)

    @property
    def _asked(self) -> R:
        if self._request is None:
            raise AssertionError("the request has not been read yet")
        return self._request
