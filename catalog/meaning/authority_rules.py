"""Who is the authority for a fact must be clear: at any time and place, there is one at the most.

A territory's own authority comes before the one for everywhere, so these two don't contradict each
other. What templates bring counts like what is declared by itself.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from catalog.meaning.limits import MOST_ALTERNATES
from catalog.meaning.texts import quoted, territory_problems, text_problems
from catalog.meaning.vocabulary import (
    EVERYWHERE,
    Authority,
    ServiceTemplate,
    Vocabulary,
)
from trust.ids import ServiceId, suspicious
from trust.settings import Place, Problems, SettingProblem

_PLAIN = "an identifier without control characters and without any of % : ; / \\"


@dataclass(frozen=True, slots=True)
class _Claim:
    """An authority as somebody wrote it down.

    Attributes:
        ends: the first day on which it is none any more.
    """

    place: Place
    service: ServiceId
    territory: str
    begins: date
    ends: date

    def __str__(self) -> str:
        since = "" if self.begins == date.min else f" from {self.begins}"
        until = "" if self.ends == date.max else f" until {self.ends}"
        return f"{self.service.colons}{since}{until}"


def authority_problems(vocabulary: Vocabulary) -> Problems:
    """What is wrong with authorities and with the instances of templates."""
    for index, authority in enumerate(vocabulary.authorities):
        place: Place = ("authorities", index)
        if not authority.concepts:
            yield SettingProblem((*place, "concepts"), "an empty list", "one concept at least")
        yield from _service((*place, "service"), authority.service)
        yield from _alternates(place, authority)
        yield from territory_problems((*place, "territory"), authority.territory)
        yield from _dates(place, authority)
    for index, template in enumerate(vocabulary.templates):
        place = ("templates", index)
        yield from text_problems((*place, "description"), template.description)
        yield from _dates(place, template)
        yield from _instances(place, template)
    yield from _rivals(vocabulary)


def _service(place: Place, service: ServiceId) -> Problems:
    if service.provider.subsystem_code is None:
        yield SettingProblem(place, quoted(service.colons), "a service of a subsystem")
    elif suspicious(service.parts) or not (service.service_version or "1").strip():
        yield SettingProblem(place, quoted(service.colons), _PLAIN)


def _alternates(place: Place, authority: Authority) -> Problems:
    here = (*place, "alternates")
    if len(authority.alternates) > MOST_ALTERNATES:
        found = f"{len(authority.alternates)} of them"
        yield SettingProblem(here, found, f"at most {MOST_ALTERNATES}")
        return
    named = {authority.service}
    for index, service in enumerate(authority.alternates):
        yield from _service((*here, index), service)
        if service in named:
            found = f"'{service.colons}' a second time"
            yield SettingProblem((*here, index), found, "other services, each once")
        named.add(service)


def _dates(place: Place, one: Authority | ServiceTemplate) -> Problems:
    if one.valid_from and one.valid_until and one.valid_until <= one.valid_from:
        found = f"{one.valid_until}, where valid_from is {one.valid_from}"
        expected = "a later day: the first on which it is no authority any more"
        yield SettingProblem((*place, "valid_until"), found, expected)


def _instances(place: Place, template: ServiceTemplate) -> Problems:
    seen = set()
    for index, instance in enumerate(template.instances):
        here = (*place, "instances", index)
        yield from _service((*here, "service"), instance.service)
        yield from territory_problems((*here, "territory"), instance.territory)
        if instance in seen:
            yield SettingProblem(here, f"'{instance.service.colons}' a second time", "each once")
        seen.add(instance)


def _rivals(vocabulary: Vocabulary) -> Problems:
    """Two authorities for one concept at one time and place, told at both places."""
    claims: dict[tuple[str, str], list[_Claim]] = defaultdict(list)
    for claim, concepts in _claims(vocabulary):
        if claim.begins < claim.ends:
            for concept in dict.fromkeys(concepts):
                claims[concept, claim.territory].append(claim)
    rivals: dict[tuple[Place, Place], tuple[_Claim, _Claim, list[str]]] = {}
    for (concept, _), held in claims.items():
        for one, other in _overlapping(held):
            found = rivals.setdefault((one.place, other.place), (one, other, []))
            found[2].append(concept)
    for one, other, common in rivals.values():
        yield _rival(one, other, common)
        yield _rival(other, one, common)


def _claims(vocabulary: Vocabulary) -> Iterable[tuple[_Claim, tuple[str, ...]]]:
    for index, one in enumerate(vocabulary.authorities):
        begins, ends = one.valid_from or date.min, one.valid_until or date.max
        place: Place = ("authorities", index)
        yield _Claim(place, one.service, one.territory, begins, ends), one.concepts
    for number, template in enumerate(vocabulary.templates):
        begins, ends = template.valid_from or date.min, template.valid_until or date.max
        for index, each in enumerate(template.instances):
            place = ("templates", number, "instances", index)
            yield _Claim(place, each.service, each.territory, begins, ends), template.concepts


def _overlapping(held: list[_Claim]) -> Iterable[tuple[_Claim, _Claim]]:
    """Every claim that begins before an earlier one has ended, with that one."""
    if len(held) == 1:
        return
    longest, *others = sorted(held, key=lambda claim: claim.begins)
    for claim in others:
        if claim.begins < longest.ends:
            yield longest, claim
        if claim.ends > longest.ends:
            longest = claim


def _rival(claim: _Claim, other: _Claim, concepts: list[str]) -> SettingProblem:
    more = f" and {len(concepts) - 1} more" if len(concepts) > 1 else ""
    where = "everywhere" if claim.territory == EVERYWHERE else f"in {quoted(claim.territory)}"
    found = f"{claim} as authority {where} for {concepts[0]}{more}, beside {other}"
    return SettingProblem(claim.place, found, "one authority for a concept at one time and place")
