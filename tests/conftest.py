"""What all tests share."""

import logging
from collections.abc import Iterator

import pytest

from tests.database_fixtures import database_dsn, module_database_dsn, postgres_server
from tests.grouping import group_of

__all__ = ["database_dsn", "module_database_dsn", "postgres_server"]


@pytest.fixture(autouse=True)
def _logs_end_with_their_test() -> Iterator[None]:
    """A command sends logs to the standard error of its own test, which is closed behind it."""
    yield
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if type(handler) is logging.StreamHandler:  # and none of pytest's own kinds
            root.removeHandler(handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs PostgreSQL, so that `-m "not database"` leaves it out."""
    for item in items:
        if "postgres_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.database)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """With `--dist loadgroup`: the groups of `tests/grouping.py`."""
    if config.getvalue("dist") != "loadgroup":
        return None
    from xdist.scheduler import (  # type: ignore[import-untyped]  # has no types
        LoadGroupScheduling,
    )

    scheduling = LoadGroupScheduling(config, log)
    scheduling._split_scope = group_of
    return scheduling
