"""Nothing that is not granted is in a reduced answer, and all that is cut off is named."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.fields.json_text import MAX_DEPTH, NoJson, Number, build_json, parse_json
from catalog.fields.paths import pointer_to
from catalog.fields.reduction import MAX_NAMED, Reduction, reduce_json
from catalog.fields.selection import select
from catalog.mapping import EndpointMapping, FieldMapping, Rule, View
from catalog.meaning.vocabulary import FactType

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
FORTY = tuple(FieldMapping(f"f{n}", f"/person/f{n}", f"urn:c:{n}") for n in range(40))
PERSON = EndpointMapping(
    "GET",
    "/persons/{id}",
    fields=(
        FieldMapping("name", "/person/name", "urn:c:name"),
        FieldMapping("birth", "/person/birth", "urn:c:birth", FactType.DATE),
        FieldMapping("address", "/person/address", "urn:c:address", FactType.RECORD),
        FieldMapping("street", "/person/address/street", "urn:c:street"),
        FieldMapping("child", "/person/children/*/name", "urn:c:child"),
        FieldMapping("child-birth", "/person/children/*/birth", "", FactType.DATE),
        FieldMapping("first-phone", "/person/phones/0", "urn:c:phone"),
        FieldMapping("phones", "/person/phones/*"),
    ),
    views=(
        View("adult", "birth", Rule.YEARS_AT_LEAST, "18", "urn:c:adult"),
        View("born", "birth", Rule.YEAR),
        View("old", "born", Rule.BELOW, "1950"),
        View("child-adult", "child-birth", Rule.YEARS_AT_LEAST, "18"),
    ),
)
DOCUMENT: dict[str, Any] = {
    "person": {
        "name": "Ana",
        "birth": "2008-03-01",
        "address": {"street": "Calle 1", "zip": "00100", "geo": {"lat": 1.50}},
        "children": [{"name": "Bo", "birth": "2020-01-01"}, {"name": "Cy", "school": [1, 2]}],
        "phones": ["1", "2"],
        "notes": [],
    },
    "page": 1,
}


def reduced(
    granted: tuple[str, ...] | None, asked: tuple[str, ...] = (), document: object = DOCUMENT
) -> tuple[object, Reduction]:
    selection = select(PERSON, granted, asked)
    found = reduce_json(json.dumps(document).encode(), selection, AT)
    return json.loads(found.data), found


def test_of_forty_fields_three_go_out_and_thirty_seven_are_named() -> None:
    mapping = EndpointMapping("GET", "/p", fields=FORTY)
    raw = json.dumps({"person": {f"f{n}": n for n in range(40)}}).encode()
    found = reduce_json(raw, select(mapping, ("f1", "urn:c:2", "/person/f3")), AT)
    assert found.data == b'{"person":{"f1":1,"f2":2,"f3":3}}'
    assert found.given == ("f1", "f2", "f3")
    assert found.withheld == tuple(f"/person/f{n}" for n in range(40) if n not in (1, 2, 3))


@pytest.mark.parametrize(
    ("granted", "asked", "expected", "given"),
    [
        (("name",), (), {"person": {"name": "Ana"}}, "name"),
        (("urn:c:name",), ("name", "birth"), {"person": {"name": "Ana"}}, "name"),
        (("address",), (), {"person": {"address": DOCUMENT["person"]["address"]}},
         "address street"),
        (("address",), ("street",), {"person": {"address": {"street": "Calle 1"}}}, "street"),
        (("street",), ("address",), {"person": {"address": {"street": "Calle 1"}}}, "street"),
        (("/person/address/geo",), (), {"person": {"address": {"geo": {"lat": 1.5}}}},
         "/person/address/geo"),
        (("child",), (), {"person": {"children": [{"name": "Bo"}, {"name": "Cy"}]}}, "child"),
        (("first-phone",), (), {"person": {"phones": ["1"]}}, "first-phone phones"),
        (("phones",), (), {"person": {"phones": ["1", "2"]}}, "phones first-phone"),
        (("/person",), ("/person/phones",), {"person": {"phones": ["1", "2"]}},
         "phones first-phone /person/phones"),
        (None, ("/page",), {"page": 1}, "/page"),
        (None, ("adult",), {"person": {"adult": True}}, "adult"),
        (("adult",), (), {"person": {"adult": True}}, "adult"),
        (("adult", "birth"), ("adult",), {"person": {"adult": True}}, "adult"),
        (("old", "born"), (), {"person": {"born": 2008, "old": False}}, "born old"),
        (("child-adult",), (),
         {"person": {"children": [{"child-adult": False}, {"child-adult": None}]}}, "child-adult"),
        ((), (), {}, ""),
        (("gone", "urn:gone"), (), {}, ""),
    ],
)  # fmt: skip
def test_what_is_granted_and_asked_for_goes_out(
    granted: tuple[str, ...] | None, asked: tuple[str, ...], expected: object, given: str
) -> None:
    document, found = reduced(granted, asked)
    assert document == expected
    assert set(given.split()) >= set(found.given)
    assert found.given or not given


def test_a_view_takes_its_source_along_only_when_that_is_granted() -> None:
    document, found = reduced(("adult",))
    assert "2008" not in str(document)
    assert "/person/birth" in found.withheld
    both, _ = reduced(("adult", "birth"))
    assert both == {"person": {"birth": "2008-03-01", "adult": True}}


@pytest.mark.parametrize("birth", [None, "x", 5, {"day": 1}, "1990-02-30"])
def test_a_view_whose_source_does_not_fit_is_null_and_named(birth: object) -> None:
    document, found = reduced(("adult",), document={"person": {"birth": birth}})
    assert document == {"person": {"adult": None}}
    assert found.untold == found.derived == ("adult",)
    document, _ = reduced(("adult",), document={"person": {}})
    assert document == {"person": {"adult": None}}


def test_where_a_single_value_should_stand_nothing_else_goes_out() -> None:
    document, found = reduced(("name",), document={"person": {"name": {"secret": [1, {}]}}})
    assert document == {"person": {}}
    assert found.given == ()
    assert found.withheld == ("/person/name/secret/*",)
    assert reduced(("name",), document={"person": {"name": []}})[0] == {"person": {}}
    assert reduced(("name",), document={"person": "Ana"})[0] == {}


@pytest.mark.parametrize(
    ("document", "expected"), [(5, None), ("x", None), (None, None), ([1], []), ({"a": 1}, {})]
)
def test_a_document_of_another_form_gives_nothing(document: object, expected: object) -> None:
    found, reduction = reduced(("name",), document=document)
    assert found == expected
    assert reduction.given == ()
    assert len(reduction.withheld) == 1


def test_what_is_asked_for_and_not_granted_is_told() -> None:
    selection = select(PERSON, ("name", "adult", "address"), ("urn:c:birth", "nonsense", "name"))
    assert selection.missing == ("/person/birth", "nonsense")
    assert not selection.empty
    assert select(PERSON, ("name",), ("street", "birth")).empty
    assert not select(PERSON, ("street",), ("/person",)).empty
    assert not select(PERSON, ("address",), ("/person/address/zip",)).empty
    assert select(PERSON, None, ("nonsense",)).empty
    assert not select(PERSON, (), ()).empty


def test_names_that_a_system_chose_are_told_only_when_they_say_nothing_of_anybody() -> None:
    odd = {"a,b\r\nX: 1": 1, "\ud800\0": 2, "x" * 5000: 3, "~/": 4, "39001010000": {"tax": 5}}
    more = {"Anna Tamm": 6, "id-39001010000": 7, "line2": 8, "child_of": [{"x3y": 9}], "Ä": 10}
    found = reduced(("name",), document={"person": odd | more})[1]
    assert found.withheld == (
        "/person/?", "/person/?/tax", "/person/line2", "/person/child_of/*/x3y",
    )  # fmt: skip
    odd_mapping = EndpointMapping(fields=(FieldMapping("a", "/2025/Anna Tamm"),))
    found = reduce_json(b'{"2025":{"Anna Tamm":1,"b":2}}', select(odd_mapping, ("b",)), AT)
    assert found.withheld == ("/2025/Anna Tamm", "/2025/b")


def test_no_more_than_a_bounded_number_is_named_and_the_rest_is_counted() -> None:
    many = {f"a{n // 100}b{n % 100}": [n, n] for n in range(MAX_NAMED + 7)}
    found = reduced(("name",), document=many)[1]
    assert (len(found.withheld), found.unnamed) == (MAX_NAMED, 7)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "Expecting value"),
        (b'{"a":1,"a":2}', "a name twice"),
        (b'{"a":NaN}', "a number that is none"),
        (b"[-Infinity]", "a number that is none"),
        (b'"\xff"', "no UTF-8"),
        ('"x"'.encode("utf-16"), "no UTF-8"),
        (b'{"a":1} x', "Extra data"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested deeper"),
        (b"[" + b"[]," * 500_001 + b"1]", "more than 500000 values"),
        (b'"' + b"x" * (16 << 20) + b'"', "more than 16777216 bytes"),
    ],
)
def test_what_is_no_json_or_too_much_is_refused(raw: bytes, why: str) -> None:
    with pytest.raises(NoJson, match=why):
        reduce_json(raw, select(PERSON, ("name",)), AT)


def test_what_stays_says_exactly_what_it_said() -> None:
    raw = b'\xef\xbb\xbf{"a":[1.10,1E400,-0,10000000000000000000001,"\\u00e9\xc3\xa9\\/",{}, []]}'
    whole = select(PERSON, ("/a",))
    found = reduce_json(raw, whole, AT).data
    assert found == '{"a":[1.10,1E400,-0,10000000000000000000001,"éé/",{},[]]}'.encode()
    half = reduce_json(b'{"a":"\\ud800"}', whole, AT).data
    assert half == b'{"a":"\\ud800"}'


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
NAMES = st.sampled_from(["person", "name", "birth", "address", "street", "children", "x", "a/b"])
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=25,
)
GRANTS = st.lists(
    st.sampled_from(
        ["name", "urn:c:birth", "address", "street", "child", "/person/x", "/x", "/person/x/0"]
    ),
    max_size=4,
).map(tuple)


def leaves(value: object, steps: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Single values and what is empty, with their places."""
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from leaves(item, (*steps, name))
    elif isinstance(value, list) and value:
        for item in value:
            yield from leaves(item, (*steps, "*"))
    else:
        yield steps, json.dumps(value)


def is_granted(steps: tuple[str, ...], granted: tuple[str, ...]) -> bool:
    """The rule said in another way."""
    path = pointer_to(steps)
    exact = {one.path for one in PERSON.fields if {one.name, one.concept} & set(granted)}
    whole = {"/person/address"} if "address" in granted else set()
    whole |= {name for name in granted if name.startswith("/")}
    within = any(
        path == above or path.startswith(f"{above}/")
        for above in whole | {above.replace("/0", "/*") for above in whole}
    )
    return path in exact or within


@given(DOCUMENTS, GRANTS)
def test_no_place_that_is_not_granted_is_in_a_result_and_nothing_is_lost(
    document: object, granted: tuple[str, ...]
) -> None:
    after, found = reduced(granted, document=document)
    kept = [leaf for leaf in leaves(after) if leaf[1] not in ("{}", "[]", "null")]
    assert all(is_granted(steps, granted) for steps, _ in kept)
    assert set(kept) <= set(leaves(document))
    withheld = {path for path in found.withheld if path != "/"}
    every = {pointer_to(steps) for steps, _ in leaves(document)} - {""}
    shown = {pointer_to(steps) for steps, _ in leaves(after)}
    shaped = {path for path in every if path not in withheld and path not in shown}
    assert every - shaped == (withheld | shown) & every
    assert not {path for path in shaped if not path}
    if "/person/x/0" not in granted:  # the first item goes out, the others do not
        assert not {pointer_to(steps) for steps, _ in kept} & withheld


@given(DOCUMENTS)
def test_what_is_written_is_what_was_read(document: object) -> None:
    parsed = parse_json(json.dumps(document).encode())
    assert json.loads(build_json(parsed)) == document
    assert parse_json(build_json(parsed)) == parsed


def test_a_number_is_kept_apart_from_a_text() -> None:
    assert build_json([Number("1.0"), "1.0"]) == b'[1.0,"1.0"]'
