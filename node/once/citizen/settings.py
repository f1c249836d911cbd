"""What a citizen may see, for how long, and through whose portal."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from node.once.openness import OpennessRule, rule_problems
from node.once.pseudonyms import SchemeAlias
from trust.ids import ClientId, GlobalGroupId
from trust.settings import Bounds, SettingProblem, setting

_Days = Annotated[timedelta, Bounds(timedelta(0), timedelta(days=3660))]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerSettings:
    """The data tracker: the service by which portals learn of uses of a citizen's data."""

    service_code: str = setting(
        "findUsage", "its service code, which the protocol prescribes for all clients of the node"
    )
    clients: tuple[ClientId, ...] = setting(
        (),
        "portals that may ask; without any, and without groups, there is no such service",
        example=["EX:GOV:70000003:portal"],
    )
    groups: tuple[GlobalGroupId, ...] = setting(
        (), "global groups of portals that may ask", example=["EX:citizen-portals"]
    )
    scheme: str = setting(
        "",
        "scheme of the identifiers that portals send, as mappings name it; a must with portals",
        example="urn:example:national-id",
    )
    state_representation: bool = setting(
        False,
        "who asks about somebody else must name him in X-Road-Represented-Party; the protocol"
        " leaves that to the portal",
    )
    count_sealed_after: _Days = setting(
        timedelta(0), "sealed uses are counted when they are that old"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalSettings:
    """Asking all nodes for the uses of a citizen's data."""

    clients: tuple[ClientId, ...] = setting(
        (),
        "clients of this node that may ask all nodes at /once/v1/usage; without any, nobody may",
        example=["EX:GOV:70000003:portal"],
    )
    deadline: Annotated[timedelta, Bounds(timedelta(seconds=1), timedelta(minutes=5))] = setting(
        timedelta(seconds=20), "who has not answered by then is named as silent"
    )
    patience: Annotated[timedelta, Bounds(timedelta(seconds=1), timedelta(minutes=5))] = setting(
        timedelta(seconds=5), "how long one of them is waited for, so that others get their turn"
    )
    at_once: Annotated[int, Bounds(1, 100)] = setting(16, "exchanges at the same time")
    citizens_at_once: Annotated[int, Bounds(1, 100)] = setting(
        8, "citizens for whom all are asked at the same time; more are asked to come again"
    )
    sources: Annotated[int, Bounds(1, 10_000)] = setting(
        2000, "clients of nodes that are asked at the most; the others are named as not asked"
    )
    uses_of_each: Annotated[int, Bounds(1, 1000)] = setting(
        200, "uses that one of them may tell; of more, the latest"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CitizenSettings:
    """What is remembered of uses of people's data, and told to them."""

    keep: Annotated[timedelta, Bounds(timedelta(days=1), timedelta(days=36_500))] = setting(
        timedelta(days=1827), "how long uses are kept"
    )
    language: str = setting("en", "language of names from the catalog, where it has them")
    aliases: Annotated[tuple[SchemeAlias, ...], Bounds(0, 100)] = setting(
        (), "identifiers that are written differently and mean the same person"
    )
    openness: Annotated[tuple[OpennessRule, ...], Bounds(0, 1000)] = setting(
        (), "uses that citizens see later or never; the first rule that covers a use counts"
    )
    tracker: TrackerSettings = setting(TrackerSettings(), "the data tracker's service")
    portal: PortalSettings = setting(PortalSettings(), "asking all nodes for a citizen")

    def problems(self) -> list[SettingProblem]:
        """What the settings contradict each other in."""
        return [
            *(
                SettingProblem(("openness", *problem.path), problem.found, problem.expected)
                for problem in rule_problems(self.openness)
            ),
            *self._alias_problems(),
            *self._scheme_problems(),
        ]

    def _alias_problems(self) -> Iterator[SettingProblem]:
        seen: set[str] = set()
        for number, alias in enumerate(self.aliases):
            if alias.scheme in seen:
                expected = "each scheme once"
                yield SettingProblem(("aliases", number, "scheme"), f"'{alias.scheme}'", expected)
            seen.add(alias.scheme)

    def _scheme_problems(self) -> Iterator[SettingProblem]:
        tracker = self.tracker
        if not tracker.scheme and (tracker.clients or tracker.groups or self.portal.clients):
            expected = "the scheme of the identifiers that portals send"
            yield SettingProblem(("tracker", "scheme"), "nothing", expected)
