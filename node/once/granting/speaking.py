"""In whose name a node asks for grants, and tells of them: at its operator's word.

An information system proves by its connection that it may speak for a client. An operator has the
node's database and its keys, and writes down there what is to be said.
"""

from collections.abc import Awaitable, Callable

from node.exchange.clients import SpeakingClient
from node.exchange.consumer import Consumer
from node.exchange.own_call import OwnAnswer, OwnCall, OwnRequest
from trust.errors import UnknownMember

Ask = Callable[[OwnRequest], Awaitable[OwnAnswer]]


def asking_by(consumer: Consumer) -> Ask:
    """Ask other nodes in the name of the owner, or of a client that is hosted here."""

    async def ask(request: OwnRequest) -> OwnAnswer:
        if request.client == consumer.own_server.owner:
            return await consumer.ask(request)
        if not consumer.snapshots.services().hosts(request.client):
            raise UnknownMember(f"Client '{request.client}' not found")
        return await consumer.ask_for(SpeakingClient(request.client), OwnCall(request))

    return ask
