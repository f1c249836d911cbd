"""What is remembered of one use of somebody's data: who got which facts, what for, under what.

A node keeps a use with the message that it belongs to, in the same commit: as provider with the
answer that gave the facts, as consumer with the answer that it believed; a refusal is kept by
itself, for there is no message. The subject is a keyed pseudonym, never the identifier.

Source: design.md 3, 5.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from node.log.sides import Side
from node.messages.intent import NO_INTENT, Intent
from trust.ids import ClientId, ServiceId

WHOLE = "*"  # in the place of facts: the answer went out as it was


class Openness(StrEnum):
    """When a citizen may see a use."""

    OPEN = "open"  # at once
    DELAYED = "delayed"  # from `visible_from` on
    SEALED = "sealed"  # counted, never shown


@dataclass(frozen=True, slots=True, kw_only=True)
class DataUse:
    """One use.

    Attributes:
        peer: the other server, as in the message log.
        subject: pseudonym; None when the request names nobody that we know of.
        grant: number of the access right that allowed it; 0 when it had no terms.
        given: concept URIs (names of fields without a concept) that the answer had, or WHOLE.
        withheld: paths that the system answered and that did not go out.
        derived: names of the views among those given.
        refusal: why nothing was given, one word of `catalog.terms.Refusal`; empty when it was.
        visible_from: for DELAYED.
        spared: submissions that it spared the subject; told by the resolver alone.
        detail: of a refusal, what only the operator of this node is told.
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
    spared: int = 0
    detail: str = ""


Pseudonym = Callable[[str, str], bytes]  # of a scheme and an identifier in it
Classify = Callable[[DataUse], DataUse]  # says when its subject may see a use
