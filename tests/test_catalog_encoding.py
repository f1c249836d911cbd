"""The catalog as bytes: nothing is lost, and nothing that comes is believed."""

import contextlib
import json
import lzma
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.about import About, Contact, LifeCycle
from catalog.central.encoding import MAX_BYTES, decode_catalog, encode_catalog
from catalog.central.entries import Availability, Catalog, CatalogMember, CatalogService
from catalog.central.snapshot.reading import read_catalog
from catalog.central.snapshot.writing import write_catalog
from catalog.mapping import (
    EndpointMapping,
    FieldMapping,
    FixedParameter,
    ServiceMapping,
    SubjectParameter,
    View,
)
from tests.large_catalog import large_catalog
from trust.errors import MalformedMessage
from trust.ids import ClientId, ServiceId

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
    text = write_catalog(SMALL).decode()
    place = data.draw(st.integers(0, len(text) - 1))
    piece = data.draw(st.sampled_from(["", "-1", "9" * 30, "[[", '"', "null", "{}", "1e9", "\0"]))
    cut = data.draw(st.integers(0, 3))
    with contextlib.suppress(MalformedMessage):
        read_catalog((text[:place] + piece + text[place + cut :]).encode())


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = json.loads(write_catalog(SMALL))
    change(document)
    return lzma.compress(json.dumps(document).encode())


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "cut off"),
        (b"something else", "can't be unpacked"),
        (encode_catalog(SMALL)[:-9], "cut off"),
        (encode_catalog(SMALL) + b"more", "something follows"),
        (lzma.compress(bytes(MAX_BYTES + 1)), "larger than"),
        (lzma.compress(b'{"format":1}'), "missing required field"),
        (lzma.compress(b"[" * 100_000), "recursion|Expected `object`"),
        (changed(lambda one: one.update(format=2)), "its format is 2"),
        (changed(lambda one: one["services"].append(one["services"][0])), "a service twice"),
        (changed(lambda one: one["texts"].clear()), "does not have"),
        (changed(lambda one: one["clients"].clear()), "does not have"),
        (changed(lambda one: one["members"].append([-1, 0])), ">= 0"),
        (changed(lambda one: one["services"][0].__setitem__(3, 0)), "ServiceType"),
        (changed(lambda one: one["texts"].append("x" * 100_001)), "length <= 100000"),
        (changed(lambda one: one.update(made_at="2026-01-01T00:00:00")), "without zone"),
        (changed(lambda one: one["clients"][0].__setitem__(1, 0)), "must not be blank"),
        (changed(lambda one: one.update(vocabulary=[])), "no vocabulary"),
    ],
)
def test_what_is_no_catalog_is_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(MalformedMessage, match=reason):
        decode_catalog(raw)


def test_what_a_newer_registry_adds_is_left_alone() -> None:
    def add(document: dict[str, Any]) -> None:
        document["news"] = {"a": [1]}
        for service in document["services"]:
            service += [0] * (12 - len(service)) + ["new", {}]

    read = decode_catalog(changed(add))
    assert [one.id for one in read.services] == [one.id for one in SMALL.services]
