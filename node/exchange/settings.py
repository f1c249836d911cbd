"""How messages are signed."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from trust.settings import Bounds, setting


class SigningMode(StrEnum):
    """Whether messages that wait for one key get one signature together."""

    AUTO = "auto"
    DIRECT = "direct"
    BATCH = "batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningSettings:
    """How messages are signed."""

    mode: SigningMode = setting(
        SigningMode.AUTO,
        "direct signs each message alone; batch signs those together that wait for a key; auto"
        " does that with slow keys (RSA) only",
    )
    batch_limit: Annotated[int, Bounds(2, 10_000)] = setting(
        100, "messages under one signature at the most"
    )
