"""How a node comes to believe a configuration: bytes in, a new snapshot or a reason out.

    client = ConfigurationClient(anchor, stored, allowed)
    for source in client.sources():                      # the own one first
        for location in client.locations(source):
            update = client.read(source, location, url, raw, at)
            client.accept(update, {entry: bytes for entry in update.missing})

Nothing here does I/O; `confupdater` does. State changes only in `accept`, as a whole.

Who may write what: the own source its own instance, and shared parameters of instances that its
private parameters name and the node allows (configuration proxies carry those); a source named
there for X the shared parameters of X only, and those of the own instance only while the own
source has none ("detached" layout).

Source: trust.md 3, 5.1, 5.2, 14.1; X-Road 7.8 ConfigurationClient.java. Unlike X-Road: certificates
count for the source they were given for only, an earlier generation is refused, a set is
replaced whole.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import InitVar, dataclass, field
from datetime import UTC, datetime
from secrets import SystemRandom

from trust.configuration.confdirectory import Directory, DirectoryEntry, read_directory
from trust.configuration.conflocations import (
    AllowedFederations,
    Location,
    Shuffle,
    candidate_locations,
    part_url,
)
from trust.configuration.confparts import (
    MAX_PART_BYTES,
    PRIVATE_PARAMETERS_ID,
    SHARED_PARAMETERS_ID,
)
from trust.configuration.confset import (
    WRONG_INSTANCE,
    ConfigurationSet,
    Generation,
    Part,
    build_global_conf,
    instance_folder,
    part_file_name,
    read_instance,
    read_private,
)
from trust.errors import EvidenceRejected, MalformedMessage
from trust.globalconf import Anchor, GlobalConf, InstanceConf, PrivateParameters, SharedParameters

LONG_AGO = datetime.min.replace(tzinfo=UTC)
_MAIN = "main"


@dataclass(frozen=True, slots=True)
class Update:
    """A verified directory of one source, with what has to be fetched for it.

    Attributes:
        kept: parts that are here already with the right digest.
        missing: parts to fetch; at most MAX_PART_BYTES each.
    """

    source: Anchor
    location: Location
    directory: Directory
    generation: Generation
    kept: Mapping[DirectoryEntry, bytes] = field(repr=False)
    missing: Mapping[DirectoryEntry, str]  # to their addresses


@dataclass(slots=True)
class ConfigurationClient:
    """What a node believes, and who may tell it more. Not for several threads at once.

    Attributes:
        anchor: of the own instance.
        stored: what was kept on disk; another instance's set is not used.
        allowed: with which instances the node exchanges besides its own.
        kept: all parts that are believed.
        conf: the snapshot that follows; parts without expiry date count as expired in it.
    """

    anchor: Anchor
    stored: InitVar[ConfigurationSet | None] = None
    allowed: AllowedFederations = field(default_factory=AllowedFederations)
    shuffle: Shuffle = field(default=SystemRandom().shuffle, repr=False)
    kept: ConfigurationSet = field(init=False)
    conf: GlobalConf = field(init=False)
    _served: dict[str, str] = field(init=False, default_factory=dict)
    _detached: bool = field(init=False, default=False)

    def __post_init__(self, stored: ConfigurationSet | None) -> None:
        own = self.anchor.instance
        usable = stored is not None and stored.own_instance == own
        self.kept = stored if stored is not None and usable else ConfigurationSet(own)
        self.conf = build_global_conf(self.kept, number=1, unknown_expiry=LONG_AGO)

    @property
    def own_instance(self) -> str:
        return self.anchor.instance

    def sources(self) -> tuple[Anchor, ...]:
        """The own source, then those that the private parameters name and the node allows.

        Ask again after the own source was accepted.
        """
        private = self._private()
        named = () if private is None else private.federation_anchors
        return (self.anchor, *(anchor for anchor in named if self._is_used(anchor.instance)))

    def _private(self) -> PrivateParameters | None:
        own = self.conf.instances.get(self.own_instance)
        if own is not None:
            return own.private
        part = self.kept.part(PRIVATE_PARAMETERS_ID, self.own_instance)
        with suppress(MalformedMessage):
            return None if part is None else read_private(part)
        return None

    def _is_used(self, instance: str) -> bool:
        if instance == self.own_instance:
            return self._detached
        return self.allowed.allows(instance)

    def locations(self, source: Anchor) -> tuple[Location, ...]:
        """The addresses of a source in the order of attempts, see `conflocations`."""
        first = self._served.get(self._source_key(source), "")
        return candidate_locations(source, self._shared(source.instance), self.shuffle, first)

    def _shared(self, instance: str) -> SharedParameters | None:
        known = self.conf.instances.get(instance)
        return None if known is None else known.shared

    def _source_key(self, source: Anchor) -> str:
        return _MAIN if source is self.anchor else f"from:{source.instance}"

    def read(
        self, source: Anchor, location: Location, url: str, raw: bytes, at: datetime
    ) -> Update:
        """Verify a directory and say which of its parts are needed.

        Args:
            url: where the bytes came from, with version.
        Raises ExchangeError with the codes of trust.md 5.1; `global_conf_rollback` for a
        directory older than one that was believed.
        """
        directory = read_directory(raw, location.certificates, at)
        generation = Generation.of(directory)
        self._check_newer(source, generation)
        kept: dict[DirectoryEntry, bytes] = {}
        missing: dict[DirectoryEntry, str] = {}
        for entry in self._wanted(source, directory):
            instance_folder(entry.instance)
            part_file_name(entry)
            part = self.kept.part(entry.identifier, entry.instance)
            if part is not None and entry.matches(part.raw):
                kept[entry] = part.raw
            else:
                missing[entry] = part_url(url, entry.location)
        return Update(source, location, directory, generation, kept, missing)

    def _check_newer(self, source: Anchor, generation: Generation) -> None:
        newest = self.kept.generations.get(self._source_key(source))
        if newest is not None and generation.precedes(newest):
            text = f"The configuration of {source.instance} is older than one that was accepted"
            raise EvidenceRejected(text, "global_conf_rollback")

    def _wanted(self, source: Anchor, directory: Directory) -> tuple[DirectoryEntry, ...]:
        """The entries that this source may write."""
        if source is not self.anchor:
            shared = directory.entry(SHARED_PARAMETERS_ID, source.instance)
            if shared is None:
                text = f"The directory has no shared parameters of {source.instance}"
                raise EvidenceRejected(text, WRONG_INSTANCE)
            return (shared,)
        if directory.entry(PRIVATE_PARAMETERS_ID, self.own_instance) is None:
            text = f"The directory has no private parameters of {self.own_instance}"
            raise EvidenceRejected(text, "conf_verification.missing_private_params")
        return tuple(entry for entry in directory.entries if self._may_write(entry))

    def _may_write(self, entry: DirectoryEntry) -> bool:
        if entry.instance == self.own_instance:
            return True
        return entry.identifier == SHARED_PARAMETERS_ID and self.allowed.allows(entry.instance)

    def accept(self, update: Update, fetched: Mapping[DirectoryEntry, bytes]) -> GlobalConf:
        """Check the fetched parts and believe the whole; returns the new snapshot.

        Raises ExchangeError and changes nothing when a part is missing, has another digest, does
        not have the structure of its version, or is of another instance, or when a newer
        directory of the same source was accepted since this one was read.
        """
        self._check_newer(update.source, update.generation)  # another may have come meanwhile
        changed = self.kept
        touched: dict[str, list[Part]] = {}
        for entry, raw in {**update.kept, **_checked(update, fetched)}.items():
            touched.setdefault(entry.instance, []).append(_part(entry, raw, update.directory))
        for instance, parts in touched.items():
            changed = changed.with_parts(instance, parts)
        detached = self._detached
        if update.source is self.anchor:
            private = read_private(_found(changed, PRIVATE_PARAMETERS_ID, self.own_instance))
            detached = changed.part(SHARED_PARAMETERS_ID, self.own_instance) is None
            changed = self._without_strangers(changed, private)
            if detached:
                changed = self._with_detached(changed)
        elif update.source.instance == self.own_instance:
            changed = self._beside(changed, touched)
        read = self._read_again(changed, touched)
        changed = changed.with_generation(self._source_key(update.source), update.generation)
        conf = build_global_conf(
            changed,
            number=self.conf.number + 1,
            previous={**self.conf.instances, **read},
            unknown_expiry=LONG_AGO,
        )
        self.kept, self.conf, self._detached = changed, conf, detached
        self._served[self._source_key(update.source)] = update.location.url
        return conf

    def _without_strangers(
        self, changed: ConfigurationSet, private: PrivateParameters
    ) -> ConfigurationSet:
        """Drop the instances that are no longer named, or no longer allowed."""
        named = {anchor.instance for anchor in private.federation_anchors}
        return changed.only(name for name in named if self.allowed.allows(name))

    def _with_detached(self, changed: ConfigurationSet) -> ConfigurationSet:
        """Keep the own shared parameters that another source gave."""
        shared = self.kept.part(SHARED_PARAMETERS_ID, self.own_instance)
        if shared is None:
            return changed
        return changed.with_parts(self.own_instance, (*changed.of(self.own_instance), shared))

    def _beside(
        self, changed: ConfigurationSet, touched: Mapping[str, list[Part]]
    ) -> ConfigurationSet:
        """The own shared parameters from another source, beside the own source's parts."""
        others = [
            part
            for part in self.kept.of(self.own_instance)
            if part.identifier != SHARED_PARAMETERS_ID
        ]
        return changed.with_parts(self.own_instance, (*others, *touched[self.own_instance]))

    def _read_again(
        self, changed: ConfigurationSet, touched: Mapping[str, list[Part]]
    ) -> dict[str, InstanceConf]:
        """Read every instance that the update wrote; raises for one that is malformed."""
        return {
            instance: read_instance(changed, instance, self.conf.instances.get(instance), LONG_AGO)
            for instance in touched
            if changed.part(SHARED_PARAMETERS_ID, instance) is not None
        }


def _checked(
    update: Update, fetched: Mapping[DirectoryEntry, bytes]
) -> dict[DirectoryEntry, bytes]:
    for entry in update.missing:
        raw = fetched.get(entry)
        if raw is None or len(raw) > MAX_PART_BYTES:
            text = f"The {entry} was not downloaded"
            raise EvidenceRejected(text, "global_conf_part_download_failure")
        if not entry.matches(raw):
            text = f"The {entry} has another digest than the directory says"
            raise EvidenceRejected(text, "global_conf_part_downloaded_file_integrity_failure")
    return {entry: fetched[entry] for entry in update.missing}


def _part(entry: DirectoryEntry, raw: bytes, directory: Directory) -> Part:
    return Part(
        entry.identifier,
        entry.instance,
        part_file_name(entry),
        raw,
        directory.version,
        directory.expires,
        entry.location,
    )


def _found(stored: ConfigurationSet, identifier: str, instance: str) -> Part:
    part = stored.part(identifier, instance)
    if part is None:
        text = f"There are no {identifier} of {instance}"
        raise MalformedMessage(text, "malformed_global_conf")
    return part
