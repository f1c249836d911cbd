"""Judge declared mappings and granted fields by what the services' descriptions say now."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from catalog import openapi, wsdl
from catalog.declared.declaration import ClientDeclaration, ServicesDeclaration
from catalog.declared.declared_access import declared_terms
from catalog.declared.term_rules import unknown_fields
from catalog.fields.descriptions.validation import contradictions
from catalog.mapping import NO_MAPPING, ServiceMapping
from catalog.services import DescriptionSource, HostedClient, Service, ServiceType
from catalog.stored.described_mappings import described_endpoints, find_mappings, mapping_for
from catalog.stored.description_store import DescriptionStore
from config.settings import located
from node.metadata.settings import DescriptionSettings
from node.network.information_system import InformationSystem
from trust.errors import ConfigurationProblem, ExchangeError
from trust.settings import SettingProblem


@dataclass(frozen=True, slots=True)
class Described:
    """A description as it was had.

    Attributes:
        note: why it is not what the system gives now; empty when it is.
    """

    content: bytes = field(repr=False)
    content_types: tuple[str, ...]
    note: str = ""

    def notation(self, url: str) -> openapi.DocumentType:
        return openapi.document_type(self.content_types, url.partition("?")[0])


@dataclass(frozen=True, slots=True)
class Library:
    """Has descriptions: from the systems, else as they were last downloaded."""

    systems: InformationSystem
    store: DescriptionStore
    settings: DescriptionSettings
    _had: dict[DescriptionSource, Described | str] = field(default_factory=dict)

    async def get(self, service: Service) -> Described | str:
        """The description of a service that has one, or why none can be had."""
        source = service.description
        if source is None:
            return "it has none"
        if source not in self._had:
            self._had[source] = await self._look(source, service)
        return self._had[source]

    async def _look(self, source: DescriptionSource, service: Service) -> Described | str:
        limit = wsdl.MAX_BYTES if source.type is ServiceType.WSDL else openapi.MAX_BYTES
        timeout = self.settings.timeout
        try:
            download = await self.systems.fetch(service, source.url, limit, timeout)
            if download.status == 200:
                return Described(download.body, download.content_types)
            why = f"{download.status} {download.reason}"
        except ExchangeError as error:
            why = error.text
        kept = await self.store.load(source)
        if kept is None:
            return why
        note = f"{source.url} is not to be had ({why}); judged by the one of {kept.fetched_at}"
        return Described(kept.content, kept.content_types, note)


@dataclass(slots=True)
class Judgement:
    """What was found.

    Attributes:
        problems: each in its file, with its line.
        unchecked: mapping files that nothing could be compared with.
        notes: what the operator should know all the same.
    """

    problems: list[ConfigurationProblem] = field(default_factory=list)
    unchecked: list[ConfigurationProblem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Keep a note, unless it is empty or known."""
        if text and text not in self.notes:
            self.notes.append(text)


async def judge(
    declaration: ServicesDeclaration,
    clients: Sequence[HostedClient],
    file: Path,
    library: Library,
) -> Judgement:
    """Compare everything that speaks of facts with the descriptions; raises StorageError.

    Args:
        clients: what the declaration stands for.
        file: of the declaration.
    """
    found = Judgement()
    unknown: list[SettingProblem] = []
    for index, declared in enumerate(declaration.clients):
        services = clients[index].services
        for entry, service in zip(declared.services, services, strict=True):
            known = service.mapping != NO_MAPPING and service.description is not None
            if known and entry.mapping is not None:
                await _judge_file(service, entry.mapping, library, found)
        unknown += await _judge_access(declared, services, index, library, found)
    found.problems += located(file, unknown)
    return found


async def _judge_file(service: Service, path: Path, library: Library, found: Judgement) -> None:
    described = await library.get(service)
    if isinstance(described, str):
        code = service.id.service_code
        text = f"a mapping of '{code}' that could not be checked: {described}"
        expected = "a description to compare it with, or --unchecked"
        found.unchecked.append(ConfigurationProblem(str(path), 0, text, expected))
        return
    found.note(described.note)
    try:
        problems = tuple(mapping_contradictions(service, described))
    except ExchangeError as error:
        text = f"a mapping whose description can't be read: {error.text}"
        found.unchecked.append(ConfigurationProblem(str(path), 0, text, "one that can be read"))
        return
    found.problems += located(path, problems)


def mapping_contradictions(service: Service, described: Described) -> Iterator[SettingProblem]:
    """What the description says against the service's mapping; raises ExchangeError."""
    notation = described.notation(service.description_url)
    endpoints = described_endpoints(service, described.content, notation)
    if endpoints or service.type is not ServiceType.WSDL:
        yield from contradictions(service.mapping, endpoints)
        return
    code, version = service.id.service_code, service.id.service_version or "without version"
    found = f"the operation '{code}' {version}, which the WSDL does not have"
    yield SettingProblem(("endpoints", 0), found, "one of its operations")


async def _judge_access(
    declared: ClientDeclaration,
    services: Sequence[Service],
    index: int,
    library: Library,
    found: Judgement,
) -> list[SettingProblem]:
    """Granted fields that are in no mapping, where the description brings that."""
    problems: list[SettingProblem] = []
    in_files = {one.code for one in declared.services if one.mapping is not None}
    for place, access in enumerate(declared.access):
        meant = [one for one in services if one.id.service_code == access.service]
        if access.fields is None or access.service in in_files:
            continue  # judged by the mapping files already
        mappings = [await _described_mapping(one, library, found) for one in meant]
        here = ("clients", index, "access", place)
        problems += unknown_fields(declared_terms(access), mappings, here)
    return problems


async def _described_mapping(
    service: Service, library: Library, found: Judgement
) -> ServiceMapping:
    if service.description is None:
        return NO_MAPPING
    described = await library.get(service)
    if isinstance(described, str):
        code = service.id.service_code
        found.note(f"fields of rights to '{code}' could not be checked: {described}")
        return NO_MAPPING
    found.note(described.note)
    notation = described.notation(service.description_url)
    try:
        facts = find_mappings(service.type, described.content, notation)
    except ExchangeError as error:
        found.note(f"the description of '{service.id.service_code}' can't be read: {error.text}")
        return NO_MAPPING
    return mapping_for(service, facts.mappings)


def facts_told(services: Sequence[Service], described: Described) -> Iterator[str]:
    """Which facts are known of services that share a description, and what contradicts it.

    Raises ExchangeError for a description that can't be read.
    """
    first = services[0]
    notation = described.notation(first.description_url)
    found = find_mappings(first.type, described.content, notation)
    for service in services:
        yield from _told(service, described, mapping_for(service, found.mappings))
    if any(service.mapping == NO_MAPPING for service in services):
        yield from (f"warning: {text}" for text in found.warnings)


def _told(service: Service, described: Described, brought: ServiceMapping) -> Iterator[str]:
    version = service.id.service_version
    name = f"'{service.id.service_code}'" + (f" {version}" if version else "")
    mapping = brought
    if service.mapping != NO_MAPPING:
        mapping = service.mapping
        for problem in mapping_contradictions(service, described):
            place = ".".join(map(str, problem.path))
            yield (
                f"warning: the mapping file of {name}, {place}: found {problem.found},"
                f" expected {problem.expected}"
            )
    count = sum(len(one.fields) + len(one.views) for one in mapping.endpoints)
    if count:
        yield f"{count} fields and derived facts of {name}"
