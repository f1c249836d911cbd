"""The groups that a client is in, by which policies may go as well."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from catalog.services import HostedClient, ServerConf
from trust.globalconf import GlobalConf
from trust.ids import ClientId, GlobalGroupId, LocalGroupId

Group = GlobalGroupId | LocalGroupId


@dataclass(frozen=True, slots=True)
class Groups:
    """Tells groups by the trust list and the services of now."""

    conf: Callable[[], GlobalConf | None]
    services: Callable[[], ServerConf]

    def of(self, client: ClientId, provider: ClientId, at: datetime) -> tuple[Group, ...]:
        """The groups of the trust list, and those of who provides."""
        conf, hosted = self.conf(), self.services().hosted(provider)
        return (*global_groups(conf, client, at), *local_groups(hosted, client))


def global_groups(
    conf: GlobalConf | None, client: ClientId, at: datetime
) -> tuple[GlobalGroupId, ...]:
    """The groups of the trust list that a client is in; none without one."""
    if conf is None:
        return ()
    return tuple(
        group.id
        for instance in conf.visible(at)
        for group in instance.shared.groups
        if client in group.members
    )


def local_groups(provider: HostedClient | None, client: ClientId) -> tuple[LocalGroupId, ...]:
    """The groups of who provides that a client is in."""
    groups = () if provider is None else provider.local_groups
    return tuple(LocalGroupId(group.code) for group in groups if client in group.members)
