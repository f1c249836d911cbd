"""Whether a node may take exchanges, and if not, why: one sentence for each reason.

Live means that the process answers. Ready means that an exchange would succeed as far as this
node can tell: it believes a configuration, can sign, has OCSP responses and can log.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

Probe = Callable[[], "str | Awaitable[str | None] | None"]
_PATIENCE_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Readiness:
    """The outcome of every probe; no reason at all means ready."""

    reasons: Mapping[str, str]  # by the name of the probe
    warnings: Mapping[str, str] = field(default_factory=dict)  # what is amiss, and stops nothing

    @property
    def ready(self) -> bool:
        return not self.reasons


class Health:
    """The probes of one process."""

    def __init__(
        self, probes: Mapping[str, Probe], warnings: Mapping[str, Probe] | None = None
    ) -> None:
        self._probes = dict(probes)
        self._warnings = dict(warnings or {})

    async def readiness(self) -> Readiness:
        """Ask every probe, side by side; one that hangs or breaks is a reason itself."""
        reasons, warnings = await asyncio.gather(
            self._ask_all(self._probes), self._ask_all(self._warnings)
        )
        return Readiness(reasons, warnings)

    async def _ask_all(self, probes: Mapping[str, Probe]) -> dict[str, str]:
        answers = await asyncio.gather(*(self._ask(probe) for probe in probes.values()))
        found = zip(probes, answers, strict=True)
        return {name: reason for name, reason in found if reason}

    async def _ask(self, probe: Probe) -> str | None:
        try:
            answer = probe()
            if isinstance(answer, str | None):
                return answer
            return await asyncio.wait_for(answer, _PATIENCE_SECONDS)
        except TimeoutError:
            return f"no answer within {_PATIENCE_SECONDS} s"
        except Exception as error:  # noqa: BLE001 - a broken probe must show, not break the page
            return f"the probe failed: {type(error).__name__}"
