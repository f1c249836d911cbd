"""Judge a container by the trust list of its moment.

The moment is that of its time-stamp. Which one that is must be read from the token before the list
is known by which the token is believed; a token that lies about its time leads to a list by which
it then fails.
"""

from datetime import datetime

from trust.asn1 import NotAsn1
from trust.audit.log_records import TrustLists
from trust.errors import EvidenceRejected
from trust.evidence.asic import Container
from trust.evidence.certificate_verdicts import VerdictCache
from trust.evidence.container import ContainerVerdict, verify_container
from trust.evidence.signature import parse_signature
from trust.evidence.timestamps import parse_timestamp
from trust.evidence.xades_form import Form
from trust.report import VerificationReport, indeterminate

NO_TRUST_LIST = "no_trust_list"


def stated_time(container: Container) -> datetime | None:
    """When the container's time-stamp says that it was made; nothing of it is believed."""
    try:
        token = container.timestamp
        if token is None:
            token = parse_signature(container.signature, Form.CONTAINER).timestamp
        return None if token is None else parse_timestamp(token).gen_time
    except (EvidenceRejected, NotAsn1):
        return None


def judge_container(
    container: Container, trust: TrustLists, at: datetime, cache: VerdictCache | None = None
) -> ContainerVerdict:
    """Judge a container; it is undecided when no trust list of its moment is known.

    Args:
        at: the moment for a container without a time-stamp.
        cache: remembers good verdicts on certificates between containers.
    """
    moment = stated_time(container) or at
    conf = trust.at(moment)
    if conf is None:
        check = indeterminate("trust_list", NO_TRUST_LIST, trust.why_none(moment))
        return ContainerVerdict(VerificationReport((check,)), None, None, None, ())
    return verify_container(container, conf, at, cache)
