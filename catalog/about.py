"""What an institution says about a service it offers, for people: life cycle, contact, conditions.

Source: design.md 5; BRegDCAT-AP 2; DCAT-AP 3 (contact point, conditions of use).
"""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class LifeState(StrEnum):
    DRAFT = "draft"  # being prepared: shown, never used by a resolver
    PUBLISHED = "published"
    DEPRECATED = "deprecated"  # works until its day; nothing new should use it
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class LifeCycle:
    """Where a service stands.

    Attributes:
        ends: for a deprecated one, the day from which on it is withdrawn.
        successor: what to use instead, for people.
    """

    state: LifeState = LifeState.PUBLISHED
    ends: date | None = None
    successor: str = ""

    def usable(self, day: date) -> bool:
        """Whether a resolver may ask it on a day."""
        if self.state is LifeState.DEPRECATED:
            return self.ends is None or day < self.ends
        return self.state is LifeState.PUBLISHED


@dataclass(frozen=True, slots=True)
class Contact:
    name: str = ""
    email: str = ""
    phone: str = ""
    url: str = ""

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.name, self.email, self.phone, self.url)))


@dataclass(frozen=True, slots=True)
class About:
    """What an institution says about a service, for people.

    Attributes:
        terms: address or text of the conditions of use.
        keywords: for searching.
        territory: that it is about; empty for all.
        template: URI of the template that it instantiates; empty when there is none.
    """

    description: str = ""
    life: LifeCycle = LifeCycle()
    contact: Contact = Contact()
    terms: str = ""
    keywords: tuple[str, ...] = ()
    territory: str = ""
    template: str = ""


NOTHING_SAID = About()
