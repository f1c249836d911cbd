"""A node's announcement of its log: the newest checkpoint, in a request that its owner signs.

It is the text of a REST request, so it travels as any exchange does, and in a container anybody
who has the trust list can tell which member stands for the log's key:

    PUT
    /r1/…/sacbe-witness
    X-Road-Client:<the member that owns the node>
    X-Sacbe-Log-Key:<the key that signs the log's checkpoints>
    X-Sacbe-Offer:<base64 of the checkpoint, with the proof that it continues an older one>

A checkpoint has two signatures by the log's key: over the text, and over the text with the time
at which this was the largest tree. By that time a log that has shrunk is told from an old
checkpoint that is sent again.

Source: C2SP tlog-witness; transport.md 9 for the form.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from trust.base64text import decode_base64, encode_base64
from trust.errors import EvidenceRejected, MalformedMessage
from trust.evidence.checkpoints import MAX_OFFER_BYTES, Checkpoint, CheckpointOffer
from trust.evidence.notes import NoteKey, NoteKeyKind, Sign, SignedNote, cosign, sign_note
from trust.ids import ClientId, ServerId

SERVICE_CODE = "sacbe-witness"
METHOD = "PUT"
KEY_HEADER = "X-Sacbe-Log-Key"
OFFER_HEADER = "X-Sacbe-Offer"
_PREFIX = "sacbe/"
_REGISTRY = "sacbe-registry/"

Headers = Iterable[tuple[str, str]]


class BadCheckpoint(EvidenceRejected):
    """A member announces for its own log what the log's key did not sign.

    Attributes:
        origin: the log's name.
        note: what was announced.
    """

    code = "invalid_signature_value"

    def __init__(self, text: str, origin: str, note: bytes) -> None:
        super().__init__(text)
        self.origin = origin
        self.note = note


def log_origin(server: ServerId) -> str:
    """The name of a node's log, and of the node as a witness."""
    return _PREFIX + server.path.replace("+", "%2B")


def server_of(origin: str) -> ServerId:
    """The node whose log has this name; raises MalformedMessage."""
    if not origin.startswith(_PREFIX):
        raise MalformedMessage("not the name of a node's log")
    server = ServerId.from_header(origin.removeprefix(_PREFIX))
    if log_origin(server) != origin:
        raise MalformedMessage("not the name of a node's log")
    return server


def registry_origin(instance: str) -> str:
    """The name of an instance's registry as a witness."""
    return _REGISTRY + log_origin(ServerId(ClientId(instance, "-", "-"), "-")).split("/")[1]


def as_witness(key: NoteKey) -> NoteKey:
    """The same key, as it signs with a time."""
    return replace(key, kind=NoteKeyKind.WITNESS)


def sign_checkpoint(checkpoint: Checkpoint, key: NoteKey, at: datetime, sign: Sign) -> SignedNote:
    """The note with both signatures of the log."""
    note = sign_note(checkpoint.text, key, sign)
    return note.signed([cosign(note.text, as_witness(key), at, sign)])


def check_checkpoint(raw: bytes, key: NoteKey) -> tuple[Checkpoint, datetime]:
    """What a note says and when the log's key signed it; raises BadCheckpoint."""
    try:
        note = SignedNote.parse(raw)
        note.check_signed(key)
        at = note.cosigned_at(as_witness(key))
        checkpoint = Checkpoint.parse(note.text)
    except (MalformedMessage, EvidenceRejected) as error:
        raise BadCheckpoint(error.text, key.name, raw) from error
    if at is None:
        raise BadCheckpoint("the checkpoint does not say when it was signed", key.name, raw)
    if checkpoint.origin != key.name:
        raise BadCheckpoint("the checkpoint is another log's", key.name, raw)
    return checkpoint, at


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a member says about its log; that it is said by the member is for others to judge.

    Attributes:
        at: when this was the largest tree, as the log says.
    """

    server: ServerId
    key: NoteKey
    offer: CheckpointOffer
    checkpoint: Checkpoint
    at: datetime

    @property
    def origin(self) -> str:
        return self.checkpoint.origin

    @classmethod
    def parse(cls, headers: Headers, client: ClientId) -> Self:
        """Read the headers of a request that `client` is known to have signed.

        Raises MalformedMessage for what is no announcement, EvidenceRejected for one of somebody
        else's log, and BadCheckpoint when it is the client's own and the signatures don't hold.
        """
        key = _log_key(_only(headers, KEY_HEADER))
        server = server_of(key.name)
        if server.owner != client:
            raise EvidenceRejected(f"{client} does not own {server}", "invalid_client_identifier")
        offer = CheckpointOffer.parse(_offer(_only(headers, OFFER_HEADER)))
        return cls(server, key, offer, *check_checkpoint(offer.note, key))


def announcement_headers(key: NoteKey, offer: CheckpointOffer) -> tuple[tuple[str, str], ...]:
    """The headers that `Announcement.parse` reads."""
    return ((KEY_HEADER, key.text), (OFFER_HEADER, encode_base64(offer.raw)))


def build_announcement(server: ServerId, key: NoteKey, offer: CheckpointOffer) -> bytes:
    """The announcement to everybody: a message of the owner to its own node."""
    headers = (("X-Road-Client", server.owner.path), *announcement_headers(key, offer))
    lines = (
        METHOD,
        f"/r1/{server.path}/{SERVICE_CODE}",
        *(f"{name}:{value}" for name, value in headers),
    )
    return "".join(f"{line}\r\n" for line in lines).encode()


def read_announcement(message: bytes, client: ClientId) -> Announcement:
    """Read `message.xml` of a container whose signature by `client` was found good."""
    try:
        method, target, *lines = message.decode("utf-8").split("\r\n")
    except (UnicodeDecodeError, ValueError) as error:
        raise MalformedMessage("not an announcement of a log") from error
    if method != METHOD or not target.endswith(f"/{SERVICE_CODE}"):
        raise MalformedMessage("not an announcement of a log")
    pairs = [line.partition(":") for line in lines if line]
    return Announcement.parse([(name, value) for name, _, value in pairs], client)


def _only(headers: Headers, wanted: str) -> str:
    found = [value for name, value in headers if name.lower() == wanted.lower()]
    if len(found) != 1:
        raise MalformedMessage(f"an announcement has one header {wanted}, not {len(found)}")
    return found[0]


def _log_key(text: str) -> NoteKey:
    key = NoteKey.parse(text)
    if key.kind is not NoteKeyKind.LOG:
        raise MalformedMessage("an announcement names a log's key")
    return key


def _offer(text: str) -> bytes:
    if len(text) > 2 * MAX_OFFER_BYTES:
        raise MalformedMessage(f"an offer of more than {MAX_OFFER_BYTES} bytes")
    try:
        return decode_base64(text)
    except ValueError as error:
        raise MalformedMessage("an offer is not base64") from error
