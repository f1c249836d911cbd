"""A real consumer's node, and a rogue that is registered as a provider's node."""

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from node.settings import LimitsSettings
from scripts.postgres import PostgresServer
from tests.instance import CONSUMER, PROVIDER, Instance, NodeUnderTest
from tests.raw_http import RawMessage
from tests.scene import CLIENT, PATH, call, records
from tests.simulator import LivePki, RogueProvider
from trust.settings import ByteSize

LARGEST = 3_000_000  # bytes of a body
NUMBERS = itertools.count()


@dataclass
class Stage:
    """A real consumer's node and a rogue that is registered as a provider's."""

    instance: Instance
    consumer: NodeUnderTest
    pki: LivePki
    rogue: RogueProvider
    message_id: str = field(default="")

    async def call(
        self, method: str = "GET", target: str = PATH, body: bytes | None = None
    ) -> RawMessage:
        self.message_id = f"call-{next(NUMBERS)}"
        headers = (CLIENT, ("X-Road-Id", self.message_id))
        return await call(self.consumer, method, target, headers, body)

    async def refuses(
        self, code: str, *, method: str = "GET", body: bytes | None = None, sent: bool = True
    ) -> RawMessage:
        """Call; this code must come, and the log has the request if it was sent, else nothing."""
        answer = await self.call(method, body=body)
        assert answer.first("x-road-error") == f"server.clientproxy.{code}", answer.body
        assert answer.status == 500
        assert json.loads(answer.body)["type"] == f"server.clientproxy.{code}"
        assert answer.first("x-road-request-hash") is None
        kept = await records(self.consumer, message_id=self.message_id)
        assert [one.response for one in kept] == ([False] if sent else [])
        return answer


@asynccontextmanager
async def consumer_stage(folder: Path, postgres_server: PostgresServer) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        instance = await stack.enter_async_context(Instance(folder, postgres_server))
        civil = await instance.add("CIVIL", PROVIDER)
        muni = await instance.add("MUNI", CONSUMER)
        muni.settings = replace(
            muni.settings,
            limits=LimitsSettings(body=ByteSize(LARGEST), memory_body=ByteSize(65_536)),
        )
        await instance.start(muni)
        pki = LivePki.of(instance)
        rogue = RogueProvider(pki, civil, instance.ports)
        await stack.enter_async_context(rogue.listening())
        yield Stage(instance, muni, pki, rogue)
