"""What the central catalog says about services: the snapshot that every node gets.

Made by the registry from what nodes answer, numbered, signed with the trust list, kept with its
history. Resolving and searching need nothing but this.

Source: design.md 5; BRegDCAT-AP 2.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from catalog.about import NOTHING_SAID, About
from catalog.mapping import NO_MAPPING, ServiceMapping
from catalog.meaning.vocabulary import NO_VOCABULARY, Vocabulary
from catalog.services import ServiceType
from trust.ids import ClientId, ServiceId


@dataclass(frozen=True, slots=True)
class Availability:
    """How a service did lately, from real traffic: calls, and those that it answered."""

    since: datetime
    calls: int
    answered: int


@dataclass(frozen=True, slots=True)
class CatalogService:
    """One service.

    Attributes:
        endpoints: `METHOD /path` of a REST service, as metadata services tell them.
        plain: whether its node knows nothing of terms, so that answers come whole.
        description_digest: SHA-256 of the description that was harvested; empty without one.
        unheard_since: when its node last told of it, once it has not answered for long; None while
            it answers.
    """

    id: ServiceId
    type: ServiceType
    title: str = ""
    about: About = NOTHING_SAID
    endpoints: tuple[str, ...] = ()
    mapping: ServiceMapping = NO_MAPPING
    plain: bool = False
    description_digest: str = ""
    availability: Availability | None = None
    unheard_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class CatalogMember:
    """A member or subsystem, by the name that people know it by."""

    id: ClientId
    name: str


@dataclass(frozen=True)
class Catalog:
    """One version of the catalog of one instance.

    Attributes:
        left_out: how often it said what this software does not understand, where it was read.
    """

    instance: str
    version: int
    made_at: datetime
    members: tuple[CatalogMember, ...] = ()
    services: tuple[CatalogService, ...] = ()
    vocabulary: Vocabulary = NO_VOCABULARY
    left_out: int = field(default=0, compare=False)

    @cached_property
    def service(self) -> Mapping[ServiceId, CatalogService]:
        """Services by identifier."""
        return {one.id: one for one in self.services}

    @cached_property
    def name_of(self) -> Mapping[ClientId, str]:
        return {one.id: one.name for one in self.members}


CatalogNow = Callable[[], Catalog | None]  # the one that counts; None while there is none
