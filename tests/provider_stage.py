"""A real provider's node, and a rogue that is registered as a consumer's node."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from catalog.services import AccessRight, ConnectionType, Endpoint, HostedClient, ServiceType
from node.settings import LimitsSettings
from scripts.issuing import Identity
from scripts.postgres import PostgresServer
from tests.drafts import Draft
from tests.instance import CONSUMER, PROVIDER, Instance, NodeUnderTest, rest_service
from tests.scene import System, records
from tests.simulator import LivePki, RogueConsumer, exchange_id_of, fault_code
from trust.ids import ClientId
from trust.pki.certificates import certificate_hash
from trust.settings import ByteSize

OTHER_CLIENT = ClientId("TEST", "MUN", "2002", "taxes")  # of a third server
LARGEST = 3_000_000  # bytes of a body
LIMITS = LimitsSettings(body=ByteSize(LARGEST), memory_body=ByteSize(65_536))


@dataclass
class Stage:
    """A real provider's node and a rogue that is registered as a consumer's."""

    provider: NodeUnderTest
    system: System
    pki: LivePki
    rogue: RogueConsumer
    unapproved: Identity  # certificates that are registered for the rogue's server
    expired: Identity
    signing: Identity

    async def refuses(self, draft: Draft, code: str) -> None:
        """Send it; the code must come, and nothing may have happened."""
        expected = code if code.startswith("Server.") else f"server.serverproxy.{code}"
        assert fault_code(await self.rogue.send(draft)) == expected
        await self.kept_nothing(draft)

    async def kept_nothing(self, draft: Draft) -> None:
        assert await records(self.provider, exchange_id=exchange_id_of(draft)) == ()
        assert self.system.connections == 0

    async def quiet(self) -> None:
        """Wait until the node is at work for nobody."""
        registry = self.provider.running.metrics.registry
        for _ in range(400):
            if not registry.get_sample_value("sacbe_exchanges_running", {"role": "provider"}):
                return
            await asyncio.sleep(0.01)
        pytest.fail("an exchange does not end")


def offered(system: System) -> HostedClient:
    """One service for each question about access."""
    right, url = AccessRight, system.url
    return HostedClient(
        PROVIDER,
        connection=ConnectionType.HTTP,
        services=(
            rest_service(url),
            rest_service(url, "closed"),
            rest_service(url, "disabled", notice="moved house"),
            rest_service(url, "disabledclosed", notice="moved house"),
            rest_service(url, "parts"),
            rest_service(url, "soap", type=ServiceType.WSDL),
            rest_service("", "nowhere"),
            rest_service("gopher://127.0.0.1/", "gopher"),
        ),
        rights=(
            *(right(CONSUMER, code) for code in ("people", "disabled", "soap")),
            *(right(CONSUMER, code) for code in ("nowhere", "gopher")),
            right(CONSUMER, "parts", Endpoint("GET", "/v1/persons/*")),
            right(CONSUMER, "parts", Endpoint("POST", "/v1/**")),
            right(CONSUMER.member, "closed"),  # a member's right is not its subsystem's
        ),
    )


@asynccontextmanager
async def provider_stage(
    folder: Path, postgres_server: PostgresServer, limits: LimitsSettings = LIMITS
) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        instance = await stack.enter_async_context(Instance(folder, postgres_server))
        system = await stack.enter_async_context(System().listening())
        civil = await instance.add(
            "CIVIL", PROVIDER, hosted=[offered(system)], minimum_version="7.6.0"
        )
        civil.settings = replace(civil.settings, limits=limits)
        muni = await instance.add("MUNI", CONSUMER)
        await instance.add("TAXES", OTHER_CLIENT)
        pki = LivePki.of(instance)
        unapproved = pki.certify("unapproved", "auth", issuer=pki.stranger)
        expired = pki.certify("expired", "auth", days=-1)
        signing = pki.certify("no auth", "sign")
        hashes = (certificate_hash(one.certificate, "sha256") for one in (
            unapproved, expired, signing))  # fmt: skip
        muni.entry = replace(muni.entry, auth_cert_hashes=(*muni.entry.auth_cert_hashes, *hashes))
        await instance.start(civil)
        rogue = RogueConsumer(pki, muni, civil.address, instance.ports[0])
        yield Stage(civil, system, pki, rogue, unapproved, expired, signing)
