"""The vocabulary as a value: JSON, differences, gaps, labels, who is the authority."""

import contextlib
import dataclasses
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.central.entries import Catalog
from catalog.meaning import encoding
from catalog.meaning.changes import difference, facts_of
from catalog.meaning.encoding import from_json, to_json
from catalog.meaning.gaps import vocabulary_gaps
from catalog.meaning.rules import vocabulary_problems
from catalog.meaning.vocabulary import (
    NO_VOCABULARY,
    Authority,
    EvidenceType,
    FactType,
    Sensitivity,
    TemplateInstance,
    Vocabulary,
)
from catalog.meaning.words import label_of, tag_of
from node.once.resolver.planning.index import CatalogIndex
from tests.vocabularies import (
    BASE,
    BIRTH,
    COPY,
    EXAMPLE,
    PERSON,
    PUPILS,
    SCHOOL,
    TOWN,
    vocabularies,
)
from trust.errors import MalformedMessage
from trust.ids import ClientId

DAY = date(2026, 9, 1)


@given(vocabularies)
def test_any_vocabulary_is_read_as_it_was_written(vocabulary: Vocabulary) -> None:
    assert from_json(to_json(vocabulary)) == vocabulary


def test_the_json_form_is_what_others_expect() -> None:
    told = json.loads(to_json(EXAMPLE))
    assert told["concepts"][1] == {"uri": TOWN, "labels": {"en": "Town"}, "sensitivity": "public"}
    assert told["authorities"][0] == {
        "concepts": [BIRTH, TOWN],
        "service": "EX:GOV:1000:persons:person",
        "alternates": ["EX:GOV:1000:persons:copy:v1"],
        "valid_until": "2027-01-01",
    }
    assert told["templates"][0]["instances"][1] == {
        "service": "EX:MUN:13002:school:pupils",
        "territory": "13002",
    }
    assert to_json(NO_VOCABULARY) == b"{}"


@given(st.data())
def test_a_damaged_vocabulary_is_read_or_refused(data: st.DataObject) -> None:
    raw = to_json(EXAMPLE)
    place = data.draw(st.integers(0, len(raw) - 1))
    with contextlib.suppress(MalformedMessage):
        from_json(raw[:place] + data.draw(st.binary(max_size=3)) + raw[place + 1 :])


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "no vocabulary"),
        (b"[]", "Expected `object`"),
        (b'{"concept": []}', "unknown field `concept`"),
        (b'{"concepts": [{"uri": "urn:a:b"}]}', "missing required field `labels`"),
        (b'{"concepts": [{"uri": 1, "labels": {}}]}', "Expected `str`, got `int`"),
        (b'{"concepts": [{"uri": "urn:a:b", "labels": {}, "type": "colour"}]}', "Invalid enum"),
        (b'{"authorities": [{"concepts": [], "service": "EX:GOV"}]}', "'EX:GOV' is no INSTANCE"),
        (b'{"authorities": [{"concepts": [], "service": ":::: "}]}', "must not be blank"),
        (b'{"territory_concept": "' + b"x" * 1001 + b'"}', "length <= 1000"),
        (b'{"territory_concept": "\xff"}', "no vocabulary"),
        (b'{"concepts": ' + b"[" * 100_000, "no vocabulary"),
    ],
)
def test_what_is_no_vocabulary_is_refused_with_its_place(raw: bytes, reason: str) -> None:
    with pytest.raises(MalformedMessage, match=r".*") as refused:
        from_json(raw)
    assert reason in refused.value.text


def test_what_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = to_json(EXAMPLE)
    monkeypatch.setattr(encoding, "MOST_STATEMENTS", 6)
    with pytest.raises(MalformedMessage, match="more than 6 authorities"):
        from_json(raw)
    monkeypatch.setattr(encoding, "LARGEST_JSON", len(raw) - 1)
    with pytest.raises(MalformedMessage, match=f"of {len(raw)} bytes"):
        from_json(raw)


def test_everything_that_can_be_said_is_told_when_it_changes() -> None:
    """Each field of each thing in turn; whatever is added later must be told, too."""
    for field in dataclasses.fields(EXAMPLE):
        listed: Any = getattr(EXAMPLE, field.name)
        if isinstance(listed, str):
            assert difference(EXAMPLE, replace(EXAMPLE, territory_concept=BIRTH))
            continue
        for part in dataclasses.fields(listed[0]):
            other = replace(listed[0], **{part.name: _other(getattr(listed[0], part.name))})
            changed: Any = {field.name: (other, *listed[1:])}
            assert difference(EXAMPLE, replace(EXAMPLE, **changed)), f"{field.name}.{part.name}"


def _other(value: object) -> object:
    if isinstance(value, FactType):
        return FactType.RECORD
    if isinstance(value, Sensitivity):
        return Sensitivity.SPECIAL
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, dict):
        return {**value, "fr": "x"}
    if isinstance(value, tuple):
        return value[1:] if value else (BIRTH,)
    return COPY if value == PERSON else date(1999, 1, 1)


def test_another_order_is_no_change() -> None:
    turned = replace(
        EXAMPLE, concepts=EXAMPLE.concepts[::-1], authorities=EXAMPLE.authorities[::-1]
    )
    assert difference(EXAMPLE, turned) == ()


def test_changes_are_told_in_words() -> None:
    first, *rest = EXAMPLE.authorities
    after = replace(EXAMPLE, authorities=(replace(first, service=COPY, alternates=()), *rest))
    assert str(difference(EXAMPLE, after)[0]) == (
        f"~ authority for {BIRTH} everywhere: "
        "EX:GOV:1000:persons:person, else EX:GOV:1000:persons:copy:v1 until 2027-01-01 → "
        "EX:GOV:1000:persons:copy:v1 until 2027-01-01"
    )
    assert facts_of(EXAMPLE)[f"template {BASE}pupils instance {PUPILS[0].colons} in '13001'"] == ""


def test_a_sound_vocabulary_has_no_problems_and_no_gaps() -> None:
    assert list(vocabulary_problems(EXAMPLE)) == []
    assert list(vocabulary_gaps(EXAMPLE, DAY)) == []
    assert list(vocabulary_problems(NO_VOCABULARY)) == []


@pytest.mark.parametrize(
    ("change", "day", "told"),
    [
        (lambda v: replace(v, templates=()), DAY, [(1, SCHOOL)]),
        (lambda v: replace(v, authorities=v.authorities[:1], templates=()), date(2027, 1, 1),
         [(0, BIRTH), (0, TOWN), (1, SCHOOL)]),
        (lambda v: replace(v, authorities=v.authorities[2:]), DAY, [(0, TOWN)]),
        (lambda v: replace(v, authorities=v.authorities[2:], evidence_types=(
            *v.evidence_types, EvidenceType(f"{BASE}other", {"en": "O"}, (BIRTH,))),
            requirements=(replace(v.requirements[0], evidence_types=(
                f"{BASE}paper", f"{BASE}other")), v.requirements[1])), DAY, []),
    ],
)  # fmt: skip
def test_facts_that_nobody_has_are_named_at_the_procedure(
    change: Callable[[Vocabulary], Vocabulary], day: date, told: list[tuple[int, str]]
) -> None:
    gaps = {gap.path: gap.found for gap in vocabulary_gaps(change(EXAMPLE), day)}
    assert set(gaps) == {("procedures", 0, "requirements", number) for number, _ in told}
    for number, concept in told:
        assert concept in gaps["procedures", 0, "requirements", number]


def test_the_territory_s_own_authority_comes_first() -> None:
    index = CatalogIndex(Catalog("EX", 1, datetime(2026, 3, 1, tzinfo=UTC), vocabulary=EXAMPLE))
    own = index.authority(BIRTH, "13001", DAY)
    assert own is not None
    assert own.service == PUPILS[0]
    common = index.authority(BIRTH, "13002", DAY)
    assert common is not None
    assert common.service == PERSON
    later = index.authority(BIRTH, "13002", date(2027, 1, 1))
    assert later is not None
    assert later.service == COPY
    assert index.authority(SCHOOL, "13002", date(2025, 12, 31)) is None


@pytest.mark.parametrize(
    ("languages", "expected"),
    [
        (("es",), "colour (es)"), (("es-GT",), "colour (es-GT)"), (("ES-gt",), "colour (es-GT)"),
        (("es-MX",), "colour (es)"), (("fr",), "colour (en-GB)"), (("pt", "de"), "colour (de-AT)"),
        ((), "colour (en-GB)"), (("",), "colour (en-GB)"),
    ],
)  # fmt: skip
def test_a_label_is_found_in_the_nearest_language(
    languages: tuple[str, ...], expected: str
) -> None:
    labels = {tag: f"colour ({tag})" for tag in ("de-AT", "es", "es-GT", "en-GB")}
    assert label_of(labels, *languages) == expected
    assert label_of({"mi": "tae"}, "en") == "tae"
    assert label_of({}, "en") == ""
    assert tag_of(labels, "es-mx") == "es"


def test_fifty_thousand_authorities_are_judged_whole() -> None:
    many = tuple(
        Authority((BIRTH, TOWN), PERSON, territory=f"t{number}") for number in range(50_000)
    )
    vocabulary = replace(EXAMPLE, authorities=(*many, replace(many[7], service=COPY)))
    problems = list(vocabulary_problems(vocabulary))
    assert [problem.path for problem in problems] == [("authorities", 7), ("authorities", 50_000)]
    assert f"{COPY.colons} as authority in 't7' for {BIRTH} and 1 more" in problems[1].found


def test_what_is_too_large_is_told_and_not_looked_into() -> None:
    (template,) = EXAMPLE.templates
    instances = tuple(TemplateInstance(PUPILS[0], str(number)) for number in range(20_001))
    crowd = replace(template, uri="", concepts=(SCHOOL,) * 60, instances=instances)
    problems = list(
        vocabulary_problems(
            replace(EXAMPLE, concepts=EXAMPLE.concepts * 40_000, templates=(crowd,))
        )
    )
    assert [(problem.path, problem.found) for problem in problems] == [
        (("concepts",), "120000 of them"),
        (("templates", 0, "instances"), "20001 of them"),
        (("authorities",), "authorities for 1200065 concepts, those of templates counted for "
         "each instance"),
    ]  # fmt: skip


def test_what_json_allows_and_a_file_does_not_is_found_too() -> None:
    member = replace(PERSON, provider=ClientId("EX", "GOV", "1000"))
    first, *rest = EXAMPLE.authorities
    broken = replace(EXAMPLE, authorities=(replace(first, service=member), *rest))
    (problem,) = vocabulary_problems(broken)
    assert problem.path == ("authorities", 0, "service")
    assert problem.expected == "a service of a subsystem"


def test_longer_lists_and_texts_than_anybody_reads_are_refused() -> None:
    concept, *others = EXAMPLE.concepts
    (proof,) = EXAMPLE.evidence_types
    crowded = replace(
        EXAMPLE,
        concepts=(
            replace(
                concept,
                labels={f"x-{number:03}": "Birth" for number in range(51)},
                definition="x" * 5_001,
            ),
            *others,
        ),
        evidence_types=(replace(proof, concepts=(BIRTH,) * 1_001),),
    )
    assert [(one.path[2], one.found) for one in vocabulary_problems(crowded)] == [
        ("labels", "51 languages"),
        ("definition", "5001 characters"),
        ("concepts", "1001 of them"),
    ]
