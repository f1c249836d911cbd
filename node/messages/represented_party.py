"""On whose behalf a member acts: a header field of REST and of SOAP messages.

Source: messages.md 2.3, 3.8; X-Road 7.8 RepresentedParty.java, RestRequest.java.
"""

from dataclasses import dataclass
from typing import Self

from trust.errors import MalformedMessage
from trust.ids import decode_segment


@dataclass(frozen=True, slots=True)
class RepresentedParty:
    """A party that need not be a member of X-Road; no access decision depends on it."""

    party_class: str | None
    party_code: str

    @classmethod
    def from_header(cls, value: str) -> Self:
        """Read `X-Road-Represented-Party`: `class/code` or `code`."""
        segments = value.split("/")
        if len(segments) > 2:
            raise MalformedMessage("Invalid RepresentedParty Id", "internal_error")
        *party_class, code = (decode_segment(segment) for segment in segments)
        return cls(party_class[0] if party_class else None, code)
