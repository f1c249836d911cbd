"""Mapping files: what they stand for, and everything that may be wrong with one, at its line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.fields.mapping_file import MappingFile, file_problems, service_mapping
from catalog.fields.mapping_rules import mapping_problems
from catalog.fields.paths import is_element_path, is_pointer, is_template, pointer_to, steps_of
from catalog.mapping import (
    EndpointMapping,
    FieldMapping,
    FixedParameter,
    Place,
    Rule,
    ServiceMapping,
    SubjectParameter,
    View,
)
from catalog.meaning.vocabulary import FactType
from config.describe import describe_settings
from config.mapping_files import read_mapping
from config.settings import parse_settings
from trust.errors import ConfigurationError

EXAMPLE = """
[[endpoints]]
method = "GET"
path = "/persons/{id}/{year}"
subject = { name = "id", scheme = "urn:example:national-id" }

[[endpoints.parameters]]
name = "year"
place = "path"
default = "{last_year}"

[[endpoints.fields]]
name = "birth_date"
path = "/person/birthDate"
concept = "urn:example:birth-date"
type = "date"

[[endpoints.fields]]
name = "income"
path = "/income"
type = "integer"

[[endpoints.fields]]
name = "towns"
path = "/addresses/*/town"

[[endpoints.views]]
name = "adult"
source = "birth_date"
rule = "years-at-least"
value = "18"
concept = "urn:example:adult"

[[endpoints.views]]
name = "poor"
source = "income"
rule = "below"
value = "30000"

[[endpoints.views]]
name = "known"
source = "poor"
rule = "present"

[[endpoints]]
method = "POST"
path = "/search"
subject = { name = "/person/id", scheme = "urn:example:national-id", place = "body" }
"""
SOAP = """
[[endpoints]]
namespace = "urn:example:pensions"
qualified = false
subject = { name = "/getPension/id", scheme = "urn:example:national-id", place = "body" }

[[endpoints.fields]]
name = "status"
path = "/getPensionResponse/status"
"""


def read(text: str) -> ServiceMapping:
    return service_mapping(
        parse_settings(MappingFile, text, file="p.mapping.toml", folder=Path(), check=file_problems)
    )


def test_a_file_stands_for_its_mapping(tmp_path: Path) -> None:
    path = tmp_path / "persons.mapping.toml"
    path.write_text(EXAMPLE, encoding="utf-8")
    scheme = "urn:example:national-id"
    assert read_mapping(path) == ServiceMapping(
        (
            EndpointMapping(
                "GET",
                "/persons/{id}/{year}",
                SubjectParameter("id", scheme),
                (FixedParameter("year", Place.PATH, "{last_year}"),),
                (
                    FieldMapping(
                        "birth_date", "/person/birthDate", "urn:example:birth-date", FactType.DATE
                    ),
                    FieldMapping("income", "/income", "", FactType.INTEGER),
                    FieldMapping("towns", "/addresses/*/town"),
                ),
                (
                    View("adult", "birth_date", Rule.YEARS_AT_LEAST, "18", "urn:example:adult"),
                    View("poor", "income", Rule.BELOW, "30000"),
                    View("known", "poor", Rule.PRESENT),
                ),
            ),
            EndpointMapping("POST", "/search", SubjectParameter("/person/id", scheme, Place.BODY)),
        )
    )


def test_a_file_for_a_soap_service_has_paths_of_elements() -> None:
    (endpoint,) = read(SOAP).endpoints
    assert (endpoint.namespace, endpoint.qualified) == ("urn:example:pensions", False)
    assert endpoint.fields == (FieldMapping("status", "/getPensionResponse/status"),)


@pytest.mark.parametrize(
    ("old", "new", "found", "expected"),
    [
        ('rule = "below"', 'rule = "under"', "'under'", "one of"),
        ('source = "income"', 'source = "wages"', "'wages'", "of this endpoint: birth_date, inc"),
        ('source = "income"', 'source = "known"', "circle 'poor' → 'known' → 'poor'", "a field"),
        ('source = "income"', 'source = "poor"', "the circle 'poor' → 'poor'", "leads to a field"),
        ('name = "poor"', 'name = "income"', "'income' a second time", "each name once"),
        ('name = "towns"', 'name = "a,b"', "'a,b'", "without comma"),
        ('"/addresses/*/town"', '"/income"', "'/income' a second time", "each field once"),
        ('"/addresses/*/town"', '"addresses"', "'addresses'", "JSON pointer"),
        ('"/addresses/*/town"', '"/a~2"', "'/a~2'", "JSON pointer"),
        ('type = "date"', 'type = "integer"', "which is of type integer", "type date or datetime"),
        ('type = "integer"', 'type = "record"', "which is of type record", "integer or number"),
        ('value = "18"', 'value = "x"', "'x'", "years, 0 to 1000"),
        ('value = "18"', 'value = "٣"', "'٣'", "years, 0 to 1000"),
        ('value = "30000"', 'value = "3e4"', "'3e4'", "a whole number"),
        ('rule = "present"', 'rule = "present"\nvalue = "1"', "'1'", "no value"),
        ('name = "year"', 'name = "jahr"', "'jahr', which", "'{jahr}' in the path"),
        ("{id}/{year}", "{year}", "'id', which", "'{id}' in the path"),
        ("{id}/{year}", "{id}/{year}/{day}", "'{day}', which nothing fills", "the subject or one"),
        ('path = "/search"', 'path = "search"', "'search'", "a path as"),
        ('method = "POST"', 'method = "FETCH"', "'FETCH'", "one of GET"),
        ('method = "POST"', 'method = "GET"', "a body of GET", "a method with a body"),
        ('"/person/id"', '"person"', "'person'", "a JSON pointer as"),
        ('method = "POST"\npath = "/search"', 'method = "GET"\npath = "/persons/{id}/{year}"',
         "'GET /persons/{id}/{year}' a second time", "each endpoint once"),
        ('concept = "urn:example:adult"', 'concept = "adult"', "'adult'", "a URI"),
        ("[[endpoints.views]]", '[[endpoints.views]]\nx = 1', "unknown key 'x'", "one of"),
        ('path = "/search"\n', 'path = "/search"\nnamespace = "urn:x"\n', "'urn:x'", "no SOAP"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(old: str, new: str, found: str, expected: str) -> None:
    assert old in EXAMPLE
    with pytest.raises(ConfigurationError) as refused:
        read(EXAMPLE.replace(old, new, 1))
    said = [(problem.line, problem.found, problem.expected) for problem in refused.value.problems]
    assert any(line > 0 and found in f and expected in e for line, f, e in said), said


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"/getPensionResponse/status"', '"/a/*/b"', "a path as"),
        ('"/getPensionResponse/status"', '"status"', "a path as"),
        ('place = "body"', 'place = "query"', 'place = "body"'),
    ],
)
def test_what_is_wrong_for_soap_is_told_too(old: str, new: str, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected):
        read(SOAP.replace(old, new))


def test_all_problems_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    text = (
        EXAMPLE.replace('source = "income"', 'source = "known"')
        .replace('"/addresses/*/town"', '"addresses"')
        .replace('"18"', '"x"')
    )
    path = tmp_path / "p.mapping.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        read_mapping(path)
    lines = text.splitlines()
    assert [lines[problem.line - 1] for problem in refused.value.problems] == [
        'path = "addresses"',
        'value = "x"',
        'source = "known"',
        'source = "poor"',
    ]
    assert {problem.file for problem in refused.value.problems} == {str(path)}


def test_the_example_file_is_a_mapping_file() -> None:
    shown = describe_settings(MappingFile)
    text = "\n".join(
        line[1:] if line.startswith("#") and not line.startswith("# ") else line
        for line in shown.splitlines()
    )
    rest = "\n".join(line for line in text.splitlines() if not line.startswith("namespace"))
    (endpoint,) = read(rest).endpoints
    assert endpoint.view["adult"].source == "birth_date"


def test_the_file_in_the_documentation_is_one() -> None:
    page = (Path(__file__).parents[1] / "docs" / "mapping.md").read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in page.split("```toml\n")[1:]]
    (text,) = [block for block in blocks if "[[endpoints]]" in block]
    (endpoint,) = read(text).endpoints
    assert endpoint.view["small_pension"].source == "paid"


@pytest.mark.parametrize("ends_in", ["a", "view0", "nothing"])
def test_a_long_chain_of_views_is_told_at_once(ends_in: str) -> None:
    chain = [View(f"view{number}", f"view{number + 1}", Rule.PRESENT) for number in range(1999)]
    views = (*chain, View("view1999", ends_in, Rule.PRESENT))
    endpoint = EndpointMapping("GET", "/a", fields=(FieldMapping("a", "/a"),), views=views)
    found = [problem.found for problem in mapping_problems(ServiceMapping((endpoint,)))]
    assert sum("more than 16 views one after the other" in one for one in found) >= 1980


NAMES = st.sampled_from(["a", "b", "c", "d"])
RULES = st.sampled_from(list(Rule))
VIEWS = st.lists(st.builds(View, NAMES, NAMES, RULES, st.sampled_from(["", "1", "x"])), max_size=5)


@given(VIEWS, st.lists(st.builds(FieldMapping, NAMES, st.just("/a")), max_size=2))
def test_views_without_a_problem_lead_to_a_field(
    views: list[View], fields: list[FieldMapping]
) -> None:
    endpoint = EndpointMapping("GET", "/a", fields=tuple(fields), views=tuple(views))
    if list(mapping_problems(ServiceMapping((endpoint,)))):
        return
    for view in views:
        name, steps = view.name, 0
        while name not in endpoint.field:
            name, steps = endpoint.view[name].source, steps + 1
            assert steps <= len(views)


@given(st.text(alphabet="/~01*a{}%? é", max_size=20))
def test_any_text_is_a_path_or_not(text: str) -> None:
    if is_pointer(text):
        assert pointer_to(steps_of(text)) == text
    if is_element_path(text):
        assert all(steps_of(text))
    is_template(text)
