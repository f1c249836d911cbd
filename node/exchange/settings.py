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
        "messages that wait for a key: direct signs each alone, batch signs them together,"
        " auto does so with slow keys (RSA) only",
    )
    batch_limit: Annotated[int, Bounds(2, 10_000)] = setting(
        100, "messages under one signature at the most"
    )
