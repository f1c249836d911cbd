"""A service's description as people read it: operations, what they take, what they answer.

It is made from an OpenAPI description, from a WSDL, or, where there is none, from the mapping.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from catalog.central.entries import CatalogService
from catalog.mapping import EndpointMapping

MAX_OPERATIONS = 200
MAX_ROWS = 300  # of one table
MAX_DEPTH = 8  # of what stands within what


@dataclass(frozen=True, slots=True)
class Row:
    """A parameter, or a place in a request or an answer.

    Attributes:
        path: as mappings write it.
        required: None where the description does not say.
    """

    path: str
    type: str = ""
    required: bool | None = None
    text: str = ""
    concept: str = ""


@dataclass(frozen=True, slots=True)
class AnswerOutline:
    """One answer of an operation: its status (empty for SOAP), and what stands in it."""

    status: str
    text: str = ""
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True, slots=True)
class OperationOutline:
    name: str
    title: str = ""
    text: str = ""
    deprecated: bool = False
    parameters: tuple[Row, ...] = ()
    request: tuple[Row, ...] = ()
    answers: tuple[AnswerOutline, ...] = ()


@dataclass(frozen=True, slots=True)
class Outline:
    """All of it.

    Attributes:
        origin: what it was made from, for people.
        total: how many operations there are, when not all are shown.
    """

    origin: str
    operations: tuple[OperationOutline, ...]
    total: int
    text: str = ""


def mapping_outline(service: CatalogService) -> Outline:
    """What the catalog itself knows: mapped endpoints, and the names of the others."""
    mapped = {(one.method, one.path): one for one in service.mapping.endpoints}
    named = [tuple(one.split(" ", 1)) for one in service.endpoints]
    others = [pair for pair in named if len(pair) > 1 and pair not in mapped]
    operations = [_mapped(service, one) for one in mapped.values()]
    operations += [OperationOutline(f"{method} {path}") for method, path in others]
    return Outline("what the catalog knows", tuple(operations[:MAX_OPERATIONS]), len(operations))


def _mapped(service: CatalogService, endpoint: EndpointMapping) -> OperationOutline:
    named = f"{endpoint.method} {endpoint.path}".strip() or service.id.service_code
    parameters = []
    if endpoint.subject is not None:
        told = f"names who or what is asked about: {endpoint.subject.scheme}"
        place = endpoint.subject.place.value
        parameters.append(Row(endpoint.subject.name, place, True, told))
    for one in endpoint.parameters:
        told = "" if one.default is None else f"otherwise {one.default}"
        parameters.append(Row(one.name, one.place.value, one.default is None, told))
    rows = tuple(
        Row(one.path, one.type.value, None, one.name, one.concept)
        for one in endpoint.fields[:MAX_ROWS]
    )
    return OperationOutline(
        named, parameters=tuple(parameters), answers=(AnswerOutline("", "", rows),)
    )


def concepts_at(service: CatalogService, method: str, path: str) -> Mapping[str, str]:
    """Concept URIs by their places in the answers of one operation.

    Parameters of the path may have other names in the mapping.
    """
    for endpoint in service.mapping.endpoints:
        if endpoint.method.upper() == method and _shape(endpoint.path) == _shape(path):
            return {one.path: one.concept for one in endpoint.fields if one.concept}
    return {}


def _shape(path: str) -> Sequence[str]:
    return ["{}" if part.startswith("{") else part for part in path.strip("/").split("/")]
