"""Identifiers of members, subsystems, services, servers and groups, in all their spellings.

    text form   SUBSYSTEM:EX/GOV/1234567/portal      messages, logs, faults
    path form   EX/GOV/1234567/portal                REST headers and paths, percent-encoded
    colon form  EX:GOV:1234567:portal                commands and settings

Comparisons are exact: case counts, nothing is trimmed or normalised.
Source: messages.md 2; X-Road 7.8 XRoadId.java, UriUtils.java.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Self
from urllib.parse import quote

from trust.errors import MalformedMessage

MAX_PART_LENGTH = 255
_PATH_SEGMENT = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})*")
_PLAIN = "!$&'()*+,;=:@"  # besides letters, digits and -._~ left as they are by the reference
_SUSPICIOUS = re.compile("[%:;/\\\\\u200b\ufeff\u0000-\u001f\u007f-\u009f]")


class ObjectType(StrEnum):
    MEMBER = "MEMBER"
    SUBSYSTEM = "SUBSYSTEM"
    SERVICE = "SERVICE"
    SERVER = "SERVER"
    GLOBALGROUP = "GLOBALGROUP"
    LOCALGROUP = "LOCALGROUP"


def encode_segment(part: str) -> str:
    """Percent-encode one part as a path segment, as the reference does (upper-case hex)."""
    return quote(part, safe=_PLAIN)


def decode_segment(segment: str) -> str:
    """Undo `encode_segment`; raises MalformedMessage for what no path segment may hold."""
    if not _PATH_SEGMENT.fullmatch(segment):
        if re.search(r"%(?![0-9A-Fa-f]{2})", segment):
            raise MalformedMessage("Invalid percent encoding", "internal_error")
        raise MalformedMessage("Invalid character in path segment", "internal_error")
    if "%" not in segment:
        return segment
    data = re.sub(
        rb"%([0-9A-Fa-f]{2})",
        lambda match: bytes.fromhex(match[1].decode()),
        segment.encode("ascii"),
    )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedMessage("Invalid percent encoding", "internal_error") from error


def _check_parts(names: tuple[str, ...], parts: tuple[str, ...]) -> None:
    for name, part in zip(names, parts, strict=True):
        if not part.strip():
            raise MalformedMessage(f"'{name}' must not be blank", "internal_error")
        if len(part) > MAX_PART_LENGTH:
            raise MalformedMessage(
                f"'{name}' is longer than {MAX_PART_LENGTH} characters", "internal_error"
            )
        _check_no_nul(name, part)


def _check_no_nul(name: str, part: str) -> None:
    """No database keeps such a text, and a program in C ends it early."""
    if "\0" in part:
        raise MalformedMessage(f"'{name}' must not hold a NUL character", "internal_error")


def suspicious(parts: tuple[str, ...]) -> bool:
    """Whether a part holds a character that the reference warns about (and lets through)."""
    return any(_SUSPICIOUS.search(part) for part in parts)


def split_path(value: str, what: str, at_least: int, at_most: int) -> tuple[str, ...]:
    """Decode a path form into its parts; `what` names the identifier in the error."""
    segments = value.split("/")
    if not at_least <= len(segments) <= at_most:
        raise MalformedMessage(f"Invalid {what}", "internal_error")
    return tuple(decode_segment(segment) for segment in segments)


class _Spelled:
    """The two spellings that are joined from an identifier's parts."""

    __slots__ = ()

    @property
    def parts(self) -> tuple[str, ...]:
        raise NotImplementedError

    @property
    def path(self) -> str:
        return "/".join(encode_segment(part) for part in self.parts)

    @property
    def colons(self) -> str:
        return ":".join(self.parts)


@dataclass(frozen=True, slots=True, order=True)
class ClientId(_Spelled):
    """A member (no subsystem code) or one of its subsystems: who sends and who provides."""

    instance: str
    member_class: str
    member_code: str
    subsystem_code: str | None = None

    def __post_init__(self) -> None:
        names = ("xRoadInstance", "memberClass", "memberCode", "subsystemCode")
        _check_parts(names[: len(self.parts)], self.parts)

    @property
    def parts(self) -> tuple[str, ...]:
        member = (self.instance, self.member_class, self.member_code)
        return member if self.subsystem_code is None else (*member, self.subsystem_code)

    @property
    def object_type(self) -> ObjectType:
        return ObjectType.MEMBER if self.subsystem_code is None else ObjectType.SUBSYSTEM

    @property
    def member(self) -> "ClientId":
        """The member that owns this subsystem; itself when it is one."""
        if self.subsystem_code is None:
            return self
        return ClientId(self.instance, self.member_class, self.member_code)

    @classmethod
    def from_header(cls, value: str) -> Self:
        """Read the path form of `X-Road-Client`: three parts for a member, four for a subsystem."""
        return cls(*split_path(value, "Client Id", 3, 4))

    @classmethod
    def from_colons(cls, value: str) -> Self:
        """Read the colon form of commands and settings; raises MalformedMessage."""
        parts = value.split(":")
        if not 3 <= len(parts) <= 4:
            raise MalformedMessage(
                f"'{value}' is no INSTANCE:CLASS:CODE[:SUBSYSTEM]", "invalid_client_identifier"
            )
        return cls(*parts)

    def __str__(self) -> str:
        return f"{self.object_type}:{'/'.join(self.parts)}"


@dataclass(frozen=True, slots=True, order=True)
class ServiceId(_Spelled):
    """A service of a client; REST services have no version."""

    provider: ClientId
    service_code: str
    service_version: str | None = None

    def __post_init__(self) -> None:
        _check_parts(("serviceCode",), (self.service_code,))
        _check_no_nul("serviceVersion", self.service_version or "")

    @property
    def parts(self) -> tuple[str, ...]:
        parts = (*self.provider.parts, self.service_code)
        return parts if self.service_version is None else (*parts, self.service_version)

    @classmethod
    def from_header(cls, value: str) -> Self:
        """Read the path form of `X-Road-Service`: provider subsystem and service code."""
        *provider, code = split_path(value, "Service Id", 4, 5)
        return cls(ClientId(*provider), code)

    @classmethod
    def from_colons(cls, value: str) -> Self:
        """Read INSTANCE:CLASS:CODE:SUBSYSTEM:SERVICE[:VERSION]; raises MalformedMessage."""
        parts = value.split(":")
        if not 5 <= len(parts) <= 6:
            raise MalformedMessage(
                f"'{value}' is no INSTANCE:CLASS:CODE:SUBSYSTEM:SERVICE[:VERSION]",
                "invalid_request",
            )
        return cls(ClientId(*parts[:4]), *parts[4:])

    def __str__(self) -> str:
        return f"SERVICE:{'/'.join(self.parts)}"


@dataclass(frozen=True, slots=True, order=True)
class ServerId(_Spelled):
    """A node, named by the member that owns it and a code of the owner's choice."""

    owner: ClientId  # a member
    server_code: str

    def __post_init__(self) -> None:
        _check_parts(("serverCode",), (self.server_code,))
        if self.owner.subsystem_code is not None:
            raise MalformedMessage("a server is owned by a member", "internal_error")

    @property
    def parts(self) -> tuple[str, ...]:
        return (*self.owner.parts, self.server_code)

    @classmethod
    def from_header(cls, value: str) -> Self:
        """Read the path form of `X-Road-Security-Server`: four parts."""
        *owner, code = split_path(value, "SecurityServer Id", 4, 4)
        return cls(ClientId(*owner), code)

    @classmethod
    def from_colons(cls, value: str) -> Self:
        """Read INSTANCE:CLASS:CODE:SERVER; raises MalformedMessage."""
        parts = value.split(":")
        if len(parts) != 4:
            raise MalformedMessage(
                f"'{value}' is no INSTANCE:CLASS:CODE:SERVER", "invalid_security_server"
            )
        return cls(ClientId(*parts[:3]), parts[3])

    def __str__(self) -> str:
        return f"SERVER:{'/'.join(self.parts)}"


@dataclass(frozen=True, slots=True, order=True)
class GlobalGroupId(_Spelled):
    """A group of clients that the central operator keeps in the trust list."""

    instance: str
    group_code: str

    def __post_init__(self) -> None:
        _check_parts(("xRoadInstance", "groupCode"), (self.instance, self.group_code))

    @property
    def parts(self) -> tuple[str, ...]:
        return (self.instance, self.group_code)

    def __str__(self) -> str:
        return f"GLOBALGROUP:{'/'.join(self.parts)}"


@dataclass(frozen=True, slots=True, order=True)
class LocalGroupId(_Spelled):
    """A group that one hosted subsystem keeps for its own access rights."""

    group_code: str

    def __post_init__(self) -> None:
        _check_parts(("groupCode",), (self.group_code,))

    @property
    def parts(self) -> tuple[str, ...]:
        return (self.group_code,)

    def __str__(self) -> str:
        return f"LOCALGROUP:{self.group_code}"


IDENTIFIERS_NAMESPACE = "http://x-road.eu/xsd/identifiers"
XROAD_NAMESPACE = "http://x-road.eu/xsd/xroad.xsd"
