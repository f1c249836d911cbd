"""Whether a caller may call a service: existence, kind, right, and whether it is switched on.

The order is the reference server's, so that who has no right learns nothing of a disabled service
but that he has no right. Which right with terms counts, and which term is told: decisions/0114.

Source: messages.md 8.1 steps 6 to 9, 8.2; X-Road 7.8 ServerRestMessageProcessor.java,
ServerConfImpl.java.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from catalog.paths import ServicePath
from catalog.services import Rule, ServerConf, Service
from catalog.terms import NO_TERMS, Refusal
from trust.errors import AccessDenied, ServiceDisabled, UnknownService, WrongServiceType
from trust.ids import ClientId, GlobalGroupId, LocalGroupId, ServiceId

InGlobalGroup = Callable[[GlobalGroupId], bool]  # whether the caller is in that group

_TOLD = {
    Refusal.PURPOSE_MISSING: "The request must state its purpose",
    Refusal.PURPOSE_NOT_GRANTED: "The purpose of the request is not granted",
    Refusal.NOT_YET_VALID: "The grant is not valid yet",
    Refusal.EXPIRED: "The grant has expired",
    Refusal.QUOTA_USED_UP: "The quota of the grant is used up",
    Refusal.FIELDS_NOT_GRANTED: "None of the fields that are asked for is granted",
    Refusal.NOT_REDUCIBLE: "The answer of the service can't be reduced to what is granted",
    Refusal.POLICY: "A policy of the provider refuses the request",
}


@dataclass(frozen=True, slots=True)
class Decision:
    """What a call may have.

    Attributes:
        rule: by which it may; its terms are those of the call.
    """

    service: Service
    rule: Rule


class TermsNotMet(AccessDenied):
    """There is a right, but not for this: the consumer is told which term it was, and no more.

    Attributes:
        refusal: the term.
        rules: the rights that cover the call.
        detail: all of it, for the provider's operator; holds no personal data.
    """

    def __init__(self, refusal: Refusal, rules: Sequence[Rule] = (), detail: str = "") -> None:
        super().__init__(_TOLD[refusal], f"{AccessDenied.code}.{refusal}")
        self.refusal = refusal
        self.rules = tuple(rules)
        self.detail = detail


def decide(
    conf: ServerConf,
    caller: ClientId,
    service: ServiceId,
    method: str | None,
    path: ServicePath | None,
    in_global_group: InGlobalGroup,
    *,
    purpose: str = "",
    at: datetime | None = None,
) -> Decision:
    """Find the service that a caller may call now, and the right by which he may.

    A REST call has a method and a path; a SOAP call has neither and needs the right to the whole
    service. A right without terms comes first; of those with terms that are met, the one that
    gives the most.

    Args:
        purpose: that the request states; empty for none.
        at: the moment of the call; without one, no right that has dates is met.

    Raises:
        UnknownService, WrongServiceType, AccessDenied, ServiceDisabled: in this order.
        TermsNotMet: in the place of AccessDenied, to who has a right.
    """
    found = conf.service(service)
    if found is None:
        raise UnknownService(f"Unknown service: {service}")
    _check_kind(found, rest=path is not None)
    rules = granted(conf, caller, service, in_global_group)
    rule = _deciding(covering(rules, method, path), service, purpose, at)
    if found.notice is not None:
        raise ServiceDisabled(f"Service {service} is disabled: {found.notice}")
    return Decision(found, rule)


def _check_kind(service: Service, *, rest: bool) -> None:
    if service.type.is_rest and not rest:
        raise WrongServiceType(
            "Service is a REST service and cannot be called using SOAP interface"
        )
    if not service.type.is_rest and rest:
        raise WrongServiceType(
            "Service is a SOAP service and cannot be called using REST interface"
        )


def covering(
    rules: Sequence[Rule], method: str | None, path: ServicePath | None
) -> tuple[Rule, ...]:
    """Of a caller's rights those that allow a call, terms apart; empty when it is not allowed.

    Every reading of the path must be granted: by one right with terms, for what it gives is one
    thing; by any of those without, which all give everything. Without a method and path only a
    right to the whole service counts.
    """
    if method is None or path is None:
        return tuple(rule for rule in rules if rule.is_base)
    readings = path.readings
    if not readings:
        return ()
    plain = [
        rule
        for rule in rules
        if rule.terms == NO_TERMS and any(rule.covers(method, each) for each in readings)
    ]
    if not all(any(rule.covers(method, each) for rule in plain) for each in readings):
        plain = []
    with_terms = (
        rule
        for rule in rules
        if rule.terms != NO_TERMS and all(rule.covers(method, each) for each in readings)
    )
    return (*plain, *with_terms)


def _deciding(rules: Sequence[Rule], service: ServiceId, purpose: str, at: datetime | None) -> Rule:
    """The right that counts of those that cover a call; raises AccessDenied or TermsNotMet."""
    if not rules:
        raise AccessDenied(f"Request is not allowed: {service}")
    plain = next((rule for rule in rules if rule.terms == NO_TERMS), None)
    if plain is not None:
        return plain
    valid = [rule for rule in rules if _holds(rule, at)]
    met = [rule for rule in valid if not rule.terms.purposes or purpose in rule.terms.purposes]
    if not met:
        raise TermsNotMet(_term_not_met(rules, valid, purpose, at), rules, _detail(rules, purpose))
    return min(met, key=_breadth)


def _holds(rule: Rule, at: datetime | None) -> bool:
    terms = rule.terms
    if at is None:
        return terms.valid_from is None and terms.valid_until is None
    return terms.holds(at)


def _breadth(rule: Rule) -> tuple[bool, int, int]:
    """Smaller for what gives more."""
    fields = rule.terms.fields
    return fields is not None, -len(fields or ()), rule.number


def _term_not_met(
    rules: Sequence[Rule], valid: Sequence[Rule], purpose: str, at: datetime | None
) -> Refusal:
    if valid:
        return Refusal.PURPOSE_NOT_GRANTED if purpose else Refusal.PURPOSE_MISSING
    starts = (rule.terms.valid_from for rule in rules)
    if at is not None and any(start is not None and start > at for start in starts):
        return Refusal.NOT_YET_VALID
    return Refusal.EXPIRED


def _detail(rules: Sequence[Rule], purpose: str) -> str:
    return f"purpose stated: {purpose or 'none'}; " + "; ".join(map(describe_rule, rules))


def describe_rule(rule: Rule) -> str:
    """A right with its terms in one line, for the provider's operator."""
    terms = rule.terms
    said = [f"grant {rule.number} to {rule.subject}"]
    if terms.purposes:
        said.append(f"purposes {', '.join(terms.purposes)}")
    if terms.valid_from is not None:
        said.append(f"from {terms.valid_from:%Y-%m-%dT%H:%M:%SZ}")
    if terms.valid_until is not None:
        said.append(f"until {terms.valid_until:%Y-%m-%dT%H:%M:%SZ}")
    return " ".join(said)


def granted(
    conf: ServerConf,
    caller: ClientId,
    service: ServiceId,
    in_global_group: InGlobalGroup,
    at: datetime | None = None,
) -> tuple[Rule, ...]:
    """The rights to a service that the caller has, directly or by a group.

    Rights of a member say nothing of its subsystems, nor the other way round.

    Args:
        at: leaves out those whose dates do not include the moment; without one, none is left out.
    """

    def is_meant(rule: Rule) -> bool:
        match rule.subject:
            case GlobalGroupId():
                return in_global_group(rule.subject)
            case LocalGroupId():
                return conf.in_local_group(service.provider, rule.subject, caller)
            case subject:
                return subject == caller

    return tuple(
        rule
        for rule in conf.rules(service)
        if is_meant(rule) and (at is None or rule.terms.holds(at))
    )
