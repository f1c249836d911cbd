"""What adapter.toml says for a SOAP service."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from adapters.settings import AdapterSettings, Connections
from trust.settings import Bounds, ByteSize, SettingProblem, required, setting

FROM_WSDL = "wsdl"
Patience = Annotated[timedelta, Bounds(timedelta(milliseconds=100), timedelta(minutes=10))]


class PasswordType(StrEnum):
    TEXT = "text"
    DIGEST = "digest"  # SHA-1 of nonce, time and password


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTlsSettings:
    """How the service is known, and how it knows us; for an address with https."""

    authorities: tuple[Path, ...] = setting(
        (), "CA certificates, PEM; none: those of the machine", example=("ca.crt",)
    )
    pinned: tuple[Path, ...] = setting(
        (),
        "the service's own certificates, PEM: nothing else is trusted, names do not count",
        example=("service.crt",),
    )
    certificate: Path | None = setting(
        None, "our certificate and its chain, PEM", example="adapter.crt"
    )
    key: Path | None = setting(None, "its private key, PEM", example="adapter.key")


@dataclass(frozen=True, slots=True, kw_only=True)
class UsernameSettings:
    """A UsernameToken of WS-Security in every request."""

    name: str = required("name of the account", example="reader")
    password_file: Path = required("file with its password", example="service.password")
    password_type: PasswordType = setting(PasswordType.TEXT, "how the password is sent")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureSettings:
    """An X.509 signature of WS-Security over body and time; needs the extra `wsse`."""

    certificate: Path = required("our certificate, PEM", example="signing.crt")
    key: Path = required("its private key, PEM, RSA or EC", example="signing.key")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecuritySettings:
    """WS-Security; signatures of answers are not judged, TLS says who answers."""

    username: UsernameSettings | None = setting(None, "a name and a password in every request")
    signature: SignatureSettings | None = setting(None, "a signature in every request")
    validity: Patience | None = setting(
        timedelta(minutes=5), "how long a request is valid, as its Timestamp says"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DescriptionSettings:
    """The WSDL and what of it is offered."""

    file: Path = required("the WSDL; what it imports lies in its folder", example="wsdl/a.wsdl")
    catalogue: Path | None = setting(
        None, "folder with catalogue.toml, when it is not the WSDL's own", example="wsdl"
    )
    service: str = setting("", "name of the service; empty: the only one")
    port: str = setting("", "name of the port; empty: the first with SOAP 1.1, else with 1.2")
    operations: tuple[str, ...] = setting(
        (), "the only operations that are offered; none: all", example=("GetPerson",)
    )
    get: tuple[str, ...] = setting(
        (), "operations with single values only that are asked by GET", example=("GetRates",)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CallingSettings:
    """How a service is called."""

    timeout: Patience = setting(timedelta(seconds=20), "longest wait for a whole answer")
    max_answer: Annotated[ByteSize, Bounds(1024, 1 << 28)] = setting(
        ByteSize(8 << 20), "longest answer, attachments included"
    )
    connections: Connections = setting(16, "connections to the service at the most")
    attachments: bool = setting(
        False, "answer the attachments too, as base64; else an answer with any is refused"
    )
    fault_texts: bool = setting(True, "tell callers the sentence of a fault, not only its code")
    tls: ServiceTlsSettings = setting(ServiceTlsSettings(), "the service's certificate, and ours")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSettings:
    """Where the service is."""

    address: str = required(
        'http or https; "wsdl": the address that the WSDL has',
        example="https://register.example/service",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SoapAdapterSettings(AdapterSettings):
    """What `sacbe adapter run` reads where `kind = "soap"`."""

    kind: Literal["soap"] = required("what stands behind the adapter", example="soap")
    wsdl: DescriptionSettings = required("the WSDL and what of it is offered")
    endpoint: EndpointSettings = required("where the service is")
    calling: CallingSettings = setting(CallingSettings(), "how the service is called")
    security: SecuritySettings = setting(SecuritySettings(), "WS-Security")


def soap_problems(settings: SoapAdapterSettings) -> Iterator[SettingProblem]:
    """What is wrong between settings, found without any file."""
    if settings.endpoint.address != FROM_WSDL:
        yield from address_problems(settings.endpoint.address, ("endpoint", "address"))
    yield from tls_problems(settings.calling.tls, ("calling", "tls"))


def address_problems(address: str, place: tuple[str, ...]) -> Iterator[SettingProblem]:
    if not is_address(address):
        yield SettingProblem(place, f"'{address[:80]}'", "an address with http or https")


def is_address(address: str) -> bool:
    """Whether it is an absolute http(s) address without credentials and fragment."""
    try:
        parts = urlsplit(address)
        port_fits = parts.port is None or 0 < parts.port < 65536
    except ValueError:
        return False
    plain = not parts.fragment and "@" not in parts.netloc
    return parts.scheme in ("http", "https") and bool(parts.hostname) and plain and port_fits


def tls_problems(tls: ServiceTlsSettings, place: tuple[str, ...]) -> Iterator[SettingProblem]:
    if tls.authorities and tls.pinned:
        yield SettingProblem((*place, "pinned"), "authorities beside it", "one of the two")
    if (tls.certificate is None) != (tls.key is None):
        name = "certificate" if tls.key is None else "key"
        yield SettingProblem((*place, name), "one of the two", "certificate and key")
