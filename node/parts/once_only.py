"""Once-only at one node: terms are kept, facts are found, citizens are told."""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from catalog.central.faces.site import ROOT as CATALOG_ROOT
from catalog.services import ServerConf
from catalog.stored.description_store import DescriptionStore
from catalog.stored.watcher import ServerConfWatcher
from node.exchange.builtin import BuiltInService
from node.exchange.respond import origin_target
from node.exchange.systems_port import Page
from node.once.catalog_here import CatalogHere
from node.once.catalog_page import open_catalog_page
from node.once.catalog_service import CatalogTelling
from node.once.citizen.assembly import CitizenLog
from node.once.citizen.portal import USAGE_PATHS, CitizenPortal
from node.once.enforcement.enforcement import Enforcement
from node.once.explaining.explainer import Explainer
from node.once.explaining.page import ExplainPage
from node.once.granting.asking import Asking
from node.once.granting.deciding import Deciding
from node.once.granting.sender import GrantSender
from node.once.granting.service import GrantService
from node.once.granting.speaking import asking_by
from node.once.last_catalog import LAST_CATALOG_FILE, LastCatalog
from node.once.policy.cedar import CedarPolicy, open_policies
from node.once.policy.facts import Groups
from node.once.resolver.api import OnceApi, open_once_api
from node.once.traffic import Traffic
from node.once.use_store import UseStore
from node.operate.metrics import NodeMetrics
from node.parts.exchanging import ExchangePart
from node.parts.identity import IdentityPart
from node.parts.lifetime import Lifetime, utc_now
from node.settings import NodeSettings
from trust.database import Pool


class OncePart:
    """What once-only adds to a node; other servers notice nothing of it.

    Attributes:
        catalog: the central catalog as it came with the trust list.
        enforcement: what the provider's side asks about rights with terms.
    """

    def __init__(
        self,
        settings: NodeSettings,
        pool: Pool,
        who: IdentityPart,
        watcher: ServerConfWatcher,
        metrics: NodeMetrics,
        password: bytes,
    ) -> None:
        self._settings, self._pool, self._who = settings, pool, who
        self._watcher = watcher
        self.catalog = CatalogHere(who.conf, LastCatalog(settings.data / LAST_CATALOG_FILE))
        self.citizens = CitizenLog.open(
            settings.once.citizens,
            pool,
            settings.keys.folder,
            password,
            who.conf,
            utc_now,
            metrics,
        )
        self.uses = UseStore(pool)
        metrics.counter(
            "sacbe_once_refused_uses_dropped",
            "Refused uses that were not kept",
            lambda: self.uses.dropped,
        )
        self.enforcement = Enforcement(
            services=self._services,
            fresh=watcher.refresh,
            uses=self.uses,
            pseudonym=self.citizens.pseudonyms.of,
            classify=self.citizens.classify,
            clock=utc_now,
            policy=self._policy(),
        )

    def _services(self) -> ServerConf:
        return self._watcher.conf

    def _policy(self) -> CedarPolicy | None:
        """The policies that are asked after the rights; wrong ones are told at the start."""
        folder = self._settings.once.policies.folder
        if folder is None:
            return None
        return CedarPolicy(open_policies(folder), Groups(self._who.conf, self._services))

    def explain_page(self) -> ExplainPage:
        """Whether A may call B, and why, for the operator's port."""
        policy = self.enforcement.policy
        judge = policy.policies.judge if isinstance(policy, CedarPolicy) else None
        lists = self._settings.data / "trust-lists"
        return ExplainPage(Explainer(self._pool, lists, utc_now, judge))

    async def open(self, lifetime: Lifetime) -> None:
        """Write refusals, read catalogs and forget old uses from now on."""
        await self.catalog.refresh()
        await lifetime.stack.enter_async_context(self.uses)
        lifetime.keep_running(self.catalog.run(), "catalog")
        lifetime.keep_running(self.citizens.retention.run(), "retention of uses")

    def services(self, problem: Callable[[], str | None]) -> tuple[BuiltInService, ...]:
        """What other nodes may ask this one.

        Args:
            problem: why the node does not work as it should; None when it does.
        """
        own, pool = self._settings.server, self._pool
        return (
            self.citizens.tracker(own, self.catalog, problem),
            CatalogTelling(DescriptionStore(pool).digests, Traffic(pool, utc_now).of),
            GrantService(
                own, Asking(pool, own), Deciding(pool, self._settings.once.grants), utc_now
            ),
        )

    def folders(self, exchanges: ExchangePart, lifetime: Lifetime) -> dict[str, Page]:
        """What the institution's own systems find below `/once` and `/catalog`."""
        settings, consumer = self._settings, exchanges.consumer
        sender = GrantSender(
            settings.server, self._pool, asking_by(consumer), utc_now, settings.once.grants
        )
        lifetime.keep_running(sender.run(), "grants")
        api = open_once_api(
            consumer,
            self._pool,
            self.catalog,
            self.citizens.pseudonyms.of,
            self.citizens.classify,
            utc_now,
            settings.once.resolver,
            self.uses.keep_apart,
        )
        lifetime.keep_running(api.previews.previews.run(), "previews")
        portal = self.citizens.portal(exchanges.snapshots, self.catalog, consumer)
        return {
            "/once": _OncePages(api, portal),
            CATALOG_ROOT: open_catalog_page(
                self.catalog, exchanges.descriptions, self._services, utc_now
            ),
        }


@dataclass(frozen=True, slots=True)
class _OncePages:
    """Everything below `/once`: the resolver's, and the page for citizens' portals."""

    api: OnceApi
    portal: CitizenPortal

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        if origin_target(request).partition("?")[0] in USAGE_PATHS:
            return await self.portal.handle(request)
        return await self.api(request)
