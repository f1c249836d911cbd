"""Who used a person's data: the portal's answer as the values that its page is rendered from."""

from dataclasses import dataclass
from typing import cast

import msgspec

from catalog.meaning.vocabulary import Concept, Labels, Procedure, Purpose, Vocabulary
from node.once.citizen.collected import Asked, Collected
from node.once.citizen.names import MemberNames, Words
from node.once.citizen.page import Reading
from node.once.citizen.sources import Source, Standing
from node.once.citizen.told import Usage
from scripts.ecosystem.case_system import decoded
from trust.ids import ClientId, ServerId

_LANGUAGE = "en"


class _Usage(Usage, frozen=True, kw_only=True):
    """A use with the names that the portal's node has for what it speaks of."""

    toldBy: str  # noqa: N815 - as the answer has it, and those below
    purposeName: str = ""  # noqa: N815
    procedureName: str = ""  # noqa: N815
    factNames: tuple[str, ...] = ()  # noqa: N815


class _Source(msgspec.Struct, frozen=True):
    client: str
    server: str
    standing: Standing
    memberName: str = ""  # noqa: N815
    reason: str = ""


class _Answer(msgspec.Struct, frozen=True):
    usages: tuple[_Usage, ...]
    moreUsages: int  # noqa: N815
    sealedUsages: int  # noqa: N815
    sources: tuple[_Source, ...]


@dataclass(frozen=True, slots=True)
class Used:
    """What `node.once.citizen.page` renders."""

    found: Collected
    reading: Reading


def read_used(raw: bytes) -> Used:
    """Read the portal's answer, or raise MalformedMessage."""
    answer = decoded(raw, _Answer)
    asked = tuple(
        Asked(
            Source(ClientId.from_header(one.client), ServerId.from_header(one.server)),
            one.standing,
            one.reason,
        )
        for one in answer.sources
    )
    usages = tuple((ClientId.from_header(one.toldBy), cast(Usage, one)) for one in answer.usages)
    found = Collected(usages, answer.moreUsages, answer.sealedUsages, asked)
    names = MemberNames(
        {
            each.source.client.member: one.memberName
            for each, one in zip(asked, answer.sources, strict=True)
        }
    )
    return Used(found, Reading(Words(_LANGUAGE, _vocabulary(answer.usages)), names))


def _vocabulary(usages: tuple[_Usage, ...]) -> Vocabulary:
    """The names that the answer itself has, as the page looks them up."""
    concepts: dict[str, Concept] = {}
    purposes: dict[str, Purpose] = {}
    procedures: dict[str, Procedure] = {}
    for one in usages:
        for uri, name in zip(one.facts, one.factNames, strict=False):
            concepts[uri] = Concept(uri, _labels(name))
        purposes[one.purpose] = Purpose(one.purpose, _labels(one.purposeName), one.legalBasis)
        procedures[one.procedure] = Procedure(
            one.procedure, _labels(one.procedureName), (), one.purpose
        )
    return Vocabulary(
        concepts=tuple(concepts.values()),
        purposes=tuple(purposes.values()),
        procedures=tuple(procedures.values()),
    )


def _labels(name: str) -> Labels:
    return {_LANGUAGE: name}
