"""From the lines of a snapshot to the catalog.

What occurs many times is one object everywhere, and what an earlier version had already is taken
from there: two versions that hardly differ need hardly more memory than one.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from catalog.central.entries import Catalog, CatalogMember
from catalog.central.snapshot.forms import (
    FORMAT,
    KINDS,
    MOST_TEXTS,
    TEXTS,
    ClientRow,
    FormatForm,
    Head,
    MemberRow,
    TextsRow,
)
from catalog.central.snapshot.lines import lines_of, row_of
from catalog.central.snapshot.places import Places, aware
from catalog.central.snapshot.service_reading import ServiceReader
from catalog.central.snapshot.vocabulary_reading import VocabularyReader, whole_vocabulary
from trust.errors import MalformedMessage
from trust.ids import ClientId

_TEXTS = msgspec.json.Decoder(TextsRow)
_ROWS = {kind: msgspec.json.Decoder(form) for kind, (form, _) in KINDS.items()}


def read_catalog(pieces: Iterable[bytes], before: Catalog | None = None) -> Catalog:
    """Read a catalog; raises MalformedMessage with a sentence.

    Args:
        pieces: the text, cut anywhere.
        before: an earlier version, which shares with this one what is the same.
    """
    try:
        return _catalog(lines_of(pieces), before)
    except IndexError as error:
        raise malformed("it names a text or a client that it does not have") from error
    except (ValueError, RecursionError) as error:  # those of msgspec are ValueErrors, too
        raise malformed(str(error)) from error


def malformed(why: str) -> MalformedMessage:
    return MalformedMessage(f"No catalog: {why[:500]}")


def _catalog(lines: Iterator[bytes], before: Catalog | None) -> Catalog:
    head = _head(next(lines, b""))
    reader = _Reader(before or Catalog(head.instance, 0, head.made_at))
    for line in lines:
        reader.take(*row_of(line))
    found = reader.found
    catalog = Catalog(
        instance=head.instance,
        version=head.version,
        made_at=aware(head.made_at),
        members=tuple(found["member"]),
        services=tuple(found["service"]),
        vocabulary=whole_vocabulary(found, head.territory_concept),
        left_out=reader.places.left_out,
    )
    if len(catalog.service) != len(catalog.services):
        raise malformed("it has a service twice")
    return catalog


def _head(line: bytes) -> Head:
    known = msgspec.json.decode(line, type=FormatForm).format
    if known != FORMAT:
        raise malformed(f"its format is {known}, and this software reads {FORMAT}")
    return msgspec.json.decode(line, type=Head)


class _Reader:
    """Takes row after row."""

    def __init__(self, before: Catalog) -> None:
        self.places = Places()
        self.vocabulary = VocabularyReader(self.places, before.vocabulary)
        self._clients = {one.id: one.id for one in before.members}
        self._reads: dict[str, Callable[[Any], object]] = {
            "client": self._client,
            "member": self._member,
            "service": ServiceReader(self.places, before.service).service,
            **self.vocabulary.reads,
        }
        self.found: dict[str, list[Any]] = {kind: [] for kind in KINDS}
        self.found["client"] = self.places.clients

    def take(self, kind: str, row: bytes) -> None:
        """Read one row; one of a kind that is not known is left alone."""
        if kind == TEXTS:
            self._texts(_TEXTS.decode(row))
        elif kind in _ROWS:
            read, found = _ROWS[kind].decode(row), self.found[kind]
            found.extend(self.places.understood(self._reads[kind], (read,)))
            if len(found) > KINDS[kind][1]:
                raise malformed(f"it has more than {KINDS[kind][1]} rows of the kind {kind}")

    def _texts(self, more: list[str]) -> None:
        self.places.texts += more
        if len(self.places.texts) > MOST_TEXTS:
            raise malformed(f"it has more than {MOST_TEXTS} texts")

    def _client(self, row: ClientRow) -> ClientId:
        client = self.places.client(row)
        return self._clients.get(client, client)

    def _member(self, row: MemberRow) -> CatalogMember:
        return CatalogMember(self.places.clients[row.client], self.places.texts[row.name])
