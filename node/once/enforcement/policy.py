"""A second layer of policy, asked when a right and its terms allow a call.

It may refuse what rights allow, and never allows what they refuse.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

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
        peer: the other node, in text form.
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
    peer: str
    at: datetime


class Policy(Protocol):
    async def judge(self, facts: CallFacts) -> str | None:
        """Why a call is refused, for the provider's operator; None when it is not.

        What it raises refuses, too.
        """
