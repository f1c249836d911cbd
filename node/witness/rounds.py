"""All that a node does about its log and those of others, once in every interval."""

import asyncio
import logging

from node.transparency.transparency import Transparency
from node.witness.handover import Handover
from node.witness.statements import Statements
from trust.errors import StorageError
from trust.witness.witness_store import WitnessStore

_LOG = logging.getLogger(__name__)


class Rounds:
    """Checkpoint, owner's word, hand-over, in this order.

    Attributes:
        open_alarms: about the logs of others; -1 before they were counted.
    """

    def __init__(
        self,
        transparency: Transparency,
        statements: Statements,
        handover: Handover,
        store: WitnessStore,
    ) -> None:
        self.open_alarms = -1
        self._transparency = transparency
        self._statements = statements
        self._handover = handover
        self._store = store

    async def run(self) -> None:
        """Work until cancelled; a defect in one round must not end all."""
        while True:
            try:
                await self.once()
            except Exception:  # noqa: BLE001 - told, and tried again
                _LOG.exception("A round of the log's witnesses broke")
            await asyncio.sleep(self._transparency.interval.total_seconds())

    async def once(self) -> None:
        await self._transparency.round()
        await self._statements.renew()
        await self._handover.round()
        await self.count()

    async def count(self) -> None:
        """Count the open alarms."""
        try:
            self.open_alarms = await self._store.open_alarms()
        except StorageError as error:
            _LOG.warning("%s", error)

    @property
    def warning(self) -> str | None:
        """What the operator should look at, in words; None while all is well."""
        found = [self._transparency.problem, self._handover.problem]
        if self.open_alarms > 0:
            found.append(f"{self.open_alarms} alarms about the logs of others (sacbe node witness)")
        return "; ".join(text for text in found if text) or None
