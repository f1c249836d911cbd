"""The registry as a witness of the logs of all registered nodes.

    GET /witness                our key
    POST /witness/checkpoint    an announcement in a container: 200 and our cosignature,
                                409 and the size at which we stand, 422 and the alarm

Source: C2SP tlog-witness, for the answers.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from trust.configuration.confparts import parse_shared_parameters
from trust.errors import AccessDenied, ExchangeError, StorageError
from trust.evidence.asic import Container, parse_container
from trust.evidence.hashchain import PartDigest
from trust.evidence.notes import NoteKey, NoteKeyKind, cosign
from trust.evidence.sender import sender_of
from trust.evidence.signature import SignedMessage
from trust.evidence.signature_verifier import MESSAGE_NAME, judge_signer, verify_content
from trust.globalconf import GlobalConf, InstanceConf, SharedParameters
from trust.registry.publication import SHARED_FILE
from trust.registry.publisher import Publisher
from trust.witness.announcement import (
    KEY_HEADER,
    Announcement,
    BadCheckpoint,
    as_witness,
    read_announcement,
    registry_origin,
    server_of,
)
from trust.witness.witness_store import WitnessStore
from trust.witness.witnessing import Alarm, Behind, Raised, Verdict

_LOG = logging.getLogger(__name__)
MAX_BODY = 256 * 1024
_SIDE_BY_SIDE = 2
_WAITING = 50


@dataclass(frozen=True, slots=True)
class RegistryKey:
    """The key with which a registry cosigns, under the name of its instance."""

    private: Ed25519PrivateKey
    public: NoteKey

    @classmethod
    def of(cls, private: Ed25519PrivateKey, instance: str) -> "RegistryKey":
        raw = private.public_key().public_bytes_raw()
        return cls(private, NoteKey(registry_origin(instance), NoteKeyKind.LOG, raw))


class PublishedList:
    """The trust list that a registry publishes, as its nodes read it."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._read: tuple[bytes, SharedParameters] | None = None

    def __call__(self) -> GlobalConf | None:
        """The newest one; None while nothing is published."""
        generation = self._publisher.generation
        if generation is None:
            return None
        version, raw = max(
            (int(path[2:].partition("/")[0]), content)
            for path, content in generation.files.items()
            if path.endswith(f"/{SHARED_FILE}")
        )
        if self._read is None or self._read[0] != raw:
            self._read = raw, parse_shared_parameters(raw, version)
        shared = self._read[1]
        number = int(generation.made_at.timestamp())
        own = InstanceConf(shared, None, generation.expires, raw)
        return GlobalConf(shared.instance, {shared.instance: own}, number=number)


@dataclass(slots=True)
class RegistryWitness:
    """Judges what nodes announce, by the trust list that this registry publishes itself.

    Attributes:
        conf: the trust list of now; None while nothing is published.
    """

    store: WitnessStore
    private: Ed25519PrivateKey
    conf: Callable[[], GlobalConf | None]
    clock: Callable[[], datetime]
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_SIDE_BY_SIDE))
    _waiting: int = 0

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/witness", self.key_page)
        app.router.add_post("/witness/checkpoint", self.checkpoint_page)

    async def key_page(self, _request: web.Request) -> web.Response:
        conf = self.conf()
        if conf is None:
            return _text(503, "Nothing has been published yet")
        return _text(200, RegistryKey.of(self.private, conf.own_instance).public.text)

    async def checkpoint_page(self, request: web.Request) -> web.Response:
        """Answer one announcement; nothing is kept of one that its owner did not sign."""
        if self._waiting >= _WAITING:
            return _text(503, "Too many announcements; come again")
        self._waiting += 1
        try:
            body = await request.content.read(MAX_BODY + 1)
            while not request.content.at_eof() and len(body) <= MAX_BODY:
                body += await request.content.read(MAX_BODY + 1)
            if len(body) > MAX_BODY:
                return _text(413, f"An announcement has at most {MAX_BODY} bytes")
            async with self._places:
                return await self._answer(body)
        finally:
            self._waiting -= 1

    async def _answer(self, body: bytes) -> web.Response:
        conf, at = self.conf(), self.clock()
        if conf is None:
            return _text(503, "Nothing has been published yet")
        try:
            said = await asyncio.to_thread(read_signed, body, conf, at)
            verdict = await self.store.take(said, body, at)
        except BadCheckpoint as error:
            return await self._refuse(error, body, at)
        except StorageError as error:
            _LOG.warning("%s", error)
            return _text(503, "The database can't be used")
        except AccessDenied as error:
            return _text(403, error.text)
        except ExchangeError as error:
            return _text(400, error.text)
        return self._told(said, verdict, RegistryKey.of(self.private, conf.own_instance), at)

    async def _refuse(self, error: BadCheckpoint, body: bytes, at: datetime) -> web.Response:
        raised = Raised(Alarm.UNSIGNED, error.text)
        try:
            await self.store.refuse(error.origin, raised, error.note, body, at)
        except StorageError as failure:
            _LOG.warning("%s", failure)
            return _text(503, "The database can't be used")
        return _text(422, f"{raised.alarm}: {raised.text}")

    def _told(
        self, said: Announcement, verdict: Verdict, key: RegistryKey, at: datetime
    ) -> web.Response:
        if isinstance(verdict, Raised):
            return _text(422, f"{verdict.alarm}: {verdict.text}")
        if isinstance(verdict, Behind):
            return _text(409, str(verdict.size), "text/x.tlog.size")
        line = cosign(said.checkpoint.text, as_witness(key.public), at, key.private.sign).line
        answer = _text(200, line.rstrip("\n"))
        answer.headers[KEY_HEADER] = key.public.text
        return answer


def read_signed(body: bytes, conf: GlobalConf, at: datetime) -> Announcement:
    """The announcement in a container, if the owner of a registered node signed it just now.

    Raises MalformedMessage, EvidenceRejected, AccessDenied, and BadCheckpoint when the owner signed
    what its log's key did not.
    """
    container = parse_container(body)
    owner = sender_of(container.message)
    judge_signer(verify_content(_signed(container)), owner, conf, at).require()
    try:
        said = read_announcement(container.message, owner)
    except BadCheckpoint as error:
        _check_registered(error.origin, conf, at)
        raise
    _check_registered(said.origin, conf, at)
    return said


def _check_registered(origin: str, conf: GlobalConf, at: datetime) -> None:
    server = server_of(origin)
    if conf.server(server, at) is None:
        raise AccessDenied(f"{server} is not registered")


def _signed(container: Container) -> SignedMessage:
    part = PartDigest.of(MESSAGE_NAME, container.message)
    return SignedMessage(signature=container.signature, parts={MESSAGE_NAME: part})


def _text(status: int, text: str, content_type: str = "text/plain") -> web.Response:
    return web.Response(status=status, text=f"{text}\n", content_type=content_type)
