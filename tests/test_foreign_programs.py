"""Programs that others wrote, against each other and through two nodes."""

import base64
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.foreign_programs import run, serving

ARCHIVE = "http://archive.example/v1"
CLIENT = "EX/GOV/1/office"
PROVIDER = "EX/GOV/2/archive"
BYTES = bytes(range(256)) * 40


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def archive() -> AsyncIterator[str]:
    """The address of the fastapi-xroad-soap provider."""
    async with serving("fastapi-xroad-soap", "fastapi_provider.py") as port:
        yield f"http://127.0.0.1:{port}/service"


async def wsdl_of(archive: str, folder: Path) -> str:
    """The provider's own WSDL in a file."""
    path = folder / "archive.wsdl"
    async with aiohttp.ClientSession() as session, session.get(f"{archive}?wsdl") as response:
        path.write_bytes(await response.read())
    return str(path)


async def call_archive(
    node: str,
    wsdl: str,
    operation: str,
    arguments: Mapping[str, object],
    *files: bytes,
    client: str = CLIENT,
    provider: str = PROVIDER,
) -> Any:  # noqa: ANN401 - JSON
    """Call the archive with zeep; file N has the content id `fileN`."""
    named = {f"file{number}": file for number, file in enumerate(files)}
    return await run(
        "zeep",
        "zeep_client.py",
        {
            "wsdl": wsdl,
            "namespace": ARCHIVE,
            "node": node,
            "client": client,
            "service": f"{provider}/{operation}/v1",
            "message_id": "foreign-1",
            "arguments": arguments,
            "files": {name: base64.b64encode(file).decode() for name, file in named.items()},
        },
    )


def files_of(answer: Mapping[str, Any]) -> list[bytes]:
    return [base64.b64decode(text) for text in answer["files"]]


# --- without nodes: what the programs can do with each other --------------------------------------


@pytest.mark.asyncio(loop_scope="module")
async def test_zeep_and_fastapi_understand_each_other(archive: str, tmp_path: Path) -> None:
    wsdl = await wsdl_of(archive, tmp_path)
    answer = await call_archive(archive, wsdl, "countLetters", {"Text": "käsi"})
    assert (answer["body"], answer["files"]) == ({"Count": 4}, [])
    assert answer["header"]["id"] == "foreign-1"


@pytest.mark.asyncio(loop_scope="module")
async def test_attachments_go_both_ways_between_zeep_and_fastapi(
    archive: str, tmp_path: Path
) -> None:
    wsdl = await wsdl_of(archive, tmp_path)
    arguments = {"Title": "scan", "Document": "cid:file0"}
    one = await call_archive(archive, wsdl, "storeDocument", arguments, BYTES)
    assert (one["body"]["Size"], files_of(one)) == (len(BYTES), [BYTES[::-1]])
    two = await call_archive(archive, wsdl, "copyDocument", arguments, BYTES)
    assert files_of(two) == [BYTES, BYTES]
