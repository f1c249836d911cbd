"""Programs that others wrote, each run by the Python of its own environment.

answer = await run("pyxroad", "pyxroad_client.py", {"node": …})
async with serving("fastapi-xroad-soap", "fastapi_provider.py") as port: …
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
_SETUP = 240.0  # seconds to install a program
_PATIENCE = 90.0  # seconds for one call, or until a server says its port


async def python_of(program: str) -> Path:
    """The interpreter that has the program; skips the test where it can't be installed."""
    setup = await asyncio.create_subprocess_exec(
        ROOT / "scripts" / "foreign", program, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(_SETUP):
        _, said = await setup.communicate()
    if setup.returncode != 0:
        pytest.skip(f"{program} can't be installed: {said.decode(errors='replace')[-400:]}")
    return ROOT / ".venv-foreign" / program / "bin" / "python"


async def run(program: str, script: str, asked: Mapping[str, object]) -> Any:  # noqa: ANN401 - JSON
    """Run a script of `tests/foreign` with JSON on both sides."""
    process = await asyncio.create_subprocess_exec(
        await python_of(program),
        ROOT / "tests" / "foreign" / script,
        env=_environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_PATIENCE):
            answer, said = await process.communicate(json.dumps(asked).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode(errors="replace")
    return json.loads(answer)


@asynccontextmanager
async def serving(program: str, script: str) -> AsyncIterator[int]:
    """A server of `tests/foreign` in a process of its own; gives its port on the loopback."""
    process = await asyncio.create_subprocess_exec(
        await python_of(program),
        ROOT / "tests" / "foreign" / script,
        env=_environment(),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_PATIENCE):
            line = await process.stdout.readline()
        assert line, f"{program} ended before it served"
        yield int(line)
    finally:
        process.kill()
        await process.wait()


def _environment() -> dict[str, str]:
    """Ours, without HTTP proxies: everybody is on the loopback."""
    return {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
