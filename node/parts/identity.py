"""Who is who: the trust list, OCSP, and what identifies this node. Works offline at first."""

from collections.abc import Iterator
from datetime import timedelta

import aiohttp

from node.identity_keeper import IdentityKeeper
from node.internal_tls import open_internal_identity
from node.network.tls import peers_listener
from node.operate.metrics import Expiry
from node.parts.lifetime import Lifetime, utc_now
from node.settings import NodeSettings
from trust.configuration.confhistory import TrustListKeeper
from trust.configuration.confparts import parse_anchor
from trust.configuration.confupdater import ConfigurationUpdater, UpdaterSettings
from trust.errors import StorageError
from trust.globalconf import GlobalConf
from trust.pki.certificates import describe
from trust.pki.keystore import KeyStore
from trust.pki.ocsp import CLOCK_SKEW
from trust.pki.ocspcache import OcspCache
from trust.pki.ocspupdate import OcspUpdater, expiries, own_certificates
from trust.pki.post import post


class IdentityPart:
    """Keys, trust list, OCSP responses and TLS identities of one node."""

    def __init__(self, settings: NodeSettings, password: bytes) -> None:
        self._settings = settings
        self.keys = KeyStore.open(settings.keys.folder, password)
        self.internal = open_internal_identity(settings.data / "tls", password, utc_now())
        self.peers_tls = peers_listener(None)
        self.trust_lists = TrustListKeeper(settings.data / "trust-lists")

    async def open(self, lifetime: Lifetime) -> None:
        """Read the last trust list and keep everything fresh; raises StorageError."""
        settings = self._settings
        self.updater = ConfigurationUpdater(
            UpdaterSettings(
                settings.data / "globalconf",
                settings.configuration.interval,
                settings.configuration.federations or ("none",),
            ),
            parse_anchor(_anchor(settings)),
            history=self.trust_lists,
        )
        await self.updater.start()
        lifetime.keep_running(self.updater.run(), "configuration")
        self.session = await lifetime.stack.enter_async_context(
            aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())
        )
        self.ocsp = OcspUpdater(
            lambda: self.keys.entries,
            lambda: self.updater.conf,
            OcspCache(settings.data / "ocsp"),
            self._post,
            utc_now,
        )
        lifetime.keep_running(self.ocsp.run(), "ocsp")
        self.identity = IdentityKeeper(
            settings.server,
            self.keys,
            settings.keys.folder,
            lambda: self.updater.conf,
            self.ocsp.cache.get,
            self.peers_tls,
            utc_now,
        )
        lifetime.keep_running(self.identity.run(), "identity")
        lifetime.keep_running(self._ask_when_configured(), "first configuration")

    async def _post(self, url: str, body: bytes, content_type: str) -> bytes:
        return await post(self.session, url, body, content_type)

    async def _ask_when_configured(self) -> None:
        """Let OCSP responses be asked for as soon as there is a trust list that says where."""
        await self.updater.first()
        self.ocsp.fetch_now()

    def conf(self) -> GlobalConf | None:
        """The trust list of now."""
        return self.updater.conf

    def evidence_life(self) -> timedelta:
        """How long a signed request can be accepted: its OCSP response's age, clocks apart."""
        conf = self.updater.conf
        if conf is None:
            return timedelta(0)
        return timedelta(seconds=conf.ocsp_freshness_seconds) + 2 * CLOCK_SKEW

    def ocsp_for_peer(self, digest: str) -> bytes | None:
        conf = self.updater.conf
        return None if conf is None else self.ocsp.cache.for_peer(digest, conf, utc_now())

    # --- what the operator sees -----------------------------------------------------------------

    def problem(self) -> str | None:
        """Why there is no trust list to go by."""
        conf = self.updater.conf
        if conf is not None and conf.valid(utc_now()):
            return None
        reason = "Global configuration is expired" if conf else "There is no global configuration"
        return f"{reason}. Last attempt: {self.updater.last_error or 'none yet'}"

    def age(self) -> float:
        """Seconds since a trust list was last fetched and believed; -1 before."""
        last = self.updater.last_success
        return -1.0 if last is None else (utc_now() - last).total_seconds()

    def expiries(self) -> Iterator[Expiry]:
        """What ends by itself: configurations, certificates, OCSP responses."""
        conf = self.updater.conf
        if conf is None:
            return
        for name, instance in conf.instances.items():
            if instance.valid_until is not None:
                yield Expiry("configuration", name, instance.valid_until)
        own = own_certificates(self.keys.entries, conf, utc_now())
        for certificate, usable_until in expiries(own, self.ocsp.cache, conf):
            name = describe(certificate)
            yield Expiry("certificate", name, certificate.not_valid_after_utc)
            if usable_until is not None:
                yield Expiry("ocsp", name, usable_until)


def _anchor(settings: NodeSettings) -> bytes:
    path = settings.configuration.anchor
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path} can't be read: {error.strerror}") from error
