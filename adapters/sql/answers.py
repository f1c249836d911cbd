"""From a query and the columns that a database describes to an operation and its answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adapters.operations import Method, Operation, SourceUnavailable
from adapters.parameters import fields_of, views_of
from adapters.shapes import AnyValue, Field, ListOf, Record, Scalar, Shape, ValueType
from adapters.sql.fitting import fit
from adapters.sql.settings import ColumnSettings, Paging, Query, QueryMethod

MAX_PAGE = 1_000_000
MAX_TOKEN = 2000
_UNKNOWN = ColumnSettings(name="")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a query's answer, as the database describes it.

    Attributes:
        shape: AnyValue where the database can't tell.
        exact: whether the driver always gives Python values of that shape.
    """

    name: str
    shape: Shape
    exact: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    """A column, and the field that it becomes."""

    column: str
    field: Field
    type: ValueType | None  # None: as it comes
    exact: bool

    def read(self, query: str, value: object) -> object:
        """What callers get; raises SourceUnavailable for what is not of the declared type."""
        if value is None or self.exact or self.type is None:
            return value
        try:
            return fit(self.type, value)
        except (ValueError, TypeError):
            text = f"query '{query}': column '{self.column}' holds what is no {self.type.value}"
            raise SourceUnavailable(text) from None


class Answer:
    """How the rows of one query become what callers get."""

    def __init__(self, query: Query, columns: Sequence[Column]) -> None:
        self.query = query
        known = {column.name: column for column in query.columns}
        self._places = tuple(_place(one, known.get(one.name, _UNKNOWN)) for one in columns)
        self._exact = all(place.exact for place in self._places)
        self._names = tuple(place.field.name for place in self._places)
        self.operation = _operation(query, Record(tuple(place.field for place in self._places)))

    def row(self, values: Sequence[object]) -> dict[str, object]:
        """One row by the names that callers know; raises SourceUnavailable."""
        if self._exact:
            return dict(zip(self._names, values, strict=True))
        pairs = zip(self._places, values, strict=True)
        return {place.field.name: place.read(self.query.name, value) for place, value in pairs}

    def key_types(self) -> tuple[ValueType, ...]:
        """The types of the columns that order the rows."""
        types = {place.column: place.type for place in self._places}
        return tuple(types.get(name) or ValueType.TEXT for name in self.query.page_by)

    def key_of(self, row: Mapping[str, object]) -> tuple[object, ...]:
        """The values that order the rows, of one row."""
        names = {place.column: place.field.name for place in self._places}
        return tuple(row[names[column]] for column in self.query.page_by)


def answer_problems(query: Query, columns: Sequence[Column]) -> list[str]:
    """What the declaration says of columns and the database contradicts."""
    names = [column.name for column in columns]
    declared = {column.name: column.field or column.name for column in query.columns}
    outside = [declared.get(name, name) for name in names]
    problems = [f"there is no column '{name}'" for name in declared if name not in names]
    problems += [f"there is no column '{name}' to page by"
                 for name in query.page_by if name not in names]  # fmt: skip
    typed = {column.name for column in columns if isinstance(column.shape, Scalar)}
    typed |= {column.name for column in query.columns if column.type is not None}
    problems += [f"column '{name}' to page by has no known type: declare it in columns"
                 for name in query.page_by if name in names and name not in typed]  # fmt: skip
    problems += [f"the answer has '{name}' twice"
                 for name in sorted(set(outside)) if outside.count(name) > 1]  # fmt: skip
    return [f"query '{query.name}': {problem}" for problem in problems]


def _place(column: Column, known: ColumnSettings) -> _Place:
    shape = column.shape
    kind, exact = known.type, column.exact
    if kind is None:
        kind = shape.type if isinstance(shape, Scalar) else None
        shape = _nullable(shape, known.nullable)
    else:
        exact = exact and isinstance(shape, Scalar) and shape.type is kind
        shape = Scalar(kind, nullable=known.nullable)
    field = Field(
        known.field or column.name, shape, description=known.description, concept=known.concept
    )
    return _Place(column.name, field, kind, exact)


def _nullable(shape: Shape, nullable: bool) -> Shape:
    match shape:
        case Scalar():
            return Scalar(shape.type, nullable=nullable)
        case ListOf():
            return ListOf(shape.item, nullable=nullable)
        case _:
            return AnyValue()


def _operation(query: Query, row: Record) -> Operation:
    given = (*fields_of(query.parameters), *_paging_fields(query))
    in_path = [field for field in given if field.name in query.path_parameters]
    others = [field for field in given if field.name not in query.path_parameters]
    posted = query.method is QueryMethod.POST
    return Operation(
        name=query.name,
        path=query.path,
        method=Method(query.method.value),
        parameters=tuple(in_path if posted else in_path + others),
        body=Record(tuple(others)) if posted else None,
        answer=row if query.single else _list_shape(query, row),
        summary=query.summary,
        may_be_missing=query.single,
        views=views_of(query.views),
    )


def _paging_fields(query: Query) -> tuple[Field, ...]:
    size = Field(
        "size", Scalar(ValueType.INTEGER), required=False,
        description=f"rows in one answer, 1 to {query.max_rows}",
    )  # fmt: skip
    match query.paging:
        case Paging.KEYSET:
            after = Scalar(ValueType.TEXT, max_length=MAX_TOKEN)
            return size, Field("after", after, False, "`next` of the answer before")
        case Paging.OFFSET:
            return size, Field("page", Scalar(ValueType.INTEGER), False, "from 1")
        case Paging.NONE:
            return ()


def _list_shape(query: Query, row: Record) -> Record:
    more = Field("more", Scalar(ValueType.BOOLEAN), description="whether there are more rows")
    items = Field("items", ListOf(row))
    if query.paging is not Paging.KEYSET:
        return Record((items, more))
    following = Scalar(ValueType.TEXT, nullable=True)
    return Record(
        (items, more, Field("next", following, description="`after` of the rows that follow"))
    )
