"""Descriptions: when they are downloaded, what is kept of them, and servers that mean no good."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from catalog.services import Endpoint, HostedClient, ServerConf, Service, ServiceType
from catalog.stored.description_store import DescriptionStore, KeptDescription
from catalog.stored.store import COMPONENT, MIGRATIONS, ServiceStore
from node.metadata import descriptions as module
from node.metadata.descriptions import Descriptions
from node.metadata.settings import DescriptionSettings
from node.network.information_system import Download, InformationSystem
from node.network.tls import systems_listener
from tests.metadata_stage import HIDDEN_WSDL, OPENAPI, WSDL
from tests.scripted_server import Scripted, answering, serving
from tests.tls_certificates import identity, issue
from trust.database import Pool, migrate, open_pool
from trust.errors import ExchangeError, NetworkFailure, StorageError, UntrustedPeer
from trust.ids import ClientId, ServiceId

PERSONS = ClientId("EX", "GOV", "1000", "persons")
API = Service(
    ServiceId(PERSONS, "api"), ServiceType.OPENAPI, "http://h/", description_url="http://h/o.json"
)
TWIN = replace(API, id=ServiceId(PERSONS, "twin"))
REGISTER = Service(
    ServiceId(PERSONS, "register", "v1"), ServiceType.WSDL, "http://h/",
    description_url="http://h/?wsdl",
)  # fmt: skip
KEPT = KeptDescription(b"{}", (), (), (), datetime(2026, 3, 2, tzinfo=UTC))
OK = Download(200, "OK", ("application/json",), OPENAPI)
HIDDEN = OPENAPI.replace(b"http://10.1.2.3/api", b"/api")


@dataclass
class Clock:
    now: datetime = datetime(2026, 3, 2, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def go(self, **time: float) -> None:
        self.now += timedelta(**time)


@dataclass
class Fetcher:
    """Gives what a test wants, by address; an error is raised."""

    answers: dict[str, Download | ExchangeError] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    pause: float = 0

    async def fetch(self, service: Service, url: str, limit: int, within: timedelta) -> Download:
        self.asked.append(url)
        await asyncio.sleep(self.pause)
        found = self.answers[url]
        if isinstance(found, ExchangeError):
            raise found
        return found


@dataclass
class Scene:
    clock: Clock
    fetcher: Fetcher
    services: ServiceStore
    store: DescriptionStore
    pool: Pool

    def descriptions(self, **settings: timedelta) -> Descriptions:
        """What another process of the node would have."""
        return Descriptions(self.fetcher, self.store, DescriptionSettings(**settings), self.clock)

    async def offer(self, *services: Service) -> ServerConf:
        await self.services.replace((HostedClient(PERSONS, services=services),))
        return await self.services.load()


@pytest_asyncio.fixture
async def scene(database_dsn: str) -> AsyncIterator[Scene]:
    pool = await open_pool(database_dsn, "test")
    await migrate(pool, COMPONENT, MIGRATIONS)
    fetcher = Fetcher(
        {
            API.description_url: OK,
            REGISTER.description_url: Download(200, "OK", ("text/xml",), WSDL),
        }
    )
    found = Scene(Clock(), fetcher, ServiceStore(pool), DescriptionStore(pool), pool)
    await found.offer(API, TWIN, REGISTER)
    yield found
    with contextlib.suppress(Exception):
        pool.terminate()


async def test_callers_share_one_download_for_a_minute(scene: Scene) -> None:
    scene.fetcher.pause = 0.01
    made = scene.descriptions()
    found = await asyncio.gather(made.get(API), made.get(TWIN), made.get(API))
    assert [one.content for one in found] == [HIDDEN] * 3
    assert (await made.get(API)).content_type == "application/json"
    assert (await made.get(REGISTER)).content == HIDDEN_WSDL
    assert scene.fetcher.asked == [API.description_url, REGISTER.description_url]
    scene.clock.go(seconds=61)
    await made.get(API)
    assert len(scene.fetcher.asked) == 3


async def test_the_same_document_is_read_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def watched(name: str) -> Callable[..., object]:
        real = getattr(module, name)

        def run(*given: object) -> object:
            read.append(name)
            return real(*given)

        return run

    for name in ("judge", "publish"):
        monkeypatch.setattr(module, name, watched(name))
    made = scene.descriptions()
    for _ in range(3):
        assert (await made.get(API)).content == HIDDEN
        scene.clock.go(minutes=2)
    assert len(scene.fetcher.asked) == 3
    assert sorted(read) == ["judge", "publish"]
    typed = replace(OK, content_types=("application/json", "b"))
    scene.fetcher.answers[API.description_url] = typed
    await made.get(API)
    assert sorted(read) == ["judge", "judge", "publish", "publish"]


async def test_a_caller_who_leaves_takes_nothing_from_the_others(scene: Scene) -> None:
    scene.fetcher.pause = 0.05
    made = scene.descriptions()
    leaving = asyncio.create_task(made.get(API))
    staying = asyncio.create_task(made.get(API))
    await asyncio.sleep(0.01)
    leaving.cancel()
    assert (await staying).content == HIDDEN
    assert len(scene.fetcher.asked) == 1


@pytest.mark.parametrize(
    "failure",
    [
        NetworkFailure("Could not connect"),
        NetworkFailure("Connect timed out", "io_error"),
        Download(503, "Service Unavailable", (), b""),
        Download(502, "Bad Gateway", (), b""),
        Download(504, "Gateway Timeout", (), b""),
    ],
)
async def test_the_last_download_answers_for_a_system_that_is_down(
    scene: Scene, failure: Download | ExchangeError
) -> None:
    await scene.descriptions().get(API)
    scene.fetcher.answers[API.description_url] = failure
    scene.clock.go(hours=23)
    other = scene.descriptions()  # and another process after a restart
    found = await other.get(API)
    assert (found.content, found.content_type) == (HIDDEN, "application/json")
    assert found.age == timedelta(hours=23)
    asked = len(scene.fetcher.asked)
    await other.get(API)
    assert len(scene.fetcher.asked) == asked  # for some seconds nobody asks again
    scene.clock.go(hours=2)
    with pytest.raises(ExchangeError):
        await other.get(API)
    scene.fetcher.answers[API.description_url] = OK
    assert (await other.get(API)).age is None


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        (Download(404, "Not\x00 Found", (), b""), "internal_error",
         f"Failed reading service description from {API.id}. Status: 404 Reason: Not Found"),
        (Download(500, "x" * 500, (), b""), "internal_error",
         f"Failed reading service description from {API.id}. Status: 500 Reason: {'x' * 100}"),
        (Download(200, "OK", ("application/json",), b"<html>"), "internal_error",
         f"Failed overwriting origin URL for the openapi servers for {API.id}"),
        (UntrustedPeer("IS certificate is not trusted"), "ssl_authentication_failed",
         "IS certificate is not trusted"),
    ],
)  # fmt: skip
async def test_an_answer_that_says_no_is_told_whatever_was_there_before(
    scene: Scene, answer: Download | ExchangeError, code: str, text: str
) -> None:
    made = scene.descriptions()
    await made.get(API)
    scene.clock.go(minutes=2)
    scene.fetcher.answers[API.description_url] = answer
    with pytest.raises(ExchangeError) as caught:
        await made.get(API)
    assert (caught.value.code, caught.value.text) == (code, text)


async def test_without_a_database_the_system_is_asked_all_the_same(scene: Scene) -> None:
    made = scene.descriptions()
    scene.pool.terminate()
    with pytest.raises(StorageError):
        await scene.services.version()
    assert (await made.get(API)).content == HIDDEN
    scene.fetcher.answers[API.description_url] = NetworkFailure("down")
    scene.clock.go(minutes=2)
    with pytest.raises(NetworkFailure):
        await made.get(API)


async def test_the_regular_round_finds_endpoints_and_oddities(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    made = scene.descriptions()
    with caplog.at_level(logging.WARNING):
        await made.refresh(await scene.services.load())
    conf = await scene.services.load()
    assert conf.endpoints(API) == (Endpoint("GET", "/persons/*"), Endpoint("POST", "/persons"))
    assert conf.endpoints(TWIN) == conf.endpoints(API)
    assert scene.fetcher.asked.count(API.description_url) == 1
    assert made.failing == 0
    assert made.oldest == 0
    assert REGISTER.description is not None
    assert "there is no binding 'b'" in made.states[REGISTER.description].warnings[0]
    assert [one.message for one in caplog.records] == [
        "description http://h/?wsdl of EX:GOV:1000:persons is odd:"
        " port 'p': there is no binding 'b' (2 in all)"
    ]
    version = conf.version
    scene.clock.go(minutes=9)
    await made.refresh(conf)
    assert scene.fetcher.asked.count(API.description_url) == 1
    scene.clock.go(minutes=1)
    changed = OPENAPI.replace(b"/persons/{id}", b"/people/{id}")
    scene.fetcher.answers[API.description_url] = replace(OK, body=changed)
    await made.refresh(conf)
    conf = await scene.services.load()
    assert conf.version > version
    assert conf.endpoints(API)[0] == Endpoint("GET", "/people/*")


async def test_a_failure_is_told_once_and_counted_and_what_was_known_stays(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    made = scene.descriptions()
    await made.refresh(await scene.services.load())
    scene.fetcher.answers[API.description_url] = NetworkFailure("Could not connect")
    caplog.clear()
    for _ in range(3):
        scene.clock.go(minutes=10)
        await made.refresh(await scene.services.load())
    assert made.failing == 1
    assert made.oldest == timedelta(minutes=30).total_seconds()
    assert [one.message for one in caplog.records] == [
        "description http://h/o.json of EX:GOV:1000:persons: Could not connect"
    ]
    conf = await scene.services.load()
    assert conf.endpoints(API)[0] == Endpoint("GET", "/persons/*")
    scene.fetcher.answers[API.description_url] = OK
    scene.clock.go(minutes=1)  # what fails is looked at more often
    await made.refresh(conf)
    assert made.failing == 0


async def test_another_process_has_looked_already(scene: Scene) -> None:
    conf = await scene.services.load()
    await scene.descriptions().refresh(conf)
    asked = len(scene.fetcher.asked)
    other = scene.descriptions()
    await other.refresh(conf)
    assert len(scene.fetcher.asked) == asked
    assert len(other.states) == 2


async def test_what_is_not_offered_any_more_is_forgotten(scene: Scene) -> None:
    made = scene.descriptions()
    await made.refresh(await scene.services.load())
    await made.refresh(conf := await scene.offer(REGISTER))
    assert API.description is not None
    assert await scene.store.load(API.description) is None
    await scene.store.keep(API.description, KEPT)  # while no process was running, say
    await scene.descriptions().refresh(conf)
    assert await scene.store.load(API.description) is None
    assert list(made.states) == [REGISTER.description]


async def test_documents_in_memory_are_bounded(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_BYTES", len(HIDDEN_WSDL) + 10)
    made = scene.descriptions()
    await made.get(API)
    await made.get(REGISTER)
    await made.get(REGISTER)
    await made.get(API)
    assert scene.fetcher.asked == [
        API.description_url, REGISTER.description_url, API.description_url,
    ]  # fmt: skip


async def test_the_round_goes_on_for_ever_and_ends_when_it_is_told(scene: Scene) -> None:
    made = scene.descriptions()
    conf = await scene.services.load()
    task = asyncio.create_task(made.run(lambda: conf))
    for _ in range(500):
        if len(made.states) == 2:
            break
        await asyncio.sleep(0.01)
    assert len(made.states) == 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    scene.fetcher.pause = 60
    waiting = asyncio.create_task(made.get(API))
    await asyncio.sleep(0.01)
    await made.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


# --- servers --------------------------------------------------------------------------------------

SERVER = issue("the system")
Script = Callable[[Scripted, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def fetch(
    script: Script, *, seconds: float = 5, limit: int = 1000, **changes: object
) -> tuple[Download, Scripted]:
    tls = systems_listener(identity(SERVER)).context if "certificates" in changes else None
    systems = InformationSystem(lambda: None)
    try:
        async with serving(script, tls) as server:
            url = f"{'https' if tls else 'http'}://127.0.0.1:{server.port}/a/o.json?x=%20&wsdl"
            service = replace(API, **changes)  # type: ignore[arg-type]
            found = await systems.fetch(service, url, limit, timedelta(seconds=seconds))
            return found, server
    finally:
        await systems.close()
        assert systems.in_use == 0


def says(status: str, body: bytes = b"", *headers: str) -> Script:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return answering("\r\n".join(lines).encode() + body)


async def test_a_document_is_got_by_its_own_address() -> None:
    found, server = await fetch(says("200 Fine", b"text", "Content-Type: a", "content-type: b"))
    assert found == Download(200, "Fine", ("a", "b"), b"text")
    assert server.requests == [
        f"GET /a/o.json?x=%20&wsdl HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAccept: */*\r\n"
        "Accept-Encoding: identity\r\n\r\n".encode()
    ]


async def test_only_the_body_of_a_good_answer_is_read() -> None:
    found, _ = await fetch(says("404 Not Found", b"x" * 5000))
    assert found == Download(404, "Not Found", (), b"")


async def _endless(_: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
        await writer.drain()


async def _slow(_: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def _silent(_: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize(
    ("script", "text"),
    [
        (_endless, "longer than 1000 bytes"),
        (_slow, "took too long"),
        (_silent, "took too long|timed out"),
        (says("200 OK", b"x" * 1001), "longer than 1000 bytes"),
        (says("200 OK", b"x", "Content-Encoding: gzip"), "encoded, which nobody asked for"),
        (answering(b"\x16\x03\x01garbage\r\n\r\n"), "not valid HTTP"),
    ],
)
async def test_servers_that_mean_no_good_cost_a_bounded_time(script: Script, text: str) -> None:
    with pytest.raises(NetworkFailure, match=text):
        await fetch(script, seconds=0.4)


async def test_a_system_must_show_its_certificate() -> None:
    der = SERVER.der
    found, _ = await fetch(says("200 OK", b"text"), certificates=(der,))
    assert found.body == b"text"
    with pytest.raises(UntrustedPeer):
        await fetch(says("200 OK", b"text"), certificates=(b"other",))
    with pytest.raises(UntrustedPeer):
        await fetch(says("200 OK", b"text"), certificates=())
    found, _ = await fetch(says("200 OK", b"text"), certificates=(), verify_tls=False)
    assert found.status == 200
