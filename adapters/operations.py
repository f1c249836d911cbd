"""What an adapter offers: operations with typed values, and what every kind of source must do.

An operation stands for one service. What a caller gives has flat names: parameters in path or
query, and the fields of a JSON body; the SOAP face puts all of them into one element.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from adapters.shapes import Field, Record, Shape
from catalog.mapping import View
from trust.errors import SacbeError, StorageError

PATH_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")

_OWN_PATHS = frozenset({"/", "/soap", "/openapi.json", "/metrics", "/health/live", "/health/ready"})


def is_own_path(path: str) -> bool:
    """Whether every adapter answers this path itself, so that no operation may have it."""
    return path in _OWN_PATHS


class Method(StrEnum):
    GET = "GET"
    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that can be asked.

    Attributes:
        name: an XML name and a service code: a letter, then letters, digits, `_`, `-` and `.`.
        path: with `{parameter}` where a segment is a parameter.
        parameters: those of the path, and those of the query: single values, or lists of them
            (a name of the query that stands there more than once).
        body: the JSON object that must be sent; its names differ from those of the parameters.
        may_be_missing: whether `NotThere` is an ordinary answer.
        views: facts that follow from fields of the answer, for the descriptions.
    """

    name: str
    path: str
    answer: Shape
    method: Method = Method.GET
    parameters: tuple[Field, ...] = ()
    body: Record | None = None
    summary: str = ""
    may_be_missing: bool = False
    views: tuple[View, ...] = ()

    @property
    def path_parameters(self) -> tuple[str, ...]:
        return tuple(PATH_PARAMETER.findall(self.path))

    @property
    def inputs(self) -> tuple[Field, ...]:
        """Everything a caller may give, wherever it stands."""
        return self.parameters + (self.body.fields if self.body is not None else ())


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the node tells it; trusted as far as the connection to the node is.

    Attributes:
        client: `INSTANCE/CLASS/CODE[/SUBSYSTEM]`, percent-encoded as in `X-Road-Client`.
        headers: the `X-Road-…` and `Once-…` headers, which a source may hand on.
    """

    client: str = ""
    message_id: str = ""
    user_id: str = ""
    issue: str = ""
    headers: tuple[tuple[str, str], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Content:
    """The answer where the shape is a `Document`: bytes, whole or in chunks."""

    media_type: str
    data: bytes | AsyncIterator[bytes]
    length: int | None = None  # of chunks, where it is known
    headers: tuple[tuple[str, str], ...] = field(default=())  # `Content-Disposition`, `ETag`


class Source(Protocol):
    """What stands behind an adapter: a database, a service, files."""

    @property
    def operations(self) -> tuple[Operation, ...]:
        """The same for as long as the source is open."""

    async def run(
        self, operation: Operation, values: Mapping[str, object], caller: Caller
    ) -> object:
        """The answer, of the operation's shape; a `Content` for a `Document`.

        Args:
            values: one for every name in `operation.inputs`, typed; None for what was not given.

        Raises BadParameter, NotThere, SourceTimeout, SourceUnavailable or UpstreamRefused.
        """

    async def problem(self) -> str | None:
        """Why it can't serve at the moment, in words for the operator; None when it can."""

    async def check(self) -> Sequence[str]:
        """Everything in the declaration that the living source contradicts."""

    async def close(self) -> None:
        """Let go of all connections."""


@runtime_checkable
class Noticing(Protocol):
    """A source that serves and has something to tell the operator all the same."""

    def notices(self) -> Sequence[str]:
        """One sentence each, without values of callers or answers."""


class BadParameter(Exception):
    """A value that a caller gave is missing, unknown or not of its type.

    Attributes:
        parameter: its name, with dots inside records; empty when it is none in particular.
    """

    def __init__(self, parameter: str, text: str) -> None:
        super().__init__(text)
        self.parameter = parameter


class NotThere(Exception):
    """There is nothing that fits what was asked for."""


class SourceTimeout(Exception):
    """The source did not answer in time."""


class SourceUnavailable(StorageError):
    """The source does not answer, or not with what was declared; the text is for the log."""


class UpstreamRefused(SacbeError):
    """The source answered that it will not do it.

    Attributes:
        status: for the caller, 400 to 599.
        code: the source's own word for it, such as a fault code; may be empty.
        text: the source's own sentence, where it may be told to callers.
    """

    def __init__(self, status: int, text: str, code: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.code = code
