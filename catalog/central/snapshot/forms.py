"""The rows of a snapshot: mostly numbers, each of which is the place of a text or of a client.

The empty text has place 0, the URI of each concept the next one, then come the texts of the rows
for texts. Concepts and labels hold their texts themselves, for these hardly occur twice.

What a newer registry may say without being understood, and be read by this software still:

* more at the end of a row: it is left alone, and what an older row lacks has its default;
* rows of kinds that are not known: they are left alone;
* words that are not known where one of a few stands (a type, a rule, a life state): what they
  stand in is left out, and counted.

So what *restricts* something stands in a row of a new kind, or in a new word: then an older node
has less, and never more. What can't be said so is another FORMAT.
"""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from catalog.meaning.limits import (
    MOST,
    MOST_ALTERNATES,
    MOST_INSTANCES,
    MOST_LANGUAGES,
    MOST_REFERENCES,
)

FORMAT = 2
MAX_TEXT = 100_000  # characters
TEXTS_IN_A_ROW = 500
MAX_SERVICES = 100_000
MAX_OF_SERVICE = 20_000  # endpoints of a service, fields of an endpoint

_Index = Annotated[int, Meta(ge=0, lt=10_000_000)]
_Few = Annotated[tuple[_Index, ...], Meta(max_length=1_000)]
_Many = Annotated[tuple[_Index, ...], Meta(max_length=MAX_OF_SERVICE)]
_Number = Annotated[int, Meta(ge=0, lt=1 << 62)]
_Text = Annotated[str, Meta(max_length=MAX_TEXT)]
_Labels = Annotated[tuple[_Text, ...], Meta(max_length=2 * MOST_LANGUAGES)]  # tag, text, tag, …
_References = Annotated[tuple[_Index, ...], Meta(max_length=MOST_REFERENCES)]
_ServiceName = tuple[_Index, _Index, _Index | None]  # client, code, version


class Head(Struct, frozen=True):
    """The first line."""

    format: int
    instance: str
    version: _Number
    made_at: datetime
    territory_concept: str = ""


class FormatForm(Struct, frozen=True):
    format: int


class _Row(Struct, frozen=True, array_like=True, gc=False):
    """What stands in brackets."""


class ClientRow(_Row, frozen=True):
    instance: _Index
    member_class: _Index
    member_code: _Index
    subsystem_code: _Index | None = None


class MemberRow(_Row, frozen=True):
    client: _Index
    name: _Index


# --- services -------------------------------------------------------------------------------------


class FieldRow(_Row, frozen=True):
    name: _Index
    path: _Index
    concept: _Index = 0
    type: _Index = 0


class ViewRow(_Row, frozen=True):
    name: _Index
    source: _Index
    rule: _Index
    value: _Index = 0
    concept: _Index = 0


class ParameterRow(_Row, frozen=True):
    name: _Index
    place: _Index
    default: _Index | None = None


class SubjectRow(_Row, frozen=True):
    name: _Index
    scheme: _Index
    place: _Index


class EndpointRow(_Row, frozen=True):
    method: _Index = 0
    path: _Index = 0
    subject: SubjectRow | None = None
    fields: Annotated[tuple[FieldRow, ...], Meta(max_length=MAX_OF_SERVICE)] = ()
    parameters: Annotated[tuple[ParameterRow, ...], Meta(max_length=1_000)] = ()
    views: Annotated[tuple[ViewRow, ...], Meta(max_length=MAX_OF_SERVICE)] = ()
    namespace: _Index = 0
    qualified: bool = True


class AboutRow(_Row, frozen=True):
    description: _Index = 0
    state: _Index = 0
    ends: _Index = 0
    successor: _Index = 0
    contact: _Few = ()  # name, email, phone, url
    terms: _Index = 0
    keywords: _Few = ()
    territory: _Index = 0
    template: _Index = 0


class ServiceRow(_Row, frozen=True):
    client: _Index
    code: _Index
    version: _Index | None
    type: _Index
    title: _Index = 0
    about: AboutRow | None = None
    endpoints: _Many = ()
    mapping: Annotated[tuple[EndpointRow, ...], Meta(max_length=MAX_OF_SERVICE)] = ()
    plain: bool = False
    digest: _Index = 0
    availability: tuple[datetime, _Number, _Number] | None = None
    unheard_since: datetime | None = None


# --- the vocabulary -------------------------------------------------------------------------------


class ConceptRow(_Row, frozen=True):
    uri: _Text
    labels: _Labels
    type: _Text = ""
    definition: _Text = ""
    sensitivity: _Text = ""
    identifies: _Text = ""


class EvidenceTypeRow(_Row, frozen=True):
    uri: _Index
    labels: _Labels
    concepts: _References = ()


class RequirementRow(_Row, frozen=True):
    uri: _Index
    labels: _Labels
    concepts: _References = ()
    evidence_types: _References = ()


class PurposeRow(_Row, frozen=True):
    uri: _Index
    labels: _Labels
    legal_basis: _Index


class ProcedureRow(_Row, frozen=True):
    uri: _Index
    labels: _Labels
    requirements: _References
    purpose: _Index
    offered_by: _References = ()  # clients


class AuthorityRow(_Row, frozen=True):
    concepts: _References
    service: _ServiceName
    alternates: Annotated[tuple[_ServiceName, ...], Meta(max_length=MOST_ALTERNATES)] = ()
    territory: _Index = 0
    valid_from: _Index = 0
    valid_until: _Index = 0


class TemplateRow(_Row, frozen=True):
    uri: _Index
    labels: _Labels
    concepts: _References = ()
    description: _Index = 0
    instances: Annotated[
        tuple[tuple[_ServiceName, _Index], ...], Meta(max_length=MOST_INSTANCES)
    ] = ()
    valid_from: _Index = 0
    valid_until: _Index = 0


TEXTS = "texts"
TextsRow = Annotated[list[_Text], Meta(max_length=TEXTS_IN_A_ROW)]
MOST_TEXTS = 2_000_000
# The kinds of rows, in the order in which they stand, and how many there may be of each.
KINDS: dict[str, tuple[type[Struct], int]] = {
    "concept": (ConceptRow, MOST["concepts"]),
    "client": (ClientRow, 400_000),
    "member": (MemberRow, 400_000),
    "evidence_type": (EvidenceTypeRow, MOST["evidence_types"]),
    "requirement": (RequirementRow, MOST["requirements"]),
    "purpose": (PurposeRow, MOST["purposes"]),
    "procedure": (ProcedureRow, MOST["procedures"]),
    "authority": (AuthorityRow, MOST["authorities"]),
    "template": (TemplateRow, MOST["templates"]),
    "service": (ServiceRow, MAX_SERVICES),
}
