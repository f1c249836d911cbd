"""What operators of adapters declare of facts reaches both descriptions, whatever stands behind."""

from pathlib import Path

import pytest

from adapters.faces.openapi import describe
from adapters.faces.wsdl import SoapService, build_wsdl
from adapters.files.services import operations_of
from adapters.files.settings import FilesSettings
from adapters.operations import Operation
from adapters.rest.route import route_of
from adapters.rest.settings import RestSettings
from adapters.shapes import Scalar, ValueType
from adapters.sql.answers import Answer, Column
from adapters.sql.settings import SqlSettings
from catalog.mapping import EndpointMapping, Rule, SubjectParameter, View
from catalog.stored.described_mappings import ANY_SERVICE, openapi_mappings, wsdl_mappings
from config.settings import parse_settings
from trust.errors import ConfigurationError

SCHEME, ADULT = "urn:example:national-id", "urn:example:adult"
VIEW = (
    'views = [{ name = "adult", source = "born", rule = "years-at-least", value = "18",'
    f' concept = "{ADULT}" }}]\n'
)
FILES = f"""
title = "Persons"
kind = "files"
[folder]
path = "data"
index = "index"
[[table]]
name = "person"
files = "persons.csv"
[[table.field]]
name = "id"
subject = "{SCHEME}"
[[table.field]]
name = "born"
type = "date"
concept = "urn:example:birth-date"
[[lookup]]
name = "person"
table = "person"
path = "/persons/{{id}}"
by = ["id"]
{VIEW}
"""
REST = f"""
title = "Persons"
kind = "rest"
[upstream]
url = "http://127.0.0.1:9000"
[[operation]]
name = "person"
path = "/persons/{{id}}"
ask = "/people/{{id}}"
parameters = [{{ name = "id", subject = "{SCHEME}" }}]
fields = [{{ name = "id" }},
          {{ name = "born", type = "date", concept = "urn:example:birth-date" }}]
{VIEW}
"""


SQL = f"""
title = "Persons"
[database]
dsn_file = "database.dsn"
[[query]]
name = "person"
path = "/persons/{{id}}"
sql = "SELECT id, born FROM person WHERE id = :id"
single = true
parameters = [{{ name = "id", subject = "{SCHEME}" }}]
columns = [{{ name = "born", concept = "urn:example:birth-date" }}]
{VIEW}
"""


def of_sql(text: str) -> Operation:
    settings = parse_settings(SqlSettings, text, file="a", folder=Path())
    columns = [Column("id", Scalar(), True), Column("born", Scalar(ValueType.DATE), True)]
    return Answer(settings.query[0], columns).operation


def of_files(text: str) -> Operation:
    settings = parse_settings(FilesSettings, text, file="a", folder=Path())
    return operations_of(settings)[0]


def of_rest(text: str) -> Operation:
    settings = parse_settings(RestSettings, text, file="a", folder=Path())
    return route_of(settings.operation[0]).operation


@pytest.mark.parametrize(
    "operation", [of_files(FILES), of_rest(REST), of_sql(SQL)], ids=["files", "rest", "sql"]
)
def test_subject_and_derived_facts_stand_in_both_descriptions(operation: Operation) -> None:
    facts = openapi_mappings(describe("Persons", "1", [operation]))
    (of_openapi,) = facts.mappings[ANY_SERVICE].endpoints
    raw = build_wsdl(SoapService("Persons", "urn:p", "v1"), [operation], "http://h/", [])
    (of_wsdl,) = wsdl_mappings(raw).mappings["person", "v1"].endpoints
    for found in (of_openapi, of_wsdl):
        assert found.view["adult"] == View("adult", "born", Rule.YEARS_AT_LEAST, "18", ADULT)
        assert found.field["born"].concept == "urn:example:birth-date"
        assert found.subject is not None
        assert found.subject.scheme == SCHEME
    assert facts.warnings == ()
    assert of_openapi.subject == SubjectParameter("id", SCHEME)
    assert isinstance(of_wsdl, EndpointMapping)
    assert of_wsdl.namespace == "urn:p"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (SCHEME, "national id", "a URI"),
        ("years-at-least", "older-than", "one of"),
        (f'"{ADULT}"', '"adult"', "a URI"),
    ],
)
def test_what_is_no_fact_is_refused(old: str, new: str, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected):
        of_rest(REST.replace(old, new))
