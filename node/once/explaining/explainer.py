"""Gathers what was so at a moment, and has the question answered by it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from catalog.services import ServerConf
from catalog.stored.history_store import ServiceHistory
from catalog.stored.store import ServiceStore
from node.once.enforcement.policy import CallFacts, facts_of
from node.once.enforcement.subjects import endpoint_of
from node.once.explaining.judging import Circumstances, deciding_rule, explain
from node.once.explaining.question import Explanation, Question
from node.once.policy.facts import Group, Groups
from trust.configuration.confhistory import FolderFiles, TrustListHistory
from trust.database import Pool, storage_errors
from trust.errors import StorageError
from trust.globalconf import GlobalConf
from trust.ids import GlobalGroupId

Policies = Callable[[CallFacts, Sequence[Group]], Awaitable[str | None]]


class NothingKnown(StorageError):
    """Of so long ago nothing is known any more."""


@dataclass(frozen=True, slots=True)
class _Moment:
    """What was so, and on what that rests."""

    at: datetime
    conf: ServerConf
    trust: GlobalConf | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explainer:
    """Answers questions about a node; everything raises StorageError.

    Attributes:
        trust_lists: folder in which the node keeps them.
        policies: the second layer of now; None for none.
    """

    pool: Pool
    trust_lists: Path
    clock: Callable[[], datetime]
    policies: Policies | None = None

    async def explain(self, question: Question) -> Explanation:
        """Answer; raises MalformedMessage for a path that no call can have."""
        moment = await self._moment(question.at)
        so = Circumstances(
            moment.conf,
            lambda group: _in_group(moment, question, group),
            moment.at,
            await self._calls(question, moment),
            {},
        )
        so = replace(so, policy=await self._policy(question, so, moment))
        answer = explain(question, so)
        return replace(answer, notes=(*moment.notes, *self._more_notes(question, moment)))

    async def _moment(self, at: datetime | None) -> _Moment:
        now, notes = self.clock(), []
        conf = present = await ServiceStore(self.pool).load()
        if at is not None and at < now:
            past = await ServiceHistory(self.pool).at(at, present)
            if at < past.begins:
                raise NothingKnown(
                    f"What this node hosted is known since {past.begins:%Y-%m-%dT%H:%M:%SZ}"
                )
            conf = past.conf
            if past.since is not None:
                notes.append(f"Services and rights as of {past.since:%Y-%m-%dT%H:%M:%SZ}")
        moment = at or now
        trust, told = await asyncio.to_thread(_trust_list, self.trust_lists, moment)
        return _Moment(moment, conf, trust, (*notes, told))

    async def _calls(self, question: Question, moment: _Moment) -> Mapping[int, int]:
        found = {}
        for rule in moment.conf.rules(question.service):
            if (quota := rule.terms.quota) is not None:
                since = moment.at - quota.per
                found[rule.number] = await self._count(rule.number, since, moment.at)
        return found

    async def _count(self, grant: int, since: datetime, until: datetime) -> int:
        with storage_errors("Uses can't be counted"):
            return int(await self.pool.fetchval(_COUNT, grant, since, until))

    async def _policy(
        self, question: Question, so: Circumstances, moment: _Moment
    ) -> Mapping[int, str]:
        rule = None if self.policies is None else deciding_rule(question, so)
        if self.policies is None or rule is None:
            return {}
        service = so.conf.service(question.service)
        rest = service is not None and service.type.is_rest
        call = question.call(so.at, rest=rest)
        mapped = None if service is None else endpoint_of(service.mapping, call)
        groups = Groups(lambda: moment.trust, lambda: so.conf).of(
            question.client, question.service.provider, so.at
        )
        about_person = mapped is not None and mapped.subject is not None
        for facts in facts_of(call, rule, about_person=about_person):
            refused = await self.policies(replace(facts, service=question.service), groups)
            if refused is not None:
                return {rule.number: refused}
        return {}

    def _more_notes(self, question: Question, moment: _Moment) -> tuple[str, ...]:
        notes = []
        trust = moment.trust
        if trust is not None and not trust.servers_of(question.client, moment.at):
            notes.append(
                f"No server may speak for {question.client}, says the trust list: its calls would"
                " be refused before anything else"
            )
        if self.policies is not None:
            said = "Policies as they are now"
            notes.append(f"{said}; a case, an official and a mandate were not stated")
        return tuple(notes)


def _in_group(moment: _Moment, question: Question, group: GlobalGroupId) -> bool:
    trust = moment.trust
    return trust is not None and trust.in_group(question.client, group, moment.at)


def _trust_list(folder: Path, at: datetime) -> tuple[GlobalConf | None, str]:
    """The trust list of a moment, and what is to be said of it. Reads many files."""
    history = TrustListHistory(FolderFiles(folder))
    found = history.at(at)
    if found is None:
        return None, f"{history.why_none(at)}; global groups count as empty"
    known = [one.since for one in history.versions if one.since <= at]
    return found, f"Trust list as of {known[-1]:%Y-%m-%dT%H:%M:%SZ}"


# Calls are counted twice: for the quota while that runs, and as uses for as long as those are kept.
_COUNT = """
SELECT greatest(
    (SELECT count(*) FROM quota_call WHERE grant_number = $1 AND time > $2 AND time <= $3),
    (SELECT count(*) FROM data_use WHERE grant_number = $1 AND time > $2 AND time <= $3
        AND side = 'provider' AND refusal = ''))
"""
