"""What an operator writes down about one right: who may call what, and under which terms."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from catalog.declared.declared_services import Code, EndpointText, Title, endpoint_of
from catalog.services import BASE_ENDPOINT, AccessRight, Subject
from catalog.terms import Quota, Terms
from catalog.uris import Uri
from trust.ids import ClientId, GlobalGroupId, LocalGroupId
from trust.settings import Bounds, Matching, parse_duration, required, setting

FieldText = Annotated[
    str, Matching(r"(?=.*\S)[^\x00-\x1f\x7f,]{1,500}", "of 1 to 500 characters without a comma")
]
Fields = Annotated[tuple[FieldText, ...], Bounds(1, 500)]
Purposes = Annotated[tuple[Uri, ...], Bounds(0, 100)]
QuotaText = Annotated[str, Matching(r"\d{1,9} per \d{1,6}(d|h|m|s)", 'as "100 per 1d"')]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessDeclaration:
    """Who may call what: exactly one of client, global_group and local_group is given."""

    service: Code = required("service code, in all its versions", example="persons")
    client: ClientId | None = setting(None, "a member or subsystem", example="EX:GOV:2000:portal")
    global_group: GlobalGroupId | None = setting(
        None, "a group of the central operator", example="EX:municipalities"
    )
    local_group: Code | None = setting(None, "a group of this client", example="clerks")
    endpoints: tuple[EndpointText, ...] = setting(
        (), "the parts meant; the whole service without", example=["GET /persons/*"]
    )
    fields: Fields | None = setting(
        None,
        "what of an answer goes out: names of fields or views, concept URIs or paths; all without",
        example=["birth_date", "urn:example:person:name"],
    )
    purposes: Purposes = setting(
        (),
        "URIs, one of which a request must state; any or none without",
        example=["urn:example:purpose:school-benefit"],
    )
    legal_basis: Title = setting("", "what the right rests on", example="School Act, section 4")
    quota: QuotaText | None = setting(None, "so many calls in any such time", example="100 per 1d")
    valid_from: datetime | None = setting(None, "the first moment at which it holds")
    valid_until: datetime | None = setting(None, "the first moment at which it holds no more")

    def __post_init__(self) -> None:
        given = (self.client, self.global_group, self.local_group)
        if sum(item is not None for item in given) != 1:
            raise ValueError("exactly one of client, global_group and local_group")


def declared_rights(access: AccessDeclaration) -> Iterator[AccessRight]:
    """The rights that one declaration stands for: one for each of its parts."""
    endpoints = tuple(endpoint_of(text) for text in access.endpoints) or (BASE_ENDPOINT,)
    for endpoint in dict.fromkeys(endpoints):
        yield AccessRight(_subject(access), access.service, endpoint, declared_terms(access))


def declared_terms(access: AccessDeclaration) -> Terms:
    return Terms(
        fields=access.fields and tuple(dict.fromkeys(access.fields)),
        purposes=tuple(dict.fromkeys(access.purposes)),
        legal_basis=access.legal_basis,
        quota=quota_of(access.quota) if access.quota else None,
        valid_from=access.valid_from,
        valid_until=access.valid_until,
    )


def quota_of(text: str) -> Quota:
    """Read "100 per 1d"; raises ValueError."""
    calls, _, per = text.partition(" per ")
    try:
        return Quota(int(calls), parse_duration(per))
    except ValueError as error:
        raise ValueError(f'{text!r} is no quota as "100 per 1d"') from error


def _subject(access: AccessDeclaration) -> Subject:
    if access.client is not None:
        return access.client
    if access.global_group is not None:
        return access.global_group
    return LocalGroupId(access.local_group or "")
