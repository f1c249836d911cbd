"""What facts and procedures are called: as the node's own catalog has it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from scripts.ecosystem.case_system import CaseSystem, decoded

CONCEPTS, PROCEDURES = "/catalog/v1/concepts?size=200", "/catalog/v1/procedures?size=200"
LANGUAGE = "en"


class _Labelled(msgspec.Struct, frozen=True):
    uri: str
    labels: dict[str, str]
    legal_basis: str = ""
    purpose: str = ""


class _Listed(msgspec.Struct, frozen=True):
    items: tuple[_Labelled, ...]


@dataclass(frozen=True, slots=True)
class Procedure:
    """A procedure that a case may be opened for."""

    uri: str
    name: str
    legal_basis: str = ""
    purpose: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """Names by URI; what has none is called by its URI."""

    facts: Mapping[str, str] = field(default_factory=dict)
    procedures: Mapping[str, Procedure] = field(default_factory=dict)

    def fact(self, uri: str) -> str:
        return self.facts.get(uri) or uri

    def procedure(self, uri: str) -> str:
        found = self.procedures.get(uri)
        return uri if found is None else found.name


async def fetch_words(system: CaseSystem) -> Words:
    """Ask the node's catalog; raises as `CaseSystem.fetch`, and MalformedMessage."""
    concepts = decoded(await system.fetch(CONCEPTS), _Listed)
    procedures = decoded(await system.fetch(PROCEDURES), _Listed)
    return Words(
        {one.uri: _label(one) for one in concepts.items},
        {
            one.uri: Procedure(one.uri, _label(one), one.legal_basis, one.purpose)
            for one in procedures.items
        },
    )


def _label(one: _Labelled) -> str:
    return one.labels.get(LANGUAGE) or next(iter(one.labels.values()), "") or one.uri
