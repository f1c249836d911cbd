"""What identifies the node in TLS, kept in step: keys, registration and OCSP change meanwhile."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from node.network.tls import TlsIdentity, TlsListener
from trust.errors import ExchangeError, StorageError
from trust.globalconf import GlobalConf
from trust.ids import ServerId
from trust.pki.identities import AuthIdentity, CachedOcsp, choose_auth_identity
from trust.pki.keystore import KeyEntry, KeyStore

log = logging.getLogger("sacbe.identity")

_INTERVAL = timedelta(seconds=2)
_INTERVAL_WITHOUT = timedelta(milliseconds=250)  # as long as there is nothing to show
_SETTLING = timedelta(minutes=10)


@dataclass(slots=True)
class IdentityKeeper:
    """Chooses the authentication certificate again and again, and shows it on the peers' port.

    Attributes:
        current: what is shown now; None while the node has nothing to show.
        problem: why there is nothing to show.
        settling: how long a good certificate is still shown when a newer one is registered: other
            nodes fetch the trust list at their own time and would not know the newer one yet.
    """

    server: ServerId
    keys: KeyStore
    keys_folder: Path
    conf: Callable[[], GlobalConf | None]
    cached_ocsp: CachedOcsp
    listener: TlsListener
    clock: Callable[[], datetime]
    current: AuthIdentity | None = None
    problem: str = "no configuration yet"
    settling: timedelta = _SETTLING
    _keys_changed: int = field(default=0)
    _newer: tuple[x509.Certificate, datetime] | None = None  # the one that waits, and since when

    async def run(self) -> None:
        """Keep in step for ever."""
        while True:
            self.update()
            pause = _INTERVAL_WITHOUT if self.current is None else _INTERVAL
            await asyncio.sleep(pause.total_seconds())

    def update(self) -> None:
        """Choose once."""
        self._reload_keys()
        conf, at = self.conf(), self.clock()
        if conf is None:
            self._show(None, "there is no global configuration yet")
            return
        try:
            chosen = self._choose(self.keys.entries, conf, at)
            if self._is_too_new(chosen, at):
                chosen = self._present(conf, at) or chosen
        except ExchangeError as error:
            self._show(None, error.text)
        else:
            self._show(chosen, "")

    def _choose(self, entries: Iterable[KeyEntry], conf: GlobalConf, at: datetime) -> AuthIdentity:
        return choose_auth_identity(entries, self.server, conf, self.cached_ocsp, at)

    def _is_too_new(self, chosen: AuthIdentity, at: datetime) -> bool:
        """Whether it has not been waiting long enough to take the place of the present one."""
        if self.current is None or chosen.certificate == self.current.certificate:
            self._newer = None
            return False
        if self._newer is None or self._newer[0] != chosen.certificate:
            self._newer = chosen.certificate, at
        return at < self._newer[1] + self.settling

    def _present(self, conf: GlobalConf, at: datetime) -> AuthIdentity | None:
        """What is shown now, with fresh OCSP responses, if it is still good."""
        if self.current is None:
            return None
        shown = self.current.certificate
        try:
            return self._choose((e for e in self.keys.entries if e.certificate == shown), conf, at)
        except ExchangeError:
            return None

    def _reload_keys(self) -> None:
        try:
            changed = self.keys_folder.stat().st_mtime_ns
            if changed != self._keys_changed:
                if self._keys_changed:
                    self.keys.reload()
                self._keys_changed = changed
        except (OSError, StorageError) as error:
            log.warning("the key store can't be read again: %s", error)

    def _show(self, identity: AuthIdentity | None, problem: str) -> None:
        if problem and problem != self.problem:
            log.warning("no certificate to show to peers: %s", problem)
        self.problem = problem
        before, self.current = self.current, identity
        if identity is None:
            if before is not None or self.listener.identity is not None:
                self.listener.replace(None)
        elif before is None or before.chain != identity.chain:
            self.listener.replace(TlsIdentity.from_key(identity.chain, identity.key.private_key))
            log.info("peers are shown the certificate %s", identity.certificate.serial_number)
