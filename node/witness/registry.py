"""The registry as a witness: it gets our announcement in a container, by plain HTTP.

What the container says is signed by the owner, so the way does not matter. What comes back is
believed by the registry's key, which the operator has written down or which is seen for the first
time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import aiohttp

from node.exchange.signer import SignatureForm, Signers, sign_parts
from node.witness.handover import WitnessAnswer
from trust.errors import GlobalConfOutdated, MalformedMessage, NetworkFailure
from trust.evidence.asic import Container, build_container
from trust.evidence.checkpoints import CheckpointOffer
from trust.evidence.hashchain import PartDigest
from trust.evidence.notes import NoteKey
from trust.evidence.signature_verifier import MESSAGE_NAME
from trust.globalconf import GlobalConf
from trust.ids import ServerId
from trust.witness.announcement import KEY_HEADER, build_announcement

CHECKPOINT_PATH = "/witness/checkpoint"
CONTAINER_TYPE = "application/vnd.etsi.asic-e+zip"
_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=10)
_LARGEST_ANSWER = 16 * 1024


@dataclass(frozen=True, slots=True)
class Announcer:
    """Says to everybody, in the owner's name, what our log is."""

    server: ServerId
    signers: Signers
    conf: Callable[[], GlobalConf | None]
    clock: Callable[[], datetime]

    def container(self, key: NoteKey, offer: CheckpointOffer) -> Container:
        """The announcement with a signature of now; raises CannotSign, GlobalConfOutdated."""
        conf, at = self.conf(), self.clock()
        if conf is None:
            raise GlobalConfOutdated("There is no global configuration")
        message = build_announcement(self.server, key, offer)
        signer = self.signers.signer_of(self.server.owner, conf, at)
        parts = [PartDigest.of(MESSAGE_NAME, message)]
        files = sign_parts(signer, parts, at, SignatureForm.REFERENCES)
        return Container(message, files.signature, time=at)


@dataclass(frozen=True, slots=True)
class HttpRegistry:
    """A registry that witnesses.

    Attributes:
        origin: its name as a witness.
        key: its witness key as text; empty: the one that it names is taken.
    """

    origin: str
    url: str
    key: str
    announcer: Announcer
    session: aiohttp.ClientSession

    async def offer(self, key: NoteKey, offer: CheckpointOffer) -> WitnessAnswer:
        """Its answer, whatever the status; raises NetworkFailure, MalformedMessage, CannotSign."""
        body = build_container(self.announcer.container(key, offer))
        try:
            async with self.session.post(
                self.url.rstrip("/") + CHECKPOINT_PATH,
                data=body,
                headers={"Content-Type": CONTAINER_TYPE},
                timeout=_TIMEOUT,
                allow_redirects=False,
            ) as answer:
                data = await answer.content.read(_LARGEST_ANSWER + 1)
                named = answer.headers.get(KEY_HEADER)
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise NetworkFailure(f"The registry can't be asked: {error}") from error
        if len(data) > _LARGEST_ANSWER:
            raise NetworkFailure("The registry's answer is too long")
        if status == 200 and self.key and named != self.key:
            raise MalformedMessage("it signs with another key than registry_key")
        return WitnessAnswer(status, named, data)
