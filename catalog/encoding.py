"""Mappings, what is said of a service, and terms as JSON: for the database and between nodes.

What is empty is left away. Types, sizes and counts are checked when reading; members that nobody
here knows are skipped, for a newer version may say more. Nothing is judged beyond that:
`catalog.fields.mapping_rules` and `catalog.declared.term_rules` do.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Annotated, TypeVar

import msgspec

from catalog.about import NOTHING_SAID, About, LifeState
from catalog.mapping import NO_MAPPING, Place, Rule, ServiceMapping
from catalog.meaning.vocabulary import FactType
from catalog.terms import NO_TERMS, Terms
from trust.errors import MalformedMessage

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

MAX_BYTES = 1 << 20  # of one value
MAX_ENDPOINTS = 500
MAX_FIELDS = 2000  # of one endpoint

Name = Annotated[str, msgspec.Meta(max_length=1000)]
Text = Annotated[str, msgspec.Meta(max_length=10_000)]


class _Form(msgspec.Struct, frozen=True, omit_defaults=True):
    """The JSON of one type; members are named and ordered as its attributes."""


class SubjectForm(_Form, frozen=True):
    name: Name
    scheme: Name
    place: Place = Place.PATH


class ParameterForm(_Form, frozen=True):
    name: Name
    place: Place = Place.QUERY
    default: Name | None = None


class FieldForm(_Form, frozen=True):
    name: Name
    path: Name
    concept: Name = ""
    type: FactType = FactType.TEXT


class ViewForm(_Form, frozen=True):
    name: Name
    source: Name
    rule: Rule
    value: Text = ""
    concept: Name = ""


class EndpointForm(_Form, frozen=True):
    method: Name = ""
    path: Text = ""
    subject: SubjectForm | None = None
    parameters: Annotated[tuple[ParameterForm, ...], msgspec.Meta(max_length=100)] = ()
    fields: Annotated[tuple[FieldForm, ...], msgspec.Meta(max_length=MAX_FIELDS)] = ()
    views: Annotated[tuple[ViewForm, ...], msgspec.Meta(max_length=MAX_FIELDS)] = ()
    namespace: Name = ""
    qualified: bool = True


class MappingForm(_Form, frozen=True):
    endpoints: Annotated[tuple[EndpointForm, ...], msgspec.Meta(max_length=MAX_ENDPOINTS)] = ()


class LifeForm(_Form, frozen=True):
    state: LifeState = LifeState.PUBLISHED
    ends: date | None = None
    successor: Name = ""


class ContactForm(_Form, frozen=True):
    name: Name = ""
    email: Name = ""
    phone: Name = ""
    url: Name = ""


class AboutForm(_Form, frozen=True):
    description: Text = ""
    life: LifeForm = LifeForm()
    contact: ContactForm = ContactForm()
    terms: Text = ""
    keywords: Annotated[tuple[Name, ...], msgspec.Meta(max_length=50)] = ()
    territory: Name = ""
    template: Text = ""


class QuotaForm(_Form, frozen=True):
    calls: int
    per: timedelta


class TermsForm(_Form, frozen=True):
    fields: Annotated[tuple[Name, ...], msgspec.Meta(max_length=500)] | None = None
    purposes: Annotated[tuple[Text, ...], msgspec.Meta(max_length=100)] = ()
    legal_basis: Name = ""
    quota: QuotaForm | None = None
    valid_from: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    valid_until: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


def encode_mapping(mapping: ServiceMapping) -> str:
    """JSON of a mapping; empty for none."""
    return "" if mapping == NO_MAPPING else _encoded(mapping, MappingForm)


def decode_mapping(text: str) -> ServiceMapping:
    """Read what `encode_mapping` writes; raises MalformedMessage."""
    return _decoded(text, MappingForm, ServiceMapping) if text else NO_MAPPING


class _OperationForm(_Form, frozen=True):
    code: Name
    version: Name
    mapping: MappingForm


_Operations = Annotated[tuple[_OperationForm, ...], msgspec.Meta(max_length=5_000)]


def encode_mappings(mappings: Mapping[tuple[str, str], ServiceMapping]) -> str:
    """JSON of mappings by code and version; empty for none."""
    if not mappings:
        return ""
    forms = [
        _OperationForm(code, version, form_of(mapping, MappingForm))
        for (code, version), mapping in sorted(mappings.items(), key=lambda pair: pair[0])
    ]
    return msgspec.json.encode(forms).decode()


def decode_mappings(text: str) -> dict[tuple[str, str], ServiceMapping]:
    """Read what `encode_mappings` writes; raises MalformedMessage."""
    if not text:
        return {}
    try:
        forms = msgspec.json.decode(text, type=_Operations)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise MalformedMessage(f"JSON that is no list of mappings: {error}") from error
    return {(one.code, one.version): value_of(one.mapping, ServiceMapping) for one in forms}


def encode_about(about: About) -> str:
    """JSON of what is said of a service; empty when nothing is."""
    return "" if about == NOTHING_SAID else _encoded(about, AboutForm)


def decode_about(text: str) -> About:
    return _decoded(text, AboutForm, About) if text else NOTHING_SAID


def encode_terms(terms: Terms) -> str:
    """JSON of terms, the same text for the same terms; empty for none."""
    return "" if terms == NO_TERMS else _encoded(terms, TermsForm)


def decode_terms(text: str) -> Terms:
    return _decoded(text, TermsForm, Terms) if text else NO_TERMS


def form_of(value: object, form: type[S]) -> S:
    """The form that a value is written in."""
    return msgspec.convert(value, form, from_attributes=True)


def value_of(form: msgspec.Struct, kind: type[T]) -> T:
    return msgspec.convert(form, kind, from_attributes=True)


def _encoded(value: object, form: type[_Form]) -> str:
    return msgspec.json.encode(form_of(value, form)).decode()


def _decoded(text: str, form: type[_Form], kind: type[T]) -> T:
    if len(text) > MAX_BYTES:
        raise MalformedMessage(f"More than {MAX_BYTES} characters of JSON")
    try:
        return value_of(msgspec.json.decode(text, type=form), kind)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise MalformedMessage(f"JSON that is no {kind.__name__}: {error}") from error
