"""Where facts stand in the answers of a service, and what names the subject in its requests.

A mapping comes from the description of a service (an OpenAPI extension, `sawsdl:modelReference` in
a WSDL) or from a file beside one that can't be changed. It says nothing about who may have what.

Paths of JSON answers are JSON pointers (RFC 6901), with `*` as a segment for every item of a list.
Paths of SOAP answers are `/`-separated local names below the soap:Body, as `/answer/person/name`;
`*` never occurs, since an element that is repeated is meant each time.

Source: design.md 5; CCCEV 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from catalog.meaning.vocabulary import FactType


class Place(StrEnum):
    """Where a parameter stands in a request."""

    PATH = "path"
    QUERY = "query"
    BODY = "body"  # JSON: name is a pointer; SOAP: a path of local names below the soap:Body


@dataclass(frozen=True, slots=True)
class SubjectParameter:
    """What names the person or thing that a request is about.

    Attributes:
        scheme: the kind of identifier, a URI (`urn:example:national-id`).
    """

    name: str
    scheme: str
    place: Place = Place.PATH


@dataclass(frozen=True, slots=True)
class FixedParameter:
    """Another parameter that a request must have.

    Attributes:
        default: its value when who asks gives none; None when it must be given. `{last_year}`
            stands for the calendar year before the present one, `{today}` for the day.
    """

    name: str
    place: Place = Place.QUERY
    default: str | None = None


@dataclass(frozen=True, slots=True)
class FieldMapping:
    """A field of an answer.

    Attributes:
        name: unique in its endpoint; grants and requests may name the field so.
        path: where it stands.
        concept: URI of its meaning; empty when nobody has given it one.
    """

    name: str
    path: str
    concept: str = ""
    type: FactType = FactType.TEXT


class Rule(StrEnum):
    """How a derived fact follows from its source. `value` is what it is compared with."""

    YEARS_AT_LEAST = "years-at-least"  # a date lies so many years back: true or false
    BELOW = "below"
    AT_LEAST = "at-least"
    EQUALS = "equals"
    ONE_OF = "one-of"
    PRESENT = "present"  # there is a value that is not null
    YEAR = "year"  # of a date


@dataclass(frozen=True, slots=True)
class View:
    """A derived fact: computed by the provider's node, so that its source need not leave.

    Attributes:
        name: unique among the fields and views of its endpoint; the member or element that is put
            beside its source in a reduced answer.
        source: the name of a field, or of another view.
        value: text, or texts with `|` between them for ONE_OF.
    """

    name: str
    source: str
    rule: Rule
    value: str = ""
    concept: str = ""

    @property
    def type(self) -> FactType:
        """What it gives, whatever its source."""
        return FactType.INTEGER if self.rule is Rule.YEAR else FactType.BOOLEAN


@dataclass(frozen=True)
class EndpointMapping:
    """What is known of one endpoint.

    Attributes:
        method, path: of a REST service, with `{name}` for parameters; both empty for SOAP.
        namespace: of the first element below the soap:Body of a SOAP request.
        qualified: whether the elements within that one are in its namespace, too.
    """

    method: str = ""
    path: str = ""
    subject: SubjectParameter | None = None
    parameters: tuple[FixedParameter, ...] = ()
    fields: tuple[FieldMapping, ...] = ()
    views: tuple[View, ...] = ()
    namespace: str = ""
    qualified: bool = True

    @cached_property
    def field(self) -> Mapping[str, FieldMapping]:
        """Fields by name."""
        return {one.name: one for one in self.fields}

    @cached_property
    def view(self) -> Mapping[str, View]:
        return {one.name: one for one in self.views}

    @cached_property
    def names_of(self) -> Mapping[str, str]:
        """Names of fields and views by concept URI, the first of several."""
        pairs = [(one.concept, one.name) for one in self.fields]
        pairs += [(one.concept, one.name) for one in self.views]
        return {concept: name for concept, name in reversed(pairs) if concept}


@dataclass(frozen=True)
class ServiceMapping:
    """Everything that is known of a service's answers."""

    endpoints: tuple[EndpointMapping, ...] = ()


NO_MAPPING = ServiceMapping()
