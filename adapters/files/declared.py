"""What is wrong between the settings of an adapter in front of files, before any file is read."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from adapters.files.cells import cell_of
from adapters.files.services import AFTER, LIMIT
from adapters.files.settings import (
    Compare,
    FilesSettings,
    Filter,
    Format,
    Listing,
    Lookup,
    Table,
    TableField,
)
from adapters.files.xmlrows import XmlPath, qualified
from adapters.jsontext import parse_pointer
from adapters.operations import PATH_PARAMETER, is_own_path
from adapters.shapes import ValueType
from trust.settings import Place, Problems, SettingProblem

A = TypeVar("A", Lookup, Listing)
_RANGED = (ValueType.INTEGER, ValueType.DATE, ValueType.DATETIME, ValueType.TEXT)


def problems_of(settings: FilesSettings) -> list[SettingProblem]:
    """Everything, with the place of each."""
    found: list[SettingProblem] = []
    if not settings.table:
        found.append(SettingProblem((), "no [[table]]", "at least one table"))
    if not settings.lookup and not settings.list:
        found.append(SettingProblem((), "no [[lookup]] and no [[list]]", "at least one of them"))
    found += _same_folder(settings)
    found += _twice("table", [table.name for table in settings.table])
    for index, table in enumerate(settings.table):
        found += _table(table, ("table", index))
    found += _twice("lookup", [one.name for one in settings.lookup])
    addresses: dict[tuple[str, str], str] = {}
    for index, lookup in enumerate(settings.lookup):
        place: Place = ("lookup", index)
        found += _address(lookup, place, addresses)
        found += _with_table(lookup, settings, place, _lookup)
    for index, listing in enumerate(settings.list):
        place = ("list", index)
        if any(one.name == listing.name for one in settings.asked[: len(settings.lookup) + index]):
            text = f"the name '{listing.name}' a second time"
            found.append(SettingProblem((*place, "name"), text, "a name of its own"))
        found += _address(listing, place, addresses)
        found += _with_table(listing, settings, place, _listing)
    return found


def _same_folder(settings: FilesSettings) -> Problems:
    if settings.folder.path.absolute() == settings.folder.index.absolute():
        yield SettingProblem(
            ("folder", "index"), "the folder of the files", "a folder of the adapter's own"
        )


def _twice(key: str, names: Sequence[str]) -> Problems:
    for index, name in enumerate(names):
        if name in names[:index]:
            found = f"the name '{name}' a second time"
            yield SettingProblem((key, index, "name"), found, "a name of its own")


def _table(table: Table, place: Place) -> Problems:
    if not table.field:
        yield SettingProblem(place, "a table without fields", "at least one [[table.field]]")
    if table.csv.delimiter == table.csv.quote:
        yield SettingProblem((*place, "csv"), "the same delimiter and quote", "two characters")
    if table.format is Format.JSON:
        yield from _fits((*place, "json", "rows"), lambda: parse_pointer(table.json.rows))
    if table.format is Format.XML:
        namespaces = table.xml.namespaces
        yield from _fits((*place, "xml", "row"), lambda: qualified(table.xml.row, namespaces))
    names = [field.name for field in table.field]
    for index, field in enumerate(table.field):
        here = (*place, "field", index)
        if field.name in names[:index]:
            found = f"the name '{field.name}' a second time"
            yield SettingProblem((*here, "name"), found, "a name of its own")
        yield from _field(field, table, here)


def _field(field: TableField, table: Table, place: Place) -> Problems:
    try:
        cell_of(field, table)
    except Exception as error:  # noqa: BLE001 - a pattern, a form or a zone, each with its own
        yield SettingProblem(place, f"field '{field.name}': {error}", "a field that can be read")
    at = field.at
    match table.format:
        case Format.CSV if not table.csv.headings:
            if not (at.isdecimal() and at.isascii() and 1 <= int(at) <= 10_000):
                yield SettingProblem((*place, "at"), f"'{at}'", "the column's number, from 1")
        case Format.JSON | Format.JSON_LINES if at.startswith("/"):
            yield from _fits((*place, "at"), lambda: parse_pointer(at))
        case Format.XML:
            yield from _fits(
                (*place, "at"), lambda: XmlPath.parse(at or field.name, table.xml.namespaces)
            )
        case _:
            pass


def _fits(place: Place, parse: Callable[[], object]) -> Problems:
    try:
        parse()
    except ValueError as error:
        yield SettingProblem(place, str(error), "a path to a value")


def _address(
    one: Lookup | Listing, place: Place, addresses: dict[tuple[str, str], str]
) -> Problems:
    address = (one.method, PATH_PARAMETER.sub("{}", one.path))
    if address in addresses or is_own_path(one.path):
        found = f"{one.method} {one.path} a second time"
        yield SettingProblem((*place, "path"), found, "an address of its own")
    addresses[address] = one.name


def _with_table(
    one: A, settings: FilesSettings, place: Place, judge: Callable[[A, Table, Place], Problems]
) -> Problems:
    """Judge what is asked by the table that it names."""
    table = next((table for table in settings.table if table.name == one.table), None)
    if table is None:
        yield SettingProblem((*place, "table"), f"'{one.table}'", "the name of a [[table]]")
    else:
        yield from judge(one, table, place)


def _unknown(table: Table, names: Iterable[str], place: Place) -> Problems:
    known = [field.name for field in table.field]
    for name in names:
        if name not in known:
            expected = "one of " + ", ".join(known)
            yield SettingProblem(place, f"'{name}' is no field of '{table.name}'", expected)


def _lookup(lookup: Lookup, table: Table, place: Place) -> Problems:
    yield from _unknown(table, lookup.by, (*place, "by"))
    yield from _unknown(table, lookup.fields, (*place, "fields"))
    yield from _binary(table, lookup.by, (*place, "by"))
    if not lookup.by or len(set(lookup.by)) != len(lookup.by):
        yield SettingProblem((*place, "by"), "no key, or a field twice", "different fields")
    for name in PATH_PARAMETER.findall(lookup.path):
        if name not in lookup.by:
            yield SettingProblem((*place, "path"), f"'{{{name}}}'", "a field of the key")
    if lookup.several and len(lookup.by) > 1:
        yield SettingProblem((*place, "several"), "a key of several fields", "a key of one field")
    if lookup.several and PATH_PARAMETER.search(lookup.path):
        yield SettingProblem((*place, "path"), "a key in the path", "several keys in the query")


def _listing(listing: Listing, table: Table, place: Place) -> Problems:
    yield from _unknown(table, listing.fields, (*place, "fields"))
    names = [one.name for one in listing.filter]
    for index, one in enumerate(listing.filter):
        here = (*place, "filter", index)
        yield from _unknown(table, [one.field], (*here, "field"))
        yield from _binary(table, [one.field], (*here, "field"))
        yield from _comparable(one, table, here)
        if one.name in (*names[:index], LIMIT, AFTER):
            found = f"the name '{one.name}' a second time"
            yield SettingProblem((*here, "name"), found, f"not {LIMIT}, {AFTER} or another's")
    for name in PATH_PARAMETER.findall(listing.path):
        if not any(one.name == name and one.required for one in listing.filter):
            yield SettingProblem((*place, "path"), f"'{{{name}}}'", "a required filter")


def _binary(table: Table, names: Iterable[str], place: Place) -> Problems:
    for field in table.field:
        if field.name in names and field.type is ValueType.BINARY:
            yield SettingProblem(place, f"'{field.name}', which is binary", "another type")


def _comparable(one: Filter, table: Table, place: Place) -> Problems:
    type_ = next((field.type for field in table.field if field.name == one.field), None)
    ranged = one.compare in (Compare.FROM, Compare.TO) and type_ not in (None, *_RANGED)
    prefix = one.compare is Compare.PREFIX and type_ not in (None, ValueType.TEXT)
    if ranged or prefix:
        found = f"'{one.compare}' of a {type_}"
        yield SettingProblem((*place, "compare"), found, "'equal', or a type that has an order")
