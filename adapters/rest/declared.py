"""What is wrong between the settings of an adapter in front of a REST service."""

import ipaddress
from collections.abc import Mapping

from adapters.jsontext import parse_pointer
from adapters.operations import PATH_PARAMETER, Operation, is_own_path
from adapters.rest.description import routes_of
from adapters.rest.request import sent_twice
from adapters.rest.route import WITH_BODY, route_of, sent_of
from adapters.rest.settings import (
    AnswerKind,
    RestOperation,
    RestParameter,
    RestSettings,
    Target,
    UpstreamSettings,
    UpstreamTls,
)
from node.network.service_address import ServiceAddress
from trust.errors import ConfigurationError, ExchangeError
from trust.settings import Place, Problems, SettingProblem

_OURS = frozenset({
    "accept", "accept-encoding", "authorization", "connection", "content-encoding",
    "content-length", "content-type", "cookie", "expect", "host", "keep-alive",
    "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", "user-agent",
})  # fmt: skip


def problems_of(settings: RestSettings) -> list[SettingProblem]:
    """Everything, with the place of each."""
    found = [*_upstream(settings.upstream), *_headers(settings)]
    for key, pointer in (("text", settings.errors.text), ("code", settings.errors.code)):
        found += _pointer(pointer, ("errors", key))
    if not settings.operation and settings.from_openapi is None:
        expected = "at least one [[operation]], or [from_openapi]"
        found.append(SettingProblem((), "no operation", expected))
    if settings.from_openapi is not None and not settings.from_openapi.operations:
        text = "the operationIds that are offered"
        found.append(SettingProblem(("from_openapi", "operations"), "an empty list", text))
    names: dict[str, int] = {}
    addresses: dict[tuple[str, str], int] = {}
    for index, operation in enumerate(settings.operation):
        place: Place = ("operation", index)
        if operation.name in names:
            text = f"the name '{operation.name}' a second time"
            found.append(SettingProblem((*place, "name"), text, "a name of its own"))
        address = (operation.method.value, PATH_PARAMETER.sub("{}", operation.path))
        if address in addresses or is_own_path(operation.path):
            text = f"{operation.method} {operation.path} a second time"
            found.append(SettingProblem((*place, "path"), text, "an address of its own"))
        names[operation.name] = addresses[address] = index
        found += _operation(operation, place)
    if not found:
        found += _described(settings)
    return found


def _described(settings: RestSettings) -> Problems:
    """What is wrong in the description, and what it shares with declared operations."""
    if settings.from_openapi is None:
        return
    place: Place = ("from_openapi", "operations")
    try:
        routes = routes_of(settings.from_openapi.file, settings.from_openapi.operations)
    except ConfigurationError as error:
        for problem in error.problems:
            yield SettingProblem(place, f"{problem.file}: {problem.found}", problem.expected)
        return
    declared = [route_of(one).operation for one in settings.operation]
    taken = {one.name for one in declared} | {_address(one) for one in declared}
    for operation in (route.operation for route in routes):
        if taken & {operation.name, _address(operation)} or is_own_path(operation.path):
            text = f"the name or the address of '{operation.name}' a second time"
            yield SettingProblem(place, text, "names and addresses of their own")


def _address(operation: Operation) -> str:
    return f"{operation.method} {PATH_PARAMETER.sub('{}', operation.path)}"


def _upstream(upstream: UpstreamSettings) -> Problems:
    place: Place = ("upstream",)
    given = [key for key in ("key", "basic", "oauth") if getattr(upstream, key) is not None]
    if len(given) > 1:
        text = " and ".join(f"[upstream.{key}]" for key in given)
        yield SettingProblem((*place, given[1]), text, "one of them")
    yield from _address_of(upstream.url, (*place, "url"), secret=bool(given))
    if upstream.health and not upstream.health.startswith("/"):
        yield SettingProblem((*place, "health"), f"'{upstream.health}'", "a path from '/' on")
    yield from _tls(upstream.tls, (*place, "tls"))
    key = upstream.key
    if key is not None and key.at == "header" and key.name.lower() in _OURS - {"authorization"}:
        yield SettingProblem((*place, "key", "name"), f"'{key.name}'", "a header for a key")
    if upstream.oauth is not None:
        oauth = (*place, "oauth")
        if upstream.oauth.tls is not None:
            yield from _tls(upstream.oauth.tls, (*oauth, "tls"))
        yield from _address_of(upstream.oauth.token_url, (*oauth, "token_url"), secret=True)


def _address_of(url: str, place: Place, *, secret: bool) -> Problems:
    """What is wrong with an address; no secret goes over a network in clear."""
    try:
        address = ServiceAddress.parse(url)
    except ExchangeError as error:
        yield SettingProblem(place, error.text, "an address")
        return
    if secret and not address.encrypted and not _is_loopback(address.host):
        text = "a secret for an address without TLS"
        yield SettingProblem(place, text, "an address with 'https:'")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tls(tls: UpstreamTls, place: Place) -> Problems:
    if (tls.certificate is None) != (tls.key is None):
        yield SettingProblem(place, "one of certificate and key", "both or none")


def _headers(settings: RestSettings) -> Problems:
    for name, value in settings.headers.constant.items():
        place: Place = ("headers", "constant", name)
        if not name.isascii() or not name.replace("-", "").isalnum() or name.lower() in _OURS:
            yield SettingProblem(place, f"the header '{name}'", "another header than those of HTTP")
        if not value.isascii() or not value.isprintable() or value != value.strip():
            yield SettingProblem(place, "a value that can't stand in a header", "ASCII text")


def _pointer(pointer: str, place: Place) -> Problems:
    try:
        parse_pointer(pointer)
    except ValueError as error:
        yield SettingProblem(place, str(error), "a JSON pointer such as '/a/b'")


def _operation(operation: RestOperation, place: Place) -> Problems:
    method = operation.ask_method or operation.method
    in_path = PATH_PARAMETER.findall(operation.ask)
    given = {one.name: one for one in operation.parameters}
    names = [one.name for one in operation.parameters]
    for index, one in enumerate(operation.parameters):
        here = (*place, "parameters", index)
        if one.name in names[:index]:
            text = f"the name '{one.name}' a second time"
            yield SettingProblem((*here, "name"), text, "a name of its own")
        yield from _parameter(one, method in WITH_BODY, in_path, here)
    for key, template in (("path", operation.path), ("ask", operation.ask)):
        yield from _template(template, given, (*place, key))
    try:
        sent = {name: sent_of(one, method, in_path) for name, one in given.items()}
    except ValueError:
        sent = {}  # told with the parameter
    for name in sent_twice(sent):
        text = f"'{name}' and another one at the same place of the body"
        yield SettingProblem((*place, "parameters"), text, "a place of its own")
    yield from _pointer(operation.rows, (*place, "rows"))
    yield from _answer(operation, place)


def _parameter(one: RestParameter, has_body: bool, in_path: list[str], place: Place) -> Problems:
    if one.to is Target.BODY and not has_body:
        yield SettingProblem((*place, "to"), "a body", "a request with POST, PUT or PATCH")
    if one.to is Target.HEADER:
        name = one.called or one.name
        plain = name.isascii() and name.replace("-", "").isalnum()
        if not plain or name.lower() in _OURS:
            yield SettingProblem(place, f"the header '{name}'", "another header than those of HTTP")
    if one.called.startswith("/") or (one.called and one.to is Target.BODY):
        yield from _pointer(one.called if one.called.startswith("/") else "", (*place, "called"))
    if one.many and one.name in in_path:
        yield SettingProblem((*place, "many"), "a list in an address", "a single value")


def _template(template: str, given: Mapping[str, RestParameter], place: Place) -> Problems:
    for name in PATH_PARAMETER.findall(template):
        if name not in given or not given[name].required:
            yield SettingProblem(place, f"'{{{name}}}'", "a required parameter of that name")
    if "{" in PATH_PARAMETER.sub("", template):
        yield SettingProblem(place, f"'{template}'", "'{name}' with a name of letters and digits")


def _answer(operation: RestOperation, place: Place) -> Problems:
    wants_fields = operation.answer in (AnswerKind.RECORD, AnswerKind.LIST)
    if wants_fields and not operation.fields:
        yield SettingProblem((*place, "fields"), "no field", "at least one, or another 'answer'")
    if not wants_fields and operation.fields:
        text = f"fields of an answer of the kind '{operation.answer}'"
        yield SettingProblem((*place, "fields"), text, "none")
    names = [one.name for one in operation.fields]
    for index, one in enumerate(operation.fields):
        here = (*place, "fields", index)
        if one.name in names[:index]:
            text = f"the name '{one.name}' a second time"
            yield SettingProblem((*here, "name"), text, "a name of its own")
        if one.at and one.header:
            yield SettingProblem((*here, "header"), "a pointer and a header", "one of them")
        yield from _pointer(one.at, (*here, "at"))
