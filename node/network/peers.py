"""Other institutions' nodes: reach one that can answer, over a connection that was judged.

    async with peers.reach(service, target, conf, at) as peer:
        answer = await peer.send(headers, body)
        async for piece in answer.pieces(): …

Nothing is sent while a peer is being reached, so failing over to another of the provider's servers
is safe there, and only there: once `send` has begun, the request may have been acted on.

X-Road has one port for all peers. Several nodes on one machine take several loopback addresses
(127.0.0.2, …) with the same ports; where that can't be, `PeerRoutes.addresses` says where a host of
the trust list is to be found instead.

Source: transport.md 3.1, 12, 13; design.md 3.6.
"""

import asyncio
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from cryptography import x509

from node.network.answer import Answer, Limits
from node.network.candidates import Reputation, find_candidates
from node.network.http_head import Headers, OutboundRequest
from node.network.outbound import Timeouts
from node.network.peer_search import PeerAddress, PeerRoutes, PeerSearch, Won
from node.network.peer_trust import PeerTrust
from node.network.pool import ConnectionPool, PoolSettings
from node.network.tls import TlsIdentity, peer_client
from trust.errors import NetworkFailure, UntrustedPeer
from trust.globalconf import GlobalConf, Server
from trust.ids import ServerId, ServiceId
from trust.pki.identities import AuthIdentity

__all__ = ["PeerAddress", "PeerRoutes", "Peers", "Reached"]


class Reached:
    """A peer at the other end of a judged connection, for one exchange.

    Attributes:
        server: the one whose certificate it showed.
        asked: whether anything may have been sent.
    """

    def __init__(self, won: Won, port: int, timeouts: Timeouts) -> None:
        self.server: Server = won.judgement.server
        self.asked = False
        self._connection = won.connection
        self._host = f"{won.judgement.server.address}:{port}"
        self._timeouts = timeouts

    async def send(self, headers: Headers, body: AsyncIterable[bytes] | bytes) -> Answer:
        """Send the request, a streamed body while it is being made; wait for the answer's head.

        Raises NetworkFailure, and what making the body raises.
        """
        self.asked = True
        request = (
            OutboundRequest("POST", "/", self._host, headers, body=body)
            if isinstance(body, bytes)
            else OutboundRequest("POST", "/", self._host, headers, stream=body)
        )
        return await self._connection.exchange(request, self._timeouts)


class Peers:
    """Keeps connections to other nodes and remembers which of them are well.

    Args:
        identity: what this node shows in TLS now, or None while it has nothing to show.
    """

    def __init__(self, routes: PeerRoutes, identity: Callable[[], AuthIdentity | None]) -> None:
        self._routes = routes
        self._identity = identity
        self._timeouts = Timeouts(connect=routes.connect, read=routes.silence)
        self._limits = Limits()
        self._pool = ConnectionPool(
            PoolSettings(in_use_per_key=routes.connections, limits=self._limits)
        )
        self._trust = PeerTrust()
        self._reputation = Reputation(lambda: asyncio.get_running_loop().time())
        self._shown: tuple[x509.Certificate, ...] = ()
        self._context: ssl.SSLContext | None = None
        self._conf_number = -1

    @property
    def idle(self) -> int:
        """Connections that wait for work."""
        return self._pool.idle

    @property
    def in_use(self) -> int:
        """Connections at work or being opened."""
        return self._pool.in_use

    def own_ocsp_responses(self) -> tuple[bytes, ...]:
        """What goes in front of every request: the responses for the certificates we show."""
        return self._own().ocsp_responses

    @asynccontextmanager
    async def reach(
        self, service: ServiceId, target: ServerId | None, conf: GlobalConf, at: datetime
    ) -> AsyncIterator[Reached]:
        """A judged connection to one of the provider's servers, for one exchange.

        Args:
            target: the server that the request names; then no other one is tried.

        Raises what `find_candidates` raises, UntrustedPeer, NetworkFailure.
        """
        self._notice(conf)
        search = PeerSearch(
            pool=self._pool,
            trust=self._trust,
            reputation=self._reputation,
            routes=self._routes,
            limits=self._limits,
            context=self._client_context(),
            provider=service.provider,
            target=target,
            conf=conf,
            at=at,
        )
        candidates = find_candidates(service, target, conf, at)
        won = await search.find(self._reputation.ordered(candidates))
        reached = Reached(won, self._routes.port, self._timeouts)
        try:
            yield reached
            self._reputation.answered(won.key.server)
        except NetworkFailure:
            if reached.asked:
                self._reputation.failed(won.key.server)
            raise
        finally:
            try:
                await won.connection.finish()
            finally:
                self._pool.give(won.key, won.connection)

    async def close(self) -> None:
        """Close what is idle; exchanges under way end first and then close theirs."""
        await self._pool.close()

    def _own(self) -> AuthIdentity:
        found = self._identity()
        if found is None:
            raise UntrustedPeer("Security server has no authentication certificate")
        return found

    def _client_context(self) -> ssl.SSLContext:
        """Shows our present certificate; connections that showed an older one die out."""
        own = self._own()
        if self._context is None or self._shown != own.chain:
            self._context = peer_client(TlsIdentity.from_key(own.chain, own.key.private_key))
            self._shown = own.chain
        return self._context

    def _notice(self, conf: GlobalConf) -> None:
        """Forget servers that a new trust list no longer has."""
        if conf.number != self._conf_number:
            self._conf_number = conf.number
            self._reputation.forget_all_but(
                server.id for one in conf.instances.values() for server in one.shared.servers
            )
