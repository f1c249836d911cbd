"""How our own log stands with its witnesses, for the operator."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from trust.database import DATABASE_ERRORS, Pool, describe
from trust.errors import StorageError


@dataclass(frozen=True, slots=True)
class Cosigned:
    """The newest checkpoint that a witness signed."""

    witness: str
    size: int
    at: datetime


@dataclass(frozen=True, slots=True)
class OwnLog:
    """The newest checkpoint, and what witnesses signed.

    Attributes:
        leaves: records that have their place in the log.
        key: that made the checkpoint, as text.
    """

    leaves: int
    size: int
    at: datetime
    stamped: bool
    key: str
    witnesses: Sequence[Cosigned]


async def load_own_log(pool: Pool) -> OwnLog | None:
    """As it stands in the database; None before the first checkpoint. Raises StorageError."""
    try:
        row = await pool.fetchrow(
            "SELECT (SELECT leaves FROM log_size) AS leaves, size, at, key,"
            " token IS NOT NULL AS stamped FROM log_checkpoint ORDER BY size DESC LIMIT 1"
        )
        rows = await pool.fetch(
            "SELECT DISTINCT ON (witness) witness, size, at FROM log_cosignature"
            " ORDER BY witness, size DESC"
        )
    except DATABASE_ERRORS as error:
        raise StorageError(f"The log's checkpoints can't be read: {describe(error)}") from error
    if row is None:
        return None
    return OwnLog(**dict(row), witnesses=[Cosigned(**dict(each)) for each in rows])
