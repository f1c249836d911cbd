"""What is remembered of one use of somebody's data: who got which facts, what for, under what.

A node keeps a use with the message that it belongs to, in the same commit: as provider with the
answer that gave the facts (or with the refusal), as consumer with the answer that it believed.
The subject is a keyed pseudonym, never the identifier. Source: design.md 3, 5.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from node.log.records import Side
from trust.ids import ClientId, ServiceId


class Openness(StrEnum):
    """When a citizen may see a use."""

    OPEN = "open"  # at once
    DELAYED = "delayed"  # from `visible_from` on
    SEALED = "sealed"  # counted, never shown


@dataclass(frozen=True, slots=True)
class Intent:
    """What a request says it is for; empty where it says nothing.

    Attributes:
        purpose, legal_basis, procedure: `Once-Purpose`, `Once-Legal-Basis`, `Once-Procedure`.
        fields: `Once-Fields`: what is asked for; empty for all that is granted.
        case: X-Road's issue. official: its user id. mandate: its represented party.
    """

    purpose: str = ""
    legal_basis: str = ""
    procedure: str = ""
    fields: tuple[str, ...] = ()
    case: str = ""
    official: str = ""
    mandate: str = ""

    @property
    def stated(self) -> bool:
        """Whether the request speaks of once-only at all; a plain one does not."""
        return bool(self.purpose or self.legal_basis or self.procedure or self.fields)


NO_INTENT = Intent()


@dataclass(frozen=True, slots=True, kw_only=True)
class DataUse:
    """One use.

    Attributes:
        peer: the other server, as in the message log.
        subject: pseudonym; None when the request names nobody that we know of.
        grant: number of the access right that allowed it; 0 when it had no terms.
        given: concept URIs (names of fields without a concept) that the answer had.
        withheld: paths that the system answered and that did not go out.
        derived: names of the views among those given.
        refusal: why nothing was given, one word of `node.once.refusals`; empty when it was.
        visible_from: for DELAYED.
    """

    time: datetime
    side: Side
    exchange_id: str
    message_id: str
    client: ClientId
    service: ServiceId
    peer: str = ""
    subject: bytes | None = None
    intent: Intent = NO_INTENT
    grant: int = 0
    given: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()
    derived: tuple[str, ...] = ()
    refusal: str = ""
    openness: Openness = Openness.OPEN
    visible_from: datetime | None = None
