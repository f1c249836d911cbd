import asyncio

import pytest

from node.operate import health
from node.operate.health import Health


async def test_no_reason_at_all_means_ready() -> None:
    async def fine() -> str | None:
        return None

    found = await Health({"log": lambda: None, "database": fine}).readiness()
    assert found.ready
    assert found.reasons == {}


async def test_every_reason_is_told_with_the_name_of_its_probe() -> None:
    async def slow() -> str | None:
        return "the database is away"

    found = await Health({"log": lambda: "full", "database": slow, "ok": lambda: None}).readiness()
    assert not found.ready
    assert found.reasons == {"log": "full", "database": "the database is away"}


async def test_a_probe_that_breaks_or_hangs_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs() -> str | None:
        await asyncio.sleep(60)
        return None

    def breaks() -> str | None:
        raise KeyError("secret text")

    monkeypatch.setattr(health, "_PATIENCE_SECONDS", 0)
    found = await Health({"a": hangs, "b": breaks}).readiness()
    assert found.reasons["a"].startswith("no answer within")
    assert found.reasons["b"] == "the probe failed: KeyError"
