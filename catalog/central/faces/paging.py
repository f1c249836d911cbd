"""Long lists in pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from catalog.central.faces.question import Question

DEFAULT_SIZE = 50
LARGEST_SIZE = 200

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Page(Generic[T_co]):
    """A part of a list.

    Attributes:
        number: from 1; one beyond the last page is empty.
    """

    items: Sequence[T_co]
    number: int
    size: int
    total: int

    @property
    def last(self) -> int:
        return max(1, -(-self.total // self.size))


def page_of(everything: Sequence[T], question: Question) -> Page[T]:
    """The part that `page` and `size` ask for; raises BadQuestion."""
    size = question.number("size", DEFAULT_SIZE, LARGEST_SIZE)
    number = question.number("page", 1)
    begin = (number - 1) * size
    return Page(everything[begin : begin + size], number, size, len(everything))
