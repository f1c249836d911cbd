"""What a call may have of its answer, and what is remembered of it.

The provider's side asks its `Enforcement` once a call is verified and in the log. An exchange that
nobody set terms for and that is about nobody has no allowance, and passes as it always did.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Protocol

from catalog.access import Decision, TermsNotMet
from catalog.fields.json_text import NoJson
from catalog.fields.reduction import Reduction, reduce_json
from catalog.fields.selection import Selection
from catalog.fields.xml_reduction import reduce_envelope
from catalog.mapping import EndpointMapping
from catalog.paths import ServicePath
from catalog.services import Rule
from catalog.terms import Refusal
from node.body import Section
from node.exchange.request import Request
from node.log.uses import WHOLE, DataUse
from node.messages.intent import Intent
from trust.errors import AccessDenied, MalformedMessage

ATTACHMENTS = "attachments"  # how attachments are named that did not go out
MAX_TOLD = 4096  # bytes of a list of names or paths that is told
_HELD = 1024 * 1024  # bytes of an answer about somebody that wait for what is remembered of it
_HELD_CUT = 32 * 1024 * 1024  # more than any answer that is cut down
_IN_A_THREAD = 256 * 1024  # bytes beyond which an answer is not cut on the event loop


@dataclass(frozen=True, slots=True)
class AskedCall:
    """A call to a service of this node, as terms see it.

    Attributes:
        method, path, query: of a REST call; empty and None for SOAP.
        body: of a REST call, as far as it is there.
        envelope: of a SOAP call.
        peer: the other node, as in the message log.
        at: the moment for which rights are judged.
    """

    request: Request
    intent: Intent
    peer: str
    at: datetime
    method: str = ""
    path: ServicePath | None = None
    query: str = ""
    body: Section | None = None
    envelope: bytes = field(default=b"", repr=False)


class Enforcement(Protocol):
    """Who sees to it that the terms of rights are kept."""

    async def refresh(self) -> None:
        """Make sure of the present rights; raises StorageError."""

    def concerns(self, decision: Decision, intent: Intent) -> bool:
        """Whether a call needs to be admitted; False for one that costs nothing."""

    async def admit(self, call: AskedCall, decision: Decision) -> "Allowance | None":
        """Let a call through that is verified and logged; None when its answer is nobody's concern.

        Raises:
            TermsNotMet: a term fails that `catalog.access.decide` does not look at.
            MalformedMessage: under terms, a request that does not name its one subject.
            StorageError: it can't be told.
        """

    def broken_off(self, use: DataUse) -> None:
        """Remember a use whose answer left in part, and has no record; never fails."""

    def refused(self, call: AskedCall, error: AccessDenied, rule: Rule | None) -> None:
        """Remember a refusal; never fails.

        Args:
            rule: that decided, when one did.
        """


@dataclass(slots=True, kw_only=True)
class Allowance:
    """What one call may have.

    Attributes:
        endpoint: the mapping of the part of the service that is called; None without one.
        selection: what may go out; None for all.
        grant: number of the right with terms; 0 for one without.
        told: whether the consumer is told what was given; only who stated an intent.
        use: of somebody's data, without what was given; None when there is nothing to remember.
        finish: sees a use before it is kept.
    """

    endpoint: EndpointMapping | None
    selection: Selection | None
    grant: int
    told: bool
    at: datetime
    rule: Rule
    use: DataUse | None
    finish: Callable[[DataUse], DataUse]
    answered: bool = True  # whether the system gave facts at all
    reduction: Reduction | None = None
    more_withheld: tuple[str, ...] = ()
    _kept: DataUse | None = None

    @property
    def hold(self) -> int:
        """Bytes of the answer that may not leave before what is remembered of it is durable."""
        if self.selection is not None:
            return _HELD_CUT
        return 0 if self.use is None else _HELD

    async def cut_json(self, raw: bytes) -> Reduction:
        """Cut a JSON answer down; raises TermsNotMet."""
        return await self._cut(reduce_json, raw)

    async def cut_envelope(self, raw: bytes) -> Reduction:
        """Cut a SOAP answer down; raises TermsNotMet."""
        return await self._cut(reduce_envelope, raw)

    async def _cut(
        self, how: Callable[[bytes, Selection, datetime], Reduction], raw: bytes
    ) -> Reduction:
        if self.selection is None:
            raise AssertionError("without a selection nothing is cut")
        work = partial(how, raw, self.selection, self.at)
        try:
            found = await asyncio.to_thread(work) if len(raw) > _IN_A_THREAD else work()
        except NoJson as error:
            raise self.not_reducible(f"the service's answer is no JSON: {error}") from error
        except MalformedMessage as error:
            raise self.not_reducible(f"the service's answer can't be read: {error}") from error
        self.reduction = found
        return found

    def not_reducible(self, why: str) -> TermsNotMet:
        """Nothing leaves; the consumer is told that, and the operator why."""
        return TermsNotMet(Refusal.NOT_REDUCIBLE, (self.rule,), why)

    def nothing_given(self) -> None:
        """The service answered without facts: an error, or no content."""
        self.answered = False

    def notes(self) -> tuple[tuple[str, str], ...]:
        """What the consumer is told: names in lower case with values; empty for a plain one."""
        if not self.told:
            return ()
        withheld = self._withheld()
        if self.selection is not None:
            withheld = (*withheld, *(one for one in self.selection.missing if one not in withheld))
        told = _cut(withheld)
        notes = [("grant", str(self.grant)), ("given", ",".join(_cut(self._given())))]
        if told:
            notes.append(("withheld", ",".join(told)))
        count = len(withheld) + (self.reduction.unnamed if self.reduction else 0)
        if count > len(told):
            notes.append(("withheld-count", str(count)))
        return tuple(notes)

    def data_use(self, time: datetime) -> DataUse | None:
        """What is kept of the answer: the same each time, as it was when it was first told."""
        if self.use is None or self._kept is not None:
            return self._kept
        given = self._whole_or(self._given())
        self._kept = self.finish(
            replace(
                self.use,
                time=time,
                given=tuple(dict.fromkeys(map(self._meaning, given))),
                withheld=self._withheld(),
                derived=self.reduction.derived if self.reduction else (),
            )
        )
        return self._kept

    def _given(self) -> tuple[str, ...]:
        if not self.answered:
            return ()
        return (WHOLE,) if self.reduction is None else self.reduction.given

    def _withheld(self) -> tuple[str, ...]:
        named = self.reduction.withheld if self.reduction else ()
        return (*named, *self.more_withheld)

    def _whole_or(self, given: tuple[str, ...]) -> tuple[str, ...]:
        """All fields there are, of an answer that went out whole."""
        if given == (WHOLE,) and self.endpoint is not None and self.endpoint.fields:
            return tuple(one.name for one in self.endpoint.fields)
        return given

    def _meaning(self, name: str) -> str:
        """The concept of a field or view, or its name."""
        if self.endpoint is None:
            return name
        found = self.endpoint.field.get(name) or self.endpoint.view.get(name)
        return (found.concept if found is not None else "") or name


def _cut(names: tuple[str, ...]) -> tuple[str, ...]:
    """As many as may be told."""
    size = 0
    for place, name in enumerate(names):
        size += len(name.encode("utf-8", "replace")) + 1
        if size > MAX_TOLD:
            return names[:place]
    return names
