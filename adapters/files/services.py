"""Look-ups and lists as operations: what callers give, and what they are answered."""

import base64
import binascii

from adapters.files.plan import answered
from adapters.files.settings import Compare, FilesSettings, Listing, Lookup, Table, TableField
from adapters.operations import PATH_PARAMETER, BadParameter, Method, Operation
from adapters.parameters import views_of
from adapters.shapes import Field, ListOf, Record, Scalar, Shape, ValueType

LIMIT = "limit"
AFTER = "after"
_MORE = Field("more", Scalar(ValueType.BOOLEAN), description="whether there are more rows")
_NEXT = Field(
    "next", Scalar(nullable=True), description="what to give as 'after' for the next page"
)
_VERSION_BYTES = 8


def operations_of(settings: FilesSettings) -> tuple[Operation, ...]:
    """All that is offered, in the order of the declaration."""
    tables = {table.name: table for table in settings.table}
    return (
        *(_lookup(one, tables[one.table]) for one in settings.lookup),
        *(_listing(one, tables[one.table]) for one in settings.list),
    )


def _lookup(lookup: Lookup, table: Table) -> Operation:
    keys = [_given(_field(table, name), name, "", required=True) for name in lookup.by]
    if lookup.several:
        keys = [_several(key, lookup.several) for key in keys]
    row = _row(table, lookup)
    single = not lookup.many and not lookup.several
    parameters, body = _placed(keys, lookup.path, lookup.method)
    return Operation(
        name=lookup.name,
        path=lookup.path,
        method=Method(lookup.method),
        parameters=parameters,
        body=body,
        answer=row if single else _list_of(row, _MORE),
        summary=lookup.summary,
        views=views_of(lookup.views),
        may_be_missing=single,
    )


def _listing(listing: Listing, table: Table) -> Operation:
    given = [
        _given(_field(table, one.field), one.name, _COMPARED[one.compare], required=one.required)
        for one in listing.filter
    ]
    given += [
        Field(LIMIT, Scalar(ValueType.INTEGER), False, f"rows, {listing.max_page} at the most"),
        Field(AFTER, Scalar(max_length=64), False, "'next' of the page before"),
    ]
    parameters, body = _placed(given, listing.path, listing.method)
    return Operation(
        name=listing.name,
        path=listing.path,
        method=Method(listing.method),
        parameters=parameters,
        body=body,
        answer=_list_of(_row(table, listing), _MORE, _NEXT),
        summary=listing.summary,
    )


_COMPARED = {
    Compare.EQUAL: "",
    Compare.FROM: "at least",
    Compare.TO: "at most",
    Compare.PREFIX: "how it begins",
}


def _field(table: Table, name: str) -> TableField:
    return next(field for field in table.field if field.name == name)


def _given(field: TableField, name: str, words: str, *, required: bool) -> Field:
    """A field of a table as callers give it."""
    shape = Scalar(field.type, max_length=field.max_length, choices=field.choices)
    said = ": ".join(part for part in (words, field.description) if part)
    return Field(name, shape, required, said, field.concept, field.example, field.subject or None)


def _several(key: Field, most: int) -> Field:
    shape = ListOf(key.shape, max_items=most)
    return Field(key.name, shape, True, key.description, key.concept, key.example)


def _placed(given: list[Field], path: str, method: str) -> tuple[tuple[Field, ...], Record | None]:
    """What stands in path and query, and what in a body."""
    if method == "GET":
        return tuple(given), None
    in_path = PATH_PARAMETER.findall(path)
    rest = tuple(field for field in given if field.name not in in_path)
    return tuple(field for field in given if field.name in in_path), Record(rest)


def _row(table: Table, asked: Lookup | Listing) -> Record:
    return Record(tuple(table.field[position].field for position in answered(table, asked)))


def _list_of(row: Shape, *more: Field) -> Record:
    return Record((Field("items", ListOf(row)), *more))


def build_mark(version: bytes, place: int) -> str:
    """Where a page ended, as callers hand it back."""
    raw = version[:_VERSION_BYTES] + place.to_bytes(6, "big")
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def parse_mark(text: str) -> tuple[bytes, int]:
    """Version and place of `after`; raises BadParameter."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _VERSION_BYTES + 6:
        raise BadParameter(AFTER, f"parameter '{AFTER}' is no 'next' of a page")
    return raw[:_VERSION_BYTES], int.from_bytes(raw[_VERSION_BYTES:], "big")
