"""A use as a citizen is told of it, in the members of the data tracker protocol and some of ours.

The protocol's members stand as it prescribes them. Ours stand beside them: a reader of the
protocol passes over what it does not know.

Source: e-gov/AJ, dumonitor-openapi.yaml 2.1.0.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

MOST_FACTS = 500
_Line = Annotated[str, Meta(max_length=1024)]
_Name = Annotated[str, Meta(max_length=16_384)]  # of a client or service, percent-encoded
_Moment = Annotated[datetime, Meta(tz=True)]
_Facts = Annotated[list[_Line], Meta(max_length=MOST_FACTS)]


class Part(StrEnum):
    """What the client that tells of a use had to do with it."""

    GAVE = "gave"
    FETCHED = "fetched"  # from a node that tells citizens nothing


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One use in an answer of the protocol.

    Attributes:
        logtime, action, receiverCode, receiverName, receiverSystem: the protocol's.
        receiver, source: client and service in path form.
        facts: concept URIs or names of fields that went out; `*` for an answer that went out whole.
        derivedFacts: names of views among those: what follows from a value went out instead of it.
        exchangeId: which exchange it was; both its nodes can prove it by that.
    """

    logtime: _Moment
    action: _Line
    receiverCode: _Line  # noqa: N815 - the protocol's spelling, as below
    receiverSystem: _Line  # noqa: N815
    receiverName: _Line | None = None  # noqa: N815 - null is what some others say
    part: Part | UnsetType = UNSET
    receiver: _Name = ""
    source: _Name = ""
    purpose: _Line = ""
    legalBasis: _Line = ""  # noqa: N815
    procedure: _Line = ""
    caseId: _Line = ""  # noqa: N815
    facts: _Facts = msgspec.field(default_factory=list)
    derivedFacts: _Facts = msgspec.field(default_factory=list)  # noqa: N815
    exchangeId: _Line = ""  # noqa: N815


class FindUsageAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `findUsage`; `sealedUsages` is ours."""

    totalUsages: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0  # noqa: N815
    usages: list[Usage] = msgspec.field(default_factory=list)
    sealedUsages: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0  # noqa: N815


class UsagePeriodAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `usagePeriod`; without an end, for uses are told up to now."""

    periodStart: _Moment  # noqa: N815


class HeartbeatAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `heartbeat`: OK or FAIL."""

    status: str
    message: str
