"""What adapter.toml says for an X-Road SOAP service."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from adapters.settings import AdapterSettings
from adapters.soap.settings import (
    CallingSettings,
    DescriptionSettings,
    address_problems,
    tls_problems,
)
from trust.ids import ClientId
from trust.settings import SettingProblem, required, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Who asks whom, and through which node."""

    node: str = required(
        "address of our node's port for information systems", example="http://127.0.0.1:8080"
    )
    client: ClientId = required("the subsystem that asks", example="EX:GOV:1234567:portal")
    provider: ClientId = required("the subsystem that answers", example="EX:GOV:7654321:population")
    version: str = setting("", "version of all services; empty: what the WSDL says of each")


@dataclass(frozen=True, slots=True, kw_only=True)
class XroadAdapterSettings(AdapterSettings):
    """What `sacbe adapter run` reads where `kind = "xroad"`."""

    kind: Literal["xroad"] = required("what stands behind the adapter", example="xroad")
    service: ServiceSettings = required("who asks whom, and through which node")
    wsdl: DescriptionSettings = required("the WSDL and what of it is offered")
    calling: CallingSettings = setting(CallingSettings(), "how the node is called")


def xroad_problems(settings: XroadAdapterSettings) -> Iterator[SettingProblem]:
    """What is wrong between settings, found without any file."""
    yield from address_problems(settings.service.node, ("service", "node"))
    yield from tls_problems(settings.calling.tls, ("calling", "tls"))
