"""`once.toml`: what it stands for, and everything that may be wrong with it, with its line."""

import re
from pathlib import Path

import pytest

from catalog.meaning.declaration import OnceDeclaration, declaration_problems, declared_vocabulary
from catalog.meaning.vocabulary import Vocabulary
from config.settings import parse_settings
from tests.vocabularies import EXAMPLE
from trust.errors import ConfigurationError

PAGE = Path(__file__).parents[1] / "docs" / "vocabulary.md"
TEXT = """\
territory_concept = "f:town"
prefixes = { f = "https://facts.example.org/", ex = "urn:example:" }
evidence_types = [{ uri = "f:paper", labels = { en = "Birth certificate" }, concepts = ["f:birth", "f:town"] }]
[[concepts]]
uri = "f:birth"
labels = { en = "Date of birth", es = "Fecha de nacimiento" }
type = "date"
definition = "As entered at birth"
[[concepts]]
uri = "https://facts.example.org/town"
labels = { en = "Town" }
sensitivity = "public"
[[concepts]]
uri = "f:school"
labels = { en = "School" }
identifies = "ex:school"
[[requirements]]
uri = "f:age"
labels = { en = "Age" }
evidence_types = ["f:paper"]
[[requirements]]
uri = "f:pupil"
labels = { en = "Being a pupil" }
concepts = ["f:school"]
[[purposes]]
uri = "f:deciding"
labels = { en = "Deciding" }
legal_basis = "Act 1, article 4"
[[procedures]]
uri = "f:benefit"
labels = { en = "School benefit" }
requirements = ["f:age", "f:pupil"]
purpose = "f:deciding"
offered_by = ["EX:MUN:13001:benefits"]
[[authorities]]
concepts = ["f:birth", "f:town"]
service = "EX:GOV:1000:persons:person"
alternates = ["EX:GOV:1000:persons:copy:v1"]
valid_until = 2027-01-01
[[authorities]]
concepts = ["f:birth", "f:town"]
service = "EX:GOV:1000:persons:copy:v1"
valid_from = 2027-01-01
[[authorities]]
concepts = ["f:birth"]
service = "EX:MUN:13001:school:pupils"
territory = "13001"
[[templates]]
uri = "f:pupils"
labels = { en = "Register of pupils" }
concepts = ["f:school"]
description = "https://facts.example.org/pupils.yaml"
valid_from = 2026-01-01
by_territory = { 13001 = "EX:MUN:13001:school:pupils" }
[[templates.instances]]
service = "EX:MUN:13002:school:pupils"
territory = "13002"
"""  # noqa: E501 - tables on one line are what is tested
ONE = "one authority for a concept at one time and place"
ONCE_MORE = """\
[[authorities]]
concepts = ["f:school"]
service = "EX:GOV:1:a:b"
territory = "13001"
"""


def read(text: str) -> Vocabulary:
    declaration = parse_settings(
        OnceDeclaration, text, file="once.toml", folder=Path(), check=declaration_problems
    )
    return declared_vocabulary(declaration)


def problems(text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(ConfigurationError) as refused:
        read(text)
    return [(one.line, one.found, one.expected) for one in refused.value.problems]


def test_the_example_stands_for_its_vocabulary() -> None:
    assert read(TEXT) == EXAMPLE


def test_the_declaration_in_the_page_is_sound() -> None:
    (text,) = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    vocabulary = read(text)
    assert [len(one.instances) for one in vocabulary.templates] == [2]


@pytest.mark.parametrize(
    ("old", "new", "line", "found", "expected"),
    [
        # URIs and labels
        ('uri = "f:birth"', 'uri = "f:town"', 10, "town' a second time", "that no concept has"),
        ('uri = "f:deciding"', 'uri = "f:birth"', 26, "birth' a second time", "no concept has"),
        ('uri = "f:birth"', 'uri = "birth"', 5, "'birth'", "an absolute URI"),
        ('uri = "f:birth"', 'uri = "x:birth"', 5, "'x:birth'", "an absolute URI"),
        ('uri = "f:birth"', 'uri = "https:///birth"', 5, "'https:///birth'", "an absolute URI"),
        ('uri = "f:birth"', 'uri = "f:date of birth"', 5, "date of birth'", "without blanks"),
        ('uri = "f:birth"', 'uri = "f:a,b"', 5, "a,b'", "without blanks and commas"),
        ('uri = "f:birth"', 'uri = "f:%zz"', 5, "%zz'", "an absolute URI"),
        ('uri = "f:birth"', 'uri = "f:' + "x" * 1000 + '"', 5, "1026 char", "at most 1000"),
        ('{ en = "Town" }', "{ }", 11, "no language", "a text in one at least"),
        ('{ en = "Town" }', '{ en = " " }', 11, "' '", "a text"),
        ('{ en = "Town" }', '{ "e n" = "Town" }', 11, "'e n'", "a language tag"),
        ('{ en = "Town" }', '{ en = "a\\nb" }', 11, "'a\\nb'", "one line without control"),
        ('{ en = "Town" }', '{ en = "' + "x" * 501 + '" }', 11, "501 characters", "at most 500"),
        ('labels = { en = "Town" }\n', "", 9, "no key 'labels'", "a table, with values of a text"),
        ('"ex:school"', '"school"', 16, "'school'", "an absolute URI"),
        ('"As entered at birth"', '"\\u0000"', 8, "'\\x00'", "without control characters"),
        ('f = "https', 'f = "ftp', 2, "'ftp://facts.example.org/'", "the beginning of"),
        ('ex = "urn', 'urn = "urn', 2, "'urn'", "not http, https or urn"),
        # what does not exist, and what is empty
        ('= "f:town"\npre', '= "f:city"\npre', 1, "city'", "URI of a declared concept"),
        ('concepts = ["f:birth", "f:town"] }', 'concepts = ["f:x"] }', 3, "x'", "declared concept"),
        ('concepts = ["f:birth", "f:town"] }', "concepts = [] }", 3, "an empty list", "one con"),
        ('["f:paper"]', '["f:birth"]', 20, "birth'", "URI of a declared evidence type"),
        ('concepts = ["f:school"]\n[[p', 'concepts = ["f:x"]\n[[p', 24, "x'", "declared concept"),
        ('concepts = ["f:school"]\n[[p', "[[p", 21, "no facts", "concepts, evidence_types or both"),
        ('"f:age", "f:pupil"]', '"f:age", "f:x"]', 32, "x'", "URI of a declared requirement"),
        ('"f:age", "f:pupil"]', '"f:age", "f:age"]', 32, "age' a second time", "each once"),
        ('["f:age", "f:pupil"]', "[]", 32, "an empty list", "one requirement at least"),
        ('purpose = "f:deciding"', 'purpose = "f:age"', 33, "age'", "URI of a declared purpose"),
        ('["EX:MUN:13001:benefits"]', '["EX:MUN:13;001:benefits"]', 34, "13;001", "without any of"),
        ('["EX:MUN:13001:benefits"]', '["EX:MUN"]', 34, "'EX:MUN'", "an identifier INSTANCE"),
        ('legal_basis = "Act 1, article 4"\n', "", 25, "no legal basis", "what allows it"),
        ('"Act 1, article 4"', '" "', 28, "no legal basis", "what allows it"),
        # authorities
        ('["f:birth"]\n', '["f:x"]\n', 45, "x'", "URI of a declared concept"),
        ('["f:birth"]\n', "[]\n", 45, "an empty list", "one concept at least"),
        ('"EX:GOV:1000:persons:person"', '"EX:GOV:1000:person"', 37, "'EX:GOV:1000:person'",
         "an identifier INSTANCE:CLASS:CODE:SUBSYSTEM:SERVICE[:VERSION]"),
        ('"EX:GOV:1000:persons:person"', '"EX:GOV:1000:per/sons:person"', 37, "per/sons", "any of"),
        ('"EX:GOV:1000:persons:person"', '"EX:GOV:1000:persons:p: "', 37, "p: '", "without any of"),
        ('["EX:GOV:1000:persons:copy:v1"]', '["EX:GOV:1000:persons:person"]', 38, "a second time",
         "other services, each once"),
        ('["EX:GOV:1000:persons:copy:v1"]', '["EX:GOV:1:a:b%"]', 38, "b%", "without any of"),
        ('["EX:GOV:1000:persons:copy:v1"]', "[" + '"EX:GOV:1:a:b",' * 21 + "]", 38, "21 of them",
         "at most 20"),
        ("until = 2027-01-01", "until = 2027-01-01\nvalid_from = 2027-01-01", 39,
         "2027-01-01, where valid_from is 2027-01-01", "a later day"),
        ("valid_from = 2026-01-01", "valid_from = 2026-01-01\nvalid_until = 2025-01-01", 54,
         "2025-01-01", "a later day"),
        ("valid_from = 2026-01-01", 'valid_from = "soon"', 53, "'soon'", "a day such as"),
        ('= "13001"\n', '= " 13001"\n', 47, "' 13001'", "without blanks around it"),
        ('territory = "13002"\n', 'territory = "a\\tb"\n', 57, "'a\\tb'", "a code of 1 to 200"),
        # templates
        ('["f:school"]\ndesc', '["f:x"]\ndesc', 51, "x'", "URI of a declared concept"),
        ('{ 13001 = "EX:MUN:13001', '{ 13001 = "EX:M/N:13001', 54, "M/N", "without any of"),
        ('"https://facts.example.org/pupils.yaml"', '"\\u0007"', 52, "'\\x07'", "without control"),
        ('"EX:MUN:13002:school:pupils"\nterritory = "13002"', '"EX:MUN:13001:school:pupils"\n'
         'territory = "13001"', 55, "'EX:MUN:13001:school:pupils' a second time", "each once"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(
    old: str, new: str, line: int, found: str, expected: str
) -> None:
    assert old in TEXT
    told = problems(TEXT.replace(old, new, 1))
    assert any(at == line and found in text and expected in wanted for at, text, wanted in told), (
        told
    )


def test_two_authorities_for_a_concept_are_both_named_with_their_lines() -> None:
    told = problems(TEXT.replace("valid_from = 2027-01-01", "valid_from = 2026-12-31"))
    first = "EX:GOV:1000:persons:person until 2027-01-01"
    second = "EX:GOV:1000:persons:copy:v1 from 2026-12-31"
    where = "as authority everywhere for https://facts.example.org/birth and 1 more"
    assert told == [
        (35, f"{first} {where}, beside {second}", ONE),
        (40, f"{second} {where}, beside {first}", ONE),
    ]


def test_instances_of_templates_are_authorities_too() -> None:
    told = problems(TEXT + ONCE_MORE + ONCE_MORE.replace("13001", "13002"))
    assert [line for line, *_ in told] == [54, 55, 58, 62]
    assert all(expected == ONE for *_, expected in told)
    assert "EX:MUN:13001:school:pupils from 2026-01-01" in told[0][1]


def test_authorities_of_other_times_and_places_don_t_contradict_each_other() -> None:
    elsewhere = ONCE_MORE.replace("13001", "13003")
    before = ONCE_MORE + "valid_until = 2026-01-01\n"
    everywhere = ONCE_MORE.replace('territory = "13001"\n', "")
    assert len(read(TEXT + elsewhere + before + everywhere).authorities) == 6


def test_a_long_authority_meets_all_that_begin_within_its_time() -> None:
    """The second is over before the third begins, the first is not."""
    years = [(2000, 2030), (2001, 2002), (2010, 2011)]
    text = TEXT + "".join(
        ONCE_MORE.replace("13001", "9")
        + f"valid_from = {begins}-01-01\nvalid_until = {ends}-01-01\n"
        for begins, ends in years
    )
    found = {found.split(" as ")[0] for _, found, _ in problems(text)}
    assert found == {
        f"EX:GOV:1:a:b from {begins}-01-01 until {ends}-01-01" for begins, ends in years
    }


def test_all_problems_are_told_at_once() -> None:
    text = (
        TEXT.replace('"f:birth"', '"birth"', 2)
        .replace('"Act 1, article 4"', '""')
        .replace("{ en = \"Town\" }", "{}")
        .replace('purpose = "f:deciding"', 'purpose = "f:nothing"')
    )  # fmt: skip
    assert [line for line, *_ in problems(text)] == [5, 11, 28, 33, 36, 41, 45]


def test_a_declaration_that_was_not_checked_is_refused_too() -> None:
    text = TEXT.replace('"Act 1, article 4"', '""')
    declaration = parse_settings(OnceDeclaration, text, file="x", folder=Path())
    with pytest.raises(ConfigurationError, match=r"purposes\.0\.legal_basis: found no legal basis"):
        declared_vocabulary(declaration)
