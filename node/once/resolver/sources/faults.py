"""What the fault of an exchange means for the facts that were asked for."""

from node.messages.fault import Side
from node.messages.fault_codes import canonical_code
from node.once.resolver.planning.reasons import Reason, reason_of_refusal
from trust.errors import PeerFault

_OWN = f"{canonical_code(Side.CONSUMER)}."
_SIDES = tuple(f"{canonical_code(side)}." for side in Side)
_DENIED = canonical_code("access_denied")
_OF_THIS_NODE = frozenset(
    map(
        canonical_code,
        (
            "global_conf_outdated", "cannot_create_signature", "logging_failed", "database_error",
            "timestamping_failed",
        ),
    )
)  # fmt: skip
_NOBODY_THERE = frozenset(
    map(
        canonical_code,
        (
            "network_error", "io_error", "unknown_host", "http_error", "ssl_authentication_failed",
            "service_failed", "service_disabled", "maintenance_mode", "unknown_member",
            "unknown_service",
        ),
    )
)  # fmt: skip


def reason_of_fault(fault: PeerFault) -> tuple[Reason, str]:
    """Why the facts are missing, and the code that an operator looks up."""
    code = canonical_code(fault.code)
    own = code.startswith(_OWN)
    for side in _SIDES:
        code = code.removeprefix(side)
    first, _, rest = code.partition(".")
    if first == _DENIED and not own:
        return _refusal(fault.code, rest), ""
    if own and first in _OF_THIS_NODE:
        return Reason.OWN_NODE, fault.code[:200]
    known = first in _NOBODY_THERE
    return Reason.SOURCE_DOWN if known else Reason.SOURCE_FAILED, fault.code[:200]


def _refusal(code: str, rest: str) -> Reason:
    """By the last word as it came; an older spelling of it is nobody's."""
    return reason_of_refusal(code.rpartition(".")[2]) if rest else Reason.NO_RIGHT
