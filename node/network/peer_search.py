"""From a provider's servers to one connection that may be used: kept, or won in a race.

The best server gets a head start; then the next one is tried beside it, at once when an attempt has
failed. An attempt counts when TLS stands and the certificate was judged, so a server that accepts
connections and does nothing more does not hold anybody up.

Source: transport.md 12; X-Road 7.8 FastestConnectionSelectingSSLSocketFactory.java.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from node.network.answer import Limits
from node.network.candidates import Reputation
from node.network.ocsp_channel import fetch_ocsp_responses
from node.network.outbound import HttpConnection
from node.network.peer_trust import PeerJudgement, PeerTrust
from node.network.pool import ConnectionPool, Destination, TlsHandshakeFailed, open_connection
from node.network.tls import peer_chain
from trust.errors import ExchangeError, NetworkFailure, UntrustedPeer
from trust.globalconf import GlobalConf, Server
from trust.ids import ClientId, ServerId

_HEAD_START = 0.3  # seconds


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where a peer is to be found."""

    host: str
    port: int
    ocsp_port: int


@dataclass(frozen=True, slots=True)
class PeerRoutes:
    """How peers are reached.

    Attributes:
        port, ocsp_port: of every peer; the trust list knows hosts only.
        connect: to connect to a peer, TLS and the judgement of its certificate included.
        silence: longest silence of a peer while an answer is due.
        connections: exchanges with one peer at the same time.
        addresses: where a host of the trust list is to be found instead.
    """

    port: int = 5500
    ocsp_port: int = 5577
    connect: timedelta = timedelta(seconds=30)
    silence: timedelta = timedelta(minutes=5)
    connections: int = 100
    addresses: Mapping[str, PeerAddress] = field(default_factory=dict)

    def of(self, server: Server) -> PeerAddress:
        host = server.address or ""
        return self.addresses.get(host) or PeerAddress(host, self.port, self.ocsp_port)


@dataclass(frozen=True, slots=True)
class PeerKey:
    """What makes connections to peers interchangeable; whom they may speak for is judged apart."""

    server: ServerId
    address: PeerAddress
    context: ssl.SSLContext


@dataclass(frozen=True, slots=True)
class Won:
    """A connection of the pool that was judged; to be given back under its key."""

    key: PeerKey
    connection: HttpConnection
    judgement: PeerJudgement


@dataclass(frozen=True, slots=True)
class PeerSearch:
    """The search for a peer of one exchange.

    Attributes:
        target: the server that the request names; another one's certificate won't do then.
        context: shows our own certificate.
    """

    pool: ConnectionPool
    trust: PeerTrust
    reputation: Reputation
    routes: PeerRoutes
    limits: Limits
    context: ssl.SSLContext
    provider: ClientId
    target: ServerId | None
    conf: GlobalConf
    at: datetime

    async def find(self, servers: Sequence[Server]) -> Won:
        """A judged connection to one of these servers, which come best first.

        Raises UntrustedPeer or another ExchangeError of the last server that was there, else
        NetworkFailure.
        """
        return await self._kept(servers) or await self._race(servers)

    async def _kept(self, servers: Sequence[Server]) -> Won | None:
        """An idle connection to a server that is well."""
        for server in servers:
            if len(servers) > 1 and self.reputation.avoids(server.id):
                continue
            key = self._key(server)
            connection = self.pool.take(key)
            if connection is not None:
                try:
                    return await self._judged(key, server, connection)
                except ExchangeError:
                    continue  # a new connection will tell the reason
        return None

    async def _race(self, servers: Sequence[Server]) -> Won:
        waiting = deque(servers)
        running: set[asyncio.Task[Won]] = set()
        finished: list[asyncio.Task[Won]] = []
        errors: list[ExchangeError] = []
        winner: Won | None = None
        try:
            while winner is None and (waiting or running):
                if waiting:
                    running.add(asyncio.create_task(self._attempt(waiting.popleft())))
                done, running = await asyncio.wait(
                    running,
                    timeout=_HEAD_START if waiting else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                finished += done
                winner = _winner(done, errors)
        finally:
            for task in running:
                task.cancel()
            if running:
                await asyncio.wait(running)
            for task in (*finished, *running):
                self._return_unless(winner, task)
        if winner is None:
            raise _nobody(servers, errors)
        return winner

    def _return_unless(self, winner: Won | None, task: asyncio.Task[Won]) -> None:
        """Keep the connection of one who came second."""
        if not task.cancelled() and task.exception() is None:
            second = task.result()
            if second is not winner:
                self.pool.give(second.key, second.connection)

    async def _attempt(self, server: Server) -> Won:
        key = self._key(server)
        clock = asyncio.get_running_loop().time
        begun = clock()
        new = False

        async def open_it() -> HttpConnection:
            nonlocal new
            new = True
            address = key.address
            opened = await open_connection(
                Destination(address.host, address.port, self.context),
                self.limits,
                self.routes.connect,
                lambda connection: self._judge(connection, server),
            )
            self.reputation.connected(server.id, clock() - begun)
            return opened

        try:
            while True:
                connection = await self.pool.acquire(key, open_it, self.routes.connect)
                try:
                    return await self._judged(key, server, connection)
                except ExchangeError:
                    if new:
                        raise  # else it was one that others kept; a new one will tell the reason
        except TlsHandshakeFailed as error:
            self.reputation.failed(server.id)
            raise UntrustedPeer("TLS handshake failed") from error
        except ExchangeError:
            self.reputation.failed(server.id)
            raise

    async def _judged(self, key: PeerKey, server: Server, connection: HttpConnection) -> Won:
        """The connection if it may speak for the provider now; else it is closed and we raise."""
        try:
            known = connection.judged
            if not _holds(known, self.provider, self.conf, self.at):
                async with asyncio.timeout(self.routes.connect.total_seconds()):
                    await self._judge(connection, server)
            judgement = connection.judged
            if not isinstance(judgement, PeerJudgement) or not connection.usable:
                raise NetworkFailure("The connection was closed")
            self._check_target(judgement)
        except TimeoutError as error:
            self._discard(key, connection)
            raise NetworkFailure("Connect timed out", "io_error") from error
        except BaseException:
            self._discard(key, connection)
            raise
        return Won(key, connection, judgement)

    def _discard(self, key: PeerKey, connection: HttpConnection) -> None:
        connection.abort()
        self.pool.give(key, connection)

    async def _judge(self, connection: HttpConnection, server: Server) -> None:
        """Judge who is at the other end; what is found out stays with the connection."""
        address = self.routes.of(server)
        host = f"{server.address}:{address.ocsp_port}"

        async def fetch(chain: Sequence[bytes]) -> Sequence[bytes]:
            return await fetch_ocsp_responses(address.host, address.ocsp_port, host, chain)

        if connection.tls is None:
            raise UntrustedPeer("No TLS session")
        found = await self.trust.judge(
            peer_chain(connection.tls), self.provider, self.conf, self.at, fetch
        )
        known = connection.judged
        if isinstance(known, PeerJudgement) and known.conf_number == found.conf_number:
            found.good_until = {**known.good_until, **found.good_until}
        connection.judged = found

    def _check_target(self, judgement: PeerJudgement) -> None:
        """Whoever names a server gets that one, though another may answer for the provider, too."""
        if self.target is not None and judgement.server.id != self.target:
            raise UntrustedPeer(
                f"Peer certificate belongs to {judgement.server.id} and not to {self.target}"
            )

    def _key(self, server: Server) -> PeerKey:
        return PeerKey(server.id, self.routes.of(server), self.context)


def _holds(known: object, provider: ClientId, conf: GlobalConf, at: datetime) -> bool:
    return isinstance(known, PeerJudgement) and known.holds(provider, conf, at)


def _winner(done: set[asyncio.Task[Won]], errors: list[ExchangeError]) -> Won | None:
    """The first that succeeded; failures go to `errors`, what is no ExchangeError is raised."""
    for task in done:
        error = task.exception()
        if error is None:
            return task.result()
        if not isinstance(error, ExchangeError):
            raise error
        errors.append(error)
    return None


def _nobody(servers: Sequence[Server], errors: Sequence[ExchangeError]) -> ExchangeError:
    """Why no server can be used: the last one that was there and not right, else the network."""
    for error in reversed(errors):
        if not isinstance(error, NetworkFailure):
            return error
    names = ", ".join(str(server.id) for server in servers)
    failure = NetworkFailure(f"Could not connect to any target host ([{names}])")
    failure.__cause__ = errors[-1] if errors else None
    return failure
