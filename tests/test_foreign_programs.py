"""Programs that others wrote, against each other and through two nodes."""

import base64
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from catalog.services import AccessRight, ConnectionType, HostedClient, Service, ServiceType
from scripts.ecosystem.institutions import STATUS
from scripts.livelihoods import contribution_of
from scripts.people import people
from scripts.postgres import PostgresServer
from tests.foreign_programs import run, serving, social_security_office
from tests.instance import CONSUMER, PROVIDER, Instance, NodeUnderTest
from tests.raw_http import RawMessage
from tests.scene import System, answering, records
from trust.ids import ClientId, ServiceId

ARCHIVE = "http://archive.example/v1"
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
    provider: ClientId = PROVIDER,
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
            "client": CONSUMER.path,
            "service": f"{provider.path}/{operation}/v1",
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
                "client": CONSUMER.path,
                "service": f"{STATUS.provider.path}/contributionStatus/v1",
                "message_id": "pyxroad-1",
                "arguments": {"nationalId": person.national_id},
            },
        )
        targets = [one.target.partition("?")[0] for one in front.requests]
    assert answer["body"]["status"] == contribution_of(person).status
    assert targets == ["/wsdl", office]


# --- through two nodes ----------------------------------------------------------------------------


@dataclass
class Stage:
    """Two nodes; the provider offers the archive and the Social Security Office's service."""

    provider: NodeUnderTest
    consumer: NodeUnderTest
    archive: str

    async def archived(
        self, folder: Path, operation: str, arguments: Mapping[str, object], *files: bytes
    ) -> Any:  # noqa: ANN401 - JSON
        """Call the archive with zeep."""
        wsdl = await wsdl_of(self.archive, folder)
        return await call_archive(self.consumer.url, wsdl, operation, arguments, *files)

    async def asked_office(self, service: str, national_id: str) -> Any:  # noqa: ANN401 - JSON
        """Call the office with pyxroad."""
        return await run(
            "pyxroad",
            "pyxroad_client.py",
            {
                "node": self.consumer.url,
                "client": CONSUMER.path,
                "service": f"{PROVIDER.path}/{service}/v1",
                "message_id": "pyxroad-2",
                "arguments": {"nationalId": national_id},
            },
        )


def offered(archive: str, office: str) -> HostedClient:
    urls = {
        **dict.fromkeys(("countLetters", "storeDocument", "copyDocument"), archive),
        **dict.fromkeys(("contributionStatus", "contributionCertificate"), office),
    }
    return HostedClient(
        PROVIDER,
        connection=ConnectionType.HTTP,
        services=tuple(
            Service(
                ServiceId(PROVIDER, code, "v1"),
                ServiceType.WSDL,
                url,
                description_url=f"{url}?wsdl",
            )
            for code, url in urls.items()
        ),
        rights=tuple(AccessRight(CONSUMER, code) for code in urls),
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    archive: str, tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    folder = tmp_path_factory.mktemp("foreign")
    async with (
        social_security_office(folder) as office,
        Instance(folder, postgres_server) as instance,
    ):
        provider = await instance.add("CIVIL", PROVIDER, hosted=[offered(archive, office)])
        consumer = await instance.add("MUNI", CONSUMER)
        systems = replace(consumer.settings.systems, wsdl_client=CONSUMER)
        consumer.settings = replace(consumer.settings, systems=systems)
        await instance.start()
        yield Stage(provider, consumer, archive)


async def kept(node: NodeUnderTest, message_id: str) -> list[tuple[str, bool, int]]:
    """Service, whether it is a response, and how many attachments: of all records of a message."""
    found = await records(node, message_id=message_id)
    return [(one.service.service_code, one.response, len(one.attachments)) for one in found]


@pytest.mark.asyncio(loop_scope="module")
async def test_zeep_calls_fastapi_through_two_nodes(stage: Stage, tmp_path: Path) -> None:
    answer = await stage.archived(tmp_path, "countLetters", {"Text": "käsi"})
    assert (answer["body"], answer["files"]) == ({"Count": 4}, [])
    assert answer["header"]["service"]["serviceCode"] == "countLetters"


@pytest.mark.asyncio(loop_scope="module")
async def test_attachments_go_both_ways_through_two_nodes(stage: Stage, tmp_path: Path) -> None:
    arguments = {"Title": "scan", "Document": "cid:file0"}
    one = await stage.archived(tmp_path, "storeDocument", arguments, BYTES)
    assert (one["body"]["Size"], files_of(one)) == (len(BYTES), [BYTES[::-1]])
    two = await stage.archived(tmp_path, "copyDocument", arguments, BYTES)
    assert files_of(two) == [BYTES, BYTES]
    for node in (stage.consumer, stage.provider):
        assert (await kept(node, "foreign-1"))[-4:] == [
            ("storeDocument", False, 1),
            ("storeDocument", True, 1),
            ("copyDocument", False, 1),
            ("copyDocument", True, 1),  # both files are in one multipart attachment
        ]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_program_reads_a_fault_of_a_node(stage: Stage, tmp_path: Path) -> None:
    wsdl = await wsdl_of(stage.archive, tmp_path)
    answer = await call_archive(
        stage.consumer.url,
        wsdl,
        "countLetters",
        {"Text": "x"},
        provider=CONSUMER,
    )
    assert answer["fault"]["code"] == "server.serverproxy.unknown_service"


@pytest.mark.asyncio(loop_scope="module")
async def test_pyxroad_calls_the_service_written_with_spyne_through_two_nodes(
    stage: Stage,
) -> None:
    person = next(people(1))
    answer = await stage.asked_office("contributionStatus", person.national_id)
    assert answer["body"] == {
        "status": (expected := contribution_of(person)).status,
        "employer": expected.employer,
        "months": expected.months,
    }
    for node in (stage.consumer, stage.provider):
        assert await kept(node, "pyxroad-2") == [
            ("contributionStatus", False, 0),
            ("contributionStatus", True, 0),
        ]


@pytest.mark.asyncio(loop_scope="module")
async def test_pyxroad_tells_of_a_fault_of_the_service(stage: Stage) -> None:
    answer = await stage.asked_office("contributionStatus", "nobody")
    assert "Nobody has this national id" in answer["fault"]
