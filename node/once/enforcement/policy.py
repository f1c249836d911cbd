"""A second layer of policy, asked when a right and its terms allow a call.

It may refuse what rights allow, and never allows what they refuse.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from catalog.services import Rule
from catalog.terms import NO_TERMS
from node.exchange.allowance import AskedCall
from node.messages.intent import Intent
from trust.ids import ClientId, ServiceId


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFacts:
    """What a policy may judge by; nothing that names a person but the official who asks.

    Attributes:
        method, path: of a REST call, the path in one of its readings, each of which is asked for;
            empty for SOAP.
        intent: what the request says; its texts are the consumer's own.
        grant: number of the right that allows the call.
        terms: whether that right has any.
        fields: what the right gives; None for everything.
        about_person: whether the call names somebody that the node knows of.
    """

    client: ClientId
    service: ServiceId
    method: str
    path: str
    intent: Intent
    grant: int
    terms: bool
    fields: tuple[str, ...] | None
    about_person: bool
    at: datetime


def facts_of(call: AskedCall, rule: Rule, *, about_person: bool) -> Iterator[CallFacts]:
    """What a policy judges of a call: for each reading of its path, for it may forbid any of them.

    Args:
        rule: the right that allows the call.
    """
    for path in ("",) if call.path is None else call.path.readings:
        yield CallFacts(
            client=call.request.client,
            service=call.request.service,
            method=call.method,
            path=path,
            intent=call.intent,
            grant=rule.number,
            terms=rule.terms != NO_TERMS,
            fields=rule.terms.fields,
            about_person=about_person,
            at=call.at,
        )


class Policy(Protocol):
    async def judge(self, facts: CallFacts) -> str | None:
        """Why a call is refused, for the provider's operator; None when it is not.

        What it raises refuses, too.
        """
