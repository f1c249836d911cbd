"""What differs between two states, told as single statements."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Facts = Mapping[str, str]  # what it is about, and what is said about it


@dataclass(frozen=True, slots=True)
class Change:
    """One fact that was added, removed or changed."""

    kind: Literal["added", "removed", "changed"]
    what: str  # "server EX/GOV/1/SS1"
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        sign = {"added": "+", "removed": "-", "changed": "~"}[self.kind]
        if self.kind == "changed":
            return f"{sign} {self.what}: {self.before} → {self.after}"
        detail = self.after or self.before
        return f"{sign} {self.what}: {detail}" if detail else f"{sign} {self.what}"


def changes_between(old: Facts, new: Facts) -> Iterator[Change]:
    """What has to be told when `new` takes the place of `old`, in the order of names."""
    for what in sorted({*old, *new}):
        if what not in old:
            yield Change("added", what, after=new[what])
        elif what not in new:
            yield Change("removed", what, before=old[what])
        elif old[what] != new[what]:
            yield Change("changed", what, old[what], new[what])
