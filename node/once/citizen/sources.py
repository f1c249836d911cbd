"""Whom to ask for the uses of a citizen's data: clients of nodes that may know of some.

A client is asked at each node where it is registered, for every node has a log of its own. Nodes
of which the catalog knows only plain services are named and not asked, unless they offer the
service themselves, as real data trackers do.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from catalog.central.entries import Catalog
from trust.globalconf import GlobalConf, Server
from trust.ids import ClientId, ServerId


class Standing(StrEnum):
    """What came of asking."""

    ANSWERED = "answered"
    PLAIN = "plain"  # keeps no citizen's log that could be asked
    REFUSED = "refused"  # gives this portal no right
    SILENT = "silent"  # did not answer, or with an error
    WRONG = "wrong"  # answered what no data tracker may
    NOT_ASKED = "not_asked"  # there are more than may be asked


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """One client at one node."""

    client: ClientId
    server: ServerId


@dataclass(frozen=True, slots=True)
class Sources:
    """Those to ask, and those that are not asked because they can't know."""

    asked: tuple[Source, ...]
    plain: tuple[Source, ...]


def sources_of(
    conf: GlobalConf, catalog: Catalog | None, service_code: str, at: datetime
) -> Sources:
    """All subsystems of the trust list, each at each of its nodes."""
    asked: list[Source] = []
    plain: list[Source] = []
    known = _Known.of(catalog, service_code)
    for instance in conf.visible(at):
        for server in instance.shared.servers:
            silent = known.all_plain(server)
            for client in _subsystems(server):
                at_node = Source(client, server.id)
                (plain if silent and client not in known.trackers else asked).append(at_node)
    return Sources(tuple(sorted(asked)), tuple(sorted(plain)))


def _subsystems(server: Server) -> Iterator[ClientId]:
    return (client for client in server.clients if client.subsystem_code is not None)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the catalog says of providers: of our kind, plain, with a tracker of their own."""

    ours: frozenset[ClientId]
    plain: frozenset[ClientId]
    trackers: frozenset[ClientId]

    @classmethod
    def of(cls, catalog: Catalog | None, service_code: str) -> "_Known":
        services = () if catalog is None else catalog.services
        return cls(
            frozenset(one.id.provider for one in services if not one.plain),
            frozenset(one.id.provider for one in services if one.plain),
            frozenset(one.id.provider for one in services if one.id.service_code == service_code),
        )

    def all_plain(self, server: Server) -> bool:
        clients = server.clients
        return any(one in self.plain for one in clients) and not any(
            one in self.ours for one in clients
        )
