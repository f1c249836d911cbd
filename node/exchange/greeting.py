"""A header by which nodes of our kind know each other in exchanges; to others it says nothing.

A consumer's node sends it with every request, a provider's node with the answer to a request that
had it. So a plain X-Road server gets as consumer nothing that it did not get before, and as
provider one header that no part of the protocol reads.

Source: transport.md 3.2 (headers that nobody reads).
"""

from collections.abc import Callable, Iterable

from trust.ids import ClientId, ServerId, ServiceId

GREETING = ("x-sacbe-witness", "1")

# The other node, one of its clients, and the service that was asked for.
Met = Callable[[ServerId, ClientId, ServiceId], None]


def greets(headers: Iterable[tuple[str, str]]) -> bool:
    """Whether the other node is one of our kind, as it says."""
    return any(name.lower() == GREETING[0] and value == GREETING[1] for name, value in headers)
