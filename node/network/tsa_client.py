"""Ask time-stamping services over HTTP, one after the other until one of them stamps.

Nothing comes back that was not checked: what was stamped, who signed it, that the trust list names
the service, that its clock goes with ours.

Source: signatures.md 8.4, 8.5; X-Road 7.8 TimestamperUtil.java, CostTypePrioritizer.java.
"""

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import aiohttp
from cryptography import x509

from trust.errors import EvidenceRejected, ExchangeError, NetworkFailure
from trust.evidence.timestamp_exchange import (
    MAX_REPLY_BYTES,
    CheckedTimestamp,
    TimestampRejected,
    build_timestamp_request,
    check_timestamp_reply,
)
from trust.globalconf import ApprovedTsa, GlobalConf
from trust.pki.post import ANSWER_TIMEOUT, CONNECT_TIMEOUT, AnsweredTooLate, WrongStatus, post

_LOG = logging.getLogger(__name__)
_QUERY = "application/timestamp-query"
_REPLY = "application/timestamp-reply"
_NONCE_BITS = 63
_COSTS = {"FREE": 0, "PAID": 1}  # then those of whom nobody says
CLOCKS_APART = timedelta(minutes=5)


class TimestampingFailed(ExchangeError):
    """No service stamped.

    Attributes:
        reasons: by address, in the order they were asked.
    """

    code = "timestamping_failed"

    def __init__(self, reasons: Mapping[str, ExchangeError]) -> None:
        super().__init__("Failed to get time stamp from any time-stamping providers")
        self.reasons = dict(reasons)

    def __str__(self) -> str:
        details = "; ".join(f"{url}: {why.text} ({why.code})" for url, why in self.reasons.items())
        return f"{self.text}: {details}" if details else self.text


def services_of(conf: GlobalConf, urls: Sequence[str] = ()) -> tuple[str, ...]:
    """The addresses to ask, in order: those given, or those of the own instance, free ones first.

    An address counts once.
    """
    if urls:
        return tuple(dict.fromkeys(urls))
    listed = sorted(conf.own.shared.approved_tsas, key=_cost)  # in the list's order where equal
    return tuple(dict.fromkeys(tsa.url for tsa in listed))


def _cost(tsa: ApprovedTsa) -> int:
    return _COSTS.get(tsa.cost_type or "", len(_COSTS))


@dataclass(frozen=True, slots=True, kw_only=True)
class TsaTiming:
    """How long a service may take, and how far its clock may be from ours."""

    connect: timedelta = CONNECT_TIMEOUT
    answer: timedelta = ANSWER_TIMEOUT
    apart: timedelta = CLOCKS_APART


class TsaClient:
    """Asks for time-stamps.

    Args:
        session: without redirects and cookies of its own.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        clock: Callable[[], datetime],
        timing: TsaTiming | None = None,
    ) -> None:
        self._session = session
        self._clock = clock
        self._timing = timing or TsaTiming()
        self._without_nonce: set[str] = set()  # services that refuse requests with one

    @property
    def longest(self) -> timedelta:
        """How long one service may take at the most; it may be asked a second time."""
        return 2 * (self._timing.connect + self._timing.answer)

    async def stamp(
        self, stamped: bytes, urls: Sequence[str], certificates: Sequence[x509.Certificate]
    ) -> CheckedTimestamp:
        """Have these bytes stamped by the first service that does it; raises TimestampingFailed.

        Args:
            certificates: those of all services that the trust list names.
        """
        reasons: dict[str, ExchangeError] = {}
        for url in urls:
            try:
                return await self._ask(url, stamped, certificates)
            except (NetworkFailure, EvidenceRejected) as error:
                _LOG.warning("No time-stamp from %s: %s (%s)", url, error.text, error.code)
                reasons[url] = error
        raise TimestampingFailed(reasons)

    async def _ask(
        self, url: str, stamped: bytes, certificates: Sequence[x509.Certificate]
    ) -> CheckedTimestamp:
        if url not in self._without_nonce:
            try:
                nonce = secrets.randbits(_NONCE_BITS)
                return await self._ask_once(url, stamped, certificates, nonce)
            except TimestampRejected:
                found = await self._ask_once(url, stamped, certificates, None)
                self._without_nonce.add(url)
                return found
        return await self._ask_once(url, stamped, certificates, None)

    async def _ask_once(
        self,
        url: str,
        stamped: bytes,
        certificates: Sequence[x509.Certificate],
        nonce: int | None,
    ) -> CheckedTimestamp:
        reply = await self._post(url, build_timestamp_request(stamped, nonce))
        return check_timestamp_reply(
            reply, stamped, nonce, certificates, self._clock(), self._timing.apart
        )

    async def _post(self, url: str, request: bytes) -> bytes:
        """The body of the answer; raises NetworkFailure with X-Road's code for what went wrong."""
        if not url.lower().startswith(("http://", "https://")):
            text = f"'{url}' is no http or https address"
            raise NetworkFailure(text, "mlog.malformed_timestamp_server_url")
        try:
            return await post(
                self._session,
                url,
                request,
                _QUERY,
                accept=_REPLY,
                max_bytes=MAX_REPLY_BYTES,
                connect_timeout=self._timing.connect,
                answer_timeout=self._timing.answer,
            )
        except WrongStatus as error:
            raise NetworkFailure(error.text, "mlog.timestamping_non_ok_response") from error
        except AnsweredTooLate as error:
            raise NetworkFailure(error.text, "mlog.timestamp_request_timed_out") from error
        except NetworkFailure as error:
            raise NetworkFailure(error.text, "mlog.timestamp_provider_connection_failed") from error
