"""Declarations of files: every mistake at once; and the services that come of sound ones."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from adapters.files.declared import problems_of
from adapters.files.settings import (
    Compare,
    CsvForm,
    FilesSettings,
    Filter,
    Format,
    JsonForm,
    Listing,
    Lookup,
    TableField,
    XmlForm,
)
from adapters.files.source import open_files
from adapters.kinds import load_kind
from adapters.shapes import ValueType
from adapters.shell import build_app
from config.settings import parse_settings
from tests.file_tables import ALL, BY_ID, GOOD, HEADINGS, PERSONS, declared, table_of, until, write
from trust.errors import ConfigurationError


def found_in(settings: FilesSettings) -> list[str]:
    return [f"{'.'.join(map(str, one.path))}: {one.found}" for one in problems_of(settings)]


def test_a_sound_declaration_has_no_problems(tmp_path: Path) -> None:
    assert found_in(declared(tmp_path, lists=(ALL,))) == []


@pytest.mark.parametrize(
    ("lookup", "told"),
    [
        ({"table": "x"}, "table: 'x'"),
        ({"by": ("nobody",), "path": "/p"}, "by: 'nobody' is no field of 'person'"),
        ({"by": (), "path": "/p"}, "by: no key, or a field twice"),
        ({"by": ("id", "id")}, "by: no key, or a field twice"),
        ({"fields": ("x",)}, "fields: 'x' is no field of 'person'"),
        ({"path": "/p/{name}"}, "path: '{name}'"),
        ({"path": "/openapi.json"}, "path: GET /openapi.json a second time"),
        ({"by": ("id", "name"), "path": "/p", "several": 2}, "several: a key of several fields"),
        ({"several": 2}, "path: a key in the path"),
    ],
)
def test_mistakes_of_a_look_up(tmp_path: Path, lookup: dict[str, Any], told: str) -> None:
    chosen = declared(tmp_path, lookups=(replace(BY_ID, **lookup),))
    assert found_in(chosen) == [f"lookup.0.{told}"]


@pytest.mark.parametrize(
    ("listing", "told"),
    [
        ({"name": "person"}, "name: the name 'person' a second time"),
        ({"path": "/persons/{x}", "filter": ()}, "path: GET /persons/{x} a second time"),
        ({"path": "/x/{x}"}, "path: '{x}'"),
        (
            {"filter": (Filter(name="a", field="b"),)},
            "filter.0.field: 'b' is no field of 'person'",
        ),
        (
            {"filter": (Filter(name="a", field="name"), Filter(name="a", field="name"))},
            "filter.1.name: the name 'a' a second time",
        ),
        (
            {"filter": (Filter(name="limit", field="name"),)},
            "filter.0.name: the name 'limit' a second time",
        ),
        (
            {"filter": (Filter(name="a", field="income", compare=Compare.FROM),)},
            "filter.0.compare: 'from' of a decimal",
        ),
        (
            {"filter": (Filter(name="a", field="born", compare=Compare.PREFIX),)},
            "filter.0.compare: 'prefix' of a date",
        ),
    ],
)
def test_mistakes_of_a_list(tmp_path: Path, listing: dict[str, Any], told: str) -> None:
    chosen = declared(tmp_path, lists=(replace(ALL, **listing),))
    assert f"list.0.{told}" in found_in(chosen)


def test_mistakes_of_tables_and_fields(tmp_path: Path) -> None:
    def told(
        *fields: TableField,
        format_: Format = Format.CSV,
        **more: Any,  # noqa: ANN401 - forms
    ) -> list[str]:
        chosen = declared(tmp_path, table=table_of(format_, *fields, **more), lookups=())
        return [one for one in found_in(chosen) if one.startswith("table")]

    name = TableField(name="a")
    assert told() == ["table.0: a table without fields"]
    assert told(name, name) == ["table.0.field.1.name: the name 'a' a second time"]
    assert told(name, csv=CsvForm(quote=",")) == ["table.0.csv: the same delimiter and quote"]
    assert told(name, csv=CsvForm(headings=False)) == ["table.0.field.0.at: ''"]
    assert "unterminated" in told(TableField(name="a", pattern="[a"))[0]
    for form in ("%d.%m", "%Y-%m-%d %j", "%d%d%m%Y"):
        field = TableField(name="a", type=ValueType.DATE, form=form)
        assert "table.0.field.0: field 'a': " in told(field)[0]
    zone = TableField(name="a", type=ValueType.DATETIME, zone="Nowhere/Land")
    assert "Nowhere" in told(zone)[0]
    pointer = TableField(name="a", at="/~")
    assert "neither '~0' nor '~1'" in told(pointer, format_=Format.JSON)[0]
    assert "does not begin" in told(name, format_=Format.JSON, json=JsonForm(rows="x"))[0]
    prefix = TableField(name="a", at="p:x/@y")
    assert "'p' is not declared" in told(prefix, format_=Format.XML)[0]
    assert "no name" in told(name, format_=Format.XML, xml=XmlForm(row="a b"))[0]


def test_mistakes_of_the_whole(tmp_path: Path) -> None:
    chosen = declared(tmp_path, lookups=())
    assert found_in(chosen) == [": no [[lookup]] and no [[list]]"]
    same = replace(chosen.folder, index=chosen.folder.path)
    assert "folder.index: the folder of the files" in found_in(replace(chosen, folder=same))
    twice = replace(declared(tmp_path), table=(PERSONS, PERSONS))
    assert found_in(twice) == ["table.1.name: the name 'person' a second time"]
    assert ": no [[table]]" in found_in(replace(chosen, table=()))
    binary = table_of(Format.CSV, TableField(name="a", type=ValueType.BINARY))
    asked = Lookup(name="l", table="t", path="/l", by=("a",))
    assert found_in(declared(tmp_path, table=binary, lookups=(asked,))) == [
        "lookup.0.by: 'a', which is binary"
    ]


TEXT = """\
kind = "files"
title = "Persons"
[folder]
path = "data"
index = "index"
[[table]]
name = "person"
files = "persons*.csv"
field = [
    { name = "id", pattern = "[0-9]{3}" },
    { name = "name", at = "Full name" },
    { name = "born", type = "date", concept = "urn:born" },
    { name = "income", type = "number", required = false },
]
[[lookup]]
name = "person"
table = "person"
path = "/persons/find"
method = "POST"
by = ["id"]
[[list]]
name = "persons"
table = "person"
path = "/persons/{name}"
filter = [{ name = "name", field = "name", required = true }]
page = 1
"""


def test_mistakes_in_a_file_have_their_lines(tmp_path: Path) -> None:
    kind = load_kind("files")
    bad = TEXT.replace('by = ["id"]', 'by = ["code"]').replace('"[0-9]{3}"', '"[0-9"')
    with pytest.raises(ConfigurationError) as caught:
        parse_settings(kind.settings, bad, file="a.toml", folder=tmp_path, check=kind.problems)
    assert [one.line for one in caught.value.problems] == [10, 20]


async def test_files_are_served_over_http(tmp_path: Path) -> None:
    kind = load_kind("files")
    settings = parse_settings(
        kind.settings, TEXT, file="a.toml", folder=tmp_path, check=kind.problems
    )
    assert isinstance(settings, FilesSettings)
    folder = replace(settings.folder, interval=declared(tmp_path).folder.interval)
    settings = replace(settings, folder=folder)
    write(tmp_path, "persons.csv", GOOD)
    source = await open_files(settings)
    async with TestClient(TestServer(build_app(settings, source))) as client:
        found = await client.post("/persons/find", json={"id": "001"})
        assert await found.json() == {
            "id": "001", "name": "Ann", "born": "1990-05-01", "income": 10.5,
        }  # fmt: skip
        assert (await client.post("/persons/find", json={"id": "1" * 5000})).status == 400
        page = await (await client.get("/persons/Bo")).json()
        assert [row["id"] for row in page["items"]] == ["002"]
        page = await (await client.get("/persons/Bo", params={"after": page["next"]})).json()
        assert ([row["id"] for row in page["items"]], page["next"]) == (["003"], None)
        assert await (await client.get("/health/ready")).json() == {"ready": True}
        described = await (await client.get("/openapi.json")).json()
        assert "urn:born" in str(described["paths"]["/persons/find"]["post"])
        write(tmp_path, "persons.csv", HEADINGS + "9,Ann,1990-05-01,\n")
        await until(lambda: bool(source.notices()))
        ready = await client.get("/health/ready")
        assert ready.status == 200
        assert (await ready.json())["notices"][1] == (
            "table 'person': persons.csv:2: found a text of 1 character as 'id', "
            "expected a text of at most 4096 characters, like [0-9]{3}"
        )
        told = await (await client.get("/metrics")).text()
        assert 'sacbe_adapter_files_served{table="person"} 0.0' in told
        write(tmp_path, "other.txt", "")
        (tmp_path / "data").rename(tmp_path / "away")
        await until(lambda: "can't be read" in source.notices()[0])
        (tmp_path / "away").rename(tmp_path / "data")
        await until(lambda: "1 bad row" in source.notices()[0])
    await source.close()


async def test_rows_that_are_left_out_stay_told(tmp_path: Path) -> None:
    chosen = declared(tmp_path, table=replace(PERSONS, bad_rows=1))
    write(tmp_path, "persons.csv", GOOD + "x\n")
    source = await open_files(chosen)
    await until(lambda: source._keepers["person"].confirmed > 0)
    for _ in range(2):
        await source._keepers["person"].attend()
        assert source.notices() == [
            "table 'person': 1 bad row left out",
            "table 'person': persons.csv:5: found 1 value, expected 4 values",
        ]
    await source.close()
    source = await open_files(chosen)
    assert source.notices() == ["table 'person': 1 bad row left out"]
    await source.close()


def test_a_listing_may_show_fewer_fields(tmp_path: Path) -> None:
    few = Listing(name="few", table="person", path="/few", fields=("id",))
    assert found_in(declared(tmp_path, lists=(few,))) == []
