"""Whether a caller may call a service: existence, kind, right, and whether it is switched on.

The order is the reference server's, so that who has no right learns nothing of a disabled service
but that he has no right.

Source: messages.md 8.1 steps 6 to 9, 8.2; X-Road 7.8 ServerRestMessageProcessor.java,
ServerConfImpl.java.
"""

from collections.abc import Callable

from catalog.paths import ServicePath
from catalog.services import Rule, ServerConf, Service
from trust.errors import AccessDenied, ServiceDisabled, UnknownService, WrongServiceType
from trust.ids import ClientId, GlobalGroupId, LocalGroupId, ServiceId

InGlobalGroup = Callable[[GlobalGroupId], bool]  # whether the caller is in that group


def decide(
    conf: ServerConf,
    caller: ClientId,
    service: ServiceId,
    method: str | None,
    path: ServicePath | None,
    in_global_group: InGlobalGroup,
) -> Service:
    """Find the service that a caller may call now.

    A REST call has a method and a path; a SOAP call has neither and needs the right to the whole
    service.

    Raises:
        UnknownService, WrongServiceType, AccessDenied, ServiceDisabled: in this order.
    """
    found = conf.service(service)
    if found is None:
        raise UnknownService(f"Unknown service: {service}")
    _check_kind(found, rest=path is not None)
    if not may_call(conf, caller, service, method, path, in_global_group):
        raise AccessDenied(f"Request is not allowed: {service}")
    if found.notice is not None:
        raise ServiceDisabled(f"Service {service} is disabled: {found.notice}")
    return found


def _check_kind(service: Service, *, rest: bool) -> None:
    if service.type.is_rest and not rest:
        raise WrongServiceType(
            "Service is a REST service and cannot be called using SOAP interface"
        )
    if not service.type.is_rest and rest:
        raise WrongServiceType(
            "Service is a SOAP service and cannot be called using REST interface"
        )


def may_call(
    conf: ServerConf,
    caller: ClientId,
    service: ServiceId,
    method: str | None,
    path: ServicePath | None,
    in_global_group: InGlobalGroup,
) -> bool:
    """Whether some right of the caller covers the call, in every reading of its path.

    Rights of a member say nothing of its subsystems, nor the other way round. Without a method
    and path only the right to the whole service counts.
    """
    rules = granted(conf, caller, service, in_global_group)
    if method is None or path is None:
        return any(rule.is_base for rule in rules)
    readings = path.readings
    return bool(readings) and all(
        any(rule.covers(method, reading) for rule in rules) for reading in readings
    )


def granted(
    conf: ServerConf, caller: ClientId, service: ServiceId, in_global_group: InGlobalGroup
) -> tuple[Rule, ...]:
    """The rights to a service that the caller has, directly or by a group."""

    def is_meant(rule: Rule) -> bool:
        match rule.subject:
            case GlobalGroupId():
                return in_global_group(rule.subject)
            case LocalGroupId():
                return conf.in_local_group(service.provider, rule.subject, caller)
            case subject:
                return subject == caller

    return tuple(rule for rule in conf.rules(service) if is_meant(rule))
