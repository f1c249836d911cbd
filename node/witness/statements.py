"""The owner's word for the log's key: a container that anybody with the trust list can judge.

It holds the announcement of a checkpoint, signed like every message of the owner and time-stamped,
so that it counts for as long as time-stamped containers do. A new one is made every day, and when
the owner signs with another certificate or the log with another key.
"""

import dataclasses
import hashlib
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from node.transparency.proofs import KeptCheckpoint
from node.transparency.transparency import Stamp, Transparency
from node.witness.registry import Announcer
from trust.database import DATABASE_ERRORS, Pool, describe
from trust.errors import ExchangeError, StorageError
from trust.evidence.asic import Container, build_container
from trust.evidence.checkpoints import CheckpointOffer
from trust.evidence.signature import parse_signature
from trust.evidence.stamped_signature import insert_timestamp
from trust.pki.certificates import der

_LOG = logging.getLogger(__name__)
_LIFE = timedelta(days=1)


class Statements:
    """Makes and keeps the containers in which the owner stands for the log's key."""

    def __init__(
        self,
        pool: Pool,
        transparency: Transparency,
        announcer: Announcer,
        stamp: Stamp | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._transparency = transparency
        self._announcer = announcer
        self._stamp = stamp
        self._clock = clock

    async def renew(self) -> bool:
        """Make a statement where one is due; whether one was made. What fails is told in the log.

        One that could not be time-stamped is kept and made again the next time.
        """
        try:
            newest = await self._transparency.newest()
            if newest is None:
                return False
            container = self._container(newest)
            signer = hashlib.sha256(der(parse_signature(container.signature).certificate)).digest()
            if await self._is_good(newest.key, signer):
                return False
            stamped = await self._stamped(container)
            await self._keep(newest.key, signer, stamped or container, stamped is not None)
        except (ExchangeError, StorageError) as error:
            _LOG.warning("The owner's statement about the log's key is not renewed: %s", error)
            return False
        return True

    async def newest(self, key: str) -> bytes | None:
        """As `newest_statement`."""
        return await newest_statement(self._pool, key)

    def _container(self, newest: KeptCheckpoint) -> Container:
        offer = CheckpointOffer(0, (), newest.note)
        return self._announcer.container(self._transparency.signer_of(newest), offer)

    async def _is_good(self, key: str, signer: bytes) -> bool:
        try:
            last = await self._pool.fetchrow(
                "SELECT key, signer, stamped, at FROM log_statement ORDER BY id DESC LIMIT 1"
            )
        except DATABASE_ERRORS as error:
            raise _unusable(error) from error
        return (
            last is not None
            and (last["key"], last["signer"]) == (key, signer)
            and (last["stamped"] or self._stamp is None)
            and self._clock() < last["at"] + _LIFE
        )

    async def _stamped(self, container: Container) -> Container | None:
        if self._stamp is None:
            return None
        try:
            stamp = await self._stamp(parse_signature(container.signature).value)
        except ExchangeError as error:
            _LOG.warning("The owner's statement about the log's key is not stamped: %s", error)
            return None
        signature = insert_timestamp(container.signature, stamp.token)
        return dataclasses.replace(container, signature=signature)

    async def _keep(self, key: str, signer: bytes, container: Container, stamped: bool) -> None:
        try:
            await self._pool.execute(
                "INSERT INTO log_statement (key, signer, container, stamped, at)"
                " VALUES ($1, $2, $3, $4, $5)",
                key,
                signer,
                build_container(container),
                stamped,
                self._clock(),
            )
        except DATABASE_ERRORS as error:
            raise _unusable(error) from error


async def newest_statement(pool: Pool, key: str) -> bytes | None:
    """The container for a key of the log, a time-stamped one before others; None without one.

    Raises StorageError.
    """
    try:
        found = await pool.fetchval(
            "SELECT container FROM log_statement WHERE key = $1"
            " ORDER BY stamped DESC, id DESC LIMIT 1",
            key,
        )
    except DATABASE_ERRORS as error:
        raise _unusable(error) from error
    return None if found is None else bytes(found)


def _unusable(error: BaseException) -> StorageError:
    return StorageError(f"The owner's statements can't be used: {describe(error)}")
