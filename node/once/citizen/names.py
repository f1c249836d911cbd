"""Names for people: of institutions, their systems, purposes, procedures and facts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from catalog.central.entries import Catalog
from catalog.meaning.vocabulary import NO_VOCABULARY, Concept, Procedure, Purpose, Vocabulary
from catalog.meaning.words import label_of
from node.log.uses import WHOLE
from trust.globalconf import GlobalConf
from trust.ids import ClientId


@dataclass(frozen=True, slots=True)
class Words:
    """What URIs are called; without a catalog, or a name in it, they are their own names."""

    language: str
    vocabulary: Vocabulary = NO_VOCABULARY

    @classmethod
    def of(cls, catalog: Catalog | None, language: str) -> "Words":
        return cls(language, NO_VOCABULARY if catalog is None else catalog.vocabulary)

    def purpose(self, uri: str) -> str:
        return self._label(self.vocabulary.purpose, uri)

    def procedure(self, uri: str) -> str:
        return self._label(self.vocabulary.procedure, uri)

    def fact(self, uri: str) -> str:
        return "the whole answer" if uri == WHOLE else self._label(self.vocabulary.concept, uri)

    def _label(self, known: Mapping[str, Concept | Procedure | Purpose], uri: str) -> str:
        found = known.get(uri)
        return uri if found is None else label_of(found.labels, self.language) or uri


@dataclass(frozen=True, slots=True)
class MemberNames:
    """What members and subsystems are called in the trust list."""

    names: Mapping[ClientId, str] = field(default_factory=dict)

    @classmethod
    def among(cls, conf: GlobalConf, clients: Iterable[ClientId], at: datetime) -> "MemberNames":
        """The names of these clients and their members, by one look through the list."""
        wanted = {one for client in clients for one in (client, client.member)}
        members = {one for one in wanted if one.subsystem_code is None}
        found: dict[ClientId, str] = {}
        for instance in conf.visible(at):
            for member in instance.shared.members:
                if member.id in members:
                    found[member.id] = member.name
                    named = ((one.id, one.name) for one in member.subsystems if one.id in wanted)
                    found.update((id, name) for id, name in named if name)
        return cls(found)

    def member(self, client: ClientId) -> str:
        """The institution's name; empty where it is not known."""
        return self.names.get(client.member, "")

    def system(self, client: ClientId) -> str:
        """The system's name, else its code; a member that asks itself has its own."""
        return self.names.get(client) or client.subsystem_code or client.member_code
