"""Where a configuration may be downloaded, in which order, and who may have signed it there.

Source: trust.md 2, 3, 14.1; X-Road 7.8 ConfigurationDownloader.java,
SharedParametersConfigurationLocations.java, LocationVersionResolver.java,
FederationConfigurationSourceFilter.java. Unlike X-Road, sources of an anchor that are `https`
only are used.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Self
from urllib.parse import parse_qsl, urljoin, urlsplit

from trust.configuration.confparts import NEWEST_VERSION, OLDEST_VERSION
from trust.errors import MalformedMessage
from trust.globalconf import Anchor, ConfigurationSource, SharedParameters

MAX_LOCATIONS = 8  # tried for one source in one round
INTERNAL, EXTERNAL = "internalconf", "externalconf"
_ADDRESS = re.compile(r"[A-Za-z0-9._:\[\]-]{1,300}", re.ASCII)
_URL = re.compile(r"https?://[^/?#@\s]+/[^\s#]*", re.IGNORECASE)

Shuffle = Callable[[list["Location"]], None]


@dataclass(frozen=True, slots=True)
class Location:
    """An address of directories, without version, and the certificates that may sign there."""

    url: str
    certificates: tuple[bytes, ...] = field(repr=False)

    @property
    def secure(self) -> bool:
        return self.url.lower().startswith("https:")


@dataclass(frozen=True, slots=True)
class AllowedFederations:
    """With which instances a node exchanges besides its own; names compare without case."""

    everyone: bool = False
    names: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, values: Iterable[str]) -> Self:
        """Read `none`, `all` or names; `none` anywhere wins, then `all`."""
        names = {value.strip().casefold() for value in values} - {""}
        if "none" in names:
            return cls()
        if "all" in names:
            return cls(everyone=True)
        return cls(names=frozenset(names))

    def allows(self, instance: str) -> bool:
        return self.everyone or instance.casefold() in self.names


def directory_name(anchor: Anchor) -> str:
    """What follows the host in the anchor's first address: `internalconf`, `EE/conf`."""
    urls = [source.download_url for source in anchor.sources if _URL.fullmatch(source.download_url)]
    plain = [url for url in urls if url.lower().startswith("http:")]
    for url in plain or urls:
        return url.split("/", 3)[3]
    return ""


def shared_locations(directory: str, shared: SharedParameters) -> tuple[Location, ...]:
    """The addresses that an instance's own list names: all by https, then all by http."""
    sources = [source for source in shared.sources if _ADDRESS.fullmatch(source.address)]
    return tuple(
        Location(f"{scheme}://{_host(source.address)}/{directory}", _signers(directory, source))
        for scheme in ("https", "http")
        for source in sources
    )


def _host(address: str) -> str:
    bare_ipv6 = address.count(":") > 1 and not address.startswith("[")
    return f"[{address}]" if bare_ipv6 else address


def _signers(directory: str, source: ConfigurationSource) -> tuple[bytes, ...]:
    """A central server signs its two directories with different keys; a proxy has one list."""
    if directory == INTERNAL:
        return source.internal_certificates
    if directory == EXTERNAL:
        return source.external_certificates
    return (*source.internal_certificates, *source.external_certificates)


def anchor_locations(anchor: Anchor, also: Sequence[bytes] = ()) -> tuple[Location, ...]:
    """The addresses of an anchor, each also by https, with all certificates given for it.

    Args:
        also: further certificates of the same instance, announced in its own list.
    """
    signers: dict[str, dict[bytes, None]] = {}
    for source in anchor.sources:
        url = source.download_url
        if not _URL.fullmatch(url):
            continue
        scheme, rest = url.split(":", 1)
        both = ("https", "http") if scheme.lower() == "http" else ("https",)
        for name in both:
            known = signers.setdefault(f"{name}:{rest}", {})
            known.update(dict.fromkeys(source.certificates))
    locations = [
        Location(url, tuple({**known, **dict.fromkeys(also)})) for url, known in signers.items()
    ]
    return (
        *(location for location in locations if location.secure),
        *(location for location in locations if not location.secure),
    )


def candidate_locations(
    anchor: Anchor, shared: SharedParameters | None, shuffle: Shuffle, first: str = ""
) -> tuple[Location, ...]:
    """The addresses of a source in the order of attempts, at most MAX_LOCATIONS.

    The instance's own list comes first even when it has expired, since it announces new keys;
    then the anchor. Each by https and then by http, shuffled within. When there are too many, each
    of these four groups keeps some, so that a long list can't push the anchor out; chance decides
    which, so that each has its turn.

    Args:
        shared: the stored parameters of the source's instance.
        first: the address that served last time.
    """
    listed: tuple[Location, ...] = ()
    if shared is not None:
        listed = shared_locations(directory_name(anchor), shared)
    announced = [certificate for location in listed for certificate in location.certificates]
    anchored = anchor_locations(anchor, announced)
    groups = [
        _shuffled([location for location in locations if location.secure is secure], shuffle, first)
        for locations in (listed, anchored)
        for secure in (True, False)
    ]
    by_turns = (one for row in zip_longest(*groups) for one in row if one is not None)
    kept = list(dict.fromkeys(by_turns))[:MAX_LOCATIONS]
    ordered = dict.fromkeys(one for group in groups for one in group if one in kept)
    return tuple(sorted(ordered, key=lambda location: location.url != first))


def _shuffled(locations: list[Location], shuffle: Shuffle, first: str) -> list[Location]:
    shuffle(locations)
    return sorted(locations, key=lambda location: location.url != first)


def versioned_urls(url: str) -> tuple[str, ...]:
    """Addresses to try, newest version first; an address that says a version is left alone.

    The first that is not answered by 404 is the right one.
    """
    if any(name == "version" for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)):
        return (url,)
    joint = "&" if urlsplit(url).query else "?"
    versions = range(NEWEST_VERSION, OLDEST_VERSION - 1, -1)
    return tuple(f"{url}{joint}version={version}" for version in versions)


def part_url(directory_url: str, location: str) -> str:
    """The address of a part; raises MalformedMessage when it leaves the directory's origin."""
    try:
        url = urljoin(directory_url, location)
        same = _origin(url) == _origin(directory_url)
    except ValueError:
        same, url = False, ""
    if not same or not _URL.fullmatch(url):
        text = f"The part '{location[:100]}' lies on another server than its directory"
        raise MalformedMessage(text, "global_conf_header_field_wrong_value")
    return url


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    default = 443 if parts.scheme == "https" else 80
    return parts.scheme, parts.hostname or "", parts.port or default
