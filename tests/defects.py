"""What can be wrong with a message: one row of what must be refused, as a change to a draft.

Source: transport.md 19.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.drafts import Draft, Part, Parts
from tests.simulator import LivePki

Change = Callable[[Draft, LivePki], None]
GROUP = "service_failed."
CONTENT_TYPE = f"{GROUP}invalid_content_type"


@dataclass(frozen=True)
class Defect:
    """One thing that is wrong.

    Attributes:
        row: of transport.md 19.
        code: without the side.
        body: of the request that has the defect.
    """

    row: int
    name: str
    code: str
    change: Change
    body: bytes | None = None

    def __str__(self) -> str:
        return f"row {self.row} {self.name}"


def envelope(**changes: object) -> Change:
    """Other values of a draft's fields."""

    def change(draft: Draft, _: LivePki) -> None:
        for name, value in changes.items():
            setattr(draft, name, value)

    return change


def http(**headers: str | None) -> Change:
    """Other HTTP headers; None removes one."""

    def change(draft: Draft, _: LivePki) -> None:
        for name, value in headers.items():
            draft.headers.pop(name.replace("_", "-"))
            if value is not None:
                draft.headers[name.replace("_", "-")] = value

    return change


def parts(edit: Callable[[Parts], Parts]) -> Change:
    return envelope(edit_parts=edit)


def without(kind: str) -> Change:
    return parts(lambda found: [part for part in found if part.content_type != kind])


def retyped(kind: str, other: str | None) -> Change:
    return parts(
        lambda found: [
            Part(other, part.data) if part.content_type == kind else part for part in found
        ]
    )


def raw_head(edit: Callable[[bytes], bytes]) -> Change:
    """Another head than the signed one: it is refused before the signature is looked at."""

    def change(draft: Draft, _: LivePki) -> None:
        draft.edit_parts = lambda found: [
            Part(draft.kind, edit(part.data)) if part.content_type == draft.kind else part
            for part in found
        ]

    return change


def header(name: str, value: str | None) -> Change:
    """Another value of a header in the head; None removes it."""
    return lambda draft, _: draft.set_header(name, value)


def lines(edit: Callable[[list[str]], list[str]]) -> Change:
    """Other lines of the head, signed as they are then."""

    def change(draft: Draft, _: LivePki) -> None:
        draft.lines = edit(draft.lines)

    return change
