"""A mapping file, `persons.mapping.toml`: which facts the answers of a service have, and where.

It stands beside a description that nobody may change, or in the place of one; a service that
declares one goes by it alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from catalog.fields.mapping_rules import MAX_FIELDS, MAX_PARAMETERS, mapping_problems
from catalog.mapping import (
    EndpointMapping,
    FieldMapping,
    FixedParameter,
    Place,
    Rule,
    ServiceMapping,
    SubjectParameter,
    View,
)
from catalog.meaning.vocabulary import FactType
from catalog.uris import Uri, UriOrNone
from trust.settings import Bounds, Matching, SettingProblem, required, setting

Name = Annotated[str, Matching(r"(?=.*\S).{1,200}", "of 1 to 200 characters")]
ParameterName = Annotated[str, Matching(r"(?=.*\S).{1,1000}", "of 1 to 1000 characters")]
PathText = Annotated[str, Matching(r".{1,1000}", "of 1 to 1000 characters")]
Value = Annotated[str, Matching(r"[^\x00]{0,10000}", "of at most 10000 characters")]
Default = Annotated[str, Matching(r"[^\x00]{0,1000}", "of at most 1000 characters")]


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectEntry:
    """What names the person or thing that a request is about."""

    name: ParameterName = required("of the parameter, or where it stands in the body", example="id")
    scheme: Uri = required("URI of the kind of identifier", example="urn:example:national-id")
    place: Place = setting(Place.PATH, "where it stands")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterEntry:
    name: ParameterName = required("of the parameter, or where it stands", example="year")
    place: Place = setting(Place.QUERY, "where it stands")
    default: Default | None = setting(
        None,
        "its value when who asks gives none; {last_year} and {today} are filled in",
        example="{last_year}",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldEntry:
    name: Name = required("unique in the endpoint", example="birth_date")
    path: PathText = required(
        "JSON pointer, with * for every item of a list; of a SOAP answer the names of elements",
        example="/person/birthDate",
    )
    concept: UriOrNone = setting("", "URI of its meaning", example="urn:example:birth-date")
    type: FactType = setting(FactType.TEXT, "what its value looks like", example="date")


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewEntry:
    name: Name = required("unique among fields and views of the endpoint", example="adult")
    source: Name = required("name of the field or view that it follows from", example="birth_date")
    rule: Rule = required("how it follows", example="years-at-least")
    value: Value = setting("", "what is compared with, | between several", example="18")
    concept: UriOrNone = setting("", "URI of its meaning", example="urn:example:adult")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointEntry:
    """One endpoint of a REST service, or the operation of a SOAP service."""

    method: Annotated[str, Matching(r"|[A-Z]{1,10}", "in capitals")] = setting(
        "", "of a REST endpoint; none for SOAP", example="GET"
    )
    path: Annotated[str, Matching(r".{0,2000}", "of at most 2000 characters")] = setting(
        "", "of a REST endpoint, with {name} for parameters; none for SOAP", example="/persons/{id}"
    )
    namespace: UriOrNone = setting(
        "", "of the first element of a SOAP request", example="urn:example:persons"
    )
    qualified: bool = setting(True, "whether the elements in it are in that namespace, too")
    subject: SubjectEntry | None = setting(None, "what names whom a request is about")
    parameters: Annotated[tuple[ParameterEntry, ...], Bounds(0, MAX_PARAMETERS)] = setting(
        (), "what else a request must have"
    )
    fields: Annotated[tuple[FieldEntry, ...], Bounds(0, MAX_FIELDS)] = setting(
        (), "what its answers hold"
    )
    views: Annotated[tuple[ViewEntry, ...], Bounds(0, MAX_FIELDS)] = setting(
        (), "facts that follow from others, so that those need not leave"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingFile:
    """Which facts the answers of a service have, and where they stand."""

    endpoints: Annotated[tuple[EndpointEntry, ...], Bounds(1, 500)] = required(
        "what is known of each endpoint"
    )


def file_problems(file: MappingFile) -> Iterator[SettingProblem]:
    """Everything that is wrong with a mapping file whose entries are each well-formed."""
    return mapping_problems(service_mapping(file))


def service_mapping(file: MappingFile) -> ServiceMapping:
    """What a mapping file stands for."""
    return ServiceMapping(tuple(_endpoint(entry) for entry in file.endpoints))


def _endpoint(entry: EndpointEntry) -> EndpointMapping:
    return EndpointMapping(
        method=entry.method,
        path=entry.path,
        subject=_subject(entry.subject),
        parameters=tuple(
            FixedParameter(one.name, one.place, one.default) for one in entry.parameters
        ),
        fields=tuple(
            FieldMapping(one.name, one.path, one.concept, one.type) for one in entry.fields
        ),
        views=tuple(
            View(one.name, one.source, one.rule, one.value, one.concept) for one in entry.views
        ),
        namespace=entry.namespace,
        qualified=entry.qualified,
    )


def _subject(entry: SubjectEntry | None) -> SubjectParameter | None:
    return None if entry is None else SubjectParameter(entry.name, entry.scheme, entry.place)
