"""The kinds of adapters: what `kind = "…"` in adapter.toml may say, and where each one lives.

A kind is imported when it is used, so that an adapter carries no other kind's libraries.
"""

import importlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from adapters.operations import Source
from adapters.settings import AdapterSettings
from trust.settings import SettingProblem

MODULES = {
    "files": "adapters.files.kind",
    "rest": "adapters.rest.kind",
    "soap": "adapters.soap.kind",
    "sql": "adapters.sql.kind",
    "xroad": "adapters.xroad.kind",
}  # each has a `KIND`
DEFAULT = "sql"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of adapter.

    Attributes:
        settings: what its adapter.toml holds, a subclass of AdapterSettings.
        problems: everything wrong between settings, found without asking the source.
        open: connects, and raises StorageError or ConfigurationError when that is impossible.
        beside: opens for a check while another process may be serving; `open` unless given.
    """

    settings: type[AdapterSettings]
    problems: Callable[[Any], Iterable[SettingProblem]]
    open: Callable[[Any], Awaitable[Source]]
    beside: Callable[[Any], Awaitable[Source]] | None = None


def load_kind(name: str) -> Kind:
    """The kind of that name, which stands in MODULES."""
    kind: Kind = importlib.import_module(MODULES[name]).KIND
    return kind
