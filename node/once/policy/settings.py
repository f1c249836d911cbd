"""Where the policies lie that are asked after the grants."""

from dataclasses import dataclass
from pathlib import Path

from trust.settings import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySettings:
    """Further conditions for calls, written in Cedar."""

    folder: Path | None = setting(
        None,
        "folder with *.cedar files; a call that they do not permit is refused (needs cedarpy)",
        example="policies",
    )
