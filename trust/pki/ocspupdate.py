"""Keeping the OCSP responses of the node's own certificates fresh.

Source: trust.md 10.1; X-Road 7.8 OcspClientWorker.java. Unlike the reference we also ask about
authentication certificates that are not registered yet: they work the moment they are.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509

from trust.errors import ExchangeError, StorageError
from trust.globalconf import GlobalConf
from trust.pki.certificates import describe, issuing_chain, ocsp_url, self_issued, valid_at
from trust.pki.keystore import KeyEntry
from trust.pki.ocsp import build_ocsp_request, check_ocsp, usable_until
from trust.pki.ocspcache import OcspCache
from trust.report import Outcome

REQUEST_TYPE = "application/ocsp-request"
RESPONSE_TYPE = "application/ocsp-response"
_RETRY = timedelta(seconds=60)
_GLANCE = timedelta(seconds=5)  # how soon a change of keys or of the trust list is noticed

Post = Callable[[str, bytes, str], Awaitable[bytes]]
"""Send a body of a content type to a URL, return the answer's body or raise NetworkFailure."""

log = logging.getLogger(__name__)


def own_certificates(
    entries: Iterable[KeyEntry], conf: GlobalConf, at: datetime
) -> tuple[x509.Certificate, ...]:
    """The active and valid certificates with the CAs above them, without the roots, each once."""
    found: dict[x509.Certificate, None] = {}
    for entry in entries:
        certificate = entry.certificate
        if certificate is None or not entry.active or self_issued(certificate):
            continue
        for one in (certificate, *issuing_chain(certificate, conf.own)):
            if valid_at(one, at):
                found[one] = None
    return tuple(found)


def responder_urls(certificate: x509.Certificate, conf: GlobalConf) -> tuple[str, ...]:
    """Whom to ask: the responders of the issuer in the trust list, then the certificate's own."""
    found = conf.own.issuer_of(certificate)
    listed = [responder.url for responder in found[1].responders] if found else []
    named = ocsp_url(certificate)
    return tuple(dict.fromkeys((*listed, *([named] if named else []))))


@dataclass
class OcspUpdater:
    """Fetches OCSP responses again and again; one per node.

    Attributes:
        entries: the key store's keys as they are now.
        conf: the trust list as it is now, None before the first one.
        problems: why a certificate has no new response, by certificate; for readiness.
    """

    entries: Callable[[], Iterable[KeyEntry]]
    conf: Callable[[], GlobalConf | None]
    cache: OcspCache
    post: Post
    clock: Callable[[], datetime]
    retry: timedelta = _RETRY
    glance: timedelta = _GLANCE
    problems: dict[x509.Certificate, str] = field(default_factory=dict)
    _woken: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def fetch_now(self) -> None:
        """Let `run` begin a round at once."""
        self._woken.set()

    async def run(self) -> None:
        """Fetch until cancelled: every interval of the trust list, sooner after a failure.

        A round also begins when the interval or the set of own certificates changes.
        """
        while True:
            self._woken.clear()
            seen = self._situation()
            complete = await self.update()
            conf = self.conf()
            if conf is None or not complete:
                pause = self.retry
            else:
                pause = timedelta(seconds=conf.ocsp_fetch_interval_seconds)
            await self._rest(pause, seen)

    def _situation(self) -> tuple[object, ...]:
        conf, at = self.conf(), self.clock()
        if conf is None or not conf.valid(at):
            return ()
        own = own_certificates(self.entries(), conf, at)
        return (conf.ocsp_fetch_interval_seconds, *own)

    async def _rest(self, pause: timedelta, seen: tuple[object, ...]) -> None:
        until = asyncio.get_running_loop().time() + pause.total_seconds()
        while (left := until - asyncio.get_running_loop().time()) > 0:
            try:
                async with asyncio.timeout(min(left, self.glance.total_seconds())):
                    await self._woken.wait()
                return
            except TimeoutError:
                if self._situation() != seen:
                    return

    async def update(self) -> bool:
        """Ask once about every own certificate; true when each has a new response.

        Without a valid trust list nothing is asked and nothing is true.
        """
        conf, at = self.conf(), self.clock()
        if conf is None or not conf.valid(at):
            return False
        own = own_certificates(self.entries(), conf, at)
        self.cache.know(own)
        problems = {}
        for certificate in own:
            problem = await self._fetch(certificate, conf)
            if problem is not None:
                problems[certificate] = problem
                log.warning("No new OCSP response for %s: %s", describe(certificate), problem)
        self.problems = problems
        return not problems

    async def _fetch(self, certificate: x509.Certificate, conf: GlobalConf) -> str | None:
        """Ask one responder after the other; the reasons when none gave a usable answer."""
        found = conf.own.issuer_of(certificate)
        if found is None:
            return "it is not issued by an approved CA"
        issuer = found[1].certificate
        request = build_ocsp_request(certificate, issuer)
        reasons = []
        for url in responder_urls(certificate, conf):
            try:
                raw = await self.post(url, request, REQUEST_TYPE)
                check = check_ocsp(
                    [raw],
                    certificate,
                    issuer,
                    conf,
                    self.clock(),
                    instance=conf.own,
                    any_status=True,
                )
                if check.outcome is Outcome.PASSED:
                    await asyncio.to_thread(self.cache.put, certificate, raw)
                    return None
                reasons.append(f"{url}: {check.detail}")
            except (ExchangeError, StorageError) as error:
                reasons.append(f"{url}: {error}")
        return "; ".join(reasons) or "no OCSP responder is known for its CA"


def expiries(
    certificates: Iterable[x509.Certificate], cache: OcspCache, conf: GlobalConf
) -> Iterator[tuple[x509.Certificate, datetime | None]]:
    """Until when each certificate's response can be used, None without one; for metrics."""
    for certificate in certificates:
        facts = cache.facts(certificate)
        yield certificate, None if facts is None else usable_until(facts, conf)
