"""Which uses a citizen may see at once, later or never: classes by policy, each with its law.

The first rule that covers a use decides; what none covers is open. Nothing is hidden without a
legal basis, and what is sealed is still counted.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Annotated

from node.log.uses import DataUse, Openness
from trust.ids import ClientId, GlobalGroupId
from trust.settings import Bounds, SettingProblem, required, setting

ANY_PART = "*"
InGroup = Callable[[ClientId, GlobalGroupId], bool]

_LONGEST = timedelta(days=36_500)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpennessRule:
    """Uses of one class. A condition that is left out is met; of several all must be met."""

    openness: Openness = required("open, delayed or sealed", example="delayed")
    legal_basis: str = setting(
        "", "the law that allows to hide a use; a must unless it is open", example="Act X, § 7"
    )
    after: Annotated[timedelta, Bounds(timedelta(0), _LONGEST)] | None = setting(
        None, "how long after a use a citizen sees it; for delayed", example="365d"
    )
    clients: tuple[str, ...] = setting(
        (),
        "who asked: INSTANCE:CLASS:CODE:SUBSYSTEM, cut behind any part, * for any part",
        example=["EX:GOV:70000001", "EX:*:*:investigation"],
    )
    groups: tuple[GlobalGroupId, ...] = setting(
        (), "who asked: one of a global group", example=["EX:police"]
    )
    services: tuple[str, ...] = setting(
        (),
        "what was called: INSTANCE:CLASS:CODE:SUBSYSTEM:SERVICE, cut or with * as above",
        example=["EX:GOV:70000002:civil:person"],
    )
    purposes: tuple[str, ...] = setting((), "what for: URIs of purposes")

    def problems(self) -> list[SettingProblem]:
        """What of this rule contradicts itself."""
        found = []
        if self.openness is not Openness.OPEN and not self.legal_basis.strip():
            found.append(SettingProblem(("legal_basis",), "nothing", "the law that allows it"))
        if self.openness is Openness.DELAYED and self.after is None:
            found.append(SettingProblem(("after",), "nothing", "how long uses stay hidden"))
        if self.openness is not Openness.DELAYED and self.after is not None:
            found.append(SettingProblem(("after",), f"given for {self.openness}", "only delayed"))
        anybody = not self.clients and not self.groups  # a purpose is the word of who asks
        if self.openness is not Openness.OPEN and self.purposes and anybody:
            expected = "clients or groups beside them, who may say so"
            found.append(SettingProblem(("purposes",), "purposes that anybody states", expected))
        for name, most in (("clients", 4), ("services", 6)):
            for number, pattern in enumerate(getattr(self, name)):
                if not _is_pattern(pattern, most):
                    expected = f"one to {most} parts with ':' between them"
                    found.append(SettingProblem((name, number), f"'{pattern}'", expected))
        return found


def _is_pattern(pattern: str, most: int) -> bool:
    parts = pattern.split(":")
    return len(parts) <= most and all(part.strip() for part in parts)


def rule_problems(rules: Iterable[OpennessRule]) -> list[SettingProblem]:
    """What the rules contradict themselves in; paths begin with a rule's position."""
    return [
        SettingProblem((number, *problem.path), problem.found, problem.expected)
        for number, rule in enumerate(rules)
        for problem in rule.problems()
    ]


@dataclass(frozen=True, slots=True)
class Classes:
    """The policy of a node; `classify` is what every use passes before it is kept.

    Attributes:
        in_group: whether a client is in a global group, by the trust list of now.
    """

    rules: tuple[OpennessRule, ...]
    in_group: InGroup

    def classify(self, use: DataUse) -> DataUse:
        rule = next((rule for rule in self.rules if self._covers(rule, use)), None)
        if rule is None or rule.openness is Openness.OPEN:
            return replace(use, openness=Openness.OPEN, visible_from=None)
        if rule.openness is Openness.SEALED:
            return replace(use, openness=Openness.SEALED, visible_from=None)
        visible_from = use.time + (rule.after or timedelta(0))
        return replace(use, openness=Openness.DELAYED, visible_from=visible_from)

    def _covers(self, rule: OpennessRule, use: DataUse) -> bool:
        return (
            self._from_whom(rule, use.client)
            and _one_of(rule.services, use.service.parts)
            and (not rule.purposes or use.intent.purpose in rule.purposes)
        )

    def _from_whom(self, rule: OpennessRule, client: ClientId) -> bool:
        if not rule.clients and not rule.groups:
            return True
        if rule.clients and _one_of(rule.clients, client.parts):
            return True
        return any(self.in_group(client, group) for group in rule.groups)


def _one_of(patterns: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    return not patterns or any(_fits(pattern.split(":"), parts) for pattern in patterns)


def _fits(pattern: list[str], parts: tuple[str, ...]) -> bool:
    """Whether an identifier begins as the pattern does."""
    if len(pattern) > len(parts):
        return False
    return all(wanted in (ANY_PART, part) for wanted, part in zip(pattern, parts, strict=False))
