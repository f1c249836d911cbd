"""The central operator's registry: applying what was decided, and remembering who decided what."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from trust.changes import Change
from trust.database import DATABASE_ERRORS, Pool, PooledConnection, describe
from trust.errors import StorageError
from trust.registry.record_changes import difference, records_digest
from trust.registry.record_rules import problems_error, record_problems
from trust.registry.records import RegistryRecords
from trust.registry.registry_tables import load_records, store_records
from trust.settings import SettingProblem


@dataclass(frozen=True, slots=True)
class AppliedChange:
    """One line of the registry's history.

    Attributes:
        digest: SHA-256 over everything the records said afterwards.
    """

    number: int
    at: datetime
    by: str
    digest: bytes
    changes: tuple[str, ...]


class Registry:
    """The records in the database; every change is whole or does not happen."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def records(self) -> RegistryRecords | None:
        """Everything that is decided now, as one snapshot; None before the first declaration."""
        try:
            async with (
                self._pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                return await load_records(connection)
        except DATABASE_ERRORS as error:
            raise _unreadable(error) from error

    async def plan(self, records: RegistryRecords) -> tuple[Change, ...]:
        """What applying these records would change; raises ConfigurationError as `apply` does."""
        _check(records)
        return _difference(await self.records(), records)

    async def apply(self, records: RegistryRecords, *, by: str, at: datetime) -> tuple[Change, ...]:
        """Put these records in the place of those before, and say what changed.

        Raises ConfigurationError when they contradict themselves or are of another instance, and
        StorageError when the database does not take them; the registry is then as before.
        """
        _check(records)
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                # One after the other; readers are not kept waiting.
                await connection.execute("LOCK TABLE registry_change IN EXCLUSIVE MODE")
                changes = _difference(await load_records(connection), records)
                await store_records(connection, records)
                await _remember(connection, records, changes, by, at)
        except DATABASE_ERRORS as error:
            raise _unreadable(error) from error
        return changes

    async def history(self, limit: int = 100) -> Sequence[AppliedChange]:
        """The latest changes, newest first."""
        try:
            rows = await self._pool.fetch(
                "SELECT number, applied_at, applied_by, digest, changes FROM registry_change "
                "ORDER BY number DESC LIMIT $1",
                limit,
            )
        except DATABASE_ERRORS as error:
            raise _unreadable(error) from error
        return [
            AppliedChange(
                row["number"],
                row["applied_at"],
                row["applied_by"],
                row["digest"],
                tuple(row["changes"]),
            )
            for row in rows
        ]


def _unreadable(error: BaseException) -> StorageError:
    return StorageError(f"The registry's records can't be used: {describe(error)}")


def _check(records: RegistryRecords) -> None:
    problems = list(record_problems(records))
    if problems:
        raise problems_error(problems)


def _difference(before: RegistryRecords | None, after: RegistryRecords) -> tuple[Change, ...]:
    if before is not None and before.instance.instance != after.instance.instance:
        problem = SettingProblem(
            ("instance",),
            f"'{after.instance.instance}'",
            f"'{before.instance.instance}', which this registry is for and which never changes",
        )
        raise problems_error([problem])
    return difference(before, after)


async def _remember(
    connection: PooledConnection,
    records: RegistryRecords,
    changes: Sequence[Change],
    by: str,
    at: datetime,
) -> None:
    await connection.execute(
        "INSERT INTO registry_change (applied_at, applied_by, digest, changes) "
        "VALUES ($1, $2, $3, $4)",
        at,
        by,
        records_digest(records),
        [str(change) for change in changes],
    )
