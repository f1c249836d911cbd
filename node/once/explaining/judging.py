"""Answers by the very decision that calls are judged by, and says of each right why it fails.

Pure. The order is that of a call: service, right, terms, fields, policy, quota.
Source: catalog/access.py, node/once/enforcement/enforcement.py.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from catalog.access import InGlobalGroup, TermsNotMet, covering, decide
from catalog.declared.term_words import words_of
from catalog.fields.selection import Selection, Spot, select
from catalog.services import AccessRight, Rule, ServerConf, Service
from catalog.terms import NO_TERMS, Refusal, Terms
from node.once.enforcement.subjects import endpoint_of
from node.once.explaining.question import Explanation, Question, RightTold
from trust.errors import AccessDenied, ExchangeError, ServiceDisabled
from trust.ids import GlobalGroupId, LocalGroupId
from trust.settings import format_duration


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What was so at the moment.

    Attributes:
        calls: how often rights with a quota were used within its time, by their numbers.
        policy: why a policy refuses, by the right that would decide; None for no refusal.
    """

    conf: ServerConf
    in_global_group: InGlobalGroup
    at: datetime
    calls: Mapping[int, int]
    policy: Mapping[int, str]


def explain(question: Question, so: Circumstances) -> Explanation:
    """Answer a question; raises MalformedMessage for a path that no call can have."""
    return _Judge(question, so).answer()


def deciding_rule(question: Question, so: Circumstances) -> Rule | None:
    """The right by which the client may call, policy, fields and quota apart."""
    try:
        return _Judge(question, so).decide()[1]
    except ExchangeError:
        return None


class _Judge:
    """One answer in the making."""

    def __init__(self, question: Question, so: Circumstances) -> None:
        self._question, self._so = question, so
        self._service = so.conf.service(question.service)
        rest = self._service is None or self._service.type.is_rest
        self._call = question.call(so.at, rest=rest)

    def decide(self) -> tuple[Service, Rule]:
        """As for a call; raises what `catalog.access.decide` raises."""
        question, so, call = self._question, self._so, self._call
        method = None if call.path is None else call.method
        found = decide(
            so.conf,
            question.client,
            question.service,
            method,
            call.path,
            so.in_global_group,
            purpose=question.purpose,
            at=so.at,
        )
        return found.service, found.rule

    def answer(self) -> Explanation:
        blank = Explanation(
            client=self._question.client,
            service=self._question.service,
            at=self._so.at,
            allowed=False,
            said="",
        )
        try:
            service, rule = self.decide()
            selection = self._selection(service, rule)
            self._check_rest(rule)
        except ExchangeError as error:
            return replace(
                blank,
                refusal=error.code if not isinstance(error, AccessDenied) else _word(error),
                said=_sentence(error),
                rights=tuple(self._rights(None)),
                help=tuple(dict.fromkeys(self._help(error))),
            )
        number = f"Grant {rule.number}" if rule.terms != NO_TERMS else f"Right {rule.number}"
        return replace(
            blank,
            allowed=True,
            said=f"{number} to {rule.subject} allows it",
            rights=tuple(self._rights(rule)),
            fields=None if selection is None else tuple(names_out(selection)),
            not_granted=() if selection is None else selection.missing,
        )

    def _selection(self, service: Service, rule: Rule) -> Selection | None:
        """What would go out; None for the whole answer."""
        granted, asked = rule.terms.fields, self._question.fields
        endpoint = endpoint_of(service.mapping, self._call)
        if granted is None and (endpoint is None or not asked):
            return None
        if endpoint is None:
            detail = "no mapping tells where the fields of this endpoint stand"
            raise TermsNotMet(Refusal.NOT_REDUCIBLE, (rule,), detail)
        found = select(endpoint, granted, asked)
        if found.empty:
            raise TermsNotMet(Refusal.FIELDS_NOT_GRANTED, (rule,), ", ".join(asked))
        return found

    def _check_rest(self, rule: Rule) -> None:
        refused = self._so.policy.get(rule.number)
        if refused is not None:
            raise TermsNotMet(Refusal.POLICY, (rule,), refused)
        if _used_up(rule.terms, self._so.calls.get(rule.number, 0)):
            raise TermsNotMet(Refusal.QUOTA_USED_UP, (rule,))

    # --- each right -------------------------------------------------------------------------------

    def _rights(self, deciding: Rule | None) -> Iterator[RightTold]:
        provider = self._so.conf.hosted(self._question.service.provider)
        for origin, rights in (
            ("declared", provider.rights if provider else ()),
            ("granted", provider.grants if provider else ()),
        ):
            for right in rights:
                if right.service_code == self._question.service.service_code:
                    yield self._told(origin, right, deciding)

    def _told(self, origin: str, right: AccessRight, deciding: Rule | None) -> RightTold:
        decides = deciding is not None and deciding.number == right.number
        fails = () if decides else tuple(self._fails(right))
        if not fails and not decides and deciding is not None:
            fails = (f"another right comes first: {deciding.number}",)
        return RightTold(
            number=right.number,
            origin=origin,
            subject=str(right.subject),
            endpoint=str(right.endpoint),
            terms=words_of(right.terms),
            decides=decides,
            fails=fails,
        )

    def _fails(self, right: AccessRight) -> Iterator[str]:
        yield from self._fails_for(right)
        terms, at = right.terms, self._so.at
        if terms.valid_from is not None and at < terms.valid_from:
            yield f"it holds from {terms.valid_from:%Y-%m-%dT%H:%M:%SZ} on"
        if terms.valid_until is not None and at >= terms.valid_until:
            yield f"it held until {terms.valid_until:%Y-%m-%dT%H:%M:%SZ}"
        if terms.purposes and self._question.purpose not in terms.purposes:
            said = self._question.purpose or "no purpose"
            yield f"it is for other purposes than {said}"
        used = self._so.calls.get(right.number, 0)
        if terms.quota is not None and _used_up(terms, used):
            yield f"{used} of {terms.quota.calls} calls per {format_duration(terms.quota.per)} made"
        if right.number in self._so.policy:
            yield f"a policy refuses: {self._so.policy[right.number]}"

    def _fails_for(self, right: AccessRight) -> Iterator[str]:
        client, subject = self._question.client, right.subject
        match subject:
            case GlobalGroupId():
                if not self._so.in_global_group(subject):
                    yield f"the client is not in the group {subject.colons}"
            case LocalGroupId():
                provider = self._question.service.provider
                if not self._so.conf.in_local_group(provider, subject, client):
                    yield f"the client is not in the local group {subject.group_code}"
            case _:
                if subject != client:
                    yield "it is another client's"
        if self._service is not None and not self._covers(right):
            yield f"it is for {right.endpoint} alone"

    def _covers(self, right: AccessRight) -> bool:
        rules = self._so.conf.rules(self._question.service)
        mine = tuple(rule for rule in rules if rule.number == right.number)
        call = self._call
        return bool(covering(mine, None if call.path is None else call.method, call.path))

    # --- what would help --------------------------------------------------------------------------

    def _help(self, error: ExchangeError) -> Iterator[str]:
        if self._service is None:
            yield from self._other_services()
        elif isinstance(error, ServiceDisabled):
            yield "The provider switches the service on again"
        elif isinstance(error, TermsNotMet):
            yield from self._meeting(error)
        elif isinstance(error, AccessDenied):
            yield from self._asking()

    def _other_services(self) -> Iterator[str]:
        service = self._question.service
        hosted = self._so.conf.client(service.provider)
        if hosted is None:
            yield (
                f"This node hosts no {service.provider} that is registered;"
                " the operator of the node that does can tell"
            )
            return
        same = [one.id for one in hosted.services if one.id.service_code == service.service_code]
        known = ", ".join(one.colons for one in same or [one.id for one in hosted.services])
        yield f"It has: {known}" if known else "It has no services"

    def _asking(self) -> Iterator[str]:
        question = self._question
        yield (
            "The client's institution asks for a grant: sacbe grant request --client"
            f" {question.client.colons} --service {question.service.colons} …"
        )
        for rule in self._so.conf.rules(question.service):
            if isinstance(rule.subject, GlobalGroupId):
                yield f"Or the central operator takes it into the group {rule.subject.colons}"

    def _meeting(self, error: TermsNotMet) -> Iterator[str]:
        terms = [rule.terms for rule in error.rules]
        match error.refusal:
            case Refusal.PURPOSE_MISSING | Refusal.PURPOSE_NOT_GRANTED:
                purposes = sorted({one for each in terms for one in each.purposes})
                yield f"The request states one of the purposes: {', '.join(purposes)}"
            case Refusal.NOT_YET_VALID:
                begins = min(each.valid_from for each in terms if each.valid_from is not None)
                yield f"The client calls from {begins:%Y-%m-%dT%H:%M:%SZ} on"
            case Refusal.EXPIRED:
                yield from self._asking()
            case Refusal.QUOTA_USED_UP:
                yield "The client waits, or asks for a grant with a larger quota"
            case Refusal.FIELDS_NOT_GRANTED:
                names = sorted({one for each in terms for one in each.fields or ()})
                yield f"The request asks for what is granted: {', '.join(names)}"
            case Refusal.NOT_REDUCIBLE:
                yield "The provider declares a mapping for this endpoint"
            case Refusal.POLICY:
                yield "The provider changes the policy"


def names_out(selection: Selection) -> Iterator[str]:
    """The names of fields and views that a selection lets out, in the order of their places."""
    yield from dict.fromkeys(
        _names_out(selection.root, granted=selection.grants_all, asked=selection.asks_all)
    )


def _names_out(spot: Spot, *, granted: bool, asked: bool) -> Iterator[str]:
    granted, asked = granted or spot.grants_all, asked or spot.asks_all
    if (granted or spot.grants) and (asked or spot.asks):
        yield from spot.names
    yield from (derivation.view.name for derivation, _ in spot.views)
    for below in spot.below.values():
        yield from _names_out(below, granted=granted, asked=asked)


def _used_up(terms: Terms, used: int) -> bool:
    return terms.quota is not None and used >= terms.quota.calls


def _word(error: AccessDenied) -> str:
    return error.refusal if isinstance(error, TermsNotMet) else Refusal.NO_RIGHT


def _sentence(error: ExchangeError) -> str:
    detail = error.detail if isinstance(error, TermsNotMet) else ""
    return f"{error.text} ({detail})" if detail else error.text
