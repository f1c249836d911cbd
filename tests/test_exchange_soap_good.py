"""SOAP exchanges through two real nodes, byte for byte: what arrives, comes back and is kept.

Source: messages.md 1, 3 and 4; transport.md 5, 6, 8.
"""

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from scripts.postgres import PostgresServer
from tests.scene import unexpected
from tests.soap_messages import Envelope, answer_to
from tests.soap_stage import TEXT, Stage, proven, soap_stage, without_hash

pytestmark = pytest.mark.asyncio(loop_scope="module")

NUMBERS = itertools.count()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    async with soap_stage(tmp_path_factory.mktemp("soap"), postgres_server) as found:
        yield found


@pytest.fixture(autouse=True)
def _nothing_unexpected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert unexpected(caplog) == []


@pytest.fixture
def stage(module_stage: Stage) -> Stage:
    module_stage.reset()
    return module_stage


def new_id() -> str:
    return f"soap-{next(NUMBERS)}"


async def test_a_message_reaches_the_system_and_its_answer_comes_back(stage: Stage) -> None:
    request = Envelope(message_id=new_id())
    answer = await stage.call(request.raw)
    assert answer.status == 200
    assert answer.first("content-type") == TEXT
    assert answer.first("content-length") == str(len(answer.body))
    assert without_hash(answer.body, request.raw) == answer_to(request.raw)
    asked = stage.system.last
    assert asked.body == request.raw
    assert asked.start == "POST /api HTTP/1.1"
    assert [(name.lower(), value) for name, value in asked.headers] == [
        ("host", f"127.0.0.1:{stage.system.port}"),
        ("content-type", TEXT),
        ("soapaction", '""'),
        ("accept-encoding", ""),
        ("transfer-encoding", "chunked"),
    ]
    kept, answered = await proven(stage, request.message_id, [], [])
    assert kept.message == request.raw
    assert answered.message == answer.body
