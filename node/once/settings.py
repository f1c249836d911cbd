"""Once-only at a node: who may be told what of whom, and how facts are asked for."""

from dataclasses import dataclass

from node.once.citizen.settings import CitizenSettings
from node.once.granting.settings import GrantSettings
from node.once.policy.settings import PolicySettings
from node.once.resolver.settings import ResolverSettings
from trust.settings import SettingProblem, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class OnceSettings:
    """All of `[once]`."""

    resolver: ResolverSettings = setting(
        ResolverSettings(), "facts about a subject, asked from the registries that have them"
    )
    grants: GrantSettings = setting(GrantSettings(), "grants that are asked for and approved")
    policies: PolicySettings = setting(
        PolicySettings(), "further conditions for calls that rights allow"
    )
    citizens: CitizenSettings = setting(
        CitizenSettings(), "what is remembered of uses of people's data, and told to them"
    )

    def problems(self) -> list[SettingProblem]:
        """What the settings contradict each other in."""
        return [
            SettingProblem(("citizens", *problem.path), problem.found, problem.expected)
            for problem in self.citizens.problems()
        ]
