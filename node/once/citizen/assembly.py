"""All that a node does for citizens, put together: what is remembered of uses, and who is told."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from catalog.central.entries import CatalogNow
from node.exchange.snapshot import Snapshots
from node.log.uses import Classify
from node.once.citizen.everywhere import Everywhere
from node.once.citizen.kin import Kin
from node.once.citizen.portal import Asker, CitizenPortal
from node.once.citizen.settings import CitizenSettings
from node.once.citizen.tracker import TrackerService
from node.once.figures import UseMetrics
from node.once.openness import Classes
from node.once.pseudonyms import Pseudonyms, open_pseudonyms
from node.once.use_retention import UseRetention
from node.once.use_search import UseSearch
from node.operate.metrics import NodeMetrics
from trust.database import Pool
from trust.globalconf import GlobalConf
from trust.ids import ClientId, GlobalGroupId, ServerId


@dataclass(frozen=True, slots=True)
class CitizenLog:
    """What the node's parts need.

    Attributes:
        pseudonyms: names subjects in every use.
        classify: what every use passes before it is kept; it is counted there, too.
        retention: `run` it as long as the node lives.
    """

    settings: CitizenSettings
    pool: Pool
    pseudonyms: Pseudonyms
    classify: Classify
    retention: UseRetention

    @classmethod
    def open(
        cls,
        settings: CitizenSettings,
        pool: Pool,
        key_folder: Path,
        password: bytes,
        conf: Callable[[], GlobalConf | None],
        clock: Callable[[], datetime],
        metrics: NodeMetrics,
    ) -> "CitizenLog":
        """Open the key, or make it; raises StorageError. Takes a tenth of a second."""

        def in_group(client: ClientId, group: GlobalGroupId) -> bool:
            now = conf()
            return now is not None and now.in_group(client, group, clock())

        return cls(
            settings,
            pool,
            open_pseudonyms(key_folder, password, settings.aliases),
            UseMetrics(metrics).counting(Classes(settings.openness, in_group).classify),
            UseRetention(pool, settings.keep, clock=clock),
        )

    def tracker(
        self, own: ServerId, catalog: CatalogNow, problem: Callable[[], str | None]
    ) -> TrackerService:
        """The built-in service that portals ask."""
        search = UseSearch(self.pool)
        kin = Kin(self.pool, own)
        return TrackerService(self.settings, search, self.pseudonyms, kin, catalog, problem)

    def portal(self, snapshots: Snapshots, catalog: CatalogNow, consumer: Asker) -> CitizenPortal:
        """The page at USAGE_PATH of the port for the institution's own systems."""
        everywhere = Everywhere(self.settings, snapshots, catalog)
        return CitizenPortal(self.settings, everywhere, snapshots, catalog, consumer)
