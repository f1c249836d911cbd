"""What the metadata services list: the services of a provider, and those that a caller may call.

Services that are disabled are listed too; those of the node itself never.

Source: metadata.md 3, 5; X-Road 7.8 ServerConfImpl.java (getRestServices, getAllowedRestServices).
"""

from collections.abc import Callable, Iterable
from datetime import datetime

from lxml import etree

from catalog.access import InGlobalGroup, granted
from catalog.services import Endpoint, Rule, ServerConf, Service, ServiceType
from trust.ids import IDENTIFIERS_NAMESPACE, XROAD_NAMESPACE, ClientId

_IDENTIFIERS = "id"  # prefix, where the request has none for that namespace


def soap_services(conf: ServerConf, provider: ClientId) -> tuple[Service, ...]:
    """The SOAP services of a provider."""
    return _services(conf, provider, lambda kind: not kind.is_rest)


def rest_services(conf: ServerConf, provider: ClientId) -> tuple[Service, ...]:
    """The REST services of a provider, described or not."""
    return _services(conf, provider, lambda kind: kind.is_rest)


def _services(
    conf: ServerConf, provider: ClientId, wanted: Callable[[ServiceType], bool]
) -> tuple[Service, ...]:
    client = conf.client(provider)
    found = () if client is None else client.services
    return tuple(service for service in found if wanted(service.type))


def allowed(
    conf: ServerConf,
    services: Iterable[Service],
    caller: ClientId,
    in_global_group: InGlobalGroup,
    at: datetime | None = None,
) -> tuple[tuple[Service, tuple[Rule, ...]], ...]:
    """Those services to which the caller has any right, with his rights.

    Args:
        at: leaves out rights whose dates do not include the moment.
    """
    with_rules = (
        (service, granted(conf, caller, service.id, in_global_group, at)) for service in services
    )
    return tuple((service, rules) for service, rules in with_rules if rules)


def allowed_endpoints(endpoints: Iterable[Endpoint], rules: Iterable[Rule]) -> tuple[Endpoint, ...]:
    """Those endpoints that some right matches, their patterns taken as paths."""
    rules = tuple(rules)
    return tuple(
        endpoint
        for endpoint in endpoints
        if any(rule.covers(endpoint.method, endpoint.path) or _is(rule, endpoint) for rule in rules)
    )


def _is(rule: Rule, endpoint: Endpoint) -> bool:
    return (rule.method, rule.glob.pattern) == (endpoint.method.upper(), endpoint.path)


def rest_entry(service: Service, endpoints: Iterable[Endpoint]) -> dict[str, object]:
    """A REST service as `listMethods` has it; absent parts are left out, the endpoints never."""
    provider = service.id.provider
    entry: dict[str, object] = {
        "member_class": provider.member_class,
        "member_code": provider.member_code,
        "object_type": "SERVICE",
        "service_code": service.id.service_code,
        "service_type": "OPENAPI" if service.type is ServiceType.OPENAPI else "REST",
    }
    if provider.subsystem_code is not None:
        entry["subsystem_code"] = provider.subsystem_code
    entry["xroad_instance"] = provider.instance
    entry["endpoint_list"] = [
        {"method": endpoint.method, "path": endpoint.path} for endpoint in endpoints
    ]
    return entry


def add_services(wrapper: etree._Element, services: Iterable[Service]) -> None:
    """Put services into the wrapper of a SOAP answer, with the request's prefixes."""
    for service in services:
        element = etree.SubElement(wrapper, f"{{{XROAD_NAMESPACE}}}service", nsmap=_needed(wrapper))
        element.set(f"{{{IDENTIFIERS_NAMESPACE}}}objectType", "SERVICE")
        identifier, provider = service.id, service.id.provider
        for name, value in (
            ("xRoadInstance", provider.instance),
            ("memberClass", provider.member_class),
            ("memberCode", provider.member_code),
            ("subsystemCode", provider.subsystem_code),
            ("serviceCode", identifier.service_code),
            ("serviceVersion", identifier.service_version),
        ):
            if value is not None:
                child = etree.SubElement(element, f"{{{IDENTIFIERS_NAMESPACE}}}{name}")
                child.text = value


def _needed(wrapper: etree._Element) -> dict[str | None, str] | None:
    """A prefix for identifiers, unless there is one; an attribute can't do without."""
    known = {prefix for prefix, uri in wrapper.nsmap.items() if uri == IDENTIFIERS_NAMESPACE}
    return None if known - {None} else {_IDENTIFIERS: IDENTIFIERS_NAMESPACE}
