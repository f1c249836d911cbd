"""Whether a mapping fits what the description of its service says.

Source: design.md 5: a mapping that names a field the description does not have is refused.
"""

from collections.abc import Iterator, Mapping
from itertools import accumulate

from catalog.fields.descriptions.described import DescribedEndpoint
from catalog.fields.mapping_rules import SINGLE
from catalog.fields.paths import same_template
from catalog.mapping import EndpointMapping, Place, ServiceMapping
from catalog.meaning.vocabulary import FactType
from trust.settings import Place as Where
from trust.settings import Problems, SettingProblem

_MAX_LISTED = 20  # names that an error tells

# What a mapping may call a value of which the description says what stands on the left.
_FITTING: Mapping[FactType, tuple[FactType, ...]] = {
    FactType.TEXT: (FactType.TEXT, FactType.DATE, FactType.DATETIME),
    FactType.DATE: (FactType.DATE, FactType.TEXT),
    FactType.DATETIME: (FactType.DATETIME, FactType.TEXT),
    FactType.INTEGER: (FactType.INTEGER, FactType.NUMBER),
    FactType.NUMBER: (FactType.NUMBER, FactType.INTEGER),
    FactType.BOOLEAN: (FactType.BOOLEAN,),
    FactType.RECORD: (FactType.RECORD,),
}


def contradictions(mapping: ServiceMapping, endpoints: tuple[DescribedEndpoint, ...]) -> Problems:
    """Everything in a mapping that the description contradicts, by place in the mapping file.

    Of what the description leaves open nothing is said.
    """
    for index, mapped in enumerate(mapping.endpoints):
        here = ("endpoints", index)
        described = _described(mapped, endpoints)
        if described is None:
            said = f"{mapped.method} {mapped.path}".strip() or "an operation"
            expected = "an endpoint of the description" + _listed(
                f"{one.method} {one.path}".strip() for one in endpoints
            )
            yield SettingProblem((*here, "path"), f"'{said}'", expected)
            continue
        yield from _form(mapped, described, here)
        yield from _parameters(mapped, described, here)
        yield from _fields(mapped, described, here)


def _described(
    mapped: EndpointMapping, endpoints: tuple[DescribedEndpoint, ...]
) -> DescribedEndpoint | None:
    return next(
        (
            one
            for one in endpoints
            if one.method == mapped.method and same_template(one.path, mapped.path)
        ),
        None,
    )


def _form(mapped: EndpointMapping, described: DescribedEndpoint, here: Where) -> Problems:
    """How a SOAP request is written; who only cuts answers need not say it."""
    if mapped.subject is None or not described.namespace:
        return
    if mapped.namespace != described.namespace:
        found = f"'{mapped.namespace}'" if mapped.namespace else "no namespace"
        yield SettingProblem((*here, "namespace"), found, f"'{described.namespace}'")
    if mapped.qualified != described.qualified:
        found, expected = (str(one.qualified).lower() for one in (mapped, described))
        yield SettingProblem((*here, "qualified"), found, expected)


def _parameters(mapped: EndpointMapping, described: DescribedEndpoint, here: Where) -> Problems:
    known = {(one.place, one.name) for one in described.parameters}
    given: list[tuple[Place, str, Where]] = [
        (one.place, one.name, (*here, "parameters", index, "name"))
        for index, one in enumerate(mapped.parameters)
    ]
    if mapped.subject is not None:
        subject = mapped.subject
        given.append((subject.place, subject.name, (*here, "subject", "name")))
    for place, name, where in given:
        if place is Place.PATH or (place, name) in known:
            continue  # the template has been compared, whatever its parameters are called
        if place is Place.BODY and not _bodies(described):
            continue  # the description says nothing of bodies
        names = (one.name for one in described.parameters if one.place is place)
        yield SettingProblem(
            where, f"'{name}' in the {place}", "a parameter of the description" + _listed(names)
        )


def _bodies(described: DescribedEndpoint) -> bool:
    return any(one.place is Place.BODY for one in described.parameters)


def _fields(mapped: EndpointMapping, described: DescribedEndpoint, here: Where) -> Problems:
    for index, field in enumerate(mapped.fields):
        where = (*here, "fields", index)
        found = described.at.get(field.path)
        if found is None:
            if not _may_be(field.path, described):
                expected = "a field of the description" + _listed(_near(field.path, described))
                yield SettingProblem((*where, "path"), f"'{field.path}'", expected)
        elif found.type is not None and not _fits(field.type, found.type, described.loose):
            yield SettingProblem(
                (*where, "type"),
                f"type {field.type} for '{field.path}'",
                f"{found.type}, as the description says",
            )


def _fits(mapped: FactType, described: FactType, loose: bool) -> bool:
    if loose and described is FactType.TEXT:
        return mapped in SINGLE
    return mapped in _FITTING[described]


def _may_be(path: str, described: DescribedEndpoint) -> bool:
    """Whether the nearest place above that the description knows may hold more than it tells."""
    above = list(accumulate(path.split("/")[1:-1], lambda way, step: f"{way}/{step}", initial=""))
    for outer in reversed(above):
        if outer == "":
            return described.open
        if (found := described.at.get(outer)) is not None:
            return found.open
    return described.open


def _near(path: str, described: DescribedEndpoint) -> Iterator[str]:
    """The fields beside the place, else all."""
    beside = path.rpartition("/")[0] + "/"
    near = [one.path for one in described.fields if one.path.startswith(beside)]
    return iter(near or [one.path for one in described.fields])


def _listed(names: Iterator[str]) -> str:
    listed = [name for _, name in zip(range(_MAX_LISTED), names, strict=False)]
    return ": " + ", ".join(listed) if listed else ", which has none"
