"""A port of bounded patience, over real sockets."""

import asyncio
from datetime import timedelta

import aiohttp
import pytest
from aiohttp import web

from node.listener import Listener, Port, PortTaken


async def hello(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="hello")


def port(number: int = 0, idle: float = 30, most: int = 10) -> Port:
    return Port("test", "127.0.0.1", number, timedelta(seconds=idle), most=most)


async def test_a_port_answers_until_it_is_closed() -> None:
    listener = Listener(port(), hello)
    await listener.open()
    url = f"http://127.0.0.1:{listener.number}/"
    async with aiohttp.ClientSession() as session:
        assert await (await session.get(url)).text() == "hello"
    await listener.close()
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(url)


async def test_a_taken_port_is_named() -> None:
    first = Listener(port(), hello)
    await first.open()
    with pytest.raises(PortTaken, match=f"test: 127.0.0.1:{first.number} can't be used: "):
        await Listener(port(first.number), hello).open()
    await first.close()


async def test_a_connection_that_says_nothing_is_closed() -> None:
    listener = Listener(port(idle=0.2), hello)
    await listener.open()
    for said in (b"", b"GET / HT"):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.number)
        writer.write(said)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await asyncio.wait_for(reader.readexactly(1), 10)
        writer.close()
    await listener.close()


async def test_too_many_requests_at_a_time_are_asked_to_come_again() -> None:
    release = asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    listener = Listener(port(most=2), slow)
    await listener.open()
    url = f"http://127.0.0.1:{listener.number}/"
    async with aiohttp.ClientSession() as session:
        waiting = [asyncio.create_task(session.get(url)) for _ in range(2)]
        await asyncio.sleep(0.1)
        refused = await session.get(url)
        assert refused.status == 503
        assert refused.headers["Retry-After"] == "1"
        release.set()
        assert [(await one).status for one in waiting] == [200, 200]
        assert (await session.get(url)).status == 200
    await listener.close()
