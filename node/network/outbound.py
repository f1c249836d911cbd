"""A strict HTTP/1.1 client connection: one exchange at a time, bodies streamed both ways.

    open ── exchange() ──> sending and receiving ── finish() ──> open or closed

The body is sent while the answer is awaited, so an answer that comes early counts. Nothing is
retried here. Timeouts are `io_error` (errors.md 3).
Source: design.md 7; docs/decisions/0021-own-http-client.md.
"""

import asyncio
import ssl
from collections.abc import AsyncIterable
from dataclasses import dataclass
from datetime import timedelta

from node.network.answer import Answer, Limits
from node.network.http_head import OutboundRequest, build_request_head
from trust.errors import NetworkFailure


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long an exchange may take.

    Attributes:
        connect: for the address, the TCP connection, TLS and the judgement of the other end.
        read: without any progress while the other end has its turn.
        total: from the first byte sent to the last received; None for no bound.
    """

    connect: timedelta = timedelta(seconds=30)
    read: timedelta = timedelta(seconds=60)
    total: timedelta | None = None


class HttpConnection(asyncio.Protocol):
    """One connection to a server; made by `node.network.pool.open_connection`."""

    def __init__(self, limits: Limits) -> None:
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._transport: asyncio.Transport | None = None
        self._usable = True
        self.lost: asyncio.Future[None] = self._loop.create_future()  # done when closed
        self.idle_since = 0.0  # time of the loop
        self.judged: object = None  # what whoever opened it found out about the other end
        self._answer: Answer | None = None  # of the exchange under way
        self._upload: asyncio.Task[None] | None = None
        self._source_has_turn = False
        self._reading_paused = False
        self._writing_paused = False
        self._writer: asyncio.Future[None] | None = None
        self._read_seconds = 0.0
        self._active_at = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._total: asyncio.TimerHandle | None = None

    @property
    def tls(self) -> ssl.SSLObject | None:
        """The TLS session, for judging the other end; None for plain TCP."""
        if self._transport is None:
            return None
        found: ssl.SSLObject | None = self._transport.get_extra_info("ssl_object")
        return found

    @property
    def file_descriptor(self) -> int:
        """Of the socket; -1 when there is none any more."""
        found = self._transport and self._transport.get_extra_info("socket")
        return found.fileno() if found else -1

    @property
    def usable(self) -> bool:
        """Whether another exchange may begin: open, idle and in step with the server."""
        return self._usable and self._answer is None and self._open

    @property
    def _open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        """Say goodbye and close; `lost` is done when that has happened."""
        self._usable = False
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once; an exchange under way fails."""
        self._usable = False
        if self._transport is not None:
            self._transport.abort()

    # --- one exchange -------------------------------------------------------------------------

    async def exchange(self, request: OutboundRequest, timeouts: Timeouts) -> Answer:
        """Send a request and wait for the head of the answer; `finish` must follow in any case.

        What the source of the body raises is raised here, or by the answer's reader when the head
        came first.
        """
        head = build_request_head(request)
        if self._transport is None or not self.usable:
            raise NetworkFailure("The connection is closed")
        answer = Answer(request.method, self._limits, self._let_go, self._loop)
        self._answer = answer
        self._start_timers(timeouts)
        if request.stream is None:
            self._transport.write(head + request.body)
        else:
            self._source_has_turn = True
            self._upload = self._loop.create_task(self._send(head, request.stream, request.length))
            self._upload.add_done_callback(self._upload_done)
        await answer.arrive()
        return answer

    async def finish(self) -> None:
        """End the exchange; the connection is closed unless both sides are done with it."""
        self._stop_timers()
        answer, upload = self._answer, self._upload
        if answer is None:
            return
        if upload is not None and not upload.done():
            self._usable = False
            upload.cancel()
            await asyncio.wait([upload])
        self._answer = self._upload = None
        if not answer.ended:
            self.abort()
        elif not (answer.in_step and self._usable):
            self.close()
        elif self._reading_paused:
            self._let_go()
        self.idle_since = self._loop.time()

    # --- time ---------------------------------------------------------------------------------

    def _start_timers(self, timeouts: Timeouts) -> None:
        self._read_seconds = timeouts.read.total_seconds()
        self._active_at = now = self._loop.time()
        self._watch = self._loop.call_at(now + self._read_seconds, self._check_activity)
        if timeouts.total is not None:
            end = now + timeouts.total.total_seconds()
            self._total = self._loop.call_at(end, self._give_up, "The exchange took too long")

    def _stop_timers(self) -> None:
        for timer in (self._watch, self._total):
            if timer is not None:
                timer.cancel()
        self._watch = self._total = None

    def _check_activity(self) -> None:
        """Give up when the other end had its turn for too long; else look again when it may."""
        now = self._loop.time()
        our_turn = self._reading_paused or (self._source_has_turn and not self._writing_paused)
        due = (now if our_turn else self._active_at) + self._read_seconds
        if now >= due:
            self._give_up("Read timed out")
        else:
            self._watch = self._loop.call_at(due, self._check_activity)

    def _give_up(self, text: str) -> None:
        self._fail(NetworkFailure(text, "io_error"))

    # --- sending ------------------------------------------------------------------------------

    async def _send(self, head: bytes, source: AsyncIterable[bytes], length: int | None) -> None:
        """Write head and body, held back by the transport; stops when nobody listens any more."""
        waiting = head  # goes out together with the first piece
        sent = 0
        async for piece in source:
            if not self._still_wanted():
                return
            if piece:
                sent += len(piece)
                if length is not None and sent > length:
                    raise _wrong_length(length)
                framed = piece if length is not None else b"%x\r\n%b\r\n" % (len(piece), piece)
                await self._write(waiting + framed)
                waiting = b""
        if length is not None and sent != length:
            raise _wrong_length(length)
        end = b"" if length is not None else b"0\r\n\r\n"
        if waiting + end and self._still_wanted():
            await self._write(waiting + end)

    def _still_wanted(self) -> bool:
        """Whether the server may read on: an answer that ends the connection says it won't."""
        answer = self._answer
        return self._open and answer is not None and (answer.in_step or not answer.has_head)

    async def _write(self, data: bytes) -> None:
        if self._transport is None:
            return
        self._active_at = self._loop.time()
        self._transport.write(data)
        if self._writing_paused:
            self._writer = self._loop.create_future()
            await self._writer
            self._active_at = self._loop.time()

    def _upload_done(self, task: asyncio.Task[None]) -> None:
        self._source_has_turn = False
        self._active_at = self._loop.time()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)

    # --- receiving ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # TCP and TLS are full transports

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None or answer.ended:
            self.abort()  # nobody asked for this
            return
        self._active_at = self._loop.time()
        answer.feed(data)
        if answer.ended:
            self._stop_timers()
        elif answer.error is not None:
            self._stop_timers()
            self.abort()
        elif answer.held_back and not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

    def _let_go(self) -> None:
        self._active_at = self._loop.time()
        if self._reading_paused:
            self._reading_paused = False
            if self._open and self._transport is not None:
                self._transport.resume_reading()

    def eof_received(self) -> None:
        self._usable = False
        if self._answer is not None and not self._answer.ended:
            self._answer.end_of_stream(self.tls is None or _said_goodbye(self.tls))

    def connection_lost(self, exc: Exception | None) -> None:
        self._usable = False
        self._stop_timers()
        if self._answer is not None:
            self._answer.end_of_stream(exc is None and self.tls is None)
        self._transport = None
        self.resume_writing()
        if not self.lost.done():
            self.lost.set_result(None)

    def _fail(self, error: BaseException) -> None:
        self._stop_timers()
        if self._answer is not None:
            self._answer.fail(error)
        self.abort()


def _wrong_length(announced: int) -> NetworkFailure:
    return NetworkFailure(f"The body has not the announced {announced} bytes", "internal_error")


def _said_goodbye(tls: ssl.SSLObject) -> bool:
    """Whether the TLS stream was ended by close_notify and not by a cut of the connection."""
    try:
        return tls.read(1) == b""
    except ssl.SSLZeroReturnError:
        return True
    except ssl.SSLError:
        return False
