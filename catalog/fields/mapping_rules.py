"""What must hold for a mapping, wherever it comes from; nothing outside it is asked.

A place names the keys of a mapping file: `("endpoints", 0, "views", 1, "source")`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from catalog.fields.conforms import is_day
from catalog.fields.paths import is_element_path, is_pointer, is_template, template_names
from catalog.fields.views import DATES, MAX_CHAIN, NUMBERS
from catalog.mapping import EndpointMapping, Rule, ServiceMapping, View
from catalog.mapping import Place as Where
from catalog.meaning.vocabulary import FactType
from catalog.uris import is_uri
from trust.settings import Place, Problems, SettingProblem

METHODS = ("GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE")
MAX_YEARS = 1000
MAX_PARAMETERS = 100  # of one endpoint
MAX_FIELDS = 2000  # of one endpoint; so many views, too
MAX_NAME = 1000  # characters
MAX_VALUE = 10_000  # characters
MAX_CHOICES = 500
SINGLE = tuple(kind for kind in FactType if kind is not FactType.RECORD)
_FITTING: Mapping[Rule, Sequence[FactType]] = {
    Rule.YEARS_AT_LEAST: DATES,
    Rule.YEAR: DATES,
    Rule.BELOW: (*NUMBERS, *DATES),
    Rule.AT_LEAST: (*NUMBERS, *DATES),
    Rule.EQUALS: SINGLE,
    Rule.ONE_OF: SINGLE,
    Rule.PRESENT: tuple(FactType),
}
_NUMBER = re.compile(r"-?\d{1,30}(\.\d{1,30})?")
_WHOLE = re.compile(r"-?\d{1,30}")


def mapping_problems(mapping: ServiceMapping) -> Problems:
    """Everything that is wrong, in order."""
    seen: set[tuple[str, str]] = set()
    for index, endpoint in enumerate(mapping.endpoints):
        here = ("endpoints", index)
        key = (endpoint.method.upper(), endpoint.path)
        if key in seen:
            said = f"{endpoint.method} {endpoint.path}".strip() or "the SOAP operation"
            yield SettingProblem(here, f"'{said}' a second time", "each endpoint once")
        seen.add(key)
        yield from endpoint_problems(endpoint, here)


def endpoint_problems(endpoint: EndpointMapping, place: Place = ()) -> Problems:
    """What is wrong with the mapping of one endpoint."""
    yield from _sizes(endpoint, place)
    yield from _address(endpoint, place)
    yield from _parameters(endpoint, place)
    yield from _names(endpoint, place)
    yield from _fields(endpoint, place)
    yield from _views(endpoint, place)


def _sizes(endpoint: EndpointMapping, place: Place) -> Problems:
    """What is too long or too much to be kept; files and descriptions have bounds of their own."""
    for key, count, most in (
        ("parameters", len(endpoint.parameters), MAX_PARAMETERS),
        ("fields", len(endpoint.fields), MAX_FIELDS),
        ("views", len(endpoint.views), MAX_FIELDS),
    ):
        if count > most:
            yield SettingProblem((*place, key), f"{count} of them", f"at most {most}")
    if endpoint.namespace and not is_uri(endpoint.namespace):
        yield SettingProblem((*place, "namespace"), f"'{endpoint.namespace[:100]}'", "a URI")
    for uri, where in _uris(endpoint):
        if uri and not is_uri(uri):
            yield SettingProblem((*place, *where), f"{uri[:100]!r}", "a URI")
    for index, one in enumerate(endpoint.parameters):
        if not f"{one.name}{one.default or ''}".isprintable():
            here = (*place, "parameters", index)
            yield SettingProblem(here, f"{one.name[:100]!r}", "characters that can be printed")
        if len(one.name) > MAX_NAME or len(one.default or "") > MAX_NAME:
            here = (*place, "parameters", index)
            yield SettingProblem(here, f"'{one.name[:100]}'", f"at most {MAX_NAME} characters")
    if endpoint.subject is not None and len(endpoint.subject.name) > MAX_NAME:
        here = (*place, "subject", "name")
        yield SettingProblem(here, f"'{endpoint.subject.name[:100]}'", f"at most {MAX_NAME}")
    for index, view in enumerate(endpoint.views):
        if len(view.name) > MAX_NAME or len(view.source) > MAX_NAME or len(view.value) > MAX_VALUE:
            expected = f"names of {MAX_NAME} and a value of {MAX_VALUE} characters at most"
            yield SettingProblem((*place, "views", index), f"'{view.name[:100]}'", expected)


def _uris(endpoint: EndpointMapping) -> Iterator[tuple[str, Place]]:
    """What must be URIs, as far as it is given, with its place."""
    if endpoint.subject is not None:
        yield endpoint.subject.scheme, ("subject", "scheme")
    for index, field in enumerate(endpoint.fields):
        yield field.concept, ("fields", index, "concept")
    for index, view in enumerate(endpoint.views):
        yield view.concept, ("views", index, "concept")


def _address(endpoint: EndpointMapping, place: Place) -> Problems:
    """A REST endpoint has a method and a path, a SOAP operation neither."""
    if not endpoint.method and not endpoint.path:
        return
    if endpoint.method not in METHODS:
        yield SettingProblem(
            (*place, "method"), f"'{endpoint.method}'", "one of " + ", ".join(METHODS)
        )
    if not is_template(endpoint.path):
        expected = 'a path as "/persons/{id}"'
        yield SettingProblem((*place, "path"), f"'{endpoint.path}'", expected)
    if endpoint.namespace:
        yield SettingProblem(
            (*place, "namespace"), f"'{endpoint.namespace}'", "none: it is no SOAP operation"
        )


def _is_soap(endpoint: EndpointMapping) -> bool:
    return not endpoint.method and not endpoint.path


def _parameters(endpoint: EndpointMapping, place: Place) -> Problems:
    """Every name of the path is the subject's or a parameter's, and the other way round."""
    given: list[tuple[Where, str, Place]] = []
    if endpoint.subject is not None:
        given.append((endpoint.subject.place, endpoint.subject.name, (*place, "subject", "name")))
    given += [
        (one.place, one.name, (*place, "parameters", index, "name"))
        for index, one in enumerate(endpoint.parameters)
    ]
    seen: set[tuple[Where, str]] = set()
    for where, name, here in given:
        if (where, name) in seen:
            yield SettingProblem(here, f"'{name}' a second time", "each parameter once")
        seen.add((where, name))
        yield from _parameter(endpoint, where, name, here)
    for name in dict.fromkeys(template_names(endpoint.path)):
        if (Where.PATH, name) not in seen:
            expected = "the subject or one of the parameters to have that name"
            yield SettingProblem((*place, "path"), f"'{{{name}}}', which nothing fills", expected)


def _parameter(endpoint: EndpointMapping, where: Where, name: str, here: Place) -> Problems:
    if _is_soap(endpoint):
        if where is not Where.BODY or not is_element_path(name):
            yield SettingProblem(
                here, f"'{name}' in {where}", 'place = "body" and a path as "/question/id"'
            )
    elif where is Where.PATH:
        if name not in template_names(endpoint.path):
            found = f"'{name}', which '{endpoint.path}' does not have"
            yield SettingProblem(here, found, f"'{{{name}}}' in the path")
    elif where is Where.BODY:
        if not is_pointer(name):
            yield SettingProblem(here, f"'{name}'", 'a JSON pointer as "/person/id"')
        if endpoint.method in ("GET", "HEAD"):
            yield SettingProblem(here, f"a body of {endpoint.method}", "a method with a body")
    elif not name:
        yield SettingProblem(here, "no name", "the name of the parameter")


def _names(endpoint: EndpointMapping, place: Place) -> Problems:
    """Fields and views have one name each; commas part names in requests."""
    listed = [("fields", index, one.name) for index, one in enumerate(endpoint.fields)]
    listed += [("views", index, one.name) for index, one in enumerate(endpoint.views)]
    seen: set[str] = set()
    for kind, index, name in listed:
        here = (*place, kind, index, "name")
        if name in seen:
            yield SettingProblem(here, f"'{name}' a second time", "each name once")
        seen.add(name)
        if not name.strip() or "," in name or name.startswith("/") or not name.isprintable():
            expected = "a name without comma and control characters that does not begin with '/'"
            yield SettingProblem(here, f"{name!r}", expected)


def _fields(endpoint: EndpointMapping, place: Place) -> Problems:
    soap = _is_soap(endpoint)
    seen: set[str] = set()
    for index, field in enumerate(endpoint.fields):
        here = (*place, "fields", index, "path")
        if soap and not is_element_path(field.path):
            yield SettingProblem(here, f"'{field.path}'", 'a path as "/answer/person/name"')
        elif not soap and not is_pointer(field.path):
            yield SettingProblem(here, f"'{field.path}'", 'a JSON pointer as "/person/name"')
        if field.path in seen:
            yield SettingProblem(here, f"'{field.path}' a second time", "each field once")
        seen.add(field.path)


def _views(endpoint: EndpointMapping, place: Place) -> Problems:
    for index, view in enumerate(endpoint.views):
        here = (*place, "views", index)
        astray = _astray(view, endpoint)
        if astray:
            yield SettingProblem((*here, "source"), astray, "a source that leads to a field")
        elif view.source not in endpoint.field and view.source not in endpoint.view:
            known = ", ".join([*endpoint.field, *endpoint.view])[:500] or "it has none"
            expected = f"a field or view of this endpoint: {known}"
            yield SettingProblem((*here, "source"), f"'{view.source}'", expected)
        else:
            yield from _fit(view, endpoint, here)


def _astray(view: View, endpoint: EndpointMapping) -> str:
    """Why a view's sources never come to an end, with the way back to itself; empty otherwise."""
    way = [view.name]
    current: View | None = view
    while current is not None and current.source not in endpoint.field:
        way.append(current.source)
        if current.source == view.name:
            return "the circle " + " → ".join(f"'{name}'" for name in way)
        if len(way) > MAX_CHAIN:
            return f"more than {MAX_CHAIN} views one after the other: '{view.name}' → '{way[1]}' …"
        current = endpoint.view.get(current.source)
    return ""


def type_of(name: str, endpoint: EndpointMapping) -> FactType | None:
    """The type of a field, or of what a view gives; None for what there is not."""
    found = endpoint.field.get(name) or endpoint.view.get(name)
    return None if found is None else found.type


def _fit(view: View, endpoint: EndpointMapping, place: Place) -> Problems:
    kind = type_of(view.source, endpoint)
    if kind is None:
        return
    if kind not in _FITTING[view.rule]:
        fitting = " or ".join(one.value for one in _FITTING[view.rule])
        found = f"'{view.rule}' of '{view.source}', which is of type {kind}"
        yield SettingProblem((*place, "rule"), found, f"a source of type {fitting}")
        return
    expected = _value_problem(view, kind)
    if expected:
        yield SettingProblem((*place, "value"), f"'{view.value}'", expected)


def _value_problem(view: View, kind: FactType) -> str:
    """What the value should be instead; empty when it fits the rule and the source's type."""
    match view.rule:
        case Rule.PRESENT | Rule.YEAR:
            return "no value: the rule has nothing to compare with" if view.value else ""
        case Rule.YEARS_AT_LEAST:
            years = view.value.isascii() and view.value.isdigit() and len(view.value) < 5
            return "" if years and int(view.value) <= MAX_YEARS else f"years, 0 to {MAX_YEARS}"
        case Rule.ONE_OF:
            choices = view.value.split("|")
            if len(choices) > MAX_CHOICES:
                return f"at most {MAX_CHOICES} values"
            return next(filter(None, (_unfit(choice, kind) for choice in choices)), "")
        case _:
            return _unfit(view.value, kind)


def _unfit(value: str, kind: FactType) -> str:
    """What a value of a type looks like, when this one does not; empty when it does."""
    match kind:
        case FactType.INTEGER:
            return "" if _WHOLE.fullmatch(value) else "a whole number"
        case FactType.NUMBER:
            return "" if _NUMBER.fullmatch(value) else "a number"
        case FactType.BOOLEAN:
            return "" if value in ("true", "false") else "true or false"
        case FactType.DATE:
            return "" if is_day(value) else "a day as 2027-01-31"
        case FactType.DATETIME:
            return "" if _is_moment(value) else "a moment as 2027-01-31T08:00:00Z"
        case _:
            return "" if value else "a text"


def _is_moment(value: str) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False
