"""`sacbe registry`: a real process on a private database, stopped by a signal."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from trust.configuration.confparts import anchor_fingerprint, parse_anchor

pytestmark = pytest.mark.database
ROOT = Path(__file__).parents[1]

SETTINGS = """
address = "127.0.0.1:1"
data = "data"
listen = { host = "127.0.0.1", port = 0 }
publishing = { interval = "1s" }
[keys]
folder = "keys"
password_file = "keys.password"
"""
DECLARATION = """
instance = "TEST"
[management]
registration_url = "https://registry.example.test:4001/managementservice/"
provider = "TEST:GOV:1000"
[[member_classes]]
code = "GOV"
description = "Public sector"
[[members]]
member_class = "GOV"
code = "1000"
name = "Registry Authority"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "registry.toml").write_text(SETTINGS, encoding="utf-8")
    (tmp_path / "instance.toml").write_text(DECLARATION, encoding="utf-8")
    (tmp_path / "keys.password").write_text("open sesame\n", encoding="utf-8")
    (tmp_path / "keys.password").chmod(0o600)
    return tmp_path


async def started(folder: Path, *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "scripts.cli",
        "registry",
        *words,
        "--config",
        str(folder / "registry.toml"),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def done(folder: Path, *words: str) -> tuple[int, str, str]:
    process = await started(folder, *words)
    output, errors = await process.communicate()
    return process.returncode or 0, output.decode(), errors.decode()


async def test_an_instance_is_declared_published_and_stopped(folder: Path) -> None:
    declaration = str(folder / "instance.toml")
    status, output, errors = await done(folder, "apply", declaration, "--dry-run")
    assert (status, errors.strip()) == (0, "8 statements would change")
    assert "+ member TEST/GOV/1000: Registry Authority" in output
    assert (await done(folder, "anchor"))[0] == 2

    process = await started(folder, "run")
    assert process.stderr is not None
    try:
        lines = [(await process.stderr.readline()).decode()]
        while not lines[-1].startswith("Registry: "):
            assert lines[-1], lines
            lines.append((await process.stderr.readline()).decode())
        address = lines[-1].removeprefix("Registry: ").strip()

        # The other commands use the database of the process that runs.
        assert (await done(folder, "apply", declaration, "--by", "clerk"))[0] == 0
        status, output, _ = await done(folder, "key", "create")
        assert status == 0
        assert re.fullmatch(
            r"[0-9a-f]{16}  internal  active  .*\n[0-9a-f]{16}  external  active  .*\n", output
        )
        anchor = folder / "anchor.xml"
        status, _, errors = await done(folder, "anchor", "--out", str(anchor))
        assert status == 0
        assert anchor_fingerprint(anchor.read_bytes()) in errors
        assert parse_anchor(anchor.read_bytes()).sources[0].download_url == (
            "http://127.0.0.1:1/internalconf"
        )
        await until_ready(address)
    finally:
        process.send_signal(signal.SIGTERM)
        await process.communicate()
    assert process.returncode == 0
    assert not (folder / "data" / "postgres" / "registry.dsn").exists()
    status, output, _ = await done(folder, "history")
    assert status == 0
    assert "  clerk  " in output


async def until_ready(address: str) -> None:
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{address}/health/ready") as response:
                if response.status == 200:
                    break
            await asyncio.sleep(0.05)
        async with session.get(f"{address}/internalconf?version=6") as response:
            assert response.status == 200
            assert (await response.read()).startswith(b"Content-Type: multipart/related;")


async def test_mistakes_end_the_command_with_a_sentence(folder: Path) -> None:
    (folder / "keys.password").chmod(0o644)
    status, _, errors = await done(folder, "key", "list")
    assert status == 2
    assert "mode 0644, open to every user" in errors
    settings = folder / "registry.toml"
    settings.write_text(SETTINGS.replace("address", "adress"), encoding="utf-8")
    status, _, errors = await done(folder, "run")
    assert status == 2
    assert "registry.toml:2: found unknown key 'adress', expected 'address'" in errors
