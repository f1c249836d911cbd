"""What a policy may go by: who calls what, for what, when. No personal data is among it."""

from dataclasses import dataclass
from datetime import datetime

from node.once.uses import NO_INTENT, Intent
from trust.globalconf import GlobalConf
from trust.ids import ClientId, GlobalGroupId, LocalGroupId, ServiceId


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFacts:
    """One call that a right allows.

    Attributes:
        groups: that the client is in, of the trust list and of the provider.
        method: of a REST call; empty for SOAP.
        endpoint: the part of the service that the deciding right is for, as "GET /persons/*".
        grant: number of that right.
        at: the moment of the call, aware.
    """

    client: ClientId
    service: ServiceId
    at: datetime
    method: str = ""
    endpoint: str = ""
    grant: int = 0
    groups: tuple[GlobalGroupId | LocalGroupId, ...] = ()
    intent: Intent = NO_INTENT


def global_groups(conf: GlobalConf, client: ClientId, at: datetime) -> tuple[GlobalGroupId, ...]:
    """The groups of the trust list that a client is in."""
    return tuple(
        group.id
        for instance in conf.visible(at)
        for group in instance.shared.groups
        if client in group.members
    )
