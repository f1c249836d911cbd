"""What an index of a table must hold, so that its look-ups and lists are answered from it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from adapters.files.settings import FilesSettings, Listing, Lookup, Table
from adapters.shapes import ValueType

_LAYOUT = 1  # of the index files; another number and they are built anew

Positions = tuple[int, ...]  # of fields in a row

_PYTHON: dict[ValueType, Any] = {
    ValueType.TEXT: str | None,
    ValueType.INTEGER: int | None,
    ValueType.NUMBER: Decimal | None,
    ValueType.DECIMAL: Decimal | None,
    ValueType.BOOLEAN: bool | None,
    ValueType.DATE: date | None,
    ValueType.DATETIME: datetime | None,
    ValueType.UUID: UUID | None,
    ValueType.BINARY: bytes | None,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """The columns and orders of one table's index.

    Attributes:
        keys: fields that together belong to one row at most.
        orders: fields by which rows are found otherwise.
    """

    table: Table
    keys: tuple[Positions, ...]
    orders: tuple[Positions, ...]

    @classmethod
    def of(cls, settings: FilesSettings, table: Table) -> "Plan":
        lookups = [one for one in settings.lookup if one.table == table.name]
        lists = [one for one in settings.list if one.table == table.name]
        filters = [one.field for listing in lists for one in listing.filter]
        keys = [positions(table, one.by) for one in lookups if not one.many]
        orders = [positions(table, one.by) for one in lookups if one.many]
        orders += [positions(table, (name,)) for name in filters]
        return cls(table, _distinct(keys), tuple(o for o in _distinct(orders) if o not in keys))

    @property
    def columns(self) -> Positions:
        """The fields that something is compared with."""
        return tuple(sorted({one for group in self.keys + self.orders for one in group}))

    @property
    def schema(self) -> bytes:
        """Bytes that differ when rows or indexes would be made in another way."""
        return hashlib.sha256(repr((_LAYOUT, self)).encode()).digest()

    @property
    def row_type(self) -> Any:  # noqa: ANN401 - a type expression
        """What a row is decoded as."""
        return tuple[tuple(_PYTHON[field.type] for field in self.table.field)]  # type: ignore[misc]


def positions(table: Table, names: Sequence[str]) -> Positions:
    """Where fields stand in a row."""
    known = [field.name for field in table.field]
    return tuple(known.index(name) for name in names)


def answered(table: Table, asked: Lookup | Listing) -> Positions:
    """The fields of an answer."""
    return positions(table, asked.fields or [field.name for field in table.field])


def _distinct(groups: list[Positions]) -> tuple[Positions, ...]:
    return tuple(dict.fromkeys(groups))
