"""What a node says about the time it spends: the stage histograms of `/metrics`."""

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from trust.errors import NetworkFailure

_STAGES = "sacbe_stage_seconds"
_EXCHANGES = "sacbe_exchange_seconds"
_SIGNATURES = "sacbe_signatures_total"
_SIGNED = "sacbe_signed_messages_total"


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Seconds spent in each stage so far, and the number of exchanges they belong to.

    Attributes:
        signatures, signed: of the whole node: signatures made, and messages that they cover.
    """

    seconds: Mapping[str, float]
    exchanges: float
    signatures: float = 0.0
    signed: float = 0.0

    def since(self, earlier: "StageTimes") -> "StageTimes":
        """What was added after an earlier look."""
        spent = {
            stage: value - earlier.seconds.get(stage, 0.0) for stage, value in self.seconds.items()
        }
        return StageTimes(
            spent,
            self.exchanges - earlier.exchanges,
            self.signatures - earlier.signatures,
            self.signed - earlier.signed,
        )

    def plus(self, other: "StageTimes") -> "StageTimes":
        stages = dict.fromkeys((*self.seconds, *other.seconds))
        both = (self.seconds, other.seconds)
        return StageTimes(
            {stage: sum(one.get(stage, 0.0) for one in both) for stage in stages},
            self.exchanges + other.exchanges,
            self.signatures + other.signatures,
            self.signed + other.signed,
        )

    @property
    def messages_per_signature(self) -> float:
        """More than one when messages are signed in batches; 0 without a signature."""
        return self.signed / self.signatures if self.signatures else 0.0

    def per_exchange(self) -> dict[str, float]:
        """Milliseconds of each stage in an average exchange, in the order in which they were."""
        if not self.exchanges:
            return {}
        return {
            stage: value * 1000 / self.exchanges for stage, value in self.seconds.items() if value
        }


def read_stages(page: str, role: str) -> StageTimes:
    """The times of one role from the text of `/metrics`."""
    seconds: dict[str, float] = {}
    exchanges = signatures = signed = 0.0
    for family in text_string_to_metric_families(page):
        for name, labels, value, *_ in family.samples:
            if name == _SIGNATURES:
                signatures = value
            elif name == _SIGNED:
                signed = value
            if labels.get("role") != role:
                continue
            if name == f"{_STAGES}_sum":
                seconds[labels["stage"]] = value
            elif name == f"{_EXCHANGES}_count":
                exchanges = value
    return StageTimes(seconds, exchanges, signatures, signed)


async def fetch_stages(session: aiohttp.ClientSession, url: str, role: str) -> StageTimes:
    """Ask a node's operator port; raises NetworkFailure when nobody answers there."""
    try:
        async with session.get(url, raise_for_status=True) as response:
            return read_stages(await response.text(), role)
    except aiohttp.ClientError as error:
        raise NetworkFailure(f"The node of the {role} tells no metrics any more") from error
