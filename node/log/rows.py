"""Message records as rows of `message_record`, and back."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache

import asyncpg

from node.log.bodies import KeptBody
from node.log.records import BodyPlace, MessageRecord, Side, StoredBody, StoredRecord
from trust.errors import LoggingFailed
from trust.ids import ClientId, ServiceId

COLUMNS = (
    "number", "time", "side", "response", "exchange_id", "message_id", "client", "provider",
    "service_code", "service_version", "local_client", "peer", "message", "signature",
    "hash_chain_result", "hash_chain", "body_digest", "body_size", "body", "body_file",
)  # fmt: skip
READ_COLUMNS = ", ".join(
    [*(column for column in COLUMNS if column != "body"), "body IS NOT NULL AS has_body"]
)
_LONGEST_ID = 255  # characters of a message id, as in X-Road's database
_LONGEST_TEXT = 1024


@dataclass(slots=True)
class Row:
    """A record on its way into the table; it keeps its number over every attempt."""

    time: datetime  # UTC
    values: tuple[object, ...] = field(repr=False)  # of COLUMNS without the number
    key: bytes | None = field(default=None, repr=False)
    number: int = 0  # 0: none yet

    @property
    def day(self) -> date:
        return self.time.date()


def build_row(record: MessageRecord, body: KeptBody | None) -> Row:
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
        None if body is None else body.digest,
        None if body is None else body.size,
        None if body is None else body.data,
        None if body is None else body.file,
    )
    return Row(time, values, record.replay_key)


def read_row(row: asyncpg.Record) -> StoredRecord:
    """A row selected by READ_COLUMNS."""
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
        body=_stored_body(row),
    )


def _stored_body(row: asyncpg.Record) -> StoredBody | None:
    if row["body_digest"] is None:
        return None
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
