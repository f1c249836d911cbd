"""From a catalog to the lines of a snapshot."""

from collections.abc import Iterable, Iterator
from datetime import UTC
from itertools import chain

import msgspec

from catalog.central.entries import Catalog
from catalog.central.snapshot.forms import FORMAT, TEXTS, Head, MemberRow
from catalog.central.snapshot.placing import Placing
from catalog.central.snapshot.service_writing import ServiceWriter
from catalog.central.snapshot.vocabulary_writing import VocabularyWriter, concept_rows

_encode = msgspec.json.Encoder().encode


def write_catalog(catalog: Catalog) -> Iterator[bytes]:
    """The lines of a catalog; the same for the same catalog."""
    placing = Placing([one.uri for one in catalog.vocabulary.concepts])
    rows = list(_rows(catalog, placing))  # gives the places that stand before them
    head = Head(
        format=FORMAT,
        instance=catalog.instance,
        version=catalog.version,
        made_at=catalog.made_at.astimezone(UTC),
        territory_concept=catalog.vocabulary.territory_concept,
    )
    yield _encode(head) + b"\n"
    yield from _lines(concept_rows(catalog.vocabulary))
    yield from _lines((TEXTS, row) for row in placing.text_rows())
    yield from _lines(("client", row) for row in placing.client_rows)
    yield from rows


def _rows(catalog: Catalog, placing: Placing) -> Iterator[bytes]:
    members = (
        ("member", MemberRow(placing.client(one.id), placing.text(one.name)))
        for one in catalog.members
    )
    vocabulary = VocabularyWriter(placing).rows(catalog.vocabulary)
    service = ServiceWriter(placing).service
    services = (("service", service(one)) for one in catalog.services)
    return _lines(chain(members, vocabulary, services))


def _lines(rows: Iterable[tuple[str, object]]) -> Iterator[bytes]:
    return (b"%s%s\n" % (kind.encode(), _encode(row)) for kind, row in rows)
