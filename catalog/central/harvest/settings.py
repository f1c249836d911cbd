"""The section `[catalog]` of the registry's settings."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from trust.ids import ClientId
from trust.registry.registry_app import RegistrySettings
from trust.settings import Bounds, ByteSize, Matching, SettingProblem, setting

_SECOND, _MINUTE, _HOUR, _DAY = (
    timedelta(seconds=1),
    timedelta(minutes=1),
    timedelta(hours=1),
    timedelta(days=1),
)
_URL = r"|https?://(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogSettings:
    """How the registry learns what institutions offer, and how it publishes that."""

    node: Annotated[str, Matching(_URL, "http:// or https://, a host and a port")] = setting(
        "",
        "the node behind which the registry is an information system; without it nobody is asked",
        example="http://127.0.0.1:8080",
    )
    client: ClientId | None = setting(
        None, "the registered subsystem that asks", example="EX:GOV:1000:catalog"
    )
    interval: Annotated[timedelta, Bounds(10 * _SECOND, 7 * _DAY)] = setting(
        _HOUR, "time from one round of questions to the next"
    )
    at_once: Annotated[int, Bounds(1, 64)] = setting(4, "institutions that are asked side by side")
    answer: Annotated[timedelta, Bounds(_SECOND, _HOUR)] = setting(
        30 * _SECOND, "longest wait for one answer"
    )
    institution: Annotated[timedelta, Bounds(_SECOND, 6 * _HOUR)] = setting(
        5 * _MINUTE, "longest time for all answers of one subsystem"
    )
    answers: Annotated[ByteSize, Bounds(ByteSize.parse("1 MiB"), ByteSize.parse("1 GiB"))] = (
        setting(ByteSize.parse("64 MiB"), "most bytes of all answers of one subsystem")
    )
    services: Annotated[int, Bounds(1, 10_000)] = setting(
        2000, "most services that are taken of one subsystem"
    )
    unheard: Annotated[timedelta, Bounds(_MINUTE, 365 * _DAY)] = setting(
        _DAY, "after how long without an answer the catalog says so"
    )
    availability: Annotated[timedelta, Bounds(_MINUTE, 365 * _DAY)] = setting(
        _DAY, "how often new figures of availability alone make a new version"
    )
    versions: Annotated[int, Bounds(1, 100_000)] = setting(
        100, "versions that are kept whole; of older ones what changed is kept"
    )
    server_certificate: Path | None = setting(
        None, "PEM: the node's TLS certificate, or that of its CA, for https", example="node.pem"
    )
    certificate: Path | None = setting(
        None, "PEM: what the registry shows to the node", example="catalog.pem"
    )
    key: Path | None = setting(
        None, "PEM: the key of that certificate; must not be open to all", example="catalog.key"
    )

    def problems(self) -> list[SettingProblem]:
        """What the settings contradict each other in."""
        found = []
        if bool(self.node) != (self.client is not None):
            lacking = "client" if self.node else "node"
            found.append(
                SettingProblem((lacking,), "nothing", "a value: node and client go together")
            )
        if (self.certificate is None) != (self.key is None):
            lacking = "certificate" if self.certificate is None else "key"
            found.append(
                SettingProblem((lacking,), "nothing", "a file: certificate and key go together")
            )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class CentralSettings(RegistrySettings):
    """All of `registry.toml`."""

    catalog: CatalogSettings = setting(
        CatalogSettings(), "how services are harvested for the catalog"
    )

    def problems(self) -> list[SettingProblem]:
        """What the settings contradict each other in."""
        return [
            *RegistrySettings.problems(self),
            *(
                SettingProblem(("catalog", *problem.path), problem.found, problem.expected)
                for problem in self.catalog.problems()
            ),
        ]
