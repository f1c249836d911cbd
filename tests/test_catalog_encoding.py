"""The catalog as bytes: nothing is lost, and nothing that comes is believed."""

import contextlib
import json
import lzma
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.about import About, Contact, LifeCycle, LifeState
from catalog.central.encoding import MAX_BYTES, decode_catalog, encode_catalog
from catalog.central.entries import Availability, Catalog, CatalogMember, CatalogService
from catalog.central.snapshot.lines import MAX_LINE
from catalog.central.snapshot.reading import read_catalog
from catalog.central.snapshot.writing import write_catalog
from catalog.mapping import (
    EndpointMapping,
    FieldMapping,
    FixedParameter,
    Rule,
    ServiceMapping,
    SubjectParameter,
    View,
)
from catalog.meaning.vocabulary import FactType, Sensitivity
from catalog.services import ServiceType
from tests.large_catalog import large_catalog
from trust.errors import MalformedMessage
from trust.ids import ClientId, ServiceId

HEAD = b'{"format":2,"instance":"X","version":1,"made_at":"2026-01-01T00:00:00Z"}\n'
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SMALL = large_catalog(services=12, fields=3)

words = st.text(alphabet="aé /:0\n", max_size=6)
codes = st.text(alphabet="aé/0", min_size=1, max_size=4)
clients = st.builds(ClientId, codes, codes, codes, st.none() | codes)
moments = st.datetimes(timezones=st.just(UTC))
abouts = st.builds(
    About,
    description=words,
    life=st.builds(LifeCycle, successor=words),
    contact=st.builds(Contact, words, words, words, words),
    keywords=st.lists(words, max_size=3).map(tuple),
    territory=words,
)
endpoints = st.builds(
    EndpointMapping,
    method=words,
    path=words,
    subject=st.none() | st.builds(SubjectParameter, words, words),
    parameters=st.lists(st.builds(FixedParameter, words), max_size=2).map(tuple),
    fields=st.lists(st.builds(FieldMapping, words, words, words), max_size=3).map(tuple),
    views=st.lists(st.builds(View, words, words), max_size=2).map(tuple),
    namespace=words,
    qualified=st.booleans(),
)
counts = st.integers(0, 1 << 40)
services = st.builds(
    CatalogService,
    id=st.builds(ServiceId, clients, codes, st.none() | words),
    title=words,
    about=abouts,
    endpoints=st.lists(words, max_size=3).map(tuple),
    mapping=st.builds(ServiceMapping, st.lists(endpoints, max_size=2).map(tuple)),
    plain=st.booleans(),
    description_digest=words,
    availability=st.none() | st.builds(Availability, moments, counts, counts),
    unheard_since=st.none() | moments,
)
catalogs = st.builds(
    Catalog,
    instance=codes,
    version=counts,
    made_at=moments,
    members=st.lists(st.builds(CatalogMember, clients, words), max_size=3).map(tuple),
    services=st.lists(services, max_size=4, unique_by=lambda one: one.id).map(tuple),
    vocabulary=st.just(SMALL.vocabulary),
)


@settings(max_examples=60)
@given(catalogs)
def test_what_is_written_is_read(catalog: Catalog) -> None:
    raw = encode_catalog(catalog)
    assert decode_catalog(raw) == catalog
    assert encode_catalog(decode_catalog(raw)) == raw


def test_what_occurs_many_times_is_one_object() -> None:
    catalog = decode_catalog(encode_catalog(SMALL))
    first, second = catalog.services[:2]
    assert first.mapping.endpoints[0].subject is not None
    assert first.id.provider.instance is second.id.provider.instance
    for service in catalog.services:
        for endpoint in service.mapping.endpoints:
            for field in endpoint.fields:
                assert catalog.vocabulary.concept[field.concept].uri is field.concept
    assert catalog.vocabulary.authorities[0].service in catalog.service


@settings(max_examples=150)
@given(st.data())
def test_damaged_bytes_are_read_or_refused(data: st.DataObject) -> None:
    raw = bytearray(encode_catalog(SMALL))
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=3)):
        raw[place] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(MalformedMessage):
        decode_catalog(bytes(raw))


@settings(max_examples=150)
@given(st.data())
def test_damaged_json_is_read_or_refused(data: st.DataObject) -> None:
    text = b"".join(write_catalog(SMALL)).decode()
    place = data.draw(st.integers(0, len(text) - 1))
    piece = data.draw(st.sampled_from(["", "-1", "9" * 30, "[[", '"', "null", "{}", "1e9", "\0"]))
    cut = data.draw(st.integers(0, 3))
    with contextlib.suppress(MalformedMessage):
        read_catalog([(text[:place] + piece + text[place + cut :]).encode()])


Lines = list[tuple[str, Any]]  # kind and row; the head has no kind


def changed(change: Callable[[Lines], object], catalog: Catalog = SMALL) -> bytes:
    lines: Lines = []
    for line in b"".join(write_catalog(catalog)).decode().splitlines():
        kind, bracket, row = ("", "", line) if line[0] == "{" else line.partition("[")
        lines.append((kind, json.loads(bracket + row)))
    change(lines)
    return packed("".join(f"{kind}{json.dumps(row)}\n" for kind, row in lines))


def packed(text: str) -> bytes:
    return lzma.compress(text.encode())


def rows(lines: Lines, kind: str) -> list[Any]:
    return [row for each, row in lines if each == kind]


def without(lines: Lines, kind: str) -> None:
    lines[:] = [line for line in lines if line[0] != kind]


def word(catalog: Catalog, old: str, new: str) -> bytes:
    """A catalog that a newer registry wrote, in which one word is another one everywhere."""
    text = b"".join(write_catalog(catalog)).decode()
    assert f'"{old}"' in text
    return packed(text.replace(f'"{old}"', f'"{new}"'))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "cut off"),
        (b"something else", "can't be unpacked"),
        (encode_catalog(SMALL)[:-9], "cut off"),
        (encode_catalog(SMALL) + b"more", "something follows"),
        (lzma.compress(bytes(MAX_LINE + 100_000)), "a line has more than"),
        (lzma.compress(b'{"format":2}\n' + b"\n" * (1 << 20)), "missing required field"),
        (
            lzma.compress(HEAD + (b"news[%s]\n" % bytes(100_000)) * (MAX_BYTES // 100_000 + 1)),
            "larger than",
        ),
        (lzma.compress(HEAD[:-1]), "cut off"),
        (lzma.compress(HEAD + b"service\n"), "is no row"),
        (lzma.compress(HEAD + b"service" + b"[" * 100_000 + b"\n"), "recursion|Expected"),
        (
            lzma.compress(HEAD + b'texts["x"%s]\n' % (b',"x"' * 499) * 4_001),
            "more than 2000000 texts",
        ),
        (changed(lambda one: one[0][1].update(format=1)), "its format is 1"),
        (changed(lambda one: one.append(one[-1])), "a service twice"),
        (changed(lambda one: without(one, "texts")), "does not have"),
        (changed(lambda one: without(one, "client")), "does not have"),
        (changed(lambda one: one.append(("member", [-1, 0]))), ">= 0"),
        (changed(lambda one: one.append(("texts", ["x" * 100_001]))), "length <= 100000"),
        (changed(lambda one: one[0][1].update(made_at="2026-01-01T00:00:00")), "without zone"),
        (changed(lambda one: rows(one, "client")[0].__setitem__(1, 0)), "must not be blank"),
        (changed(lambda one: rows(one, "concept")[0][1].pop()), "shorter"),
        (changed(lambda one: one.append(("service", {}))), "no row"),
    ],
)
def test_what_is_no_catalog_is_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(MalformedMessage, match=reason):
        decode_catalog(raw)


# --- a newer registry ----------------------------------------------------------------------------


def test_what_a_newer_registry_adds_is_left_alone() -> None:
    def add(lines: Lines) -> None:
        lines[0][1]["news"] = {"a": [1]}
        for kind, row in lines[1:]:
            if kind not in ("texts", "client"):
                row += [0] * (12 - len(row)) + ["new", {}]
        lines.append(("news", ["of a kind that nobody knew"]))

    read = decode_catalog(changed(add))
    assert [one.id for one in read.services] == [one.id for one in SMALL.services]
    assert read.vocabulary == SMALL.vocabulary
    assert read.left_out == 0


def test_a_fact_of_an_unknown_type_is_left_out_with_its_fields() -> None:
    read = decode_catalog(word(SMALL, "integer", "duration"))
    old = {one.uri for one in SMALL.vocabulary.concepts if one.type is not FactType.INTEGER}
    assert {one.uri for one in read.vocabulary.concepts} == old
    fields = [one for each in read.services for end in each.mapping.endpoints for one in end.fields]
    assert fields
    assert all(one.type is not FactType.INTEGER for one in fields)
    assert read.left_out == 2 * (len(SMALL.vocabulary.concepts) - len(old))
    assert read.vocabulary.authorities == SMALL.vocabulary.authorities
    assert next(iter(old)) in read.vocabulary.concept, "places are those of the writer"


def test_an_unknown_sensitivity_counts_as_the_strictest() -> None:
    read = decode_catalog(word(SMALL, "personal", "secret"))
    assert {one.sensitivity for one in read.vocabulary.concepts} == {Sensitivity.SPECIAL}
    assert read.left_out == len(SMALL.vocabulary.concepts)


@pytest.mark.parametrize(
    ("old", "new"), [("published", "suspended"), (str(ServiceType.OPENAPI), "GRAPHQL")]
)
def test_a_service_that_stands_in_an_unknown_way_is_left_out(old: str, new: str) -> None:
    read = decode_catalog(word(SMALL, old, new))
    kept = [one for one in SMALL.services if old not in (one.type, one.about.life.state)]
    assert list(read.services) == kept
    assert read.left_out == len(SMALL.services) - len(kept)


def test_a_view_by_an_unknown_rule_and_an_endpoint_asked_in_an_unknown_way_are_left_out() -> None:
    read = decode_catalog(word(SMALL, "present", "guessed"))
    endpoints = [end for each in read.services for end in each.mapping.endpoints]
    assert endpoints
    assert not any(one.views for one in endpoints)
    assert read.left_out == len(endpoints)
    read = decode_catalog(word(SMALL, "query", "cookie"))
    places = [one.place for each in read.services for end in each.mapping.endpoints
              for one in end.parameters]  # fmt: skip
    assert places == []
    assert read.left_out == sum(1 for one in SMALL.services if len(one.mapping.endpoints) == 2)


@settings(max_examples=30)
@given(st.data())
def test_a_catalog_with_other_words_is_read_without_more(data: st.DataObject) -> None:
    """Whatever is not understood, no fact, field or service comes to be that was not there."""
    words = [*FactType, *Rule, *LifeState, *ServiceType, *("path", "query", "body", "personal")]
    text = b"".join(write_catalog(SMALL)).decode()
    for each in data.draw(st.lists(st.sampled_from(words), min_size=1, max_size=3)):
        text = text.replace(f'"{each}"', '"something"')
    read = decode_catalog(packed(text))
    assert {one.id for one in read.services} <= {one.id for one in SMALL.services}
    assert {one.uri for one in read.vocabulary.concepts} <= set(SMALL.vocabulary.concept)


# --- two versions --------------------------------------------------------------------------------


@settings(max_examples=25)
@given(catalogs, catalogs)
def test_an_earlier_version_changes_nothing_of_what_is_read(one: Catalog, other: Catalog) -> None:
    raw = encode_catalog(one)
    for before in (one, other, decode_catalog(encode_catalog(other))):
        read = decode_catalog(raw, before)
        assert read == one
        assert encode_catalog(read) == raw


def test_what_two_versions_have_alike_is_there_once() -> None:
    first = decode_catalog(encode_catalog(SMALL))
    changed_one = replace(SMALL.services[0], title="another")
    later = replace(SMALL, version=2, services=(changed_one, *SMALL.services[1:]))
    second = decode_catalog(encode_catalog(later), first)
    assert second == later
    assert second.services[0].mapping is first.services[0].mapping
    assert second.services[0].id is first.services[0].id
    for one, other in zip(second.services[1:], first.services[1:], strict=True):
        assert one is other
    parts = ("concepts", "evidence_types", "requirements", "purposes", "procedures", "authorities")
    for part in parts:
        pairs = zip(getattr(second.vocabulary, part), getattr(first.vocabulary, part), strict=True)
        assert all(one is other for one, other in pairs), part
