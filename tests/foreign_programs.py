"""Programs that others wrote, each run by the Python of its own environment.

answer = await run("pyxroad", "pyxroad_client.py", {"node": …})
async with serving("fastapi-xroad-soap", "fastapi_provider.py") as port: …
"""

import asyncio
import importlib.util
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from scripts.ecosystem.places import LOCAL
from scripts.ecosystem.processes import Child

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


@asynccontextmanager
async def social_security_office(folder: Path) -> AsyncIterator[str]:
    """The sandbox's service that is written with spyne; gives its address."""
    if sys.version_info >= (3, 12) or importlib.util.find_spec("spyne") is None:
        pytest.skip("spyne, which ends with Python 3.11, is not installed")
    with socket.create_server((LOCAL, 0)) as free:
        port = free.getsockname()[1]
    address = f"http://{LOCAL}:{port}/soap"
    child = Child(
        "office",
        ("--port", str(port)),
        "Social Security Office: ",
        f"{address}?wsdl",
        folder / "office.log",
        "scripts.ecosystem.social_security",
    )
    child.start()
    try:
        async with aiohttp.ClientSession() as session:
            await child.ready(session)
        yield address
    finally:
        await child.stop()


def _environment() -> dict[str, str]:
    """Ours, without HTTP proxies: everybody is on the loopback."""
    return {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
