"""Writes the request for a planned exchange: where the subject and the parameters stand in it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from urllib.parse import quote

from catalog.fields.json_text import build_json
from catalog.fields.paths import filled, steps_of
from catalog.mapping import FixedParameter, Place
from catalog.paths import ServicePath
from node.exchange.own_call import OwnRequest
from node.exchange.own_soap_call import OwnSoapRequest
from node.messages.intent import Intent
from node.once.resolver.planning.plan import PlannedExchange
from trust.errors import MalformedMessage
from trust.ids import ClientId


def build_request(
    exchange: PlannedExchange,
    identifier: str,
    client: ClientId,
    intent: Intent,
    parameters: Mapping[str, str],
    day: date,
) -> OwnRequest | OwnSoapRequest:
    """The request in a client's name; raises MalformedMessage for values that no request can hold.

    Args:
        identifier: the subject's, of the scheme that the exchange names.
        intent: without fields; those that the exchange asks for are put in.
    """
    endpoint, said = exchange.endpoint, replace(intent, fields=exchange.names)
    values = _values(exchange, identifier, parameters, day)
    if exchange.service.type.is_rest:
        return _rest(exchange, values, client, said)
    named = {name: value for each in values.values() for name, value in each.items()}
    return OwnSoapRequest(
        client,
        exchange.service.id,
        {name: value for name, value in named.items() if name.startswith("/")},
        endpoint.namespace,
        endpoint.qualified,
        said,
    )


def _values(
    exchange: PlannedExchange, identifier: str, parameters: Mapping[str, str], day: date
) -> dict[Place, dict[str, str]]:
    """The subject's identifier and the parameters by their place; nothing stands twice."""
    endpoint = exchange.endpoint
    values: dict[Place, dict[str, str]] = {place: {} for place in Place}
    if endpoint.subject is not None:
        values[endpoint.subject.place][endpoint.subject.name] = identifier
    for one in endpoint.parameters:
        value = _value(one, parameters, day)
        if value is None:
            continue
        if one.name in values[one.place]:
            raise MalformedMessage(f"'{one.name[:80]}' stands in the request twice")
        values[one.place][one.name] = value
    return values


def _value(parameter: FixedParameter, parameters: Mapping[str, str], day: date) -> str | None:
    given = parameters.get(parameter.name)
    if given is not None or parameter.default is None:
        return given
    text = parameter.default.replace("{last_year}", str(day.year - 1))
    return text.replace("{today}", day.isoformat())


def _rest(
    exchange: PlannedExchange,
    values: Mapping[Place, Mapping[str, str]],
    client: ClientId,
    intent: Intent,
) -> OwnRequest:
    endpoint, body = exchange.endpoint, values[Place.BODY]
    path = _path(endpoint.path, values[Place.PATH])
    query = values[Place.QUERY].items()
    asked = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query)
    headers = [("Accept", "application/json"), *_headers(intent)]
    if body:
        headers.append(("Content-Type", "application/json"))
    return OwnRequest(
        client,
        exchange.service.id,
        method=endpoint.method,
        rest=f"{path}?{asked}" if asked else path,
        headers=tuple(headers),
        body=build_json(_nested(body)) if body else b"",
    )


def _path(template: str, values: Mapping[str, str]) -> str:
    """The path with its parameters; refuses values that would lead elsewhere."""

    def value_of(name: str) -> str:
        if name not in values:
            raise MalformedMessage(f"The path needs '{name}', which nothing gives")
        return quote(values[name], safe="")

    path = filled(template, value_of)
    if not ServicePath.parse(path).readings:
        raise MalformedMessage("A value would lead to another path")
    return path


def _nested(values: Mapping[str, str]) -> dict[str, object]:
    """A JSON object with texts at these pointers."""
    root: dict[str, object] = {}
    for pointer, value in values.items():
        steps = steps_of(pointer)
        here = root
        for step in steps[:-1]:
            inner = here.setdefault(step, {})
            if not isinstance(inner, dict):
                raise MalformedMessage(f"'{pointer[:80]}' leads into a value")
            here = inner
        if not steps or steps[-1] in here:
            raise MalformedMessage(f"'{pointer[:80]}' can't stand in the request")
        here[steps[-1]] = value
    return root


def _headers(intent: Intent) -> list[tuple[str, str]]:
    named = (
        ("Once-Purpose", intent.purpose),
        ("Once-Legal-Basis", intent.legal_basis),
        ("Once-Procedure", intent.procedure),
        ("Once-Fields", ",".join(intent.fields)),
        ("X-Road-Issue", intent.case),
        ("X-Road-UserId", intent.official),
        ("X-Road-Represented-Party", intent.mandate),
    )
    return [(name, value) for name, value in named if value]
