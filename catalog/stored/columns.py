"""Identifiers as columns of tables: of clients, and of those whom a right is given to."""

from collections.abc import Sequence
from typing import Protocol

from catalog.services import Subject
from trust.ids import ClientId, GlobalGroupId, LocalGroupId


class Row(Protocol):
    """A row of a table, its columns by their names."""

    def __getitem__(self, name: str, /) -> str: ...


def client_columns(client: ClientId) -> tuple[str, str, str, str]:
    """The four columns of an identifier; an empty subsystem code is the member itself."""
    return (
        client.instance,
        client.member_class,
        client.member_code,
        client.subsystem_code or "",
    )


def client_of(row: Row) -> ClientId:
    """Undo `client_columns`, of a row with columns of these names."""
    return ClientId(
        row["instance"], row["member_class"], row["member_code"], row["subsystem_code"] or None
    )


def subject_columns(subject: Subject) -> tuple[str, tuple[str, ...]]:
    """The kind of a subject in one word, and the parts of its identifier."""
    match subject:
        case GlobalGroupId():
            return "GLOBALGROUP", subject.parts
        case LocalGroupId():
            return "LOCALGROUP", subject.parts
        case _:
            return "CLIENT", subject.parts


def subject_of(kind: str, parts: Sequence[str]) -> Subject:
    """Undo `subject_columns`; raises TypeError and MalformedMessage."""
    match kind:
        case "GLOBALGROUP":
            return GlobalGroupId(*parts)
        case "LOCALGROUP":
            return LocalGroupId(*parts)
        case _:
            return ClientId(*parts)
