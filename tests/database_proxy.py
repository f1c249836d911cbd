"""A way to the database that breaks at a chosen moment."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from enum import Enum
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

COPY_DONE = b"c\x00\x00\x00\x04"  # the end of a COPY; outside a transaction it commits
COMMIT = b"COMMIT"


class Cut(Enum):
    """When the connection breaks: around the message that makes a transaction durable."""

    BEFORE_COMMIT = "failed and not stored"
    AFTER_COMMIT = "failed yet stored"
    LATE_COMMIT = "failed and stored some time later"


class DatabaseProxy:
    """Carries bytes between a pool and PostgreSQL until told to cut."""

    def __init__(self, server_socket: str) -> None:
        self.cut: Cut | None = None  # the next commit, once
        self.commit_mark = COPY_DONE
        self.cuts = 0
        self.late = asyncio.Event()  # set: what LATE_COMMIT keeps back goes on its way
        self.flow = asyncio.Event()  # cleared: nothing is carried, and nothing ends
        self.flow.set()
        self.open = True  # False: connections are refused and existing ones end
        self._server_socket = server_socket
        self._writers: set[asyncio.StreamWriter] = set()

    def close_all(self) -> None:
        self.open = False
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.open:
            writer.transport.abort()
            return
        server_reader, server_writer = await asyncio.open_unix_connection(self._server_socket)
        pair = {writer, server_writer}
        self._writers |= pair
        cutting = asyncio.Event()  # set: the next answer is kept back
        try:
            requests = asyncio.create_task(
                self._carry(
                    reader, server_writer, lambda data: self._request(data, cutting, writer)
                )
            )
            answers = asyncio.create_task(
                self._carry(server_reader, writer, lambda _: self._answer(cutting))
            )
            _, pending = await asyncio.wait(
                {requests, answers}, return_when=asyncio.FIRST_COMPLETED
            )
            for task in pending:
                task.cancel()
            await asyncio.gather(requests, answers, return_exceptions=True)
        finally:
            self._writers -= pair
            for each in pair:
                each.transport.abort()

    async def _request(
        self, data: bytes, cutting: asyncio.Event, client: asyncio.StreamWriter
    ) -> bool:
        """Whether to pass a request on; notes when its answer must not arrive."""
        if self.cut is None or self.commit_mark not in data:
            return True
        cut, self.cut = self.cut, None
        self.cuts += 1
        if cut is Cut.LATE_COMMIT:
            client.transport.abort()
            await self.late.wait()
        elif cut is Cut.AFTER_COMMIT:
            cutting.set()
        return cut is not Cut.BEFORE_COMMIT

    async def _answer(self, cutting: asyncio.Event) -> bool:
        return not cutting.is_set()

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        allowed: Callable[[bytes], Awaitable[bool]],
    ) -> None:
        while data := await reader.read(1 << 16):
            await self.flow.wait()
            if not await allowed(data):
                return
            writer.write(data)
            with contextlib.suppress(ConnectionError):
                await writer.drain()


@contextlib.asynccontextmanager
async def database_proxy(dsn: str, folder: Path) -> AsyncIterator[tuple[str, DatabaseProxy]]:
    """The address of a proxy to the database at `dsn`, by a Unix socket in `folder`."""
    parts = parse_qs(urlsplit(dsn).query)
    name = f".s.PGSQL.{parts['port'][0]}"
    proxy = DatabaseProxy(f"{parts['host'][0]}/{name}")
    server = await asyncio.start_unix_server(proxy.serve, folder / name)
    address = dsn.replace(quote(parts["host"][0], safe=""), quote(str(folder), safe=""))
    try:
        yield address, proxy
    finally:
        server.close()
        proxy.close_all()
        await asyncio.sleep(0)
