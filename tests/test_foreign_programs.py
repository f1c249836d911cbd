"""Programs that others wrote, against each other and through two nodes."""

import base64
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from scripts.ecosystem.institutions import STATUS
from scripts.livelihoods import contribution_of
from scripts.people import people
from tests.foreign_programs import run, serving, social_security_office
from tests.raw_http import RawMessage
from tests.scene import System, answering

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


@pytest.mark.asyncio(loop_scope="module")
async def test_pyxroad_understands_the_service_written_with_spyne(tmp_path: Path) -> None:
    """Between them stands what only pyxroad expects: a WSDL at `/wsdl`, and an HTTP proxy."""
    person = next(people(1))
    async with (
        social_security_office(tmp_path) as office,
        aiohttp.ClientSession() as session,
        System().listening() as front,
    ):

        async def forward(asked: RawMessage) -> bytes:
            if asked.target.startswith("/wsdl?"):
                to = session.get(f"{office}?wsdl")
            else:
                kind = asked.first("Content-Type") or ""
                to = session.post(office, data=asked.body, headers={"Content-Type": kind})
            async with to as response:
                kind = response.headers["Content-Type"]
                return answering(await response.read(), headers=[("Content-Type", kind)])

        front.answer = forward
        answer = await run(
            "pyxroad",
            "pyxroad_client.py",
            {
                "node": f"http://127.0.0.1:{front.port}",
                "client": CLIENT,
                "service": f"{STATUS.provider.path}/contributionStatus/v1",
                "message_id": "pyxroad-1",
                "arguments": {"nationalId": person.national_id},
            },
        )
        targets = [one.target.partition("?")[0] for one in front.requests]
    assert answer["body"]["status"] == contribution_of(person).status
    assert targets == ["/wsdl", office]
