"""What all tests share."""

import pytest

from tests.database_fixtures import database_dsn, module_database_dsn, postgres_server

__all__ = ["database_dsn", "module_database_dsn", "postgres_server"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs PostgreSQL, so that `-m "not database"` leaves it out."""
    for item in items:
        if "postgres_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.database)
