"""Vectors of the repository: fields, an empty line, the payload; see `tests/vectors`."""

from dataclasses import dataclass, field
from pathlib import Path

_FOLDER = Path(__file__).parent / "vectors"


@dataclass(frozen=True, slots=True)
class Vector:
    """One input and what a reader must make of it: `expect`, `reason`, `source` and more."""

    name: str
    fields: dict[str, str]
    payload: bytes = field(repr=False)

    def __str__(self) -> str:
        return self.name


def load(name: str, kind: str) -> list[Vector]:
    """The vectors of one format that are `accepted` or `rejected`, by name."""
    found = [_read(path) for path in sorted((_FOLDER / name).iterdir())]
    return [vector for vector in found if vector.fields["expect"] == kind]


def vector(name: str) -> Vector:
    """One vector, as `format/name`."""
    return _read(_FOLDER / name)


def _read(path: Path) -> Vector:
    head, _, payload = path.read_bytes().partition(b"\n\n")
    fields: dict[str, str] = {}
    for line in head.decode().split("\n"):
        key, _, fields[key] = line.partition(": ")
    return Vector(path.name, fields, payload)
