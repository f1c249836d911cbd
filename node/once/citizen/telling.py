"""From the uses that a node kept to what it tells a portal."""

from collections.abc import Iterable

from node.log.sides import Side
from node.log.uses import DataUse
from node.once.citizen.names import MemberNames, Words
from node.once.citizen.told import MOST_FACTS, Part, Usage

_LINE = 1024  # characters of any text; see told


def usage_of(use: DataUse, action: str, names: MemberNames) -> Usage:
    """One use as it is told.

    Args:
        action: what was done, for people.
    """
    intent, client = use.intent, use.client
    return Usage(
        logtime=use.time,
        action=action[:_LINE],
        receiverCode=client.member_code,
        receiverName=names.member(client)[:_LINE] or None,
        receiverSystem=names.system(client)[:_LINE],
        part=Part.GAVE if use.side is Side.PROVIDER else Part.FETCHED,
        receiver=client.path,
        source=use.service.path,
        purpose=intent.purpose[:_LINE],
        legalBasis=intent.legal_basis[:_LINE],
        procedure=intent.procedure[:_LINE],
        caseId=intent.case[:_LINE],
        facts=_lines(use.given),
        derivedFacts=_lines(use.derived),
        exchangeId=use.exchange_id[:_LINE],
    )


def action_of(use: DataUse, words: Words, title: str) -> str:
    """Why it was done: the procedure, else the purpose, else the name of the service."""
    intent = use.intent
    if intent.procedure:
        return words.procedure(intent.procedure)
    if intent.purpose:
        return words.purpose(intent.purpose)
    return title or use.service.service_code


def _lines(texts: Iterable[str]) -> list[str]:
    return [text[:_LINE] for text in list(texts)[:MOST_FACTS]]
