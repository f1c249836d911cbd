"""Files of every form become typed rows, or every bad row is named."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.files.cells import column_of
from adapters.files.jsonrows import json_array
from adapters.files.rows import RawRow, UnreadableFile
from adapters.files.settings import CsvForm, Format, JsonForm, Table, TableField, XmlForm
from adapters.files.xmlrows import xml_rows
from adapters.shapes import ValueType
from tests.file_tables import (
    GOOD,
    HEADINGS,
    PERSON_FIELDS,
    declared,
    problems_in,
    rows_of,
    table_of,
    write,
)

ID = TableField(name="id")
NAME = TableField(name="name")
AGE = TableField(name="age", type=ValueType.INTEGER)


def typed(kind: ValueType, **more: object) -> TableField:
    return TableField(name="v", at="v", type=kind, **more)  # type: ignore[arg-type]


def test_rows_of_a_csv_file_are_typed(tmp_path: Path) -> None:
    chosen = declared(tmp_path)
    write(tmp_path, "persons.csv", GOOD)
    assert rows_of(chosen) == [
        ("001", "Ann", date(1990, 5, 1), Decimal("10.50")),
        ("002", "Bo", date(2000, 1, 2), None),
        ("003", "Bo", date(2010, 1, 2), Decimal(1)),
    ]


@pytest.mark.parametrize(
    ("encoding", "form", "raw"),
    [
        ("utf-8", CsvForm(), "id,name\r\n1,Ülle\r\n".encode()),
        ("utf-8", CsvForm(), b"\xef\xbb\xbf" + "id,name\n1,Ülle".encode()),
        ("utf-16", CsvForm(), "id,name\n1,Ülle\n".encode("utf-16")),
        ("utf-16le", CsvForm(), "id,name\n1,Ülle\n".encode("utf-16le")),
        ("iso-8859-1", CsvForm(delimiter=";"), "name;x;id\nÜlle;;1\n".encode("latin-1")),
        ("windows-1252", CsvForm(quote="'"), "'id',name\n1,'Ülle'\n".encode("cp1252")),
        ("utf-8", CsvForm(), 'id,name\n\n"1","Ülle"\n\n'.encode()),
    ],
)
def test_encodings_and_dialects(tmp_path: Path, encoding: str, form: CsvForm, raw: bytes) -> None:
    table = table_of(Format.CSV, ID, NAME, encoding=encoding, csv=form)
    chosen = declared(tmp_path, table=table, lookups=())
    write(tmp_path, "a.csv", raw)
    assert rows_of(chosen) == [("1", "Ülle")]


def test_columns_by_number_and_line_ends_inside_quotes(tmp_path: Path) -> None:
    table = table_of(
        Format.CSV,
        TableField(name="id", at="2"),
        TableField(name="name", at="1"),
        csv=CsvForm(headings=False),
    )
    chosen = declared(tmp_path, table=table, lookups=())
    write(tmp_path, "a.csv", '"An ""A""\nB",1\nBo,2\n')
    assert rows_of(chosen) == [("1", 'An "A"\nB'), ("2", "Bo")]


@pytest.mark.parametrize(
    ("field", "raw", "value"),
    [
        (typed(ValueType.INTEGER), "-12", -12),
        (typed(ValueType.NUMBER), "1.5e3", Decimal("1.5e3")),
        (typed(ValueType.BOOLEAN), "Y", True),
        (typed(ValueType.BOOLEAN), "N", False),
        (typed(ValueType.DATE, form="%d.%m.%Y"), "1.2.2020", date(2020, 2, 1)),
        (
            typed(ValueType.DATETIME),
            "2020-02-01T10:00:00+02:00",
            datetime(2020, 2, 1, 8, tzinfo=UTC),
        ),
        (
            typed(ValueType.DATETIME, form="%d.%m.%Y %H:%M", zone="Europe/Tallinn"),
            "01.07.2020 10:00",
            datetime(2020, 7, 1, 7, tzinfo=UTC),
        ),
        (typed(ValueType.UUID), "0" * 31 + "1", UUID(int=1)),
        (typed(ValueType.BINARY), "aGk=", b"hi"),
        (typed(ValueType.TEXT, choices=("a", "b")), "b", "b"),
        (typed(ValueType.TEXT, required=False), "", None),
    ],
)
def test_texts_are_read_by_type(tmp_path: Path, field: TableField, raw: str, value: object) -> None:
    table = table_of(Format.CSV, ID, field, true=("Y",), false=("N",))
    chosen = declared(tmp_path, table=table, lookups=())
    write(tmp_path, "a.csv", f"id,v\n1,{raw}\n")
    assert rows_of(chosen) == [("1", value)]


@pytest.mark.parametrize(
    ("field", "raw", "expected"),
    [
        (typed(ValueType.INTEGER), "9223372036854775808", "a whole number within 64 bits"),
        (typed(ValueType.INTEGER), "1_0", "a whole number within 64 bits"),
        (typed(ValueType.NUMBER), "nan", "a number such as 12,5"),
        (typed(ValueType.NUMBER), "1.5", "a number such as 12,5"),
        (typed(ValueType.BOOLEAN), "yes", "one of true, false"),
        (typed(ValueType.DATE), "2020-02-30", "a date such as 2024-01-31"),
        (typed(ValueType.DATE), "20200201", "a date such as 2024-01-31"),
        (typed(ValueType.DATE, form="%d.%m.%Y"), "2020-02-01", "a date such as 31.01.2024"),
        (typed(ValueType.DATETIME), "2020-02-01T10:00:00", "with its zone"),
        (typed(ValueType.DATETIME), "0001-01-01T00:00:00+10:00", "with its zone"),
        (typed(ValueType.UUID), "1", "a UUID"),
        (typed(ValueType.BINARY), "a", "base64"),
        (typed(ValueType.TEXT, choices=("a", "b")), "c", "one of a, b"),
        (typed(ValueType.TEXT, max_length=3), "four", "a text of at most 3 characters"),
        (typed(ValueType.TEXT, pattern="[0-9]+"), "12a", "like [0-9]+"),
        (typed(ValueType.TEXT), "a\0b", "a text of at most 4096 characters"),
        (typed(ValueType.TEXT), "", "found nothing as 'v'"),
    ],
)
def test_a_bad_value_is_told_with_its_line_and_never_itself(
    tmp_path: Path, field: TableField, raw: str, expected: str
) -> None:
    table = table_of(Format.CSV, ID, field, decimal=",")
    chosen = declared(tmp_path, table=table, lookups=())
    write(tmp_path, "a.csv", f"id,v\n1,{raw}\n")
    (problem,) = problems_in(chosen)
    assert problem.startswith("a.csv:2: found ")
    assert expected in problem
    if len(raw) > 3:
        assert raw not in problem


def test_spaces_may_be_dropped(tmp_path: Path) -> None:
    for trim, name in ((True, "Ann"), (False, " Ann ")):
        chosen = declared(tmp_path, table=table_of(Format.CSV, ID, NAME, trim=trim), lookups=())
        write(tmp_path, "a.csv", "id,name\n1, Ann \n")
        assert rows_of(chosen) == [("1", name)]
    table = table_of(Format.CSV, ID, TableField(name="name", required=False), trim=True)
    write(tmp_path, "a.csv", "id,name\n1,  \n")
    assert rows_of(declared(tmp_path, table=table, lookups=())) == [("1", None)]
    table = table_of(Format.CSV, ID, NAME, trim=True)
    assert "found nothing" in problems_in(declared(tmp_path, table=table, lookups=()))[0]


@pytest.mark.parametrize(
    ("values", "ordered"),
    [
        ([Decimal("1.50"), Decimal("1.5"), Decimal("15e-1")], False),
        ([date(999, 1, 1), date(2020, 1, 1)], True),
        ([datetime(999, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, 0, 0, 0, 1, tzinfo=UTC)], True),
        ([False, True], True),
    ],
)
def test_an_index_compares_as_values_do(values: list[object], ordered: bool) -> None:
    columns: list[Any] = [column_of(value) for value in values]
    assert sorted(columns) == columns
    assert len(set(columns)) == (len(values) if ordered else 1)


def test_every_bad_row_is_told(tmp_path: Path) -> None:
    chosen = declared(tmp_path)
    write(
        tmp_path,
        "persons.csv",
        HEADINGS.encode()
        + b"001,Ann,1990-05-01,10.50\n"
        + b"002,Bo,yesterday,much\n"
        + b"003,Bo\n"
        + b'004,"B"o",2000-01-01,\n'
        + b"005,B\xff,2000-01-01,\n"
        + b"006,Cy,2000-01-01,1\n",
    )
    assert problems_in(chosen) == [
        "persons.csv:3: found a text of 9 characters as 'born', expected a date such as 2024-01-31",
        "persons.csv:3: found a text of 4 characters as 'income', expected a number such as 12.5",
        "persons.csv:4: found 2 values, expected 4 values",
        "persons.csv:5: found a quote that stands where none may, "
        "expected values in their quotes, quotes inside them doubled",
        "persons.csv:6: found bytes that are not of the encoding as 'name', "
        "expected a text of at most 4096 characters",
    ]


def test_bad_rows_may_be_left_out_up_to_a_number(tmp_path: Path) -> None:
    table = table_of(Format.CSV, ID, AGE, bad_rows=2)
    chosen = declared(tmp_path, table=table, lookups=())
    write(tmp_path, "a.csv", "id,age\n1,1\n2,x\n3,3\n4,y\n")
    assert rows_of(chosen) == [("1", 1), ("3", 3)]
    write(tmp_path, "a.csv", "id,age\n1,1\n2,x\n3,z\n4,y\n")
    assert len(problems_in(chosen)) == 3


def test_the_list_of_problems_is_bounded(tmp_path: Path) -> None:
    chosen = declared(tmp_path, table=table_of(Format.CSV, AGE), lookups=())
    write(tmp_path, "a.csv", "age\n" + "x\n" * 20_000)
    assert len(problems_in(chosen)) == 50


def test_a_key_twice_is_told_across_files(tmp_path: Path) -> None:
    chosen = declared(tmp_path)
    write(tmp_path, "persons1.csv", GOOD)
    write(tmp_path, "persons2.csv", HEADINGS + "004,Cy,2000-01-01,\n002,Di,2000-01-01,\n")
    assert problems_in(chosen) == [
        "persons2.csv:3: found the id of line 3 of persons1.csv again, "
        "expected a key that no other row has"
    ]


def test_of_doubles_that_are_left_out_none_is_served(tmp_path: Path) -> None:
    table = Table(name="person", files="*", field=PERSON_FIELDS, bad_rows=1)
    chosen = declared(tmp_path, table=table)
    write(tmp_path, "a.csv", GOOD + "002,Di,2000-01-01,\n")
    assert [row[0] for row in rows_of(chosen)] == ["001", "003"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "no headings"),
        ("id,name\n", "without 'Full name', 'born', 'income'"),
        ("id,Full name,born,income,id\n", "a heading twice"),
        (HEADINGS + '001,"never closed\n' + "x\n" * 10, "a quote that is not closed"),
        (HEADINGS + "001," + "x" * 2000, "a row of more than 1024 characters"),
        (HEADINGS + '001,"' + "x\n" * 2000, "a row of more than 1024 characters"),
    ],
)
def test_a_csv_file_that_can_t_be_read_to_its_end(tmp_path: Path, text: str, found: str) -> None:
    chosen = declared(tmp_path, max_row=1024)
    write(tmp_path, "persons.csv", text)
    (problem,) = problems_in(chosen)
    assert found in problem


# --- JSON -----------------------------------------------------------------------------------------

JSON_TABLE = table_of(
    Format.JSON,
    ID,
    TableField(name="name", at="/name/first"),
    TableField(name="age", type=ValueType.NUMBER, required=False),
    json=JsonForm(rows="/data/people"),
)


def test_rows_of_a_json_array_inside_an_object(tmp_path: Path) -> None:
    chosen = declared(tmp_path, table=JSON_TABLE, lookups=())
    rows = [
        {"id": "1", "name": {"first": 'A"\\{'}, "age": 1.10},
        {"id": "2", "name": {"first": "é"}},
    ]
    document = {"note": ["[", {"x": "]"}], "data": {"n": 1, "people": rows, "z": {}}, "end": None}
    write(tmp_path, "a.json", json.dumps(document, indent=1, ensure_ascii=False))
    assert rows_of(chosen) == [("1", 'A"\\{', Decimal("1.1")), ("2", "é", None)]


def test_lines_of_json(tmp_path: Path) -> None:
    table = table_of(Format.JSON_LINES, ID, AGE)
    chosen = declared(tmp_path, table=table, lookups=())
    write(tmp_path, "a.jsonl", b'\xef\xbb\xbf{"id": "1", "age": 5}\r\n\n{"id":"2","age":6}')
    assert rows_of(chosen) == [("1", 5), ("2", 6)]
    write(tmp_path, "a.jsonl", '{"id": 1, "age": 5}\n{"id": "2", "age": true}\n{\n[]\n')
    assert problems_in(chosen) == [
        "a.jsonl:1: found a number as 'id', expected a text of at most 4096 characters",
        "a.jsonl:2: found true or false as 'age', expected a whole number within 64 bits",
        "a.jsonl:3: found no JSON: Expecting property name enclosed in double quotes, "
        "expected a JSON object",
        "a.jsonl:4: found no object, expected a JSON object",
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "the end of the file, expected an array"),
        ("{}", "something else, expected an array"),
        ("[{}", "the end of the file, expected a comma or the end of the array"),
        ('[{"id": "1"', "the end of the file, expected the end of a value"),
        ('[{"id": "1}]', "the end of the file, expected the end of a value"),
        ('[{"id": "1"}] []', "more behind the end"),
        ('[{"id": "1"},]', "no JSON, expected a value"),
        ("[" * 100_000, "values nested too deeply"),
        ('[{"id": "' + "x" * 300_000 + '"}]', "a value of more than 65536 bytes"),
    ],
)
def test_a_json_file_that_is_no_array(tmp_path: Path, text: str, found: str) -> None:
    table = table_of(Format.JSON, ID)
    chosen = declared(tmp_path, table=table, lookups=(), max_row=65536)
    write(tmp_path, "a.json", text)
    assert found in problems_in(chosen)[-1]


@pytest.mark.parametrize(
    "element", ['{"id": "1", "id": "2"}', '{"id": NaN}', "{id: 1}", "1", '"x"', "{]", "nul"]
)
def test_a_bad_element_is_a_bad_row(tmp_path: Path, element: str) -> None:
    table = table_of(Format.JSON, ID)
    chosen = declared(tmp_path, table=table, lookups=())
    write(tmp_path, "a.json", f'[{{"id": "0"}},\n\n{element}, {{"id": "9"}}]')
    (problem,) = problems_in(chosen)
    assert problem.startswith("a.json:3: found no ")


_JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('"\\{}[],:é\n ', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text('a"\\{', max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


class _Dripping(BytesIO):
    """A file that hands out few bytes at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(3, size) if size is not None and size >= 0 else 3)


@given(st.lists(_JSON_VALUES, max_size=6), st.booleans())
def test_any_array_is_cut_into_its_elements(values: list[object], pretty: bool) -> None:
    table = table_of(Format.JSON, TableField(name="v", at="/v"))
    raw = json.dumps([{"v": value} for value in values], indent=2 if pretty else None).encode()
    whole = list(json_array(BytesIO(raw), table, 10_000))
    assert [row.values[0] for row in whole if isinstance(row, RawRow)] == values
    assert list(json_array(_Dripping(raw), table, 10_000)) == whole


@given(st.binary(max_size=40) | st.text('[]{}",:\\ 1n', max_size=30).map(str.encode))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes_are_rows_or_unreadable(raw: bytes) -> None:
    table = table_of(Format.JSON, ID)
    try:
        rows = list(json_array(BytesIO(raw), table, 1000))
    except UnreadableFile:
        return
    assert all(row.line >= 1 for row in rows)
    assert raw.strip()


# --- XML ------------------------------------------------------------------------------------------

XML_TABLE = table_of(
    Format.XML,
    TableField(name="id", at="@id"),
    TableField(name="name", at="p:name/p:first"),
    TableField(name="unit", at="p:weight/@unit", required=False),
    xml=XmlForm(row="p:person", namespaces={"p": "urn:persons"}),
)
XML = """<?xml version="1.0"?>
<!-- all --><people xmlns="urn:persons"><count>2</count>
 <person id="1"><name><first>A &amp; B</first></name><weight unit="kg">9</weight></person>
 <person id="2"><name><last>x</last><first><![CDATA[<C>]]></first></name></person>
 <group><person id="3"><name><first>é</first></name></person></group>
</people>"""


def test_rows_of_an_xml_file(tmp_path: Path) -> None:
    chosen = declared(tmp_path, table=XML_TABLE, lookups=())
    write(tmp_path, "a.xml", XML)
    assert rows_of(chosen) == [("1", "A & B", "kg"), ("2", "<C>", None), ("3", "é", None)]
    write(tmp_path, "a.xml", XML.encode("utf-16"))
    assert len(rows_of(chosen)) == 3


def test_bad_rows_of_an_xml_file(tmp_path: Path) -> None:
    chosen = declared(tmp_path, table=XML_TABLE, lookups=())
    bad = XML.replace('id="1"', "").replace("<last>x</last>", "<first>x</first>")
    write(tmp_path, "a.xml", bad)
    assert problems_in(chosen) == [
        "a.xml:3: found nothing as 'id', expected a text of at most 4096 characters",
        "a.xml:4: found several elements for one field, expected one element with a text",
    ]


BOMB = '<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><r><row>&b;</row></r>'


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (BOMB, "a document type declaration"),
        ("<!--" + "x" * 70_000 + "-->" + BOMB, "a document type declaration"),
        ('<!DOCTYPE r SYSTEM "file:///etc/passwd"><r/>', "a document type declaration"),
        ("<r><row><id>&other;</id></row></r>", "not well-formed"),
        ("<r><row></r>", "not well-formed"),
        ("<r>", "not well-formed"),
        ("", "not well-formed"),
        ("<a>" * 3000, "not well-formed"),
        ("<r><row><id>" + "<x>y</x>" * 100_000, "a row of more than 65536 bytes"),
        ('<?xml version="1.0" encoding="utf-7"?><r/>', "an encoding that is not accepted"),
    ],
)
def test_an_xml_file_that_is_hostile_or_broken(tmp_path: Path, text: str, found: str) -> None:
    table = table_of(Format.XML, ID)
    chosen = declared(tmp_path, table=table, lookups=(), max_row=65536)
    write(tmp_path, "a.xml", text)
    assert found in problems_in(chosen)[-1]


def test_lines_of_long_xml_files_are_right(tmp_path: Path) -> None:
    chosen = declared(tmp_path, table=table_of(Format.XML, ID), lookups=())
    rows = "<row>\n<id>1</id>\n</row>\n" * 40_000
    write(tmp_path, "a.xml", f"<r>\n{rows}<row><no>1</no></row>\n</r>")
    (problem,) = problems_in(chosen)
    assert problem.startswith("a.xml:120002: found nothing")


class _Repeated(BytesIO):
    """A long file that is nowhere: a beginning, the same rows again and again, an end."""

    def __init__(self, begin: bytes, row: bytes, times: int, end: bytes) -> None:
        super().__init__()
        self._row = row * 100
        self._left = times // 100
        self._held = begin
        self._end = end

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = size if size is not None and size >= 0 else 1 << 16
        while len(self._held) < wanted and self._left:
            self._held += self._row
            self._left -= 1
        if not self._left:
            self._held, self._end = self._held + self._end, b""
        piece, self._held = self._held[:wanted], self._held[wanted:]
        return piece


@pytest.mark.parametrize(
    ("format_", "file"),
    [
        (Format.JSON, _Repeated(b'[{"id": "0"}', b',\n{"id": "1", "x": "' + b"y" * 200 + b'"}',
                                150_000, b"]")),
        (Format.XML, _Repeated(b"<r>", b"<other>" + b"y" * 100 + b"</other><row><id>1</id>"
                               b"<x>" + b"y" * 100 + b"</x></row><!-- more -->", 100_000, b"</r>")),
    ],
)  # fmt: skip
def test_memory_is_that_of_a_row_however_long_the_file_is(format_: Format, file: BytesIO) -> None:
    read = {Format.JSON: json_array, Format.XML: xml_rows}[format_]
    rows = read(file, table_of(format_, ID), 10_000)
    next(rows)
    before = psutil.Process().memory_info().rss
    assert sum(1 for _ in rows) >= 99_000
    assert psutil.Process().memory_info().rss - before < 8_000_000
