"""The terms of an access right: what of an answer, for what, how often and how long.

A right without terms is what X-Road knows: everything, whatever for. Source: design.md 5.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Refusal(StrEnum):
    """Why nothing was given, in one word: in fault codes, records, metrics and reports."""

    NO_RIGHT = "no_right"  # told to others as X-Road's plain access_denied
    PURPOSE_MISSING = "purpose_missing"
    PURPOSE_NOT_GRANTED = "purpose_not_granted"
    NOT_YET_VALID = "grant_not_yet_valid"
    EXPIRED = "grant_expired"
    QUOTA_USED_UP = "quota_used_up"
    FIELDS_NOT_GRANTED = "fields_not_granted"  # none of those that were asked for
    NOT_REDUCIBLE = "answer_not_reducible"  # the system answered what no field can be taken from
    POLICY = "refused_by_policy"


@dataclass(frozen=True, slots=True)
class Quota:
    """So many calls in any such time."""

    calls: int
    per: timedelta


@dataclass(frozen=True, slots=True)
class Terms:
    """What a grant allows. Each part that is left empty does not limit.

    Attributes:
        fields: names of fields or views of the service's mapping, concept URIs, or paths; an
            answer is reduced to these. None: the answer goes out whole.
        purposes: URIs, one of which a request must state.
        legal_basis: what the provider relies on; for people and for the record.
        valid_until: the first moment at which it does not hold any more.
    """

    fields: tuple[str, ...] | None = None
    purposes: tuple[str, ...] = ()
    legal_basis: str = ""
    quota: Quota | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None

    def holds(self, at: datetime) -> bool:
        """Whether its dates include the moment."""
        begun = self.valid_from is None or self.valid_from <= at
        return begun and (self.valid_until is None or at < self.valid_until)


NO_TERMS = Terms()
