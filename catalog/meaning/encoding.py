"""The JSON form of a vocabulary: in the registry's history, in the snapshot, in the API.

    {"concepts": [{"uri": "https://…", "labels": {"en": "Date of birth"}, "type": "date"}],
     "authorities": [{"concepts": ["https://…"], "service": "EX:GOV:1000:persons:person"}], …}

Names are those of `catalog.meaning.vocabulary`; what has its default is left away; services and
clients stand in their colon form, days as `2027-01-31`. What is not known is refused.
"""

from datetime import date
from typing import Annotated, TypeVar

import msgspec

from catalog.meaning.limits import (
    LARGEST_JSON,
    LONGEST_LABEL,
    LONGEST_TAG,
    LONGEST_TERRITORY,
    LONGEST_TEXT,
    LONGEST_URI,
    MOST,
    MOST_ALTERNATES,
    MOST_INSTANCES,
    MOST_LANGUAGES,
    MOST_REFERENCES,
    MOST_STATEMENTS,
    statements_in,
)
from catalog.meaning.vocabulary import (
    EVERYWHERE,
    Authority,
    Concept,
    EvidenceType,
    FactType,
    Procedure,
    Purpose,
    Requirement,
    Sensitivity,
    ServiceTemplate,
    TemplateInstance,
    Vocabulary,
)
from trust.errors import MalformedMessage
from trust.ids import ClientId, ServiceId

T = TypeVar("T")
_Uri = Annotated[str, msgspec.Meta(max_length=LONGEST_URI)]
_Uris = Annotated[tuple[_Uri, ...], msgspec.Meta(max_length=MOST_REFERENCES)]
_Text = Annotated[str, msgspec.Meta(max_length=LONGEST_TEXT)]
_Territory = Annotated[str, msgspec.Meta(max_length=LONGEST_TERRITORY)]
_Id = Annotated[str, msgspec.Meta(max_length=2000)]  # six parts of 255 characters
_Labels = Annotated[
    dict[
        Annotated[str, msgspec.Meta(max_length=LONGEST_TAG)],
        Annotated[str, msgspec.Meta(max_length=LONGEST_LABEL)],
    ],
    msgspec.Meta(max_length=MOST_LANGUAGES),
]


class _Told(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A part of the JSON form."""


class _Concept(_Told):
    uri: _Uri
    labels: _Labels
    type: FactType = FactType.TEXT
    definition: _Text = ""
    sensitivity: Sensitivity = Sensitivity.PERSONAL
    identifies: _Uri = ""


class _EvidenceType(_Told):
    uri: _Uri
    labels: _Labels
    concepts: _Uris


class _Requirement(_Told):
    uri: _Uri
    labels: _Labels
    concepts: _Uris = ()
    evidence_types: _Uris = ()


class _Purpose(_Told):
    uri: _Uri
    labels: _Labels
    legal_basis: _Text


class _Procedure(_Told):
    uri: _Uri
    labels: _Labels
    requirements: _Uris
    purpose: _Uri
    offered_by: Annotated[tuple[_Id, ...], msgspec.Meta(max_length=MOST_REFERENCES)] = ()


class _Authority(_Told):
    concepts: _Uris
    service: _Id
    alternates: Annotated[tuple[_Id, ...], msgspec.Meta(max_length=MOST_ALTERNATES)] = ()
    territory: _Territory = EVERYWHERE
    valid_from: date | None = None
    valid_until: date | None = None


class _Instance(_Told):
    service: _Id
    territory: _Territory = EVERYWHERE


class _Template(_Told):
    uri: _Uri
    labels: _Labels
    concepts: _Uris = ()
    description: _Text = ""
    instances: Annotated[tuple[_Instance, ...], msgspec.Meta(max_length=MOST_INSTANCES)] = ()
    valid_from: date | None = None
    valid_until: date | None = None


class _Vocabulary(_Told):
    concepts: Annotated[tuple[_Concept, ...], msgspec.Meta(max_length=MOST["concepts"])] = ()
    evidence_types: Annotated[
        tuple[_EvidenceType, ...], msgspec.Meta(max_length=MOST["evidence_types"])
    ] = ()
    requirements: Annotated[
        tuple[_Requirement, ...], msgspec.Meta(max_length=MOST["requirements"])
    ] = ()
    purposes: Annotated[tuple[_Purpose, ...], msgspec.Meta(max_length=MOST["purposes"])] = ()
    procedures: Annotated[tuple[_Procedure, ...], msgspec.Meta(max_length=MOST["procedures"])] = ()
    authorities: Annotated[
        tuple[_Authority, ...], msgspec.Meta(max_length=MOST["authorities"])
    ] = ()
    templates: Annotated[tuple[_Template, ...], msgspec.Meta(max_length=MOST["templates"])] = ()
    territory_concept: _Uri = ""


_DECODER = msgspec.json.Decoder(_Vocabulary)


def to_json(vocabulary: Vocabulary) -> bytes:
    """The JSON form, on one line; the same bytes for the same vocabulary."""
    return msgspec.json.encode(_told(vocabulary))


def from_json(raw: bytes) -> Vocabulary:
    """Read the JSON form; raises MalformedMessage. Whether it is sound is for the rules to say."""
    if len(raw) > LARGEST_JSON:
        raise MalformedMessage(f"A vocabulary of {len(raw)} bytes, more than {LARGEST_JSON}")
    try:
        vocabulary = _meant(_DECODER.decode(raw))
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise MalformedMessage(f"This is no vocabulary: {error}") from error
    if statements_in(vocabulary) > MOST_STATEMENTS:
        raise MalformedMessage(f"A vocabulary with more than {MOST_STATEMENTS} authorities")
    return vocabulary


def _told(vocabulary: Vocabulary) -> _Vocabulary:
    return _Vocabulary(
        tuple(_same(_Concept, one) for one in vocabulary.concepts),
        tuple(_same(_EvidenceType, one) for one in vocabulary.evidence_types),
        tuple(_same(_Requirement, one) for one in vocabulary.requirements),
        tuple(_same(_Purpose, one) for one in vocabulary.purposes),
        tuple(
            _Procedure(
                one.uri,
                dict(one.labels),
                one.requirements,
                one.purpose,
                tuple(client.colons for client in one.offered_by),
            )
            for one in vocabulary.procedures
        ),
        tuple(
            _Authority(
                one.concepts,
                one.service.colons,
                tuple(service.colons for service in one.alternates),
                one.territory,
                one.valid_from,
                one.valid_until,
            )
            for one in vocabulary.authorities
        ),
        tuple(_told_template(one) for one in vocabulary.templates),
        vocabulary.territory_concept,
    )


def _same(told: type[T], one: object) -> T:
    """A part whose fields are those of the vocabulary's own type."""
    return msgspec.convert(one, told, from_attributes=True)


def _told_template(one: ServiceTemplate) -> _Template:
    return _Template(
        one.uri,
        dict(one.labels),
        one.concepts,
        one.description,
        tuple(_Instance(each.service.colons, each.territory) for each in one.instances),
        one.valid_from,
        one.valid_until,
    )


def _meant(told: _Vocabulary) -> Vocabulary:
    return Vocabulary(
        tuple(Concept(**msgspec.structs.asdict(one)) for one in told.concepts),
        tuple(EvidenceType(**msgspec.structs.asdict(one)) for one in told.evidence_types),
        tuple(Requirement(**msgspec.structs.asdict(one)) for one in told.requirements),
        tuple(Purpose(**msgspec.structs.asdict(one)) for one in told.purposes),
        tuple(
            Procedure(
                one.uri,
                one.labels,
                one.requirements,
                one.purpose,
                tuple(ClientId.from_colons(client) for client in one.offered_by),
            )
            for one in told.procedures
        ),
        tuple(
            Authority(
                one.concepts,
                ServiceId.from_colons(one.service),
                tuple(ServiceId.from_colons(service) for service in one.alternates),
                one.territory,
                one.valid_from,
                one.valid_until,
            )
            for one in told.authorities
        ),
        tuple(_meant_template(one) for one in told.templates),
        told.territory_concept,
    )


def _meant_template(one: _Template) -> ServiceTemplate:
    return ServiceTemplate(
        one.uri,
        one.labels,
        one.concepts,
        one.description,
        tuple(
            TemplateInstance(ServiceId.from_colons(each.service), each.territory)
            for each in one.instances
        ),
        one.valid_from,
        one.valid_until,
    )
