"""Texts and clients by their places, and words of which only some are known."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, TypeVar

from catalog.central.snapshot.forms import ClientRow
from trust.ids import ClientId, ServiceId

E = TypeVar("E", bound=StrEnum)
R = TypeVar("R")
T = TypeVar("T")


class NotUnderstood(Exception):
    """A newer registry says a word that this software does not know."""


@dataclass(slots=True)
class Places:
    """What rows name by numbers; the same one is the same object everywhere.

    Attributes:
        left_out: how often something was not understood.
    """

    texts: list[str] = field(default_factory=lambda: [""])
    clients: list[ClientId] = field(default_factory=list)
    left_out: int = 0
    _services: dict[tuple[int, int, int | None], ServiceId] = field(default_factory=dict)
    _words: dict[tuple[type[StrEnum], str], Any] = field(default_factory=dict)

    def all(self, places: Iterable[int]) -> tuple[str, ...]:
        texts = self.texts
        return tuple([texts[one] for one in places])

    def maybe(self, place: int | None) -> str | None:
        return None if place is None else self.texts[place]

    def day(self, place: int) -> date | None:
        text = self.texts[place]
        return date.fromisoformat(text) if text else None

    def client(self, row: ClientRow) -> ClientId:
        texts = self.texts
        return ClientId(
            texts[row.instance],
            texts[row.member_class],
            texts[row.member_code],
            self.maybe(row.subsystem_code),
        )

    def service(self, name: tuple[int, int, int | None]) -> ServiceId:
        found = self._services.get(name)
        if found is None:
            client, code, version = name
            found = ServiceId(self.clients[client], self.texts[code], self.maybe(version))
            self._services[name] = found
        return found

    def word(self, kind: type[E], text: str, default: E | None = None) -> E:
        """One of a few words, the default for none; raises NotUnderstood for another one."""
        found: E | None = self._words.get((kind, text))
        if found is None:
            found = self._words[kind, text] = _word(kind, text, default)
        return found

    def understood(self, read: Callable[[R], T], rows: Iterable[R]) -> Iterator[T]:
        """Those of the rows in which every word is known; the others are counted."""
        for row in rows:
            try:
                yield read(row)
            except NotUnderstood:
                self.left_out += 1


def _word(kind: type[E], text: str, default: E | None) -> E:
    if not text and default is not None:
        return default
    try:
        return kind(text)
    except ValueError as error:
        raise NotUnderstood(f"{kind.__name__} {text:.100}") from error


def same(new: T, old: T | None) -> T:
    """The old one where it is the same, so that there is only one."""
    return old if old is not None and old == new else new


def aware(moment: datetime) -> datetime:
    """A moment in UTC; raises ValueError for one without zone."""
    if moment.tzinfo is None:
        raise ValueError("it has a time without zone")
    return moment.astimezone(UTC)
