"""Keeps the terms of rights at the provider's node, and what is to be remembered of each call.

    rights as they are now → fields → policy → quota → the system is asked → its answer is cut

What fails is told to the consumer in one word and to the operator in full; either is remembered.
Source: design.md 5; decisions/0114, 0115, 0116.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from catalog.access import Decision, TermsNotMet, describe_rule
from catalog.fields.selection import Selection, select
from catalog.mapping import EndpointMapping
from catalog.services import Rule, ServerConf
from catalog.terms import NO_TERMS, Refusal
from node.exchange.allowance import Allowance, AskedCall
from node.log.sides import Side
from node.log.uses import Classify, DataUse, Pseudonym
from node.messages.intent import Intent
from node.once.enforcement.policy import Policy, facts_of
from node.once.enforcement.subjects import (
    TwoSubjects,
    endpoint_of,
    may_name_somebody,
    subject_of,
)
from node.once.enforcement.together import Together
from node.once.use_store import UseStore
from trust.errors import AccessDenied, MalformedMessage

_log = logging.getLogger(__name__)

_WHOM = "The request names its subject not at all, in more than one way, or unreadably"
_MOST_KEPT = 50_000  # places of all selections that are kept
_LARGEST_KEPT = 2_000  # places of one
_LONGEST_DETAIL = 1000  # characters


@dataclass(slots=True, kw_only=True)
class Enforcement:
    """What the provider's side asks.

    Attributes:
        fresh: makes the services of the snapshot those of the database.
        pseudonym: of subjects.
        classify: says when a citizen may see a use.
        policy: refuses what rights allow; None for none.
    """

    services: Callable[[], ServerConf]
    fresh: Callable[[], Awaitable[object]]
    uses: UseStore
    pseudonym: Pseudonym
    classify: Classify
    clock: Callable[[], datetime]
    policy: Policy | None = None
    _looking: Together = field(init=False)
    _selections: dict[object, tuple[EndpointMapping, Selection]] = field(default_factory=dict)
    _kept: int = 0  # places

    def __post_init__(self) -> None:
        self._looking = Together(self._look)

    async def refresh(self) -> None:
        """Make sure of the present rights; raises StorageError."""
        await self._looking.done()

    async def _look(self) -> None:
        await self.fresh()

    def concerns(self, decision: Decision, intent: Intent) -> bool:
        """Whether a call needs to be admitted."""
        return (
            decision.rule.terms != NO_TERMS
            or bool(decision.service.mapping.endpoints)
            or intent.stated
            or self.policy is not None
        )

    async def admit(self, call: AskedCall, decision: Decision) -> Allowance | None:
        """Let a verified call through; None when its answer is nobody's concern.

        Raises:
            TermsNotMet: fields, policy or quota.
            MalformedMessage: `invalid_intent`, under terms, for who does not name one subject.
            StorageError: the quota can't be counted.
        """
        service, rule = decision.service, decision.rule
        limited = rule.terms != NO_TERMS
        endpoint = endpoint_of(service.mapping, call)
        subject, unclear = _subject(endpoint, call)
        if endpoint is None:
            unclear = may_name_somebody(service.mapping, call)
        if limited and endpoint is not None and endpoint.subject is not None and subject is None:
            raise MalformedMessage(_WHOM, "invalid_intent")
        selection = self._selection(call.intent, rule, endpoint)
        await self._ask_policy(call, rule, about_person=subject is not None or unclear)
        await self._take_call(call, rule)
        if not (limited or subject is not None or unclear or selection or call.intent.stated):
            return None
        remembered = limited or subject is not None or unclear
        use = self._use(call, rule, endpoint, subject) if remembered else None
        return Allowance(
            endpoint=endpoint,
            selection=selection,
            grant=rule.number if limited else 0,
            told=call.intent.stated,
            at=call.at,
            rule=rule,
            use=use,
            finish=self.classify,
        )

    def broken_off(self, use: DataUse) -> None:
        """Remember a use whose answer left in part, and has no record; never fails."""
        self.uses.keep_apart(use)

    def refused(self, call: AskedCall, error: AccessDenied, rule: Rule | None) -> None:
        """Remember a refusal; never fails."""
        try:
            self._keep_refused(call, error, rule)
        except Exception:  # noqa: BLE001 - the refusal itself must reach its consumer
            _log.exception("A refusal can't be remembered")

    def _keep_refused(self, call: AskedCall, error: AccessDenied, rule: Rule | None) -> None:
        service = self.services().service(call.request.service)
        endpoint = None if service is None else endpoint_of(service.mapping, call)
        subject, _ = _subject(endpoint, call)
        use = self._use(call, rule, endpoint, subject)
        refusal = error.refusal if isinstance(error, TermsNotMet) else Refusal.NO_RIGHT
        rules = error.rules if isinstance(error, TermsNotMet) else ()
        detail = _kept(error.detail) if isinstance(error, TermsNotMet) else ""
        grant = use.grant or min((one.number for one in rules), default=0)
        self.uses.keep_apart(
            self.classify(replace(use, grant=grant, refusal=refusal.value, detail=detail))
        )

    def _selection(
        self, intent: Intent, rule: Rule, endpoint: EndpointMapping | None
    ) -> Selection | None:
        """What may go out; None for all. Raises TermsNotMet when that is nothing."""
        granted = rule.terms.fields
        if endpoint is None:
            if granted is None:
                return None
            why = f"{describe_rule(rule)} is for fields, and no mapping tells where they stand"
            raise TermsNotMet(Refusal.NOT_REDUCIBLE, (rule,), why)
        if granted is None and not intent.fields:
            return None
        selection = self._selected(endpoint, granted, intent.fields)
        if selection.empty:
            why = f"{describe_rule(rule)} does not give {', '.join(intent.fields)[:500]}"
            raise TermsNotMet(Refusal.FIELDS_NOT_GRANTED, (rule,), why)
        return selection

    def _selected(
        self, endpoint: EndpointMapping, granted: tuple[str, ...] | None, asked: tuple[str, ...]
    ) -> Selection:
        """Selections are kept as long as they are small: who asks may think of many large ones."""
        key = (id(endpoint), granted, asked)
        kept = self._selections.get(key)
        if kept is not None and kept[0] is endpoint:
            return kept[1]
        found = select(endpoint, granted, asked)
        places = 1 + sum(path.count("/") + 1 for path in (*asked, *_paths(endpoint)))
        if places > _LARGEST_KEPT:
            return found
        if self._kept + places > _MOST_KEPT:
            self._selections.clear()
            self._kept = 0
        self._kept += places
        self._selections[key] = (endpoint, found)
        return found

    async def _ask_policy(self, call: AskedCall, rule: Rule, *, about_person: bool) -> None:
        if self.policy is None:
            return
        for facts in facts_of(call, rule, about_person=about_person):
            try:
                reason = await self.policy.judge(facts)
            except Exception as error:
                _log.exception("The policy can't be asked")
                raise TermsNotMet(Refusal.POLICY, (rule,), "the policy can't be asked") from error
            if reason is not None:
                why = f"{describe_rule(rule)}: {reason}"[:1000]
                raise TermsNotMet(Refusal.POLICY, (rule,), why)

    async def _take_call(self, call: AskedCall, rule: Rule) -> None:
        """Count the call; the last step, so that only calls that are served count."""
        quota = rule.terms.quota
        if quota is None:
            return
        used = await self.uses.take_call(rule.number, quota, call.at)
        if used is not None:
            why = f"{describe_rule(rule)}: {used} of {quota.calls} calls in {quota.per}"
            raise TermsNotMet(Refusal.QUOTA_USED_UP, (rule,), why)

    def _use(
        self,
        call: AskedCall,
        rule: Rule | None,
        endpoint: EndpointMapping | None,
        subject: str | None,
    ) -> DataUse:
        request = call.request
        scheme = "" if endpoint is None or endpoint.subject is None else endpoint.subject.scheme
        return DataUse(
            time=self.clock(),
            side=Side.PROVIDER,
            exchange_id=request.request_id,
            message_id=request.message_id,
            client=request.client,
            service=request.service,
            peer=call.peer,
            subject=None if subject is None else self.pseudonym(scheme, subject),
            intent=call.intent,
            grant=rule.number if rule is not None and rule.terms != NO_TERMS else 0,
        )


def _kept(detail: str) -> str:
    """As much of a detail as a row holds, and nothing that it can't."""
    return "".join(letter for letter in detail[:_LONGEST_DETAIL] if letter.isprintable())


def _paths(endpoint: EndpointMapping) -> Iterator[str]:
    return (one.path for one in endpoint.fields)


def _subject(endpoint: EndpointMapping | None, call: AskedCall) -> tuple[str | None, bool]:
    """The subject, and whether the call may name somebody in a way that can't be told."""
    try:
        return subject_of(endpoint, call), False
    except TwoSubjects:
        return None, True
