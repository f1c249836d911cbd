"""A mapping out of a description: what is said there of facts, as far as it holds together."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from catalog.fields.descriptions.described import (
    DescribedEndpoint,
    DescribedField,
    DescribedParameter,
    Warnings,
)
from catalog.fields.mapping_rules import MAX_FIELDS, endpoint_problems
from catalog.fields.paths import ANY, steps_of
from catalog.mapping import (
    EndpointMapping,
    FieldMapping,
    FixedParameter,
    ServiceMapping,
    SubjectParameter,
)
from catalog.meaning.vocabulary import FactType
from trust.settings import SettingProblem

MAX_ENDPOINTS = 500


def derive_mapping(endpoints: tuple[DescribedEndpoint, ...]) -> tuple[ServiceMapping, list[str]]:
    """The mapping that a description stands for, and what of it does not hold together.

    Only endpoints of which something is said are in it; these with all their single values, so
    that grants and derived facts may name one without a meaning, too.
    """
    warnings = Warnings()
    found: list[EndpointMapping] = []
    for endpoint in endpoints:
        if not endpoint.says_facts:
            continue
        if len(found) >= MAX_ENDPOINTS:
            warnings.add(f"more than {MAX_ENDPOINTS} endpoints tell facts: the rest is left out")
            break
        mapped = _sound(_mapped(endpoint, warnings), warnings)
        if mapped is not None:
            found.append(mapped)
    return ServiceMapping(tuple(found)), list(warnings.texts)


def _mapped(endpoint: DescribedEndpoint, warnings: Warnings) -> EndpointMapping:
    name = _name_of(endpoint)
    subjects = [one for one in endpoint.parameters if one.scheme]
    if len(subjects) > 1:
        warnings.add(f"{name}: {len(subjects)} parameters name the subject; the first counts")
    subject = subjects[0] if subjects else None
    return EndpointMapping(
        method=endpoint.method,
        path=endpoint.path,
        subject=_subject(subject),
        parameters=tuple(_others(endpoint, subject)),
        fields=_fields(endpoint, warnings),
        views=endpoint.views,
        namespace=endpoint.namespace,
        qualified=endpoint.qualified,
    )


def _subject(parameter: DescribedParameter | None) -> SubjectParameter | None:
    if parameter is None:
        return None
    return SubjectParameter(parameter.name, parameter.scheme, parameter.place)


def _others(
    endpoint: DescribedEndpoint, subject: DescribedParameter | None
) -> Iterator[FixedParameter]:
    """What a request must have beside the subject."""
    for one in endpoint.parameters:
        holds_subject = (
            subject is not None
            and one.place is subject.place
            and subject.name.startswith(one.name + "/")
        )
        if one.required and one is not subject and not holds_subject:
            yield FixedParameter(one.name, one.place, one.default)


def _fields(endpoint: DescribedEndpoint, warnings: Warnings) -> tuple[FieldMapping, ...]:
    told = [one for one in endpoint.fields if one.concept or _is_single(one)]
    if len(told) > MAX_FIELDS:
        warnings.add(f"{_name_of(endpoint)}: more than {MAX_FIELDS} fields: the rest is left out")
    kept = told[:MAX_FIELDS]
    return tuple(
        FieldMapping(name, one.path, one.concept, one.type or FactType.TEXT)
        for one, name in zip(kept, _names(kept), strict=True)
    )


def _is_single(described: DescribedField) -> bool:
    return described.type not in (None, FactType.RECORD)


def _names(fields: list[DescribedField]) -> list[str]:
    """A name for each: its last step where that is the only one, else more of its path."""
    ways = [_plain_steps(one.path) for one in fields]
    short = Counter(way[-1] for way in ways)
    long = Counter(".".join(way) for way in ways)
    names: dict[str, None] = {}
    for index, (one, way) in enumerate(zip(fields, ways, strict=True)):
        options = [
            *([way[-1]] if short[way[-1]] == 1 else ()),
            *([".".join(way)] if long[".".join(way)] == 1 else ()),
            ".".join(_clean(step) for step in steps_of(one.path)),
        ]
        free = (option for option in options if option not in names)
        names[next(free, f"{options[-1]}.{index}")] = None
    return list(names)


def _plain_steps(path: str) -> list[str]:
    return [_clean(step) for step in steps_of(path) if step != ANY] or [ANY]


def _clean(step: str) -> str:
    """A step as a part of a name: no comma, no slash, nothing that can't be printed."""
    text = "".join("_" if one in ",/" or not one.isprintable() else one for one in step)
    return text if text.strip() else "_"


def _sound(endpoint: EndpointMapping, warnings: Warnings) -> EndpointMapping | None:
    """The mapping without the views that are wrong; None when anything else is."""
    while True:
        problems = list(endpoint_problems(endpoint))
        for problem in problems:
            warnings.add(
                f"{_name_of(endpoint)}: {_where(problem)}found {problem.found},"
                f" expected {problem.expected}"
            )
        wrong = {problem.path[1] for problem in problems if problem.path[0] == "views"}
        if not problems:
            return endpoint
        if any(problem.path[0] != "views" for problem in problems):
            return None
        kept = [view for index, view in enumerate(endpoint.views) if index not in wrong]
        endpoint = replace(endpoint, views=tuple(kept))


def _where(problem: SettingProblem) -> str:
    return " ".join(str(step) for step in problem.path) + ": "


def _name_of(endpoint: DescribedEndpoint | EndpointMapping) -> str:
    return f"{endpoint.method} {endpoint.path}".strip() or "the operation"
