"""Versions of nodes, compared as semantic versions (semver.org 2.0.0, 11)."""

import re
from dataclasses import dataclass
from functools import total_ordering
from typing import Self

from trust.errors import ExchangeError

_NUMBER = r"(0|[1-9][0-9]{0,8})"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
    r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
_MAX_LENGTH = 255


class PeerTooOld(ExchangeError):
    """A consumer's node is older than the operator allows."""

    code = "client_proxy_version_not_supported"


@total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """A release, or with a label what comes before it: `7.8.1-SNAPSHOT-…` is lower than `7.8.1`."""

    major: int
    minor: int
    patch: int
    label: str = ""

    @classmethod
    def find(cls, text: str) -> Self | None:
        """Read a version; None for what is none."""
        match = _VERSION.fullmatch(text) if len(text) <= _MAX_LENGTH else None
        if match is None:
            return None
        major, minor, patch, label = match.groups()
        return cls(int(major), int(minor), int(patch), label or "")

    def _rank(self) -> tuple[object, ...]:
        words = self.label.split(".") if self.label else []
        label = tuple((0, _number(w), "") if w.isdigit() else (1, 0, w) for w in words)
        return self.major, self.minor, self.patch, not self.label, label

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Version):
            return NotImplemented
        return self._rank() < other._rank()

    def __str__(self) -> str:
        release = f"{self.major}.{self.minor}.{self.patch}"
        return f"{release}-{self.label}" if self.label else release


def _number(digits: str) -> int:
    return int(digits)  # at most 255 digits, by `find`


def check_version(announced: str | None, minimum: Version | None) -> None:
    """Refuse a consumer's node that is older than `minimum`; None lets every one pass.

    Raises:
        PeerTooOld: it is older.
        ExchangeError: `internal_error`, as X-Road has it, when it announces no version at all.
    Source: transport.md 3.1; X-Road 7.8 ClientProxyVersionVerifier.java (the text ends in a space).
    """
    if minimum is None:
        return
    version = Version.find(announced or "")
    if version is None:
        raise ExchangeError(f"Client security server announces no version: {announced!r:.80}")
    if version < minimum:
        raise PeerTooOld(f"The minimum supported version for client security server is: {minimum} ")
