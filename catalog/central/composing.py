"""From what was harvested, attached and decided to one catalog.

Who is no longer registered has nothing in it, whatever was harvested once.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from catalog.central.entries import Catalog, CatalogMember, CatalogService
from catalog.mapping import ServiceMapping
from catalog.meaning.vocabulary import Vocabulary
from trust.ids import ClientId, ServiceId
from trust.registry.records import RegistryRecords


@dataclass(frozen=True, slots=True)
class KnownProvider:
    """The last word of a subsystem.

    Attributes:
        answered_at: None when it never answered.
        problem: why there was no answer to the last question, or what of it could not be had.
    """

    id: ClientId
    asked_at: datetime
    answered_at: datetime | None = None
    problem: str = ""
    plain: bool = False
    services: tuple[CatalogService, ...] = ()


def providers_of(records: RegistryRecords) -> tuple[ClientId, ...]:
    """Who may offer services: members and subsystems that a node hosts, in order."""
    hosted = (one.id for server in records.servers for one in server.clients if one.enabled)
    instance = records.instance.instance
    return tuple(
        sorted({one for one in hosted if one.instance == instance}, key=lambda one: one.parts)
    )


def compose_catalog(
    records: RegistryRecords,
    providers: Iterable[KnownProvider],
    attached: Mapping[ServiceId, ServiceMapping],
    vocabulary: Vocabulary,
    at: datetime,
    unheard: timedelta,
) -> Catalog:
    """The catalog of a moment, without a number.

    Args:
        attached: mappings for services whose nodes know nothing of them.
        unheard: after how long without an answer it is said of a service.
    """
    registered = set(providers_of(records))
    services = [
        _service(service, provider, attached, at - unheard)
        for provider in providers
        if provider.id in registered
        for service in provider.services
    ]
    return Catalog(
        instance=records.instance.instance,
        version=0,
        made_at=at,
        members=tuple(_members(records)),
        services=tuple(sorted(services, key=lambda one: one.id.parts)),
        vocabulary=vocabulary,
    )


def _service(
    service: CatalogService,
    provider: KnownProvider,
    attached: Mapping[ServiceId, ServiceMapping],
    since: datetime,
) -> CatalogService:
    heard = provider.answered_at
    if heard is not None and heard < since:
        service = replace(service, unheard_since=heard)
    if service.plain and service.id in attached:
        service = replace(service, mapping=attached[service.id])
    return service


def _members(records: RegistryRecords) -> Iterator[CatalogMember]:
    """Members and subsystems with the names that people know them by; others have none."""
    instance = records.instance.instance
    for member in records.members:
        owner = member.id(instance)
        yield CatalogMember(owner, member.name)
        for item in member.subsystems:
            if item.name:
                yield CatalogMember(replace(owner, subsystem_code=item.code), item.name)
