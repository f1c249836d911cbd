"""What identifies the node in TLS, kept in step: keys, registration and OCSP change meanwhile."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from node.exchange.tls import TlsIdentity, TlsListener
from trust.errors import ExchangeError, StorageError
from trust.globalconf import GlobalConf
from trust.identities import AuthIdentity, CachedOcsp, choose_auth_identity
from trust.ids import ServerId
from trust.keystore import KeyStore

log = logging.getLogger("sacbe.identity")

_INTERVAL = timedelta(seconds=2)
_INTERVAL_WITHOUT = timedelta(milliseconds=250)  # as long as there is nothing to show


@dataclass(slots=True)
class IdentityKeeper:
    """Chooses the authentication certificate again and again, and shows it on the peers' port.

    Attributes:
        current: what is shown now; None while the node has nothing to show.
        problem: why there is nothing to show.
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
    _keys_changed: int = field(default=0)

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
            chosen = choose_auth_identity(
                self.keys.entries, self.server, conf, self.cached_ocsp, at
            )
        except ExchangeError as error:
            self._show(None, error.text)
        else:
            self._show(chosen, "")

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
