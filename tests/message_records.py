"""Message records for tests of the log."""

import hashlib
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from node.log.messagelog import MIGRATIONS, MessageLog, MessageLogSettings
from node.log.records import BytesBody, LoggedBody, MessageRecord, Side
from trust.database import PoolSettings, migrate, open_pool
from trust.ids import ClientId, ServiceId

CLIENT = ClientId("EX", "GOV", "1234567", "portal")
PROVIDER = ClientId("EX", "GOV", "7654321", "population")
SERVICE = ServiceId(PROVIDER, "personApi")
PEER = "SERVER:EX/GOV/7654321/node1"

_NUMBERS = itertools.count(1)


def sample_record(**changes: Any) -> MessageRecord:  # noqa: ANN401 - any field of the record
    number = next(_NUMBERS)
    record = MessageRecord(
        time=datetime.now(UTC),
        side=Side.CONSUMER,
        response=False,
        exchange_id=f"00000000-0000-4000-8000-{number:012}",
        message_id=f"message-{number}",
        client=CLIENT,
        service=SERVICE,
        local=CLIENT,
        peer=PEER,
        message=b"GET /r1/EX/GOV/7654321/population/personApi HTTP/1.1\r\n",
        signature=b"<signature/>" * 20,
    )
    return replace(record, **changes)


def bodies_of(*data: bytes, soap: bool = False) -> tuple[LoggedBody, ...]:
    return tuple(LoggedBody.of(BytesBody(each), soap=soap) for each in data)


def key_of(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def quick(**changes: Any) -> MessageLogSettings:  # noqa: ANN401 - any setting
    defaults = {"probe_interval": timedelta(milliseconds=50), "patience": timedelta(seconds=20)}
    return MessageLogSettings(**{**defaults, **changes})


@asynccontextmanager
async def message_log(
    dsn: str,
    settings: MessageLogSettings | None = None,
    **changes: Any,  # noqa: ANN401
) -> AsyncIterator[MessageLog]:
    """A started log on a database that gets its tables when it lacks them."""
    pool = await open_pool(dsn, "sacbe-test", PoolSettings(max_connections=4))
    try:
        await migrate(pool, "node", MIGRATIONS)
        async with MessageLog(pool, settings or quick(), **changes) as log:
            yield log
    finally:
        await pool.close()
