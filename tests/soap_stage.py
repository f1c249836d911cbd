"""Two real nodes, and a system with SOAP services behind one of them."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from catalog.services import AccessRight, ConnectionType, HostedClient, Service, ServiceType
from node.log.records import Side, StoredRecord
from node.settings import LimitsSettings
from scripts.postgres import PostgresServer
from tests.drafts import Part
from tests.exchange_stage import verified
from tests.instance import CONSUMER, PROVIDER, Instance, NodeUnderTest, rest_service
from tests.raw_http import Headers, RawMessage, ask, build_head
from tests.scene import System, answering, records
from tests.soap_messages import answer_to
from trust.ids import ServiceId
from trust.settings import ByteSize

TEXT = "text/xml; charset=UTF-8"
LARGEST = 3_000_000  # bytes of all attachments
LIMITS = LimitsSettings(body=ByteSize(LARGEST), memory_body=ByteSize(65_536))
_HASH = re.compile(rb'\s*<(\w+):requestHash algorithmId="([^"]*)">([^<]*)</\1:requestHash>')


def wsdl_service(url: str, code: str, version: str | None = "v1", **changes: object) -> Service:
    service = Service(ServiceId(PROVIDER, code, version), ServiceType.WSDL, url)
    return replace(service, **changes)  # type: ignore[arg-type]


def soap_answer(request: RawMessage) -> bytes:
    """Answer an `Envelope` that came alone."""
    return answering(answer_to(request.body), headers=(("Content-Type", TEXT),))


@dataclass
class Stage:
    """Two nodes and a system."""

    instance: Instance
    provider: NodeUnderTest
    consumer: NodeUnderTest
    system: System

    def reset(self) -> None:
        self.system.reset()
        self.system.answer = soap_answer

    async def call(
        self,
        body: bytes,
        content_type: str | None = TEXT,
        headers: Headers = (("SOAPAction", '""'),),
        *,
        method: str = "POST",
        target: str = "/",
    ) -> RawMessage:
        """Call as a system of the consumer's does."""
        typed = () if content_type is None else (("Content-Type", content_type),)
        length = (("Content-Length", str(len(body))),)
        whole = (("Host", "node.example"), *typed, *headers, *length)
        port = self.consumer.running.ports["systems http"].number
        wire = build_head(f"{method} {target} HTTP/1.1", whole) + body
        answer = await ask("127.0.0.1", port, wire)
        assert answer is not None, "the node ended the connection without an answer"
        return answer


def packed(boundary: str, parts: Sequence[Part], end: bytes = b"\r\n") -> bytes:
    """A package as a library writes it; the name of the first field is spelled as usual."""
    delimiter = b"--" + boundary.encode()
    found = b""
    for part in parts:
        fields = [("Content-Type", part.content_type), *part.fields]
        lines = [f"{name}: {value}".encode("latin-1") for name, value in fields]
        found += delimiter + end + end.join([*lines, b"", b""]) + part.data + end
    return found + delimiter + b"--" + end


def repacked(boundary: str, parts: Sequence[Part]) -> bytes:
    """The same package as a node writes it (messages.md 3.6)."""
    space = " " if len(parts) == 1 else ""
    found = []
    for part in parts:
        lines = [f"content-type:{space}{part.content_type}"]
        lines += [f"{name}: {value}" for name, value in part.fields]
        head = "\r\n".join([f"--{boundary}", *lines, "", ""]).encode("latin-1")
        found.append(head + part.data + b"\r\n")
    return b"".join(found) + f"--{boundary}--\r\n".encode()


def without_hash(envelope: bytes, request: bytes) -> bytes:
    """Check the one hash that an answer holds, and give the answer as the system sent it."""
    (found,) = _HASH.finditer(envelope)
    expected = base64.b64encode(hashlib.sha512(request).digest())
    assert found[2] == b"http://www.w3.org/2001/04/xmlenc#sha512"
    assert found[3] == expected
    return envelope[: found.start()] + envelope[found.end() :]


async def proven(
    stage: Stage, message_id: str, sent: list[bytes], answered: list[bytes]
) -> tuple[StoredRecord, StoredRecord]:
    """Check that both nodes hold the same proof of the exchange; gives request and response.

    Args:
        sent: the attachments of the request; `answered` those of the response.
    """
    sides = []
    for node, side in ((stage.consumer, Side.CONSUMER), (stage.provider, Side.PROVIDER)):
        kept = await records(node, message_id=message_id)
        assert [(one.side, one.response) for one in kept] == [(side, False), (side, True)]
        for one, contents in zip(kept, (sent, answered), strict=True):
            await verified(stage.instance, node, one, contents)
        sides.append(kept)
    for ours, theirs in zip(*sides, strict=True):
        assert (ours.message, ours.signature) == (theirs.message, theirs.signature)
        assert (ours.client, ours.service) == (theirs.client, theirs.service)
        assert ours.exchange_id == theirs.exchange_id
    request, response = sides[0]
    assert request.exchange_id == response.exchange_id
    return request, response


@asynccontextmanager
async def soap_stage(folder: Path, postgres_server: PostgresServer) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        instance = await stack.enter_async_context(Instance(folder, postgres_server))
        system = await stack.enter_async_context(System(soap_answer).listening())
        codes = (
            "getState", "testQuery", "storeDocument", "refused", "unknown", "rest", "disabled",
            "slow", "nowhere", "gopher", "untrusted",
        )  # fmt: skip
        url = system.url
        offered = HostedClient(
            PROVIDER,
            connection=ConnectionType.HTTP,
            services=(
                wsdl_service(url, "getState"),
                wsdl_service(url, "getState", None),
                wsdl_service(url, "testQuery"),
                wsdl_service(url, "storeDocument"),
                wsdl_service(url, "closed"),
                wsdl_service(url, "disabled", notice="moved house"),
                wsdl_service("http://127.0.0.1:9/", "refused"),
                wsdl_service("http://nobody.invalid/", "unknown"),
                wsdl_service("", "nowhere"),
                wsdl_service("gopher://127.0.0.1/", "gopher"),
                wsdl_service("https://127.0.0.1:9/", "untrusted"),
                wsdl_service(url, "slow", timeout=timedelta(seconds=0.4)),
                rest_service(url, "rest"),
            ),
            rights=tuple(
                AccessRight(caller, code)
                for caller in (CONSUMER, CONSUMER.member)
                for code in codes
            ),
        )
        civil = await instance.add("CIVIL", PROVIDER, hosted=[offered])
        hosted = [
            HostedClient(one, connection=ConnectionType.HTTP) for one in (CONSUMER, CONSUMER.member)
        ]
        muni = await instance.add("MUNI", CONSUMER, hosted=hosted)
        for node in (civil, muni):
            node.settings = replace(node.settings, limits=LIMITS)
        await instance.start()
        yield Stage(instance, civil, muni, system)
