"""What happens at the end of every exchange, and the services that tell of it."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Self

from node.exchange.account import Account
from node.exchange.builtin import BuiltInService
from node.monitoring.environment import EnvironmentService, OwnCertificate
from node.monitoring.health_data import HealthDataService
from node.monitoring.health_statistics import HealthStatistics
from node.monitoring.host import Host, internal_address
from node.monitoring.operational_data import OperationalDataService
from node.monitoring.record import record_of
from node.monitoring.service_metrics import ServiceMetrics
from node.monitoring.settings import MonitoringSettings
from node.monitoring.store import RecordStore
from node.operate.metrics import NodeMetrics
from trust.database import Pool
from trust.ids import ServerId

_LOG = logging.getLogger(__name__)


class Monitor:
    """The monitoring of one process.

    Args:
        certificates: those of the node's keys, and its internal one.
    """

    def __init__(
        self,
        server: ServerId,
        pool: Pool,
        settings: MonitoringSettings,
        metrics: NodeMetrics,
        clock: Callable[[], datetime],
        certificates: Callable[[], Iterable[OwnCertificate]],
    ) -> None:
        self._settings = settings
        self._counts = ServiceMetrics(metrics)
        self._statistics = HealthStatistics(int(settings.statistics_period.total_seconds()))
        self._store = RecordStore(pool, settings, clock)
        self._host = Host(clock)
        self._address = internal_address()
        self._stack = AsyncExitStack()
        environment = EnvironmentService(server, settings, self._host, certificates)
        self.services: tuple[BuiltInService, ...] = (environment,)
        if settings.records:
            self.services += (
                OperationalDataService(server, pool, settings, clock),
                HealthDataService(server, self._statistics, clock(), time.monotonic),
            )
        _watch(metrics, self._store)

    async def __aenter__(self) -> Self:
        sampling = asyncio.create_task(self._host.run(), name="monitoring samples")
        self._stack.callback(sampling.cancel)
        if self._settings.records:
            await self._stack.enter_async_context(self._store)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def ended(self, account: Account) -> None:
        """Take note of an exchange; it neither waits for this nor fails with it."""
        try:
            record = record_of(account, self._address)
            self._counts.add(record)
            if self._settings.records:
                self._statistics.add(record, time.monotonic())
                self._store.add(record)
        except Exception:  # noqa: BLE001 - an error here is no reason to fail an exchange
            _LOG.exception("An exchange could not be recorded for monitoring")


def _watch(metrics: NodeMetrics, store: RecordStore) -> None:
    metrics.gauge(
        "sacbe_monitoring_waiting_records",
        "Operational records that wait for the database",
        lambda: store.waiting,
    )
    metrics.gauge(
        "sacbe_monitoring_dropped_records",
        "Operational records that were dropped since the start, for want of room or by the"
        " database",
        lambda: store.dropped + store.refused,
    )
