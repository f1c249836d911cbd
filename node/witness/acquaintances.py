"""The nodes that were met in exchanges and are witnesses: who is to get our next checkpoint.

What was met is noted in memory and written down now and then, so an exchange costs nothing more.
A process claims those that are due; what it can't hand over is due again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from trust.database import DATABASE_ERRORS, Pool, describe
from trust.errors import MalformedMessage, StorageError
from trust.ids import ClientId, ServerId, ServiceId
from trust.witness.announcement import SERVICE_CODE, log_origin, server_of

_MOST_NOTED = 10_000  # servers; a trust list has fewer
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Due:
    """A witness that is to get the newest checkpoint.

    Attributes:
        provider: a client of its node; None for the registry.
        handed: size of the checkpoint that it has, as far as we know.
    """

    origin: str
    provider: ClientId | None
    handed: int

    @property
    def server(self) -> ServerId:
        return server_of(self.origin)


class Acquaintances:
    """The witnesses of one node's log."""

    def __init__(self, pool: Pool, own: ServerId, clock: Callable[[], datetime]) -> None:
        self._pool = pool
        self._own = own
        self._clock = clock
        self._noted: dict[ServerId, tuple[ClientId, datetime]] = {}

    def met(self, server: ServerId, client: ClientId, service: ServiceId) -> None:
        """Note an exchange with a node that is a witness.

        One about checkpoints does not count, or two idle nodes would keep each other awake.
        """
        if server == self._own or service.service_code == SERVICE_CODE:
            return
        if server in self._noted or len(self._noted) < _MOST_NOTED:
            self._noted[server] = (client, self._clock())

    async def flush(self) -> None:
        """Write down who was met; raises StorageError and keeps it for the next time."""
        noted, self._noted = self._noted, {}
        if not noted:
            return
        try:
            await self._pool.executemany(
                "INSERT INTO witness_peer VALUES ($1, $2, $3, 0, '-infinity')"
                " ON CONFLICT (origin) DO UPDATE SET provider = $2, met = $3",
                [(log_origin(one), client.path, at) for one, (client, at) in noted.items()],
            )
        except DATABASE_ERRORS as error:
            self._noted = noted | self._noted
            raise StorageError(f"Witnesses can't be noted: {describe(error)}") from error

    async def claim(self) -> Sequence[Due]:
        """Nodes that were met since they were last tried; no other process gets them."""
        try:
            rows = await self._pool.fetch(
                "UPDATE witness_peer SET tried = $1 WHERE origin IN (SELECT origin"
                " FROM witness_peer WHERE met > tried ORDER BY met LIMIT $2"
                " FOR UPDATE SKIP LOCKED) RETURNING origin, provider, handed",
                self._clock(),
                _AT_ONCE,
            )
        except DATABASE_ERRORS as error:
            raise _unusable(error) from error
        return [due for row in rows if (due := _due(*row.values())) is not None]

    async def claim_registry(self, origin: str, interval: timedelta) -> Due | None:
        """The registry, when its time has come."""
        now = self._clock()
        try:
            row = await self._pool.fetchrow(
                "INSERT INTO witness_peer AS w VALUES ($1, '', '-infinity', 0, $2)"
                " ON CONFLICT (origin) DO UPDATE SET tried = $2 WHERE w.tried <= $3"
                " RETURNING handed",
                origin,
                now,
                now - interval,
            )
        except DATABASE_ERRORS as error:
            raise _unusable(error) from error
        return None if row is None else Due(origin, None, row["handed"])

    async def has(self, due: Due, size: int) -> None:
        """The witness stands at this size now; raises StorageError."""
        try:
            await self._pool.execute(
                "UPDATE witness_peer SET handed = $2 WHERE origin = $1", due.origin, size
            )
        except DATABASE_ERRORS as error:
            raise _unusable(error) from error

    async def again(self, due: Due) -> None:
        """It could not be reached and is due again; raises StorageError."""
        try:
            await self._pool.execute(
                "UPDATE witness_peer SET met = greatest(met, tried) + interval '1 microsecond'"
                " WHERE origin = $1 AND provider <> ''",
                due.origin,
            )
        except DATABASE_ERRORS as error:
            raise _unusable(error) from error


def _due(origin: str, provider: str, handed: int) -> Due | None:
    try:
        server_of(origin)
        return Due(origin, ClientId.from_header(provider), handed)
    except MalformedMessage:  # somebody wrote into the table
        return None


def _unusable(error: BaseException) -> StorageError:
    return StorageError(f"Witnesses can't be looked up: {describe(error)}")
