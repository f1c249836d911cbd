"""The Social Security Office's old SOAP service, in its own process, called by others' programs."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from lxml import etree

from scripts.ecosystem import soap
from scripts.ecosystem.institutions import BENEFITS, CERTIFICATE, CONTRIBUTIONS_NAMESPACE, STATUS
from scripts.livelihoods import contribution_of
from scripts.people import Person, people
from tests.foreign_programs import run, social_security_office
from trust.ids import ServiceId

CLIENT, PROVIDER = BENEFITS.path, STATUS.provider.path

pytestmark = pytest.mark.asyncio(loop_scope="module")


def somebody() -> Person:
    return next(people(1))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with social_security_office(tmp_path_factory.mktemp("office")) as address:
        yield address


async def ask(
    office: str, service: ServiceId, national_id: str
) -> tuple[int, bytes, soap.SoapAnswer]:
    """Status and bytes of an answer, and what it says."""
    arguments = {"nationalId": national_id}
    content = soap.wrapped(service.service_code, CONTRIBUTIONS_NAMESPACE, arguments)
    raw = soap.request(BENEFITS, service, "id & 1", content)
    headers = {"Content-Type": soap.CONTENT_TYPE}
    async with (
        aiohttp.ClientSession() as session,
        session.post(office, data=raw, headers=headers) as response,
    ):
        said = await response.read()
        return response.status, said, soap.read_answer(response.headers["Content-Type"], said)


def header_fields(envelope: bytes) -> list[bytes]:
    """The header's elements in canonical form, without the space around them."""
    root = etree.fromstring(envelope)
    header = root.find("{*}Header")
    assert header is not None
    return [etree.tostring(one, method="c14n", exclusive=True) for one in header]


async def test_the_status_is_answered_with_the_whole_header_of_the_request(office: str) -> None:
    status, said, answer = await ask(office, STATUS, somebody().national_id)
    expected = contribution_of(somebody())
    assert (status, answer.fault, answer.files) == (200, "", ())
    assert answer.values == {
        "status": expected.status,
        "employer": expected.employer,
        "months": str(expected.months),
    }
    sent = soap.request(BENEFITS, STATUS, "id & 1", "")
    assert header_fields(said) == header_fields(sent)
    assert answer.body is not None
    assert answer.body.tag == f"{{{CONTRIBUTIONS_NAMESPACE}}}contributionStatusResponse"
    assert len(header_fields(said)) == 6


async def test_the_certificate_is_an_attachment(office: str) -> None:
    _, said, answer = await ask(office, CERTIFICATE, somebody().national_id)
    (document,) = answer.files
    assert document.decode().splitlines()[1].endswith(somebody().national_id)
    content_id = answer.values["document"].removeprefix("cid:")
    assert f"Content-ID: <{content_id}>\r\n".encode() in said


async def test_an_unknown_person_is_a_fault(office: str) -> None:
    status, _, answer = await ask(office, STATUS, "nobody")
    assert (status, answer.fault.partition(":")[2]) == (500, "Client.UnknownPerson")


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [(b"<a/>", "text/xml", 500), (b"no xml", "text/xml", 500), (b"{}", "application/json", 415)],
)
async def test_what_is_no_soap_is_refused(office: str, body: bytes, kind: str, status: int) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(office, data=body, headers={"Content-Type": kind}) as response,
    ):
        assert response.status == status


async def test_a_client_built_on_zeep_reads_the_wsdl_and_calls(office: str) -> None:
    call = {
        "wsdl": f"{office}?wsdl",
        "namespace": CONTRIBUTIONS_NAMESPACE,
        "node": office,
        "client": CLIENT,
        "message_id": "zeep-1",
        "arguments": {"nationalId": somebody().national_id},
        "files": {},
    }
    answer = await run(
        "zeep", "zeep_client.py", call | {"service": f"{PROVIDER}/contributionStatus/v1"}
    )
    assert answer["body"]["status"] == contribution_of(somebody()).status
    assert answer["header"]["id"] == "zeep-1"
    refused = await run(
        "zeep",
        "zeep_client.py",
        call
        | {
            "service": f"{PROVIDER}/contributionStatus/v1",
            "arguments": {"nationalId": "nobody"},
        },
    )
    assert refused["fault"]["code"].endswith("Client.UnknownPerson")
