"""The rows of the message log, as they go in and as they come out."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, Self

from node.log.column_keys import Seal
from node.log.sides import Side
from node.log.uses import DataUse
from trust.errors import ExchangeError
from trust.ids import ClientId, ServiceId

__all__ = [
    "BodyPlace", "BodySource", "BytesBody", "LoggedBody", "MessageRecord", "ReplayDetected", "Side",
    "StoredBody", "StoredRecord",
]  # fmt: skip


class ReplayDetected(ExchangeError):
    """The same signed request was accepted before; X-Road has no code of its own for this."""

    code = "invalid_message"

    def __init__(self) -> None:
        super().__init__("This signed message was received before")


class BodySource(Protocol):
    """The complete bytes of a body, readable from any place."""

    @property
    def size(self) -> int: ...

    @property
    def digest(self) -> bytes:
        """SHA-512."""

    def read_at(self, start: int, length: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class BytesBody:
    """A body that is in memory."""

    data: bytes = field(repr=False)

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def digest(self) -> bytes:
        return hashlib.sha512(self.data).digest()

    def read_at(self, start: int, length: int) -> bytes:
        return self.data[start : start + length]


@dataclass(frozen=True, slots=True)
class LoggedBody:
    """A body to be logged. Its source is read before `append` returns and never after.

    Attributes:
        soap: an attachment of a SOAP message, not the body of a REST message.
    """

    digest: bytes  # SHA-512
    size: int
    source: BodySource = field(repr=False, compare=False)
    soap: bool = False

    @classmethod
    def of(cls, source: BodySource, *, soap: bool = False) -> Self:
        return cls(source.digest, source.size, source, soap)

    def pieces(self, size: int) -> Iterator[bytes]:
        for start in range(0, self.size, size):
            yield self.source.read_at(start, min(size, self.size - start))


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRecord:
    """One message with what proves it, before it is stored.

    Attributes:
        exchange_id: our id for request and response together (`x-road-request-id`).
        message_id: the consumer's own id (`X-Road-Id`).
        local: our own party: the client at the consumer's node, else the service's provider.
        peer: the other server, in text form; empty while it is not known.
        message: SOAP envelope or REST form, as it was signed.
        attachments: of a SOAP message, in order; the body of a REST message is the only one.
        replay_key: given for a request that a provider accepts; it is accepted once.
        use: of somebody's data, stored in the same commit; None when it is nobody's.
    """

    time: datetime
    side: Side
    response: bool
    exchange_id: str
    message_id: str
    client: ClientId
    service: ServiceId
    local: ClientId
    peer: str = ""
    message: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    hash_chain_result: bytes | None = field(default=None, repr=False)
    hash_chain: bytes | None = field(default=None, repr=False)
    attachments: tuple[LoggedBody, ...] = ()
    replay_key: bytes | None = field(default=None, repr=False)
    use: DataUse | None = None


class BodyPlace(StrEnum):
    """Where the bytes of a logged body are."""

    RECORD = "record"
    FILE = "file"
    NOWHERE = "nowhere"  # only the digest was kept


@dataclass(frozen=True, slots=True)
class StoredBody:
    """What the log has of a body.

    Attributes:
        seal: how it is encrypted in its place; None for one that is not.
    """

    digest: bytes  # SHA-512
    size: int
    place: BodyPlace
    file: str = ""  # below the body folder
    seal: Seal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecord:
    """One message of the log. The attachments' bytes are fetched apart: there may be many."""

    number: int
    time: datetime
    side: Side
    response: bool
    exchange_id: str
    message_id: str
    client: ClientId
    service: ServiceId
    local: ClientId
    peer: str
    message: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    hash_chain_result: bytes | None = field(default=None, repr=False)
    hash_chain: bytes | None = field(default=None, repr=False)
    attachments: tuple[StoredBody, ...] = ()
