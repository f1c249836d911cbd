"""What the log's tables need from time to time: room for the days to come, old keys gone."""

from datetime import UTC, datetime, timedelta

from trust.database import DATABASE_ERRORS, Pool, describe
from trust.errors import StorageError

DAYS_AHEAD = 3
_KEYS_AT_ONCE = 5000


async def make_partitions(pool: Pool, at: datetime) -> None:
    """Make sure that yesterday's, today's and the next days' records have a place.

    Any number of workers may do this at once. Raises StorageError.
    """
    today = at.astimezone(UTC).date()
    try:
        for offset in range(-1, DAYS_AHEAD + 1):
            await pool.execute("SELECT ensure_message_partition($1)", today + timedelta(offset))
    except DATABASE_ERRORS as error:
        raise StorageError(f"No room for the next days' records: {describe(error)}") from error


async def purge_replay_keys(pool: Pool, before: datetime) -> int:
    """Forget requests accepted before a moment, in small steps; how many. Raises StorageError.

    Workers that do this at once take different keys.
    """
    purged = 0
    while True:
        try:
            answer = await pool.execute(
                "DELETE FROM replay_key WHERE key IN ("
                " SELECT key FROM replay_key WHERE seen < $1"
                " ORDER BY seen LIMIT $2 FOR UPDATE SKIP LOCKED)",
                before,
                _KEYS_AT_ONCE,
            )
        except DATABASE_ERRORS as error:
            raise StorageError(f"Old replay keys can't be removed: {describe(error)}") from error
        count = int(answer.split()[-1])
        purged += count
        if count < _KEYS_AT_ONCE:
            return purged
