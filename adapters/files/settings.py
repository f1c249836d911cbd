"""What an adapter in front of files is told: folders, tables, and how they may be asked."""

import codecs
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from adapters.parameters import DerivedFact, ServiceName, ServicePath, ValueName
from adapters.settings import AdapterSettings
from adapters.shapes import Field, Scalar, ValueType
from catalog.uris import UriOrNone
from trust.settings import Bounds, ByteSize, Matching, required, setting

BYTE_ORDER_MARK = codecs.BOM_UTF8


class Format(StrEnum):
    CSV = "csv"
    JSON = "json"  # one array of objects, or an object that holds it
    JSON_LINES = "jsonl"  # one object a line
    XML = "xml"


class Compare(StrEnum):
    EQUAL = "equal"
    FROM = "from"  # at least
    TO = "to"  # at most
    PREFIX = "prefix"


Encoding = Annotated[
    str,
    Matching(r"(?i)utf-(8|16|16le|16be)|ascii|iso-8859-\d{1,2}|windows-125\d", "such as 'utf-8'"),
]
OneCharacter = Annotated[str, Matching(r"[^\r\n\0]", "one character")]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableField:
    """One value of a row."""

    name: ValueName = required("as callers see it", example="id")
    at: str = setting(
        "",
        "where it stands: a heading (csv), a JSON pointer, or a path as 'name/first' or '@id'"
        " (xml); empty: under its name",
        example="Personal code",
    )
    type: ValueType = setting(ValueType.TEXT, "how its text is read")
    required: bool = setting(True, "whether a row without it is a bad row")
    max_length: Annotated[int, Bounds(1, 1_000_000)] = setting(4096, "characters, for text")
    pattern: str = setting(
        "", "regular expression that the whole text matches", example="[0-9]{11}"
    )
    choices: tuple[str, ...] = setting((), "the only values; none: any", example=("M", "F"))
    form: str = setting(
        "", "how a date or datetime is written; empty: ISO 8601", example="%d.%m.%Y"
    )
    zone: str = setting(
        "", "time zone of a datetime that does not say its own", example="Europe/Tallinn"
    )
    description: str = setting("", "for the descriptions")
    concept: str | None = setting(
        None, "URI of the fact that it is", example="http://data.europa.eu/m8g/person/identifier"
    )
    subject: UriOrNone = setting(
        "", "kind of identifier, where callers name by it whom they ask about", example="urn:ex:id"
    )
    example: str | None = setting(None, "a harmless value, for descriptions", example="10000000001")

    @property
    def field(self) -> Field:
        """As a field of an answer."""
        shape = Scalar(self.type, nullable=not self.required, choices=self.choices)
        return Field(self.name, shape, True, self.description, self.concept, self.example)


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvForm:
    """How the values of a CSV file are set apart."""

    delimiter: OneCharacter = setting(",", "between two values")
    quote: OneCharacter = setting('"', "around a value; doubled inside it")
    headings: bool = setting(
        True, "whether the first row names the columns; else `at` is a column's number, from 1"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonForm:
    """Where the rows stand in a JSON file."""

    rows: str = setting(
        "", "JSON pointer to the array; empty: the file is the array", example="/data"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class XmlForm:
    """Which elements of an XML file are rows."""

    row: str = setting("row", "name of the elements that are rows, with a prefix if it has one")
    namespaces: Mapping[str, str] = setting(
        {}, "prefixes used here, with their namespaces", example={"p": "urn:persons"}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Files of one form, read as rows."""

    name: ServiceName = required("stable name, for look-ups and messages", example="person")
    files: Annotated[str, Matching(r"[^/\0]+", "a file name, with '*' and '?'")] = required(
        "names of its files in the folder; they are read in alphabetical order",
        example="persons*.csv",
    )
    format: Format = setting(Format.CSV, "what the files are")
    encoding: Encoding = setting("utf-8", "of the texts; JSON and XML are UTF-8, or say their own")
    csv: CsvForm = setting(CsvForm(), "how values are set apart, for csv")
    json: JsonForm = setting(JsonForm(), "where the rows stand, for json")
    xml: XmlForm = setting(XmlForm(), "which elements are rows, for xml")
    decimal: Literal[".", ","] = setting(".", "decimal sign of numbers that are texts")
    true: tuple[str, ...] = setting(("true",), "texts that mean true", example=("1", "Y"))
    false: tuple[str, ...] = setting(("false",), "texts that mean false", example=("0", "N"))
    trim: bool = setting(False, "whether spaces around a text are dropped")
    bad_rows: Annotated[int, Bounds(0, 5000)] = setting(
        0, "bad rows that may be left out; with more, the version as a whole is refused"
    )
    field: tuple[TableField, ...] = required("the values of a row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """Rows by their key."""

    name: ServiceName = required("stable name of the service", example="person")
    table: ServiceName = required("name of a table", example="person")
    path: ServicePath = required("address, with {field} for fields of the key", example="/p/{id}")
    by: tuple[ValueName, ...] = required("fields that are the key", example=("id",))
    method: Literal["GET", "POST"] = setting("GET", "POST: the key comes in a JSON object")
    many: bool = setting(
        False, "whether rows may share a key: a list is answered; else a key twice is a bad row"
    )
    several: Annotated[int, Bounds(0, 1000)] = setting(
        0, "keys that may be given at a time, answered as a list; 0: one, answered as an object"
    )
    max_rows: Annotated[int, Bounds(1, 10_000)] = setting(1000, "rows at the most in a list")
    fields: tuple[ValueName, ...] = setting(
        (), "what is answered; none: all", example=("id", "name")
    )
    views: tuple[DerivedFact, ...] = setting((), "facts that follow from fields of the answer")
    summary: str = setting("", "for the descriptions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What a caller may narrow a list by."""

    name: ValueName = required("as callers give it", example="born_from")
    field: ValueName = required("the field that it is compared with", example="born")
    compare: Compare = setting(Compare.EQUAL, "how")
    required: bool = setting(False, "whether it must be given")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The rows of a table, page by page."""

    name: ServiceName = required("stable name of the service", example="persons")
    table: ServiceName = required("name of a table", example="person")
    path: ServicePath = required("address", example="/persons")
    method: Literal["GET", "POST"] = setting("GET", "POST: filters come in a JSON object")
    filter: tuple[Filter, ...] = setting((), "what callers may narrow it by")
    page: Annotated[int, Bounds(1, 10_000)] = setting(100, "rows of a page, unless asked for less")
    max_page: Annotated[int, Bounds(1, 10_000)] = setting(1000, "rows that may be asked for")
    fields: tuple[ValueName, ...] = setting(
        (), "what is answered; none: all", example=("id", "name")
    )
    summary: str = setting("", "for the descriptions")


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSettings:
    """Where the files are, and when they are looked at."""

    path: Path = required("folder with the files; no file in it may be a link", example="data")
    index: Path = required(
        "folder of the adapter's own on a local disk, for its copy of the rows", example="index"
    )
    interval: Annotated[timedelta, Bounds(timedelta(milliseconds=50))] = setting(
        timedelta(seconds=10), "time between two looks at the files"
    )
    marker: Annotated[str, Matching(r"[^/\0*?]*", "a file name")] = setting(
        "", "file that is written anew when all others are complete; empty: none", example="READY"
    )
    build_timeout: timedelta = setting(timedelta(hours=1), "longest time to read one table")
    query_timeout: timedelta = setting(timedelta(seconds=5), "longest time for one list")
    kept: timedelta = setting(
        timedelta(minutes=10), "how long a replaced version still serves pages that were begun"
    )
    stale_after: timedelta | None = setting(
        None, "age at which rows that can't be replaced are no longer served", example="2d"
    )
    max_file: ByteSize = setting(ByteSize(4 << 30), "longest file")
    max_files: Annotated[int, Bounds(1, 10_000)] = setting(1000, "files of one table")
    max_row: ByteSize = setting(ByteSize(1 << 20), "longest row")
    max_rows: Annotated[int, Bounds(1, 1_000_000_000)] = setting(100_000_000, "rows of one table")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesSettings(AdapterSettings):
    """What `sacbe adapter run` reads for `kind = "files"`."""

    kind: Literal["files"] = required("what stands behind the adapter", example="files")
    folder: FolderSettings = required("where the files are")
    table: tuple[Table, ...] = required("files of one form, read as rows")
    lookup: tuple[Lookup, ...] = setting((), "rows by their key")
    list: tuple[Listing, ...] = setting((), "the rows of a table, page by page")

    @property
    def asked(self) -> "tuple[Lookup | Listing, ...]":
        """All that is offered."""
        return (*self.lookup, *self.list)
