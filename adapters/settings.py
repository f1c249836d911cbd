"""What the settings of every kind of adapter have in common."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from trust.settings import Bounds, ByteSize, ListenPort, Matching, required, setting

Connections = Annotated[int, Bounds(1, 1000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """HTTPS instead of HTTP."""

    certificate: Path = required("certificate and its chain, PEM", example="adapter.crt")
    key: Path = required("private key, PEM, not open to every user", example="adapter.key")
    clients: tuple[Path, ...] = setting(
        (),
        "certificates of the only callers, PEM: the node's internal certificate; none: any caller",
        example=("node-internal.crt",),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """How much is taken at a time."""

    body: ByteSize = setting(ByteSize(1 << 20), "longest request body")
    answer: ByteSize = setting(ByteSize(64 << 20), "longest answer; a longer one is an error")
    running: Connections = setting(32, "requests that are worked on at a time")
    waiting: Annotated[int, Bounds(0, 10_000)] = setting(
        128, "requests that may wait for their turn; more are answered with 503"
    )
    timeout: Annotated[timedelta, Bounds(timedelta(milliseconds=100))] = setting(
        timedelta(seconds=30), "longest work on one request, the wait for its turn included"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SoapFaceSettings:
    """The same operations as SOAP services, at `/soap` and `/`."""

    enabled: bool = setting(True, "whether SOAP is answered")
    namespace: Annotated[str, Matching(r"[A-Za-z][A-Za-z0-9+.-]*:\S+", "a URI")] = setting(
        "urn:sacbe:adapter", "target namespace of the operations; never to be changed once in use"
    )
    version: str = setting("v1", "version of every service in the WSDL; empty: none")
    address: str = setting("", "where the WSDL says that the service is; empty: where it was asked")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSettings:
    """What every kind of adapter reads; a kind adds `kind` and its own tables."""

    title: str = required("name of the registry, for the descriptions", example="Towns")
    host: str = setting("127.0.0.1", "address to listen on")
    port: ListenPort = setting(9000, "port to listen on")
    version: str = setting("1", "version of the descriptions")
    tls: TlsSettings | None = setting(None, "HTTPS instead of HTTP")
    limits: LimitSettings = setting(LimitSettings(), "how much is taken at a time")
    soap: SoapFaceSettings = setting(SoapFaceSettings(), "the same operations as SOAP services")
