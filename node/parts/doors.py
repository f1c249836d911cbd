"""The node's ports: for the institution's own systems, for other nodes, for the operator."""

from collections.abc import Callable, Mapping
from datetime import timedelta

from catalog.services import ServerConf
from catalog.stored.store import ServiceStore
from node.download_requests import Gate
from node.downloads import Downloads
from node.exchange.systems_port import Page, SystemsPort
from node.listener import Handler, Listener, Port
from node.metadata.client_list_page import ClientListPage
from node.metadata.wsdl_page import WsdlPage
from node.network.ocsp_responder import OcspResponder
from node.network.tls import systems_listener
from node.operate.admin import AdminPages
from node.parts.exchanging import ExchangePart
from node.parts.identity import IdentityPart
from node.parts.keeping import KeepingPart
from node.parts.lifetime import Lifetime, utc_now
from node.receipts import ReceiptMaker
from node.receipts_page import ReceiptPage
from node.settings import NodeSettings
from trust.database import Pool
from trust.pki.certificates import der


def systems_pages(
    settings: NodeSettings,
    pool: Pool,
    who: IdentityPart,
    kept: KeepingPart,
    exchanges: ExchangePart,
    services: Callable[[], ServerConf],
    folders: Mapping[str, Page],
) -> SystemsPort:
    """What is answered on the ports for the institution's own systems.

    Args:
        folders: see SystemsPort.
    """
    archived = kept.archived()
    gate = Gate(services, utc_now, der(who.internal.chain[0]))
    downloads = Downloads(kept.log, kept.stamps, who.conf, gate, kept.spool, archived)
    transparency = kept.witnesses.transparency
    maker = ReceiptMaker(
        settings.server,
        kept.log,
        kept.stamps,
        archived,
        transparency.proofs,
        kept.witnesses.statements.newest,
        ServiceStore(pool),
        settings.data / "trust-lists",
        who.conf,
        utc_now,
        kept.spool.folder,
    )
    pages: dict[str, Page] = {
        "/asic": downloads.asic,
        "/receipt": ReceiptPage(maker, kept.stamps, gate, kept.witnesses.checkpoint_now),
        "/verificationconf": downloads.verification_conf,
        "/listClients": ClientListPage(exchanges.snapshots, exchanges.dialect),
    }
    client, consumer = settings.systems.wsdl_client, exchanges.consumer
    if client is not None:
        pages["/wsdl"] = WsdlPage(consumer, client, settings.systems.idle)
    return SystemsPort(consumer, pages, folders)


class Doors:
    """Opens every port of a node; `ports` has them by name."""

    def __init__(self, settings: NodeSettings, who: IdentityPart, lifetime: Lifetime) -> None:
        self._settings, self._who, self._lifetime = settings, who, lifetime
        self.ports: dict[str, Listener] = {}

    async def open(self, systems: Handler, peers: Handler, admin: AdminPages) -> None:
        """Open them, the operator's last; raises PortTaken."""
        for port in self._systems_ports():
            await self._open(port, systems)
        await self._open(self._peers_port(), peers)
        ocsp = self._settings.peers
        responder = OcspResponder(self._who.ocsp_for_peer)
        await self._open(Port("ocsp", ocsp.host, ocsp.ocsp_port, ocsp.idle), responder.handle)
        await self._open(self._admin_port(), admin)

    def _systems_ports(self) -> tuple[Port, Port]:
        systems, most = self._settings.systems, self._settings.limits.exchanges
        tls = systems_listener(self._who.internal).context
        host, idle = systems.host, systems.idle
        return (
            Port("systems http", host, systems.http_port, idle, None, most),
            Port("systems https", host, systems.https_port, idle, tls, most),
        )

    def _peers_port(self) -> Port:
        peers, most = self._settings.peers, self._settings.limits.exchanges
        tls = self._who.peers_tls.context
        return Port("peers", peers.host, peers.port, peers.idle, tls, most)

    def _admin_port(self) -> Port:
        admin = self._settings.admin
        tls = systems_listener(self._who.internal).context if admin.tls else None
        return Port("admin", admin.host, admin.port, timedelta(seconds=30), tls)

    async def _open(self, port: Port, handler: Handler) -> None:
        listener = Listener(port, handler)
        await listener.open()
        self._lifetime.stack.push_async_callback(listener.close)
        self.ports[port.name] = listener
