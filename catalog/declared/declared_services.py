"""What an operator writes down about one service: where it is, what it means, what it is like."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

from catalog.about import About, Contact, LifeCycle, LifeState
from catalog.mapping import ServiceMapping
from catalog.services import DEFAULT_TIMEOUT, Endpoint, Service, ServiceType
from catalog.uris import UriOrNone
from trust.ids import ClientId, ServiceId
from trust.settings import Bounds, Matching, required, setting

Code = Annotated[str, Matching(r"(?=.*\S).{1,255}", "of 1 to 255 characters")]
Title = Annotated[str, Matching(r"[^\x00-\x1f\x7f]{0,1000}", "of at most 1000 characters")]
LongText = Annotated[str, Matching(r"(?s)[^\x00]{0,10000}", "of at most 10000 characters")]
Keyword = Annotated[str, Matching(r"(?=.*\S)[^\x00-\x1f\x7f]{1,100}", "of 1 to 100 characters")]
Keywords = Annotated[tuple[Keyword, ...], Bounds(0, 50)]
Territory = Annotated[str, Matching(r"[^\x00-\x20\x7f]{0,100}", "without spaces")]
Timeout = Annotated[timedelta, Bounds(timedelta(seconds=1), timedelta(days=1))]
EndpointText = Annotated[
    str,
    Matching(
        r"(\*|[A-Za-z]{1,20}) [/*][^\x00-\x1f\x7f]{0,2000}", 'as "GET /persons/*" or "* /open/**"'
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class LifeCycleDeclaration:
    state: LifeState = setting(LifeState.PUBLISHED, "where it stands")
    ends: date | None = setting(None, "the day on which a deprecated one is withdrawn")
    successor: Title = setting("", "what to use instead", example="EX:GOV:1000:persons:persons2")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactDeclaration:
    name: Title = setting("", "who answers questions", example="Service desk")
    email: Title = setting("", "address", example="desk@registry.example")
    phone: Title = setting("", "number", example="+1 555 0100")
    url: Title = setting("", "page", example="https://registry.example/help")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDeclaration:
    code: Code = required("service code", example="persons")
    version: str | None = setting(None, "version, of a SOAP service only", example="v1")
    type: ServiceType = setting(ServiceType.REST, "what kind of service it is")
    url: str = required("where the system answers", example="http://127.0.0.1:9000/")
    timeout: Timeout = setting(DEFAULT_TIMEOUT, "longest silence of that system")
    verify_tls: bool = setting(
        True, "whether its TLS certificate must be one of the client's certificate_files"
    )
    disabled: str | None = setting(
        None, "notice to callers while it is switched off", example="Out of order"
    )
    endpoints: tuple[EndpointText, ...] = setting(
        (), "known parts: method and path pattern", example=["GET /persons/*"]
    )
    title: Title = setting("", "name for people", example="Persons by national id")
    description: str = setting(
        "",
        "where its OpenAPI description or WSDL is",
        example="http://127.0.0.1:9000/openapi.json",
    )
    repair_headers: bool = setting(
        False, "complete the header of its SOAP answers with what they lack of the request's"
    )
    mapping: Path | None = setting(
        None,
        "file that tells which facts its answers have, in the place of what its description says;"
        " see docs/mapping.md",
        example="persons.mapping.toml",
    )
    about: LongText = setting("", "what it does, for people", example="Who is who, by national id")
    terms: LongText = setting(
        "", "address or text of the conditions of use", example="https://registry.example/terms"
    )
    keywords: Keywords = setting((), "words to find it by", example=["person", "identity"])
    territory: Territory = setting("", "code of the territory that it is about; all without")
    template: UriOrNone = setting(
        "", "URI of the template that it instantiates", example="urn:example:template:residents"
    )
    life_cycle: LifeCycleDeclaration = setting(
        LifeCycleDeclaration(), "where it stands between draft and withdrawal"
    )
    contact: ContactDeclaration = setting(ContactDeclaration(), "whom to ask")


def declared_service(
    client: ClientId,
    service: ServiceDeclaration,
    certificates: tuple[bytes, ...],
    mapping: ServiceMapping,
) -> Service:
    """What a declaration stands for, with the mapping that its file was read to be."""
    return Service(
        id=ServiceId(client, service.code, service.version),
        type=service.type,
        url=service.url,
        timeout=service.timeout,
        verify_tls=service.verify_tls,
        certificates=certificates,
        notice=service.disabled,
        endpoints=tuple(endpoint_of(text) for text in service.endpoints),
        description_url=service.description,
        title=service.title,
        repair_headers=service.repair_headers,
        mapping=mapping,
        about=_about(service),
    )


def _about(service: ServiceDeclaration) -> About:
    life, contact = service.life_cycle, service.contact
    return About(
        description=service.about,
        life=LifeCycle(life.state, life.ends, life.successor),
        contact=Contact(contact.name, contact.email, contact.phone, contact.url),
        terms=service.terms,
        keywords=service.keywords,
        territory=service.territory,
        template=service.template,
    )


def endpoint_of(text: str) -> Endpoint:
    method, _, path = text.partition(" ")
    return Endpoint(method.upper(), path)
