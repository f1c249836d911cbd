"""Connections that are kept for the next exchange, by whatever makes them interchangeable.

A pool hands out an idle connection, the one used last first, or has a new one opened. It never
retries: a request that was sent may have been acted on (design.md 3.6).
"""

import asyncio
import os
import select
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from datetime import timedelta

from node.network.answer import Answer, Limits
from node.network.http_head import OutboundRequest
from node.network.outbound import HttpConnection, Timeouts
from trust.errors import NetworkFailure

_GOODBYE = 2.0  # seconds that a peer gets to answer our close_notify


class TlsHandshakeFailed(NetworkFailure):
    """The server is there, but no TLS session came about."""

    code = "io_error"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a connection goes: host name or address, port, and TLS unless it is plain."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How many connections are kept, and for how long.

    Attributes:
        idle: an unused connection is closed after this time; shorter than what servers allow,
            so that they don't close it under our request.
        idle_per_key: unused connections kept for one destination.
        in_use_per_key: exchanges with one destination at the same time; who comes then waits.
    """

    idle: timedelta = timedelta(seconds=25)
    idle_per_key: int = 64
    in_use_per_key: int = 1024
    limits: Limits = field(default_factory=Limits)


Judge = Callable[[HttpConnection], Awaitable[None]]


async def open_connection(
    destination: Destination, limits: Limits, within: timedelta, judge: Judge | None = None
) -> HttpConnection:
    """Connect, and let `judge` look at the other end before any byte of a request is sent.

    Raises NetworkFailure (`unknown_host`, `network_error`, `io_error` for a timeout) or its
    subclass TlsHandshakeFailed, and whatever `judge` raises; then nothing stays open.
    """
    connection: HttpConnection | None = None
    try:
        async with asyncio.timeout(within.total_seconds()):
            connection = await _connect(destination, limits)
            if judge is not None:
                await judge(connection)
            return connection
    except TimeoutError as error:
        _drop(connection)
        raise NetworkFailure("Connect timed out", "io_error") from error
    except BaseException:
        _drop(connection)
        raise


def _drop(connection: HttpConnection | None) -> None:
    if connection is not None:
        connection.abort()


async def _connect(destination: Destination, limits: Limits) -> HttpConnection:
    loop = asyncio.get_running_loop()
    tls = destination.tls
    try:
        transport, connection = await loop.create_connection(
            lambda: HttpConnection(limits),
            destination.host,
            destination.port,
            ssl=tls,
            ssl_shutdown_timeout=_GOODBYE if tls is not None else None,
        )
    except TimeoutError:
        raise
    except socket.gaierror as error:
        raise NetworkFailure("The host name is not known", "unknown_host") from error
    except ssl.SSLError as error:
        raise TlsHandshakeFailed(f"TLS handshake failed: {error.reason or 'no reason'}") from error
    except (ConnectionResetError, ConnectionAbortedError) as error:
        if tls is not None:
            raise TlsHandshakeFailed("TLS handshake failed: the server hung up") from error
        raise NetworkFailure("The connection was closed at once") from error
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "no address answers"
        raise NetworkFailure(f"Could not connect: {reason}") from error
    if (opened := transport.get_extra_info("socket")) is not None:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return connection


class Exchange:
    """One exchange over a connection of a pool: `async with` gives the answer with its head.

    The connection goes back to the pool at the end, whatever happened.
    """

    __slots__ = ("_connection", "_key", "_pool", "_request", "_timeouts")

    def __init__(
        self,
        pool: "ConnectionPool",
        key: Hashable,
        connection: HttpConnection,
        request: OutboundRequest,
        timeouts: Timeouts,
    ) -> None:
        self._pool = pool
        self._key = key
        self._connection = connection
        self._request = request
        self._timeouts = timeouts

    async def __aenter__(self) -> Answer:
        try:
            return await self._connection.exchange(self._request, self._timeouts)
        except BaseException:
            await self.__aexit__()
            raise

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._connection.finish()
        finally:
            self._pool.give(self._key, self._connection)


@dataclass(slots=True)
class _Shelf:
    """The connections of one key."""

    idle: list[HttpConnection] = field(default_factory=list)  # the last one was used last
    in_use: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


class ConnectionPool:
    """Connections by key; a key holds everything that must be equal for reuse."""

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._shelves: dict[Hashable, _Shelf] = {}
        self._sweeping: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def idle(self) -> int:
        """How many connections wait for work."""
        return sum(len(shelf.idle) for shelf in self._shelves.values())

    @property
    def in_use(self) -> int:
        """How many connections are at work or being opened."""
        return sum(shelf.in_use for shelf in self._shelves.values())

    def take(self, key: Hashable) -> HttpConnection | None:
        """An idle connection that is still alive, or None; must be given back."""
        shelf = self._shelves.get(key)
        if shelf is None or shelf.in_use >= self._settings.in_use_per_key:
            return None
        found = _alive(shelf)
        if found is not None:
            shelf.in_use += 1
        return found

    async def acquire(
        self, key: Hashable, opener: Callable[[], Awaitable[HttpConnection]], within: timedelta
    ) -> HttpConnection:
        """An idle connection or a new one; must be given back.

        Waits for a place while too many are in use, then raises NetworkFailure; what `opener`
        raises passes through.
        """
        shelf = self._shelves.setdefault(key, _Shelf())
        await self._enter(shelf, within)
        try:
            return _alive(shelf) or await opener()
        except BaseException:
            _leave(shelf)
            raise

    def give(self, key: Hashable, connection: HttpConnection) -> None:
        """Take back a connection whose exchange is finished; it is kept if it can be used again."""
        shelf = self._shelves[key]
        room = len(shelf.idle) < self._settings.idle_per_key
        if connection.usable and room and not self._closed:
            shelf.idle.append(connection)
            if self._sweeping is None:
                self._sweep_later()
        else:
            connection.close()
        _leave(shelf)

    async def exchange(
        self,
        key: Hashable,
        opener: Callable[[], Awaitable[HttpConnection]],
        request: OutboundRequest,
        timeouts: Timeouts,
    ) -> Exchange:
        """An exchange over an idle connection or a new one: `async with await pool.exchange(…)`."""
        connection = await self.acquire(key, opener, timeouts.connect)
        return Exchange(self, key, connection, request, timeouts)

    def retire(self, key: Hashable) -> None:
        """Close the idle connections of a key."""
        shelf = self._shelves.get(key)
        if shelf is not None:
            for connection in shelf.idle:
                connection.close()
            shelf.idle.clear()

    async def close(self) -> None:
        """Close what is idle and wait for it; what is in use is closed when it is given back."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        leaving = [connection.lost for shelf in self._shelves.values() for connection in shelf.idle]
        for key in self._shelves:
            self.retire(key)
        if leaving:
            await asyncio.wait(leaving, timeout=_GOODBYE)

    async def _enter(self, shelf: _Shelf, within: timedelta) -> None:
        if shelf.in_use < self._settings.in_use_per_key:
            shelf.in_use += 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        shelf.waiting.append(place)
        try:
            async with asyncio.timeout(within.total_seconds()):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():
                _leave(shelf)  # given to us at the last moment
            else:
                place.cancel()
            if isinstance(error, TimeoutError):
                raise NetworkFailure("Too many connections are in use", "io_error") from error
            raise

    def _sweep_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweeping = loop.call_later(self._settings.idle.total_seconds() / 2, self._sweep)

    def _sweep(self) -> None:
        """Close what was idle for too long and forget destinations that nobody uses."""
        now = asyncio.get_running_loop().time()
        oldest = now - self._settings.idle.total_seconds()
        for key, shelf in list(self._shelves.items()):
            kept = [one for one in shelf.idle if one.usable and one.idle_since > oldest]
            for connection in set(shelf.idle) - set(kept):
                connection.close()
            shelf.idle = kept
            if not kept and not shelf.in_use and not shelf.waiting:
                del self._shelves[key]
        self._sweeping = None
        if self._shelves:
            self._sweep_later()


def _alive(shelf: _Shelf) -> HttpConnection | None:
    """The idle connection that was used last and to which the server has said nothing since."""
    while shelf.idle:
        connection = shelf.idle.pop()
        if connection.usable and not _readable(connection.file_descriptor):
            return connection
        connection.close()  # an end of stream waits there, or a word that nobody asked for
    return None


def _leave(shelf: _Shelf) -> None:
    """Hand the place on to who waits longest, or free it."""
    while shelf.waiting:
        place = shelf.waiting.popleft()
        if not place.done():
            place.set_result(None)
            return
    shelf.in_use -= 1


def _readable(file_descriptor: int) -> bool:
    poll = select.poll()
    poll.register(file_descriptor, select.POLLIN)
    return bool(poll.poll(0))
