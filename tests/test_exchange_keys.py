"""Exchanges between nodes with RSA keys, certified by a CA below an approved root."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from catalog.services import AccessRight, ConnectionType, HostedClient
from scripts.postgres import PostgresServer
from tests.drafts import split_parts
from tests.instance import (
    CONSUMER,
    PROVIDER,
    SERVICE,
    Instance,
    NodeUnderTest,
    rest_service,
)
from tests.scene import PATH, System, call, records
from tests.simulator import (
    LivePki,
    RogueConsumer,
    exchange_id_of,
    fault_code,
    tls_identity,
)
from trust.evidence.hashchain import PartDigest
from trust.evidence.signature import SignedMessage, parse_signature
from trust.evidence.signature_verifier import verify_signature
from trust.pki.ocsp import CertificateStatus
from trust.report import Outcome

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.sandbox]


@dataclass
class Stage:
    instance: Instance
    provider: NodeUnderTest
    consumer: NodeUnderTest
    system: System


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        folder = tmp_path_factory.mktemp("keys")
        instance = await stack.enter_async_context(
            Instance(folder, postgres_server, key_type="rsa2048", intermediate=True)
        )
        system = await stack.enter_async_context(System().listening())
        offered = HostedClient(
            PROVIDER,
            connection=ConnectionType.HTTP,
            services=(rest_service(system.url),),
            rights=(AccessRight(CONSUMER, SERVICE.service_code),),
        )
        civil = await instance.add("CIVIL", PROVIDER, hosted=[offered])
        muni = await instance.add("MUNI", CONSUMER)
        await instance.start()
        yield Stage(instance, civil, muni, system)


@pytest.mark.parametrize("body", [None, b"{}"])
async def test_an_exchange_is_carried_and_proven(stage: Stage, body: bytes | None) -> None:
    answer = await call(stage.consumer, "POST", body=body)
    assert answer.status == 200, answer.body
    exchange = answer.first("x-road-request-id")
    for node in (stage.consumer, stage.provider):
        kept = await records(node, exchange_id=exchange)
        for record, content, sender in zip(
            kept, (body, answer.body), (CONSUMER, PROVIDER), strict=True
        ):
            parts = {"/message.xml": PartDigest.of("/message.xml", record.message)}
            if content is not None:
                parts["/attachment1"] = PartDigest.of("/attachment1", content)
            signed = SignedMessage(record.signature, parts)
            conf = stage.instance.conf()
            report = verify_signature(signed, sender, conf, datetime.now(UTC))
            assert report.verdict is Outcome.PASSED
            signature = parse_signature(record.signature)
            assert "rsa" in signature.algorithm.uri
            assert len(signature.ocsp_responses) == 2  # of the certificate and of its CA


async def test_the_chain_that_is_shown_needs_an_ocsp_response_for_each_certificate(
    stage: Stage,
) -> None:
    pki = LivePki.of(stage.instance)
    rogue = RogueConsumer(pki, stage.consumer, stage.provider.address, stage.instance.ports[0])
    shown = tls_identity(rogue.auth, pki.authority)
    about_ca = pki.ocsp(pki.authority.certificate, issuer=pki.root, signer=pki.root)
    revoked_ca = pki.ocsp(
        pki.authority.certificate,
        issuer=pki.root,
        signer=pki.root,
        status=CertificateStatus.REVOKED,
    )
    failed = "server.serverproxy.service_failed.ssl_authentication_failed"
    for more, expected in (([about_ca], ""), ([], failed), ([revoked_ca], failed)):
        draft = rogue.draft("GET", PATH)
        draft.ocsp += more
        draft.signed_ocsp += [about_ca]
        answer = await rogue.send(draft, shown=shown)
        assert answer is not None
        if expected:
            assert fault_code(answer) == expected
            assert await records(stage.provider, exchange_id=exchange_id_of(draft)) == ()
        else:
            assert len(split_parts(answer)) == 3
