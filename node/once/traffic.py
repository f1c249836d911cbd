"""How the services of a provider did lately, from the operational records of all processes.

A call counts when the service was asked: what the node refused before says nothing of the service.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from catalog.central.entries import Availability
from node.monitoring.record import PRODUCER
from trust.database import Pool, storage_errors
from trust.ids import ClientId, ServiceId

PERIOD = timedelta(days=7)
_FRESH = timedelta(minutes=5)  # the same figures are told for so long
_MOST = 200  # providers whose figures are remembered

Figures = Mapping[ServiceId, Availability]

_COUNTS = """
SELECT service_code, service_version, count(*) AS calls,
       count(*) FILTER (WHERE succeeded) AS answered
FROM operational_record
WHERE left(provider, 200) = left($1, 200) AND provider = $1 AND monitoring_data_ts >= $2
  AND server_type = $3 AND service_code IS NOT NULL
  AND (succeeded OR fault_code ~* 'service_?failed')
GROUP BY service_code, service_version
"""


@dataclass(slots=True)
class Traffic:
    """Counts calls in the node's database."""

    pool: Pool
    clock: Callable[[], datetime]
    _known: OrderedDict[ClientId, tuple[datetime, Figures]] = field(default_factory=OrderedDict)

    async def of(self, provider: ClientId) -> Figures:
        """Every service that was called in the last week; raises StorageError."""
        now = self.clock()
        known = self._known.get(provider)
        if known is not None and now - known[0] < _FRESH:
            return known[1]
        found = await self._counted(provider, now - PERIOD)
        self._known[provider] = now, found
        self._known.move_to_end(provider)
        if len(self._known) > _MOST:
            self._known.popitem(last=False)
        return found

    async def _counted(self, provider: ClientId, since: datetime) -> Figures:
        since = since.replace(microsecond=0)
        with storage_errors("Calls can't be counted"):
            rows = await self.pool.fetch(_COUNTS, provider.path, int(since.timestamp()), PRODUCER)
        return {
            ServiceId(provider, row["service_code"], row["service_version"]): Availability(
                since, row["calls"], row["answered"]
            )
            for row in rows
        }
