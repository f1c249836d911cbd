"""The parts of all instances that a node keeps, and the `GlobalConf` that follows from them.

Source: trust.md 5.2, 5.3, 5.5; X-Road 7.8 VersionedConfigurationDirectory.java,
ConfigurationUtils.java, FileNameProviderImpl.java.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from urllib.parse import quote_plus, unquote_plus

from trust.configuration.confdirectory import Directory, DirectoryEntry
from trust.configuration.confparts import (
    FETCH_INTERVAL_ID,
    MONITORING_ID,
    NEXT_UPDATE_ID,
    PRIVATE_PARAMETERS_ID,
    SHARED_PARAMETERS_ID,
    parse_fetch_interval,
    parse_monitoring,
    parse_next_update,
    parse_private_parameters,
    parse_shared_parameters,
)
from trust.errors import MalformedMessage
from trust.globalconf import (
    DEFAULT_OCSP_FETCH_INTERVAL_SECONDS,
    GlobalConf,
    InstanceConf,
    PrivateParameters,
    SharedParameters,
)
from trust.ids import MAX_PART_LENGTH, ClientId

FILE_NAMES = {
    PRIVATE_PARAMETERS_ID: "private-params.xml",
    SHARED_PARAMETERS_ID: "shared-params.xml",
}
WRONG_INSTANCE = "global_conf_part_invalid_instance_identifier"
_FORBIDDEN = re.compile("[:;/\\\\%\u200b\ufeff\u0000-\u001f\u007f-\u009f]")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}", re.ASCII)
_STAMP = re.compile(r"/(\d{13,26})/", re.ASCII)
_MAX_FOLDER_LENGTH = 200


def instance_folder(instance: str) -> str:
    """The folder name of an instance, as java.net.URLEncoder makes it.

    Raises MalformedMessage for names that identifiers may not have, and for dots, which would
    climb out of the folder.
    """
    name = quote_plus(instance, safe="*").replace("~", "%7E")
    too_long = len(instance) > MAX_PART_LENGTH or len(name) > _MAX_FOLDER_LENGTH
    if not instance.strip() or _FORBIDDEN.search(instance) or name in (".", "..") or too_long:
        text = f"'{instance[:100]}' can't be the name of an instance"
        raise MalformedMessage(text, WRONG_INSTANCE)
    return name


def instance_of_folder(name: str) -> str:
    """The instance whose folder has this name; raises MalformedMessage when none has it."""
    instance = unquote_plus(name)
    if instance_folder(instance) != name:
        raise MalformedMessage(f"'{name[:100]}' is no folder of an instance", WRONG_INSTANCE)
    return instance


def part_file_name(entry: DirectoryEntry) -> str:
    """Under which name a part lies on disk; raises MalformedMessage for an unsafe one."""
    fixed = FILE_NAMES.get(entry.identifier)
    if fixed is not None:
        return fixed
    name = entry.file_name or entry.location.rsplit("/", 1)[-1]
    reserved = name in FILE_NAMES.values() or name.endswith(".metadata")
    if not _FILE_NAME.fullmatch(name) or reserved:
        text = f"'{name[:100]}' can't be the file name of {entry.identifier[:100]}"
        raise MalformedMessage(text, "global_conf_header_field_wrong_value")
    return name


@dataclass(frozen=True, slots=True)
class Part:
    """One part as it was signed, with what the directory said of it.

    Attributes:
        expires: None when nothing is known, as in test data and downloads for verification.
    """

    identifier: str
    instance: str
    file_name: str
    raw: bytes = field(repr=False)
    version: int
    expires: datetime | None
    location: str = ""


@dataclass(frozen=True, slots=True)
class Generation:
    """When a directory was made: it must never be followed by an earlier one.

    Attributes:
        stamp: the time in the addresses of the parts (digits), when there is one. It orders
            generations even when the operator shortens their validity.
    """

    expires: datetime
    stamp: str = ""

    @classmethod
    def of(cls, directory: Directory) -> "Generation":
        found = (_STAMP.search(entry.location) for entry in directory.entries)
        return cls(directory.expires, max((match[1] for match in found if match), default=""))

    def precedes(self, other: "Generation") -> bool:
        if self.stamp and len(self.stamp) == len(other.stamp):
            return self.stamp < other.stamp
        return self.expires < other.expires


@dataclass(frozen=True, slots=True)
class ConfigurationSet:
    """All parts that belong together; replaced whole.

    Attributes:
        generations: the newest directory that was believed, by source.
    """

    own_instance: str
    parts: tuple[Part, ...] = ()
    generations: Mapping[str, Generation] = field(default_factory=dict)

    def part(self, identifier: str, instance: str) -> Part | None:
        wanted = (identifier, instance)
        found = (part for part in self.parts if (part.identifier, part.instance) == wanted)
        return next(found, None)

    def of(self, instance: str) -> tuple[Part, ...]:
        return tuple(part for part in self.parts if part.instance == instance)

    @property
    def instances(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(part.instance for part in self.parts))

    def with_parts(self, instance: str, parts: Iterable[Part]) -> "ConfigurationSet":
        """The same set with other parts of one instance."""
        others = tuple(part for part in self.parts if part.instance != instance)
        return replace(self, parts=(*others, *parts))

    def only(self, instances: Iterable[str]) -> "ConfigurationSet":
        kept = {self.own_instance, *instances}
        return replace(self, parts=tuple(part for part in self.parts if part.instance in kept))

    def with_generation(self, source: str, generation: Generation) -> "ConfigurationSet":
        return replace(self, generations={**self.generations, source: generation})


@dataclass(slots=True)
class _Skipped:
    """Reasons for what is not believed, collected on the way."""

    reasons: dict[str, str] = field(default_factory=dict)

    def note(self, what: str, error: MalformedMessage) -> None:
        self.reasons[what] = error.text


def build_global_conf(
    stored: ConfigurationSet,
    *,
    number: int = 0,
    previous: Mapping[str, InstanceConf] | None = None,
    unknown_expiry: datetime | None = None,
) -> GlobalConf:
    """What follows from the parts; an instance or a part that can't be read is left out.

    Args:
        previous: what was read before; shared parameters with the same bytes are not read again.
        unknown_expiry: until when parts without expiry date are believed; None for ever.
    """
    skipped = _Skipped()
    instances: dict[str, InstanceConf] = {}
    for name in stored.instances:
        try:
            known = (previous or {}).get(name)
            instances[name] = read_instance(stored, name, known, unknown_expiry)
        except MalformedMessage as error:
            skipped.note(name, error)
    own = stored.own_instance
    return GlobalConf(
        own_instance=own,
        instances=MappingProxyType(instances),
        verify_next_update=_next_update(stored, own, skipped),
        ocsp_fetch_interval_seconds=_fetch_interval(stored, own, skipped),
        number=number,
        monitoring_client=_monitoring(stored, own, skipped),
        skipped=MappingProxyType(skipped.reasons),
    )


def read_instance(
    stored: ConfigurationSet,
    instance: str,
    known: InstanceConf | None = None,
    unknown_expiry: datetime | None = None,
) -> InstanceConf:
    """Read one instance's parts; raises MalformedMessage when one is not what it must be."""
    shared_part = stored.part(SHARED_PARAMETERS_ID, instance)
    if shared_part is None:
        raise MalformedMessage(
            f"There are no shared parameters of {instance}", "malformed_global_conf"
        )
    private_part = stored.part(PRIVATE_PARAMETERS_ID, instance)
    own_parts = [shared_part]
    if private_part is not None and instance == stored.own_instance:
        own_parts.append(private_part)
    return InstanceConf(
        shared=_shared(shared_part, known),
        private=None if private_part is None else read_private(private_part),
        valid_until=_earliest(own_parts, unknown_expiry),
        shared_raw=shared_part.raw,
        private_raw=b"" if private_part is None else private_part.raw,
        optional_parts=MappingProxyType(
            {
                part.identifier: part.raw
                for part in stored.of(instance)
                if part.identifier not in FILE_NAMES
            }
        ),
    )


def _shared(part: Part, known: InstanceConf | None) -> SharedParameters:
    if known and known.shared_raw == part.raw and known.shared.version == part.version:
        return known.shared
    parameters = parse_shared_parameters(part.raw, part.version)
    _check_instance(part, parameters.instance)
    return parameters


def read_private(part: Part) -> PrivateParameters:
    """Read private parameters; raises MalformedMessage, also for those of another instance."""
    parameters = parse_private_parameters(part.raw, part.version)
    _check_instance(part, parameters.instance)
    return parameters


def _check_instance(part: Part, found: str) -> None:
    if found != part.instance:
        text = f"The {part.identifier} of {part.instance} say that they are of {found}"
        raise MalformedMessage(text, WRONG_INSTANCE)


def _earliest(parts: Iterable[Part], unknown: datetime | None) -> datetime | None:
    """The first expiry; a part without one counts as `unknown`, None as never."""
    expiries = [unknown if part.expires is None else part.expires for part in parts]
    return min((expiry for expiry in expiries if expiry is not None), default=None)


def _next_update(stored: ConfigurationSet, own: str, skipped: _Skipped) -> bool:
    part = stored.part(NEXT_UPDATE_ID, own)
    if part is None:
        return True
    try:
        return parse_next_update(part.raw)
    except MalformedMessage as error:
        skipped.note(f"{own}/{NEXT_UPDATE_ID}", error)
        return True


def _fetch_interval(stored: ConfigurationSet, own: str, skipped: _Skipped) -> int:
    part = stored.part(FETCH_INTERVAL_ID, own)
    if part is None:
        return DEFAULT_OCSP_FETCH_INTERVAL_SECONDS
    try:
        return parse_fetch_interval(part.raw)
    except MalformedMessage as error:
        skipped.note(f"{own}/{FETCH_INTERVAL_ID}", error)
        return DEFAULT_OCSP_FETCH_INTERVAL_SECONDS


def _monitoring(stored: ConfigurationSet, own: str, skipped: _Skipped) -> ClientId | None:
    part = stored.part(MONITORING_ID, own)
    if part is None:
        return None
    try:
        return parse_monitoring(part.raw)
    except MalformedMessage as error:
        skipped.note(f"{own}/{MONITORING_ID}", error)
        return None
