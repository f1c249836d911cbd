"""Message records as rows of `message_record` and `message_attachment`, and back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache

import asyncpg

from node.log.bodies import KeptBody
from node.log.records import BodyPlace, MessageRecord, Side, StoredBody, StoredRecord
from trust.digests import sha512
from trust.errors import LoggingFailed
from trust.evidence.evidence_leaf import leaf_data, leaf_hash
from trust.ids import ClientId, ServiceId

COLUMNS = (
    "number", "time", "side", "response", "exchange_id", "message_id", "client", "provider",
    "service_code", "service_version", "local_client", "peer", "message", "signature",
    "hash_chain_result", "hash_chain", "body_digest", "body_size", "body", "body_file",
    "further_attachments",
)  # fmt: skip
ATTACHMENT_COLUMNS = (
    "number", "time", "position", "body_digest", "body_size", "body", "body_file",
)  # fmt: skip
QUEUE_COLUMNS = ("number", "time", "leaf_hash", "signature_digest")


def _to_read(columns: Sequence[str]) -> str:
    named = [column for column in columns if column != "body"]
    return ", ".join([*named, "body IS NOT NULL AS has_body"])


READ_COLUMNS = _to_read(COLUMNS)
READ_ATTACHMENT_COLUMNS = _to_read(ATTACHMENT_COLUMNS)
_LONGEST_ID = 255  # characters of a message id, as in X-Road's database
_LONGEST_TEXT = 1024


@dataclass(slots=True)
class Row:
    """A record on its way into the tables; it keeps its number over every attempt.

    Attributes:
        time: in UTC.
        values: of COLUMNS without the number.
        further: of ATTACHMENT_COLUMNS without number and time, for each but the first attachment.
        leaf: of QUEUE_COLUMNS without number and time.
    """

    time: datetime
    values: tuple[object, ...] = field(repr=False)
    leaf: tuple[bytes, bytes] = field(repr=False)
    further: tuple[tuple[object, ...], ...] = field(default=(), repr=False)
    key: bytes | None = field(default=None, repr=False)
    number: int = 0  # 0: none yet

    @property
    def day(self) -> date:
        return self.time.date()


def build_row(record: MessageRecord, kept: Sequence[KeptBody]) -> Row:
    """Lay a record out in columns; raises LoggingFailed for what the database can't hold."""
    _check_text("message id", record.message_id, _LONGEST_ID)
    _check_text("exchange id", record.exchange_id, _LONGEST_ID)
    _check_text("peer", record.peer, _LONGEST_TEXT)
    service = record.service
    time = record.time.astimezone(UTC)
    values = (
        time,
        record.side.value,
        record.response,
        record.exchange_id,
        record.message_id,
        _path_of(record.client),
        _path_of(service.provider),
        service.service_code,
        service.service_version,
        _path_of(record.local),
        record.peer,
        record.message,
        record.signature,
        record.hash_chain_result,
        record.hash_chain,
        *(_body_values(kept[0]) if kept else (None, None, None, None)),
        len(kept) - 1 if len(kept) > 1 else None,
    )
    further = tuple((place, *_body_values(body)) for place, body in enumerate(kept[1:], 2))
    return Row(time, values, _leaf_of(record, kept), further, record.replay_key)


def _leaf_of(record: MessageRecord, kept: Sequence[KeptBody]) -> tuple[bytes, bytes]:
    """The hash of the record's leaf, and the digest of its signature file."""
    signature_digest = sha512(record.signature)
    data = leaf_data(
        sha512(record.message),
        signature_digest,
        None if record.hash_chain_result is None else sha512(record.hash_chain_result),
        None if record.hash_chain is None else sha512(record.hash_chain),
        [body.digest for body in kept],
    )
    return leaf_hash(data), signature_digest


def _body_values(body: KeptBody) -> tuple[object, ...]:
    return (body.digest, body.size, body.data, body.file)


def read_row(row: asyncpg.Record, further: Sequence[asyncpg.Record]) -> StoredRecord:
    """A record from a row selected by READ_COLUMNS.

    Args:
        further: its rows selected by READ_ATTACHMENT_COLUMNS, in order of position.
    """
    provider = _client_of(row["provider"])
    return StoredRecord(
        number=row["number"],
        time=row["time"],
        side=Side(row["side"]),
        response=row["response"],
        exchange_id=row["exchange_id"],
        message_id=row["message_id"],
        client=_client_of(row["client"]),
        service=ServiceId(provider, row["service_code"], row["service_version"]),
        local=_client_of(row["local_client"]),
        peer=row["peer"],
        message=row["message"],
        signature=row["signature"],
        hash_chain_result=row["hash_chain_result"],
        hash_chain=row["hash_chain"],
        attachments=tuple(
            _stored_body(body) for body in (row, *further) if body["body_digest"] is not None
        ),
    )


def _stored_body(row: asyncpg.Record) -> StoredBody:
    if row["has_body"]:
        return StoredBody(row["body_digest"], row["body_size"], BodyPlace.RECORD)
    if row["body_file"] is not None:
        return StoredBody(row["body_digest"], row["body_size"], BodyPlace.FILE, row["body_file"])
    return StoredBody(row["body_digest"], row["body_size"], BodyPlace.NOWHERE)


def _check_text(what: str, value: str, longest: int) -> None:
    if len(value) > longest:
        raise LoggingFailed(f"The {what} is longer than {longest} characters")
    if "\0" in value:
        raise LoggingFailed(f"The {what} holds a zero character")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise LoggingFailed(f"The {what} is no valid text") from error


@lru_cache(4096)
def _path_of(client: ClientId) -> str:
    return client.path


@lru_cache(4096)
def _client_of(path: str) -> ClientId:
    return ClientId.from_header(path)
