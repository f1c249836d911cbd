"""The subject's identifiers, while registries are asked for those that others need."""

import asyncio


class Identifiers:
    """The subject's identifiers by scheme: known, or to come."""

    def __init__(self, scheme: str, value: str) -> None:
        self._coming: dict[str, asyncio.Future[str | None]] = {}
        self._stage: dict[str, int] = {scheme: 0}
        self.expect(scheme, 0)
        self.settle(scheme, value)

    def expect(self, scheme: str, stage: int) -> None:
        """Somebody is going to ask for it; exchanges of that stage may use it."""
        if scheme not in self._coming:
            self._coming[scheme] = asyncio.get_running_loop().create_future()
            self._stage[scheme] = stage

    def settle(self, scheme: str, value: str | None) -> None:
        """It is known now, or known not to be had; what was said first stays."""
        if not self._coming[scheme].done():
            self._coming[scheme].set_result(value)

    async def of(self, scheme: str) -> str | None:
        return await asyncio.shield(self._coming[scheme])

    def until(self, stage: int) -> frozenset[str]:
        """The schemes that exchanges of a stage may use without waiting for each other."""
        return frozenset(one for one, begins in self._stage.items() if begins <= stage)
