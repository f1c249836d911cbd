"""Pages of a query: the statement for one page, and the token that names the place after it.

A token holds the ordering values of the last row, which the caller has seen. It is read like any
other value: typed, bounded, and bound to the statement.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence

import msgspec

from adapters.operations import BadParameter
from adapters.shapes import Scalar, ValueType
from adapters.sql.answers import MAX_PAGE
from adapters.sql.settings import Paging, Query
from adapters.sql.statements import Named, Statement
from adapters.values import read_value

DEFAULT_SIZE = 100
_KEY = "key_{}_of_page"
LIMIT, SKIP = "limit_of_page", "skip_of_page"
_encode = msgspec.json.Encoder(decimal_format="string").encode


class Pages:
    """The pages of one query."""

    def __init__(self, query: Query, statement: Statement, quote: Callable[[str], str]) -> None:
        self._query = query
        names = [quote(name) for name in query.page_by]
        limit = Statement(("LIMIT ", Named(LIMIT)))
        match query.paging:
            case Paging.NONE:
                self._first = self._next = statement  # the database bounds it in its own way
            case Paging.OFFSET:
                self._first = self._next = statement.within(
                    "", Statement((*limit.pieces, " OFFSET ", Named(SKIP)))
                )
            case Paging.KEYSET:
                order = f"ORDER BY {', '.join(names)} "
                self._first = _limited(statement, limit, order)
                self._next = _limited(statement, limit, order, _beyond(names))

    @property
    def statements(self) -> tuple[Statement, ...]:
        return (self._first,) if self._first is self._next else (self._first, self._next)

    def page(
        self, values: Mapping[str, object], types: Sequence[ValueType]
    ) -> tuple[Statement, dict[str, object], int]:
        """The statement of the page that is asked for, its values, and its size.

        One row more than the size is asked for, to know whether there are more.
        """
        query = self._query
        size = 1 if query.single else query.max_rows
        if query.paging is not Paging.NONE:
            size = _whole(values, "size", min(DEFAULT_SIZE, query.max_rows), query.max_rows)
        bound: dict[str, object] = {**values, LIMIT: size + 1}
        statement = self._first
        if query.paging is Paging.OFFSET:
            bound[SKIP] = (_whole(values, "page", 1, MAX_PAGE) - 1) * size
        elif query.paging is Paging.KEYSET and values["after"] is not None:
            statement = self._next
            keys = read_token(str(values["after"]), types)
            bound |= {_KEY.format(place): key for place, key in enumerate(keys)}
        return statement, bound, size


def _limited(
    statement: Statement, limit: Statement, order: str, where: tuple[str | Named, ...] = ()
) -> Statement:
    return statement.within(
        "SELECT * FROM (", Statement((") AS answer ", *where, order, *limit.pieces))
    )


def _beyond(names: Sequence[str]) -> tuple[str | Named, ...]:
    pieces: list[str | Named] = [f"WHERE ({', '.join(names)}) > ("]
    for place in range(len(names)):
        pieces += [", " if place else "", Named(_KEY.format(place))]
    return (*pieces, ") ")


def _whole(values: Mapping[str, object], name: str, default: int, most: int) -> int:
    value = values[name]
    number = default if value is None else value
    if not isinstance(number, int) or not 1 <= number <= most:
        raise BadParameter(name, f"parameter '{name}' is not from 1 to {most}")
    return number


def write_token(keys: Sequence[object]) -> str:
    return base64.urlsafe_b64encode(_encode(keys)).decode().rstrip("=")


def read_token(token: str, types: Sequence[ValueType]) -> list[object]:
    """The ordering values in a token; raises BadParameter."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
        texts = msgspec.json.decode(raw, type=list[str | int | float | bool])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        texts = []
    if len(texts) != len(types):
        raise BadParameter("after", "parameter 'after' is no `next` of an answer")
    pairs = zip(types, texts, strict=True)
    return [read_value(Scalar(kind), text, "after") for kind, text in pairs]
