"""What a node tells the catalog of the services of one provider: JSON, bounded and strict.

    {"format": 1, "services": [{"code": "persons", "type": "OPENAPI", "title": …, "about": {…},
      "endpoints": ["GET /persons/*"], "mapping": {"endpoints": […]},
      "description_digest": "…", "availability": {"since": …, "calls": 120, "answered": 119}}]}

What is empty is left away. Members that nobody here knows are skipped, for a newer node may tell
more; everything that is known has its type and bounds, mappings hold together, and nothing is said
of another provider, for no provider is named.
"""

from collections.abc import Iterable, Iterator
from dataclasses import astuple
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from catalog.about import About
from catalog.central.entries import Availability, CatalogService
from catalog.encoding import AboutForm, MappingForm, form_of, value_of
from catalog.fields.mapping_rules import mapping_problems
from catalog.mapping import NO_MAPPING, ServiceMapping
from catalog.services import RESERVED_CODES, ServiceType
from trust.errors import MalformedMessage
from trust.ids import ClientId, ServiceId, suspicious

SERVICE_CODE = "sacbe-catalog"
FORMAT = 1
MAX_ENTRY_BYTES = 8 << 20
MAX_SERVICES = 10_000
MAX_ENDPOINTS = 5_000  # of one service

_Count = Annotated[int, Meta(ge=0, lt=1 << 53)]
_Code = Annotated[str, Meta(min_length=1, max_length=255)]
_Endpoint = Annotated[str, Meta(max_length=2_100)]
_Digest = Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?$")]


class _Availability(msgspec.Struct, frozen=True):
    since: Annotated[datetime, Meta(tz=True)]
    calls: _Count
    answered: _Count


class _Service(msgspec.Struct, frozen=True, omit_defaults=True):
    code: _Code
    type: ServiceType
    version: _Code | None = None
    title: Annotated[str, Meta(max_length=1_000)] = ""
    about: AboutForm | None = None
    endpoints: Annotated[tuple[_Endpoint, ...], Meta(max_length=MAX_ENDPOINTS)] = ()
    mapping: MappingForm | None = None
    description_digest: _Digest = ""
    availability: _Availability | None = None


class _Entry(msgspec.Struct, frozen=True):
    format: int
    services: Annotated[tuple[_Service, ...], Meta(max_length=MAX_SERVICES)]


def encode_entry(services: Iterable[CatalogService]) -> bytes:
    """The entry of one provider; its identifier is that of the service that is asked."""
    return msgspec.json.encode(_Entry(FORMAT, tuple(map(_written, services))))


def decode_entry(raw: bytes, provider: ClientId) -> tuple[CatalogService, ...]:
    """What a node told of a provider's services; raises MalformedMessage."""
    if len(raw) > MAX_ENTRY_BYTES:
        raise MalformedMessage(f"The catalog entry is larger than {MAX_ENTRY_BYTES} bytes")
    try:
        entry = msgspec.json.decode(raw, type=_Entry)
        if entry.format != FORMAT:
            raise MalformedMessage(f"The catalog entry has the format {entry.format}")
        found = tuple(_read(service, provider) for service in entry.services)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise MalformedMessage(f"The catalog entry can't be read: {error}") from error
    for problem in _problems(found):
        raise MalformedMessage(f"The catalog entry is wrong: {problem}")
    return found


def _written(service: CatalogService) -> _Service:
    told = service.availability
    return _Service(
        code=service.id.service_code,
        type=service.type,
        version=service.id.service_version,
        title=service.title,
        about=None if service.about == About() else form_of(service.about, AboutForm),
        endpoints=service.endpoints[:MAX_ENDPOINTS],
        mapping=None if service.mapping == NO_MAPPING else form_of(service.mapping, MappingForm),
        description_digest=service.description_digest,
        availability=None if told is None else _Availability(*astuple(told)),
    )


def _read(form: _Service, provider: ClientId) -> CatalogService:
    told = form.availability
    return CatalogService(
        id=ServiceId(provider, form.code, form.version),
        type=form.type,
        title=form.title,
        about=About() if form.about is None else value_of(form.about, About),
        endpoints=form.endpoints,
        mapping=NO_MAPPING if form.mapping is None else value_of(form.mapping, ServiceMapping),
        description_digest=form.description_digest,
        availability=None if told is None else _availability(told),
    )


def _availability(form: _Availability) -> Availability:
    return Availability(form.since.astimezone(UTC), form.calls, form.answered)


def _problems(services: tuple[CatalogService, ...]) -> Iterator[str]:
    """What no form can say: names that are taken or can't be, figures and mappings that lie."""
    seen: set[ServiceId] = set()
    for service in services:
        name = f"'{service.id.service_code}'"
        if service.id in seen:
            yield f"{name} stands there twice"
        seen.add(service.id)
        if service.id.service_code in RESERVED_CODES or suspicious(service.id.parts):
            yield f"{name} is no code of a service"
        if service.id.service_version is not None and service.type.is_rest:
            yield f"{name} is a REST service with a version"
        told = service.availability
        if told is not None and told.answered > told.calls:
            yield f"{name} answered more calls than it had"
        if any(bool(one.path) is not service.type.is_rest for one in service.mapping.endpoints):
            yield f"{name} has a mapping of another kind of service"
        for problem in mapping_problems(service.mapping):
            place = ".".join(map(str, problem.path))
            yield f"the mapping of {name} at {place}: found {problem.found}"
