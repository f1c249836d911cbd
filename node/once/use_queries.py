"""What is asked of the uses that a node keeps, and what is found."""

from dataclasses import dataclass
from datetime import datetime

from node.log.sides import Side
from node.log.uses import DataUse
from trust.ids import ClientId

MAX_PAGE = 1000  # uses


@dataclass(frozen=True, slots=True)
class Citizen:
    """Whose uses are looked up, at which client of this node, and what he may see of them.

    Attributes:
        kept_since: what is older is not told, whether it is removed already or not.
        telling: servers, in text form, that tell of what they gave themselves.
        now: what is delayed until later is not told.
        sealed_until: sealed uses are counted that are older than this.
    """

    subject: bytes
    client: ClientId
    kept_since: datetime
    telling: frozenset[str]
    now: datetime
    sealed_until: datetime


@dataclass(frozen=True, slots=True)
class Period:
    """From a moment on until before another, and which part of what lies between."""

    since: datetime
    until: datetime
    offset: int = 0
    limit: int = MAX_PAGE


@dataclass(frozen=True, slots=True)
class CitizenUses:
    """What a citizen may see.

    Attributes:
        total: uses of the period, whatever the page.
        sealed: those that are never shown, of the whole time that is kept: a count by period
            would tell when each of them was.
        uses: of the page, the latest first.
    """

    total: int
    sealed: int
    uses: tuple[DataUse, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UseQuery:
    """Uses as the institution looks for them; what is None or empty does not matter.

    Attributes:
        before: number of the last use of the page before; None for the first page.
    """

    since: datetime
    until: datetime
    subject: bytes | None = None
    side: Side | None = None
    client: ClientId | None = None
    provider: ClientId | None = None
    purpose: str = ""
    procedure: str = ""
    case: str = ""
    before: int | None = None
    limit: int = MAX_PAGE


@dataclass(frozen=True, slots=True)
class FoundUse:
    """A use with its number, by which the next page goes on."""

    number: int
    use: DataUse
