"""The Civil Registry's own database: ten thousand invented people, and a role that only reads."""

import secrets
from pathlib import Path

import asyncpg

from scripts.people import fill_registry
from scripts.postgres import PostgresServer
from trust.pki.keyfiles import read_file, write_file

DATABASE = "persons"
READER = "persons_reader"


async def fill_persons(server: PostgresServer, folder: Path) -> tuple[str, int]:
    """Make and fill the database where it is new.

    Returns:
        The address with which the adapter reads, and how many people there are.
    """
    owner = await server.create_database(DATABASE)
    password = await _create_reader(server, folder / "reader.password")
    count = await fill_registry(owner, READER)
    return server.dsn(DATABASE, READER, password), count


async def _create_reader(server: PostgresServer, secret: Path) -> str:
    """Let the reader's role exist, with the password kept in `secret`."""
    kept = read_file(secret)
    if kept is None:
        kept = secrets.token_urlsafe(32).encode()
        write_file(secret, kept)
    password = kept.decode()
    connection = await asyncpg.connect(server.superuser_dsn, timeout=30)
    try:
        known = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", READER)
        verb = "ALTER" if known else "CREATE"
        await connection.execute(f"{verb} ROLE {READER} LOGIN PASSWORD '{password}'")
        await connection.execute(f"GRANT CONNECT ON DATABASE {DATABASE} TO {READER}")
    finally:
        await connection.close()
    return password
