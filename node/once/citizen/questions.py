"""What a portal asks of the data tracker: three paths, and the parameters of one of them.

Source: e-gov/AJ, dumonitor-openapi.yaml 2.1.0 and Kasutusteabe_esitamise_protokoll.md 1.6.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from urllib.parse import parse_qsl

import msgspec

from node.messages.rest import RestRequestHead
from node.once.use_queries import MAX_PAGE, Period

MAX_OFFSET = 2**31 - 1
MAX_CODE = 255  # characters
_MAX_PARAMETERS = 20
_MAX_MOMENT = 64  # characters
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime(9999, 1, 1, tzinfo=UTC)


class Path(StrEnum):
    """What follows the service code."""

    FIND_USAGE = "/v2/findUsage"
    USAGE_PERIOD = "/v2/usagePeriod"
    HEARTBEAT = "/v2/heartbeat"
    OPENAPI = "/v2/openapi.json"  # ours


class BadQuestion(Exception):
    """A question that is not the protocol's: 400, and this text."""


@dataclass(frozen=True, slots=True)
class FindUsage:
    """A question about somebody.

    Attributes:
        user_code: about whom. asker: who sits at the portal. represented: code of the party in
            whose name, empty without one.
    """

    user_code: str
    asker: str
    represented: str
    period: Period


def find_usage(head: RestRequestHead) -> FindUsage:
    """Read the question of a request; raises BadQuestion."""
    asked = parameters(head.query or "")
    asker = (head.user_id or "").strip()
    if not asker:
        raise BadQuestion("The header X-Road-UserId must say who asks")
    party = head.represented_party
    return FindUsage(
        code("userCode", asked.get("userCode", "")),
        code("X-Road-UserId", asker),
        "" if party is None else party.party_code,
        Period(
            moment("periodStart", asked.get("periodStart", ""), BEGINNING),
            moment("periodEnd", asked.get("periodEnd", ""), END),
            _number("offset", asked.get("offset", "0"), MAX_OFFSET),
            _number("limit", asked.get("limit", str(MAX_PAGE)), MAX_PAGE),
        ),
    )


def parameters(query: str) -> dict[str, str]:
    """The parameters of a query, each of which is there once; raises BadQuestion."""
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS, errors="strict"
        )
    except ValueError as error:
        raise BadQuestion("The query can't be read") from error
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadQuestion("A parameter is there twice")
    return found


def code(name: str, value: str) -> str:
    """Who is meant by a code, or raise BadQuestion for what can't be one."""
    if not value.strip() or len(value) > MAX_CODE or not value.isprintable():
        raise BadQuestion(f"{name} must have 1 to {MAX_CODE} characters that can be printed")
    return value


def moment(name: str, text: str, without: datetime) -> datetime:
    """A time with its zone (RFC 3339), in UTC, or raise BadQuestion.

    Args:
        text: as it stood in a query, where a `+` that nobody encoded has become a space.
        without: what is meant when there is none.
    """
    if not text:
        return without
    try:
        whole = text.replace(" ", "+")
        found = None if len(text) > _MAX_MOMENT else msgspec.convert(whole, datetime)
        if found is not None and found.tzinfo is not None:
            return found.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        pass
    raise BadQuestion(f"{name} must be a time with its zone, such as 2021-01-31T10:20:30Z")


def _number(name: str, text: str, most: int) -> int:
    if text.isascii() and text.isdigit() and len(text) <= len(str(most)) and int(text) <= most:
        return int(text)
    raise BadQuestion(f"{name} must be a whole number from 0 to {most}")
