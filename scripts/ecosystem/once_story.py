"""Once-only, told by its steps: a case, what left the registries for it, and who may see that."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from scripts.ecosystem.clerk import Clerk
from scripts.ecosystem.once_cases import OnceCases
from scripts.ecosystem.once_rights import OnceRights
from scripts.ecosystem.once_views import OnceViews

Step = tuple[str, Callable[[], Awaitable[str]]]


@dataclass(frozen=True, slots=True)
class OnceStory:
    """The steps, in an order in which each finds what it needs; all ask as one clerk."""

    clerk: Clerk

    def steps(self) -> Sequence[Step]:
        """Names, and functions that return a line or raise as those of the story do."""
        cases = OnceCases(self.clerk)
        rights, views = OnceRights(cases), OnceViews(cases)
        return (
            ("a case with a national id alone", cases.first_case),
            ("no more than granted left", cases.nothing_more_left),
            ("a receipt for every value", cases.receipts),
            ("facts derived, values kept", cases.derived),
            ("a purpose that is not granted", rights.another_purpose),
            ("a right given and taken back", rights.given_and_taken),
            ("the citizen sees who looked", views.citizen),
            ("the catalog, here and central", views.catalog),
            ("a plain client notices nothing", views.plain_client),
            ("the figures of all that", views.figures),
            ("the story as pages", views.pages),
        )
