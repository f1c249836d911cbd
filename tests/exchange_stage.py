"""Two real nodes with a system behind one of them, and an auditor who looks at what they kept."""

import base64
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from catalog.services import AccessRight, ConnectionType, HostedClient
from node.log.records import Side, StoredRecord
from scripts.postgres import PostgresServer
from tests.instance import (
    CONSUMER,
    PROVIDER,
    SERVICE,
    Instance,
    NodeUnderTest,
    rest_service,
)
from tests.raw_http import RawMessage
from tests.scene import System, records
from trust.evidence.hashchain import PartDigest
from trust.evidence.signature import SignedMessage
from trust.evidence.signature_verifier import verify_signature
from trust.ids import ClientId
from trust.report import Outcome

STRANGE = ClientId("TEST", "MUN", "2001", "töö ja/elu")
OLD_FASHIONED = ClientId("TEST", "MUN", "2002", "taxes")
ODD_SERVICE = "ülevaade/1"


@dataclass
class Stage:
    """Two nodes; `legacy` is a consumer's node with the fault codes of before 7.8."""

    instance: Instance
    provider: NodeUnderTest
    consumer: NodeUnderTest
    legacy: NodeUnderTest
    system: System


@asynccontextmanager
async def exchange_stage(folder: Path, postgres_server: PostgresServer) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        instance = await stack.enter_async_context(Instance(folder, postgres_server))
        system = await stack.enter_async_context(System().listening())
        callers = (CONSUMER, CONSUMER.member, STRANGE)
        codes = (SERVICE.service_code, ODD_SERVICE, "root", "slash", "refused", "unknown", "slow")
        offered = HostedClient(
            PROVIDER,
            connection=ConnectionType.HTTP,
            services=(
                rest_service(system.url),
                rest_service(system.url, ODD_SERVICE),
                rest_service(system.url.removesuffix("/api"), "root"),
                rest_service(f"{system.url}/", "slash"),
                rest_service("http://127.0.0.1:9/", "refused"),
                rest_service("http://nobody.invalid/", "unknown"),
                rest_service(system.url, "slow", timeout=timedelta(seconds=0.4)),
            ),
            rights=tuple(AccessRight(caller, code) for caller in callers for code in codes),
        )
        civil = await instance.add("CIVIL", PROVIDER, hosted=[offered])
        hosted = [
            HostedClient(one, connection=ConnectionType.HTTP)
            for one in (CONSUMER, CONSUMER.member, STRANGE)
        ]
        muni = await instance.add("MUNI", CONSUMER, hosted=hosted)
        muni.entry = replace(muni.entry, clients=(CONSUMER, STRANGE))
        legacy = await instance.add("LEGACY", OLD_FASHIONED)
        legacy.settings = replace(legacy.settings, legacy_fault_codes=True)
        await instance.start()
        yield Stage(instance, civil, muni, legacy, system)


def sha512(data: bytes) -> bytes:
    return hashlib.sha512(data).digest()


def expected_hash(head: bytes, body: bytes | None) -> str:
    digest = sha512(head) if body is None else sha512(sha512(head) + sha512(body))
    return base64.b64encode(digest).decode()


async def proven(
    stage: Stage, answer: RawMessage, body: bytes | None, answered: bytes | None
) -> tuple[StoredRecord, StoredRecord]:
    """Check that both nodes hold the same proof of the exchange; gives request and response.

    Args:
        body: the request's body part, None without one; `answered` the same of the response.
    """
    exchange = answer.first("x-road-request-id")
    sides = []
    for node, side in ((stage.consumer, Side.CONSUMER), (stage.provider, Side.PROVIDER)):
        kept = await records(node, exchange_id=exchange)
        assert [(one.side, one.response) for one in kept] == [(side, False), (side, True)]
        for one, content in zip(kept, (body, answered), strict=True):
            await verified(stage.instance, node, one, [] if content is None else [content])
        sides.append(kept)
    for ours, theirs in zip(*sides, strict=True):
        assert (ours.message, ours.signature) == (theirs.message, theirs.signature)
        assert (ours.client, ours.service) == (theirs.client, theirs.service)
    request, response = sides[0]
    assert answer.first("x-road-request-hash") == expected_hash(request.message, body)
    return request, response


async def verified(
    instance: Instance, node: NodeUnderTest, record: StoredRecord, bodies: Sequence[bytes]
) -> None:
    """Judge a record as an auditor would: with its own bytes and the trust list alone."""
    parts = {"/message.xml": PartDigest.of("/message.xml", record.message)}
    assert len(record.attachments) == len(bodies)
    for number, (kept, body) in enumerate(zip(record.attachments, bodies, strict=True), start=1):
        assert (kept.size, kept.digest) == (len(body), sha512(body))
        assert await node.running.kept.log.body_of(record, number) == body
        parts[f"/attachment{number}"] = PartDigest.of(f"/attachment{number}", body)
    sender = record.service.provider if record.response else record.client
    message = SignedMessage(
        record.signature,
        parts,
        hash_chain_result=record.hash_chain_result,
        hash_chain=record.hash_chain,
    )
    report = verify_signature(message, sender, instance.conf(), datetime.now(UTC))
    assert report.verdict is Outcome.PASSED
