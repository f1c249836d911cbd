"""Gives each text and each client its place."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date

from catalog.central.snapshot.forms import TEXTS_IN_A_ROW, ClientRow
from trust.ids import ClientId, ServiceId


class Placing:
    """The places given so far: of the empty text, of the concepts' URIs, and what was asked for."""

    def __init__(self, uris: Sequence[str]) -> None:
        """Begin with the URIs of the concepts, which are in their rows."""
        self._known = {uri: place for place, uri in enumerate(uris, 1)} | {"": 0}
        self._first = len(uris) + 1
        self._more: list[str] = []
        self._clients: dict[ClientId, int] = {}
        self.client_rows: list[ClientRow] = []

    def text(self, text: str) -> int:
        place = self._known.get(text)
        if place is None:
            place = self._known[text] = self._first + len(self._more)
            self._more.append(text)
        return place

    def all(self, texts: Iterable[str]) -> tuple[int, ...]:
        return tuple(self.text(one) for one in texts)

    def maybe(self, text: str | None) -> int | None:
        return None if text is None else self.text(text)

    def day(self, day: date | None) -> int:
        return 0 if day is None else self.text(day.isoformat())

    def client(self, client: ClientId) -> int:
        if client not in self._clients:
            self._clients[client] = len(self.client_rows)
            row = ClientRow(
                self.text(client.instance),
                self.text(client.member_class),
                self.text(client.member_code),
                self.maybe(client.subsystem_code),
            )
            self.client_rows.append(row)
        return self._clients[client]

    def service(self, service: ServiceId) -> tuple[int, int, int | None]:
        client = self.client(service.provider)
        return client, self.text(service.service_code), self.maybe(service.service_version)

    def text_rows(self) -> Iterator[list[str]]:
        for first in range(0, len(self._more), TEXTS_IN_A_ROW):
            yield self._more[first : first + TEXTS_IN_A_ROW]
