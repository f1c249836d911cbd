"""Two real nodes that ask each other for grants, with the operators of both."""

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from catalog.mapping import EndpointMapping, FieldMapping, ServiceMapping
from catalog.services import AccessRight, ConnectionType, HostedClient
from catalog.terms import Terms
from node.once.granting import sender
from node.once.granting.asked import AskedGrant, GrantState
from node.once.granting.asking import Asking
from node.once.granting.book import GrantBook
from node.once.granting.deciding import Deciding
from node.once.granting.rows import By, Grant
from node.once.granting.sender import GrantSender
from node.once.granting.service import GrantService
from node.once.granting.settings import GrantSettings
from node.once.granting.speaking import asking_by
from node.parts.database import open_database
from scripts.postgres import PostgresServer
from tests.instance import CONSUMER, PROVIDER, SERVICE, Instance, NodeUnderTest, rest_service
from tests.raw_http import RawMessage
from tests.scene import PATH, System, call
from trust.database import Pool
from trust.ids import ClientId

OTHER = ClientId("TEST", "MUN", "2001", "library")  # of the consumer's member
STRANGER = ClientId("TEST", "GOV", "3001", "strange")
GUEST = ClientId("TEST", "MUN", "2002", "taxes")  # of another member, at the consumer's node
PURPOSE = "urn:example:benefit"
SETTINGS = GrantSettings(waiting_per_member=3, waiting=5, asked_per_day=8)
MAPPING = ServiceMapping(
    (
        EndpointMapping(
            "GET",
            "/people/{id}",
            fields=(FieldMapping("name", "/name"), FieldMapping("age", "/age")),
        ),
    )
)


def utc_now() -> datetime:
    return datetime.now(UTC)


def by(who: str = "operator") -> By:
    return By(who, utc_now())


@dataclass
class Office:
    """One node, and what its operator and its process do about grants."""

    node: NodeUnderTest
    pool: Pool
    late: timedelta = timedelta(0)  # the sender's clock is ahead of time, which ends pauses

    @property
    def asking(self) -> Asking:
        return Asking(self.pool, self.node.server)

    @property
    def deciding(self) -> Deciding:
        return Deciding(self.pool, SETTINGS)

    @property
    def book(self) -> GrantBook:
        return GrantBook(self.pool)

    def clock(self) -> datetime:
        return utc_now() + self.late

    @property
    def sender(self) -> GrantSender:
        consumer = self.node.running.exchanges.consumer
        return GrantSender(self.node.server, self.pool, asking_by(consumer), self.clock, SETTINGS)

    def serve(self) -> None:
        """Take what others say of grants."""
        service = GrantService(self.node.server, self.asking, self.deciding, utc_now)
        self.be_of_another_kind()
        provider = self.node.running.exchanges.provider
        provider.built_in = (*provider.built_in, service)

    def be_of_another_kind(self) -> None:
        """Know nothing of grants."""
        provider = self.node.running.exchanges.provider
        others = (one for one in provider.built_in if not isinstance(one, GrantService))
        provider.built_in = tuple(others)

    async def tell(self) -> None:
        """Send everything that is due."""
        while await self.sender.send_next():
            pass

    async def one(self, number: int) -> Grant:
        return await self.book.find(number)


@dataclass
class GrantStage:
    instance: Instance
    system: System
    civil: Office  # provides
    muni: Office  # consumes
    strange: Office

    async def ask(self, **changes: object) -> tuple[int, int]:
        """Ask and be waited for: the numbers at the consumer's and the provider's node."""
        number = await self.muni.asking.ask(asked(**changes), by())
        await self.muni.tell()
        grant = await self.muni.one(number)
        assert grant.state is GrantState.WAITING, grant.answer
        assert grant.their_number is not None
        return number, grant.their_number

    async def settle(self) -> None:
        """Let the provider's node see what was given; what is taken away it sees by itself."""
        await self.civil.node.running.services.refresh()

    async def call(self, path: str = "/people/7", purpose: str = PURPOSE) -> RawMessage:
        headers = (("X-Road-Client", CONSUMER.path), ("Once-Purpose", purpose))
        return await call(self.muni.node, "GET", PATH + path, headers)


def asked(**changes: object) -> AskedGrant:
    terms = Terms(("name",), (PURPOSE,), "School Act 4")
    found = AskedGrant(uuid.uuid4(), CONSUMER, SERVICE, terms, reason="For pupils")
    return replace(found, **changes)  # type: ignore[arg-type]


def offered(system: System, *rights: AccessRight) -> HostedClient:
    return HostedClient(
        PROVIDER,
        connection=ConnectionType.HTTP,
        services=(rest_service(system.url, mapping=MAPPING),),
        rights=rights,
    )


@asynccontextmanager
async def grants_stage(folder: Path, postgres_server: PostgresServer) -> AsyncIterator[GrantStage]:
    async with AsyncExitStack() as stack:
        # Tests say when something is sent; the nodes themselves look once, when they start.
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(sender, "_LOOK", 3600.0)
        instance = await stack.enter_async_context(Instance(folder, postgres_server))
        system = await stack.enter_async_context(System().listening())
        civil = await instance.add("CIVIL", PROVIDER, hosted=[offered(system)])
        clients = [
            HostedClient(one, connection=ConnectionType.HTTP) for one in (CONSUMER, OTHER, GUEST)
        ]
        muni = await instance.add("MUNI", CONSUMER, hosted=clients)
        muni.entry = replace(muni.entry, clients=(CONSUMER, OTHER, GUEST))
        instance._certified(muni.keys, "sign", GUEST.member, muni.server)
        strange = await instance.add("STRANGE", STRANGER)
        await instance.start()
        offices = []
        for node in (civil, muni, strange):
            pool = await open_database(node.dsn, node.settings)
            stack.push_async_callback(pool.close)
            offices.append(Office(node, pool))
        for office in (offices[0], offices[1]):
            office.serve()
        offices[2].be_of_another_kind()
        yield GrantStage(instance, system, *offices)
