"""Two real nodes, one of which keeps the terms of rights to a REST and a SOAP service."""

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from catalog.mapping import (
    EndpointMapping,
    FieldMapping,
    Place,
    Rule,
    ServiceMapping,
    SubjectParameter,
    View,
)
from catalog.meaning.vocabulary import FactType
from catalog.services import AccessRight, ConnectionType, HostedClient, ServiceType
from catalog.stored.store import ServiceStore
from catalog.terms import Terms
from node.log.uses import DataUse
from node.once.enforcement.enforcement import Enforcement
from node.once.enforcement.policy import CallFacts
from node.once.use_store import UseStore
from node.parts.database import open_database
from scripts.postgres import PostgresServer
from tests.instance import CONSUMER, PROVIDER, Instance, NodeUnderTest, rest_service, utc_now
from tests.raw_http import Headers, RawMessage
from tests.scene import CLIENT, PATH, System, answering, call
from trust.database import Pool
from trust.ids import ServiceId

PURPOSE = "urn:ex:purpose:benefits"
INTENT: Headers = (("Once-Purpose", PURPOSE), ("Once-Legal-Basis", "urn:ex:law:1"))
SCHEME = "urn:ex:national-id"
PERSON = "/persons/39001010000"
STATE = ServiceId(PROVIDER, "getState", "v1")
FORTY = {f"f{number}": f"secret {number}" for number in range(40)}
JSON: Headers = (("Content-Type", "application/json; charset=utf-8"),)

MAPPING = ServiceMapping(
    (
        EndpointMapping(
            "GET",
            "/persons/{id}",
            SubjectParameter("id", SCHEME),
            fields=(
                *(FieldMapping(name, f"/person/{name}", f"urn:c:{name}") for name in FORTY),
                FieldMapping("birth", "/person/birth", "urn:c:birth", FactType.DATE),
            ),
            views=(View("adult", "birth", Rule.YEARS_AT_LEAST, "18", "urn:c:adult"),),
        ),
        EndpointMapping(
            "POST",
            "/search",
            SubjectParameter("/who/id", SCHEME, Place.BODY),
            fields=(FieldMapping("name", "/name"),),
        ),
        EndpointMapping(
            "GET", "/find", SubjectParameter("id", SCHEME, Place.QUERY),
            fields=(FieldMapping("name", "/name"),),
        ),
    )
)  # fmt: skip
SOAP_MAPPING = ServiceMapping(
    (
        EndpointMapping(
            subject=SubjectParameter("/getState/code", SCHEME, Place.BODY),
            fields=(FieldMapping("code", "/getStateResponse/code", "urn:c:code"),),
        ),
    )
)


def forty(_request: RawMessage) -> bytes:
    """A system that answers forty fields, and headers of its own."""
    body = json.dumps({"person": FORTY}).encode()
    own = (("ETag", '"secret"'), ("X-Person", "secret"), ("Cache-Control", "no-store"))
    return answering(body, headers=(*JSON, *own))


def pseudonym(scheme: str, value: str) -> bytes:
    return hashlib.sha256(f"{scheme} {value}".encode()).digest()


@dataclass
class Guard:
    """A policy that a test tells what to say."""

    reason: str | None = None
    asked: list[CallFacts] = field(default_factory=list)

    async def judge(self, facts: CallFacts) -> str | None:
        self.asked.append(facts)
        if self.reason == "broken":
            raise RuntimeError("broken")
        return self.reason


@dataclass
class Stage:
    instance: Instance
    provider: NodeUnderTest
    consumer: NodeUnderTest
    system: System
    pool: Pool
    enforcement: Enforcement
    guard: Guard

    async def grant(self, *terms: Terms, mapped: bool = True, told: bool = True) -> None:
        """Give the consumer a right with these terms, or none, and no other.

        Args:
            told: whether the node's snapshot is of afterwards.
        """
        url = self.system.url
        services = (
            rest_service(url, mapping=MAPPING if mapped else ServiceMapping()),
            rest_service(
                url, "getState", id=STATE, type=ServiceType.WSDL,
                mapping=SOAP_MAPPING if mapped else ServiceMapping(),
            ),
        )  # fmt: skip
        rights = tuple(
            AccessRight(CONSUMER, code, terms=each)
            for code in ("people", "getState")
            for each in terms
        )
        hosted = HostedClient(
            PROVIDER, connection=ConnectionType.HTTP, services=services, rights=rights
        )
        await ServiceStore(self.pool).replace((hosted,))
        if told:
            await self.provider.running.services.refresh()

    async def get(
        self, path: str = PERSON, headers: Headers = INTENT, method: str = "GET",
        body: bytes | None = None,
    ) -> RawMessage:  # fmt: skip
        return await call(self.consumer, method, PATH + path, (CLIENT, *headers), body)

    async def uses(self) -> Sequence[asyncpg.Record]:
        await self.enforcement.uses.flush()
        return await self.pool.fetch("SELECT * FROM data_use ORDER BY id")

    async def reset(self) -> None:
        self.system.reset()
        self.system.answer = forty
        self.guard.reason = None
        self.guard.asked.clear()
        self.enforcement.policy = None
        await self.uses()
        await self.pool.execute("TRUNCATE data_use, quota_call")


def classify(use: DataUse) -> DataUse:
    return use


@asynccontextmanager
async def terms_stage(folder: Path, postgres_server: PostgresServer) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        instance = await stack.enter_async_context(Instance(folder, postgres_server))
        system = await stack.enter_async_context(System(forty).listening())
        civil = await instance.add("CIVIL", PROVIDER, hosted=[HostedClient(PROVIDER)])
        hosted = [HostedClient(CONSUMER, connection=ConnectionType.HTTP)]
        muni = await instance.add("MUNI", CONSUMER, hosted=hosted)
        await instance.start()
        pool = await open_database(civil.dsn, civil.settings)
        stack.push_async_callback(pool.close)
        uses = await stack.enter_async_context(UseStore(pool))
        services = civil.running.services
        enforcement = Enforcement(
            services=lambda: services.conf,
            fresh=services.refresh,
            uses=uses,
            pseudonym=pseudonym,
            classify=classify,
            clock=utc_now,
        )
        civil.running.exchanges.provider.once = enforcement
        yield Stage(instance, civil, muni, system, pool, enforcement, Guard())
