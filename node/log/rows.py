"""Message records as rows of `message_record` and `message_attachment`, and back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache

import asyncpg

from node.log.bodies import KeptBody
from node.log.column_keys import NO_KEYS, ColumnKey, KeyRing, Seal, column_place, file_place
from node.log.records import BodyPlace, MessageRecord, Side, StoredBody, StoredRecord
from node.log.uses import DataUse
from trust.digests import sha512
from trust.errors import LoggingFailed
from trust.evidence.evidence_leaf import leaf_data, leaf_hash
from trust.ids import ClientId, ServiceId

COLUMNS = (
    "number", "time", "side", "response", "exchange_id", "message_id", "client", "provider",
    "service_code", "service_version", "local_client", "peer", "message", "signature",
    "hash_chain_result", "hash_chain", "body_digest", "body_size", "body", "body_file", "key_id",
    "further_attachments",
)  # fmt: skip
ATTACHMENT_COLUMNS = (
    "number", "time", "position", "body_digest", "body_size", "body", "body_file", "key_id",
)  # fmt: skip
QUEUE_COLUMNS = ("number", "time", "leaf_hash", "signature_digest")
USE_COLUMNS = (
    "time", "side", "exchange_id", "message_id", "client", "provider", "service_code",
    "service_version", "peer", "subject", "purpose", "legal_basis", "procedure", "case_id",
    "official", "mandate", "grant_number", "given", "withheld", "derived", "refusal", "openness",
    "visible_from", "spared", "detail",
)  # fmt: skip


def _to_read(columns: Sequence[str]) -> str:
    named = [column for column in columns if column != "body"]
    return ", ".join([*named, "body IS NOT NULL AS has_body"])


READ_COLUMNS = _to_read(COLUMNS)
READ_ATTACHMENT_COLUMNS = _to_read(ATTACHMENT_COLUMNS)
_MESSAGE, _BODY = COLUMNS.index("message") - 1, COLUMNS.index("body") - 1
_POSITION, _FURTHER_BODY = (ATTACHMENT_COLUMNS.index(name) - 2 for name in ("position", "body"))
_LONGEST_ID = 255  # characters of a message id, as in X-Road's database
_LONGEST_TEXT = 1024
_LONGEST_NAME = 4096
_USE_BYTES = 512


@dataclass(slots=True)
class Row:
    """A record on its way into the tables; it keeps its number over every attempt.

    Values are as they came until they leave: what encrypts them binds them to the number.

    Attributes:
        time: in UTC.
        values: of COLUMNS without the number.
        further: of ATTACHMENT_COLUMNS without number and time, for each but the first attachment.
        leaf: of QUEUE_COLUMNS without number and time.
        key: makes the request count once.
        use: of USE_COLUMNS; None for a message that is no use of somebody's data.
        column_key: encrypts the message and the bodies; None for a log that is not encrypted.
    """

    time: datetime
    values: tuple[object, ...] = field(repr=False)
    leaf: tuple[bytes, bytes] = field(repr=False)
    further: tuple[tuple[object, ...], ...] = field(default=(), repr=False)
    key: bytes | None = field(default=None, repr=False)
    column_key: ColumnKey | None = None
    number: int = 0  # 0: none yet
    use: tuple[object, ...] | None = field(default=None, repr=False)

    @property
    def day(self) -> date:
        return self.time.date()

    @property
    def size(self) -> int:
        """Bytes that the column key would encrypt."""
        found = (
            self.values[_MESSAGE],
            self.values[_BODY],
            *(f[_FURTHER_BODY] for f in self.further),
        )
        return sum(len(value) for value in found if isinstance(value, bytes))

    @property
    def record(self) -> tuple[object, ...]:
        """The record as it goes into the table, in the order of COLUMNS."""
        if self.column_key is None:
            return (self.number, *self.values)
        values = list(self.values)
        values[_MESSAGE] = self._sealed(values[_MESSAGE], "message", 0)
        values[_BODY] = self._sealed(values[_BODY], "body", 1)
        return (self.number, *values)

    @property
    def attachments(self) -> list[tuple[object, ...]]:
        """Its further attachments as they go into theirs, in the order of ATTACHMENT_COLUMNS."""
        rows = []
        for further in self.further:
            values = list(further)
            position = further[_POSITION]
            values[_FURTHER_BODY] = self._sealed(values[_FURTHER_BODY], "body", position)
            rows.append((self.number, self.time, *values))
        return rows

    def _sealed(self, value: object, column: str, position: object) -> object:
        if self.column_key is None or not isinstance(value, bytes):
            return value
        if not isinstance(position, int):
            raise AssertionError("positions are numbers")
        place = column_place(self.time, self.number, column, position)
        return self.column_key.seal(value, place)


def build_row(
    record: MessageRecord, kept: Sequence[KeptBody], column_key: ColumnKey | None = None
) -> Row:
    """Lay a record out in columns; raises LoggingFailed for what the database can't hold."""
    _check_text("message id", record.message_id, _LONGEST_ID)
    _check_text("exchange id", record.exchange_id, _LONGEST_ID)
    _check_text("peer", record.peer, _LONGEST_TEXT)
    service = record.service
    time = record.time.astimezone(UTC)
    key_id = None if column_key is None else column_key.id
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
        key_id,
        len(kept) - 1 if len(kept) > 1 else None,
    )
    further = tuple((place, *_body_values(body), key_id) for place, body in enumerate(kept[1:], 2))
    use = None if record.use is None else build_use_row(record.use)
    leaf = _leaf_of(record, kept)
    return Row(time, values, leaf, further, record.replay_key, column_key, use=use)


def build_use_row(use: DataUse) -> tuple[object, ...]:
    """Lay a use out in USE_COLUMNS; raises LoggingFailed for what the database can't hold."""
    intent, service = use.intent, use.service
    _check_text("message id", use.message_id, _LONGEST_ID)
    _check_text("exchange id", use.exchange_id, _LONGEST_ID)
    texts = (
        intent.purpose, intent.legal_basis, intent.procedure, intent.case, intent.official,
        intent.mandate,
    )  # fmt: skip
    for text in (use.peer, use.refusal, use.detail, *texts):
        _check_text("text of a use", text, _LONGEST_TEXT)
    for name in (*use.given, *use.withheld, *use.derived):
        _check_text("name of a fact", name, _LONGEST_NAME)
    return (
        use.time.astimezone(UTC),
        use.side.value,
        use.exchange_id,
        use.message_id,
        _path_of(use.client),
        _path_of(service.provider),
        service.service_code,
        service.service_version,
        use.peer,
        use.subject,
        *texts,
        use.grant,
        list(use.given),
        list(use.withheld),
        list(use.derived),
        use.refusal,
        use.openness.value,
        None if use.visible_from is None else use.visible_from.astimezone(UTC),
        use.spared,
        use.detail,
    )


def use_size(use: DataUse | None) -> int:
    """About how many bytes a use takes."""
    if use is None:
        return 0
    return _USE_BYTES + sum(map(len, (*use.given, *use.withheld, *use.derived)))


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


def read_row(
    row: asyncpg.Record, further: Sequence[asyncpg.Record], keys: KeyRing = NO_KEYS
) -> StoredRecord:
    """A record from a row selected by READ_COLUMNS; raises StorageError for one that is sealed.

    Args:
        further: its rows selected by READ_ATTACHMENT_COLUMNS, in order of position.
        keys: open what is encrypted.
    """
    provider = _client_of(row["provider"])
    number, time = row["number"], row["time"]
    bodies = [(row, 1), *((body, body["position"]) for body in further)]
    return StoredRecord(
        number=number,
        time=time,
        side=Side(row["side"]),
        response=row["response"],
        exchange_id=row["exchange_id"],
        message_id=row["message_id"],
        client=_client_of(row["client"]),
        service=ServiceId(provider, row["service_code"], row["service_version"]),
        local=_client_of(row["local_client"]),
        peer=row["peer"],
        message=keys.open(
            seal_of(row["key_id"], column_place(time, number, "message")), row["message"]
        ),
        signature=row["signature"],
        hash_chain_result=row["hash_chain_result"],
        hash_chain=row["hash_chain"],
        attachments=tuple(
            _stored_body(body, position)
            for body, position in bodies
            if body["body_digest"] is not None
        ),
    )


def seal_of(key_id: str | None, place: bytes) -> Seal | None:
    """How a value is encrypted whose row says this of its key."""
    return None if key_id is None else Seal(key_id, place)


def body_seal(row: asyncpg.Record, position: int) -> Seal | None:
    """How the body in a row of either table is encrypted, in the row itself or in its file.

    Args:
        row: has `time`, `number`, `key_id`, `body_file` and `body_digest`.
    """
    if row["key_id"] is None:
        return None
    if row["body_file"] is None:
        return Seal(row["key_id"], column_place(row["time"], row["number"], "body", position))
    place = file_place(row["time"], row["body_file"], row["body_digest"], position)
    return Seal(row["key_id"], place)


def _stored_body(row: asyncpg.Record, position: int) -> StoredBody:
    digest, size, seal = row["body_digest"], row["body_size"], body_seal(row, position)
    if row["has_body"]:
        return StoredBody(digest, size, BodyPlace.RECORD, seal=seal)
    if row["body_file"] is not None:
        return StoredBody(digest, size, BodyPlace.FILE, row["body_file"], seal)
    return StoredBody(digest, size, BodyPlace.NOWHERE)


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
