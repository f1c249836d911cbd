"""Fetching OCSP responses for the node's own certificates, and keeping them."""

import asyncio
import contextlib
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from cryptography.x509 import ocsp

from scripts.issuing import Identity
from tests.pki import DAY, NOON, Pki
from trust.errors import MalformedMessage, NetworkFailure, StorageError
from trust.globalconf import ApprovedCa, AuthorityCertificate, GlobalConf, OcspResponder
from trust.ids import ClientId, ServerId
from trust.pki.certificates import certificate_hash
from trust.pki.keys import KeyUse
from trust.pki.keystore import KeyEntry
from trust.pki.ocsp import CertificateStatus
from trust.pki.ocspcache import OcspCache
from trust.pki.ocspupdate import OcspUpdater, expiries, own_certificates, responder_urls
from trust.pki.post import post

MEMBER = ClientId("TEST", "GOV", "1")
SERVER = ServerId(MEMBER, "SS1")
_PKI = Pki()
_SIGNER = _PKI.sign(MEMBER)
_NODE = _PKI.auth(SERVER)


def _entry(identity: Identity, use: KeyUse = "sign", *, active: bool = True) -> KeyEntry:
    return KeyEntry("0" * 16, use, "", NOON, active, identity.key, identity.certificate)


@pytest.fixture
def cache(tmp_path: Path) -> OcspCache:
    return OcspCache(tmp_path / "ocsp")


def test_a_response_is_there_again_after_a_restart(cache: OcspCache, tmp_path: Path) -> None:
    raw = _PKI.ocsp(_SIGNER.certificate)
    cache.put(_SIGNER.certificate, raw)
    again = OcspCache(tmp_path / "ocsp")
    assert again.get(_SIGNER.certificate) == raw
    assert again.facts(_SIGNER.certificate) == cache.facts(_SIGNER.certificate)
    (file,) = (tmp_path / "ocsp").iterdir()
    assert file.name == certificate_hash(_SIGNER.certificate, "sha1").hex() + ".ocsp"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_damaged_file_is_dropped(cache: OcspCache, tmp_path: Path) -> None:
    file = tmp_path / "ocsp" / ("0" * 40 + ".ocsp")
    file.write_bytes(b"no response")
    (tmp_path / "ocsp" / "other.ocsp").write_bytes(b"not ours")
    OcspCache(tmp_path / "ocsp")
    assert not file.exists()
    assert (tmp_path / "ocsp" / "other.ocsp").exists()


def test_what_is_no_response_is_not_kept(cache: OcspCache, tmp_path: Path) -> None:
    with pytest.raises(MalformedMessage):
        cache.put(_SIGNER.certificate, b"no response")
    assert list((tmp_path / "ocsp").iterdir()) == []
    assert cache.get(_SIGNER.certificate) is None
    assert cache.facts(_SIGNER.certificate) is None


def test_peers_find_a_response_by_either_hash_while_it_is_usable(cache: OcspCache) -> None:
    raw, conf = _PKI.ocsp(_SIGNER.certificate), _PKI.conf()
    cache.know([_SIGNER.certificate])
    cache.put(_SIGNER.certificate, raw)
    for name in ("sha1", "sha256"):
        digest = certificate_hash(_SIGNER.certificate, "sha1" if name == "sha1" else "sha256")
        assert cache.for_peer(digest.hex(), conf, NOON) == raw
        assert cache.for_peer(digest.hex().upper(), conf, NOON) == raw
        assert cache.for_peer(digest.hex(), conf, NOON + timedelta(hours=2)) is None
    assert cache.for_peer("00" * 20, conf, NOON) is None
    assert cache.for_peer("../../etc/passwd", conf, NOON) is None


def test_responses_for_certificates_of_the_past_are_dropped(
    cache: OcspCache, tmp_path: Path
) -> None:
    for one in (_SIGNER, _NODE):
        cache.put(one.certificate, _PKI.ocsp(one.certificate))
    cache.know([_NODE.certificate])
    assert cache.get(_SIGNER.certificate) is None
    assert cache.get(_NODE.certificate) is not None
    assert len(list((tmp_path / "ocsp").iterdir())) == 1


def test_own_certificates_are_the_active_and_valid_ones_with_their_cas() -> None:
    pki = Pki(intermediate=True)
    signer, expired = pki.sign(MEMBER), pki.sign(MEMBER, days=-1)
    entries = [
        _entry(signer),
        _entry(expired),
        _entry(pki.auth(SERVER), "auth", active=False),
        replace(_entry(signer), certificate=None),
        _entry(pki.stranger),
    ]
    assert own_certificates(entries, pki.conf(), NOON) == (signer.certificate, *pki.chain)


def test_listed_responders_are_asked_before_the_one_the_certificate_names() -> None:
    named = _PKI.certify("x", "sign", ocsp_url="http://named.example.test/").certificate
    assert responder_urls(named, _PKI.conf()) == (
        "http://ocsp.example.test/",
        "http://named.example.test/",
    )
    assert responder_urls(_SIGNER.certificate, _PKI.conf()) == ("http://ocsp.example.test/",)
    assert responder_urls(_PKI.stranger.certificate, _PKI.conf()) == ()


@dataclass
class Responder:
    """An OCSP service in memory; what it answers can be changed while it runs."""

    answer: Callable[[str, bytes], bytes]
    asked: list[tuple[str, int]] = field(default_factory=list)

    async def __call__(self, url: str, body: bytes, content_type: str) -> bytes:
        assert content_type == "application/ocsp-request"
        self.asked.append((url, ocsp.load_der_ocsp_request(body).serial_number))
        return self.answer(url, body)


def _answer(identities: list[Identity], **options: object) -> Callable[[str, bytes], bytes]:
    by_serial = {one.certificate.serial_number: one.certificate for one in identities}

    def answer(_url: str, body: bytes) -> bytes:
        asked = by_serial[ocsp.load_der_ocsp_request(body).serial_number]
        return _PKI.ocsp(asked, **options)  # type: ignore[arg-type] # named by each test

    return answer


def _failing(_url: str, _body: bytes) -> bytes:
    raise NetworkFailure("nobody answers")


def _updater(
    cache: OcspCache,
    responder: Responder,
    identities: list[Identity] | None = None,
    conf: GlobalConf | None = None,
    at: datetime = NOON,
) -> OcspUpdater:
    entries = [_entry(one) for one in identities or [_SIGNER]]
    return OcspUpdater(
        entries=lambda: entries,
        conf=lambda: conf or _PKI.conf(),
        cache=cache,
        post=responder,
        clock=lambda: at,
    )


async def test_every_own_certificate_gets_its_response(cache: OcspCache) -> None:
    responder = Responder(_answer([_SIGNER, _NODE]))
    updater = _updater(cache, responder, [_SIGNER, _NODE])
    assert await updater.update()
    assert len(responder.asked) == 2
    assert cache.get(_SIGNER.certificate) is not None
    assert updater.problems == {}
    ((certificate, until), _) = expiries(
        [_SIGNER.certificate, _NODE.certificate], cache, _PKI.conf()
    )
    assert (certificate, until) == (_SIGNER.certificate, NOON + timedelta(minutes=59))
    unknown = [_PKI.stranger.certificate]
    assert list(expiries(unknown, cache, _PKI.conf())) == [(unknown[0], None)]


async def test_a_revocation_is_stored_and_shown(cache: OcspCache) -> None:
    updater = _updater(cache, Responder(_answer([_SIGNER], status=CertificateStatus.REVOKED)))
    assert await updater.update()
    facts = cache.facts(_SIGNER.certificate)
    assert facts is not None
    assert facts.status is CertificateStatus.REVOKED


@pytest.mark.parametrize(
    "options",
    [
        {"signer": _PKI.stranger},
        {"age": DAY},
        {"age": -DAY},
        {"next_update": -timedelta(minutes=1)},
    ],
)
async def test_a_response_that_nobody_would_believe_is_not_stored(
    cache: OcspCache, options: dict[str, object]
) -> None:
    good = _PKI.ocsp(_SIGNER.certificate)
    cache.put(_SIGNER.certificate, good)
    updater = _updater(cache, Responder(_answer([_SIGNER], **options)))
    assert not await updater.update()
    assert cache.get(_SIGNER.certificate) == good
    assert _SIGNER.certificate in updater.problems


async def test_a_response_about_another_certificate_is_not_stored(cache: OcspCache) -> None:
    updater = _updater(cache, Responder(lambda _url, _body: _PKI.ocsp(_NODE.certificate)))
    assert not await updater.update()
    assert cache.get(_SIGNER.certificate) is None


async def test_the_next_responder_is_asked_when_one_fails(cache: OcspCache) -> None:
    urls = ("http://first.example.test/", "http://second.example.test/")
    responders = tuple(OcspResponder(url, None) for url in urls)
    top = AuthorityCertificate(_PKI.root.certificate, responders)
    conf = _PKI.conf(approved_ca=ApprovedCa("CA", False, top, (), _PKI.profile))
    good = _answer([_SIGNER])

    def answer(url: str, body: bytes) -> bytes:
        return _failing(url, body) if url == urls[0] else good(url, body)

    responder = Responder(answer)
    assert await _updater(cache, responder, conf=conf).update()
    assert [url for url, _serial in responder.asked] == list(urls)


async def test_the_reasons_of_a_failure_are_kept(cache: OcspCache) -> None:
    updater = _updater(cache, Responder(_failing))
    assert not await updater.update()
    assert updater.problems == {
        _SIGNER.certificate: "http://ocsp.example.test/: nobody answers",
    }


async def test_a_ca_without_any_responder_is_a_problem(cache: OcspCache) -> None:
    top = AuthorityCertificate(_PKI.root.certificate, ())
    conf = _PKI.conf(approved_ca=ApprovedCa("CA", False, top, (), _PKI.profile))
    updater = _updater(cache, Responder(_failing), conf=conf)
    assert not await updater.update()
    assert updater.problems[_SIGNER.certificate] == "no OCSP responder is known for its CA"


async def test_a_certificate_of_an_unknown_ca_is_a_problem(cache: OcspCache) -> None:
    foreign = _PKI.certify("Other CA", "ca", issuer=None)
    signer = _PKI.certify("x", "sign", issuer=foreign)
    updater = _updater(cache, Responder(_failing), [signer])
    assert not await updater.update()
    assert updater.problems[signer.certificate] == "it is not issued by an approved CA"


async def test_a_full_disk_is_a_problem_and_no_crash(
    cache: OcspCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _data: bytes) -> None:
        raise StorageError("No space left on device")

    monkeypatch.setattr("trust.pki.ocspcache.write_file", full)
    updater = _updater(cache, Responder(_answer([_SIGNER])))
    assert not await updater.update()
    assert "No space left" in updater.problems[_SIGNER.certificate]


async def test_without_a_valid_trust_list_nobody_is_asked(cache: OcspCache) -> None:
    responder = Responder(_answer([_SIGNER]))
    expired = _PKI.conf(valid_until=NOON - timedelta(seconds=1))
    assert not await _updater(cache, responder, conf=expired).update()
    updater = replace(_updater(cache, responder), conf=lambda: None)
    assert not await updater.update()
    assert responder.asked == []


@contextlib.asynccontextmanager
async def _running(updater: OcspUpdater) -> AsyncIterator[None]:
    task = asyncio.create_task(updater.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)


async def test_a_failed_round_is_repeated_soon(cache: OcspCache) -> None:
    responder = Responder(_failing)
    updater = replace(_updater(cache, responder), retry=timedelta(milliseconds=10))
    async with _running(updater):
        await _until(lambda: len(responder.asked) >= 3)
        responder.answer = _answer([_SIGNER])
        await _until(lambda: cache.get(_SIGNER.certificate) is not None)


async def test_a_round_can_be_asked_for(cache: OcspCache) -> None:
    responder = Responder(_answer([_SIGNER]))
    updater = _updater(cache, responder)
    async with _running(updater):
        await _until(lambda: len(responder.asked) == 1)
        updater.fetch_now()
        await _until(lambda: len(responder.asked) == 2)


async def test_a_new_key_begins_a_round(cache: OcspCache) -> None:
    responder = Responder(_answer([_SIGNER, _NODE]))
    entries = [_entry(_SIGNER)]
    updater = replace(
        _updater(cache, responder), entries=lambda: entries, glance=timedelta(milliseconds=5)
    )
    async with _running(updater):
        await _until(lambda: len(responder.asked) == 1)
        entries.append(_entry(_NODE, "auth"))
        await _until(lambda: cache.get(_NODE.certificate) is not None)


async def test_a_changed_interval_begins_a_round(cache: OcspCache) -> None:
    responder = Responder(_answer([_SIGNER]))
    confs = [_PKI.conf()]
    updater = replace(
        _updater(cache, responder), conf=lambda: confs[-1], glance=timedelta(milliseconds=5)
    )
    async with _running(updater):
        await _until(lambda: len(responder.asked) == 1)
        confs.append(replace(confs[0], ocsp_fetch_interval_seconds=60))
        await _until(lambda: len(responder.asked) == 2)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def _serving(handler: Handler) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    app = web.Application()
    app.router.add_post("/", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        async with aiohttp.ClientSession() as session:
            yield session, f"http://{host}:{port}/"
    finally:
        await runner.cleanup()


async def test_a_post_sends_its_body_and_gets_the_answer() -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.content_type == "application/ocsp-request"
        return web.Response(body=b"answer to " + await request.read())

    async with _serving(handler) as (session, url):
        assert await post(session, url, b"x", "application/ocsp-request") == b"answer to x"


@pytest.mark.parametrize("status", [204, 302, 404, 500])
async def test_a_post_takes_only_an_answer_of_200(status: int) -> None:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "/other"})

    async with _serving(handler) as (session, url):
        with pytest.raises(NetworkFailure, match=f"status {status}"):
            await post(session, url, b"x", "text/plain")


async def test_a_post_reads_no_more_than_it_was_told() -> None:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 1001)

    async with _serving(handler) as (session, url):
        with pytest.raises(NetworkFailure, match="more than 1000 bytes"):
            await post(session, url, b"x", "text/plain", max_bytes=1000)
        assert len(await post(session, url, b"x", "text/plain", max_bytes=1001)) == 1001


async def test_a_post_waits_no_longer_than_it_was_told() -> None:
    released = asyncio.Event()

    async def handler(_request: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    async with _serving(handler) as (session, url):
        with pytest.raises(NetworkFailure, match="did not answer in time"):
            await post(session, url, b"x", "text/plain", answer_timeout=timedelta(milliseconds=50))
        released.set()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "file:///etc/passwd", "", "http://"])
async def test_a_post_to_nobody_fails(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(NetworkFailure):
            await post(session, url, b"x", "text/plain")
