"""Invented people for the sandbox's civil registry: the same for the same seed, nobody real.

A national id is the birth date (yymmdd), five digits of a counter and a check digit: the rest
modulo 7 of all before it, a scheme of no country.
"""

import random
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from datetime import date, timedelta

import asyncpg

SEED = 20261121
COUNT = 10_000
_OLDEST = date(1936, 1, 1)
_YOUNGEST = date(2026, 1, 1)
_BEGIN = ("Al", "Be", "Ca", "Da", "El", "Fi", "Ga", "Ha", "Il", "Jo", "Ka", "Li", "Ma", "Ne", "Or")
_MIDDLE = ("da", "li", "mi", "na", "ro", "sa", "ta", "ve", "zi", "lo")
_END_NAME = ("a", "an", "el", "ia", "is", "on", "us", "e")
_END_FAMILY = ("berg", "dal", "feld", "gard", "holm", "mann", "stad", "vik", "wald", "zon")
_STREETS = ("Harbour", "Mill", "Orchard", "Station", "Church", "Meadow", "Bridge", "Hill", "Lake")
_KINDS = ("Street", "Lane", "Road", "Square")
_TOWNS = ("Northport", "Eastfield", "Southdale", "Westbrook", "Midvale", "Highmoor")

SCHEMA = """
CREATE TABLE IF NOT EXISTS person (
    national_id text PRIMARY KEY,
    given_name text NOT NULL,
    family_name text NOT NULL,
    birth_date date NOT NULL,
    street text NOT NULL,
    town text NOT NULL,
    postal_code text NOT NULL,
    guardian_id text
)
"""
INDEXES = "CREATE INDEX IF NOT EXISTS person_family_name ON person (family_name, birth_date)"


@dataclass(frozen=True, slots=True)
class Person:
    national_id: str
    given_name: str
    family_name: str
    birth_date: date
    street: str
    town: str
    postal_code: str
    guardian_id: str | None  # of a minor


def people(count: int = COUNT, seed: int = SEED) -> Iterator[Person]:
    """Make people one after the other; the first N are the same whatever the count."""
    dice = random.Random(seed)  # noqa: S311 - invented data, no secret
    adults: list[str] = []
    for number in range(count):
        birth = _OLDEST + timedelta(days=dice.randrange((_YOUNGEST - _OLDEST).days))
        national_id = _national_id(birth, number)
        minor = birth > _YOUNGEST - timedelta(days=18 * 365)
        yield Person(
            national_id=national_id,
            given_name=dice.choice(_BEGIN) + dice.choice(_MIDDLE) + dice.choice(_END_NAME),
            family_name=dice.choice(_BEGIN) + dice.choice(_MIDDLE) + dice.choice(_END_FAMILY),
            birth_date=birth,
            street=f"{dice.choice(_STREETS)} {dice.choice(_KINDS)} {dice.randrange(1, 200)}",
            town=dice.choice(_TOWNS),
            postal_code=f"{dice.randrange(10000, 99999)}",
            guardian_id=dice.choice(adults) if minor and adults else None,
        )
        if not minor:
            adults.append(national_id)


def _national_id(birth: date, number: int) -> str:
    digits = f"{birth:%y%m%d}{number:05d}"
    return digits + str(int(digits) % 7)


async def fill_registry(dsn: str, reader: str) -> int:
    """Create and fill the table once, let the role `reader` read it; returns how many there are."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(SCHEMA)
        have = int(await connection.fetchval("SELECT count(*) FROM person"))
        if not have:
            have = COUNT
            async with connection.transaction():
                await connection.copy_records_to_table(
                    "person",
                    records=[astuple(person) for person in people()],
                    columns=[field.name for field in fields(Person)],
                )
        await connection.execute(INDEXES)
        await connection.execute(f'GRANT SELECT ON person TO "{reader}"')
        return have
    finally:
        await connection.close()
