"""A central operator in memory: signs and publishes configurations as files by path.

registry = Publisher("TEST")                     # P-256 keys from tests.pki
registry.anchor()                                # trust.globalconf.Anchor of the internal one
files = registry.publish(NOON)                   # {"/internalconf?version=6": …, "/V6/…": …}
registry.rotate("second")                        # announces a next key
registry.activate("second")                      # and signs with it
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache

from cryptography.hazmat.primitives.serialization import Encoding

from tests.pki import NOON, Identity, Pki
from trust.configuration.confdirectory import Directory, DirectoryEntry, build_directory
from trust.configuration.confpublish import (
    as_version,
    build_next_update,
    build_private_parameters,
    build_shared_parameters,
)
from trust.digests import SHA512_URI, digest
from trust.globalconf import (
    Anchor,
    AnchorSource,
    ConfigurationSource,
    PrivateParameters,
    SharedParameters,
)
from trust.ids import ClientId, ServerId

VALIDITY = timedelta(minutes=10)


def stamp(at: datetime) -> str:
    return at.strftime("%Y%m%d%H%M%S") + "000000000"


@cache
def _pki(instance: str) -> Pki:
    return Pki(NOON, instance)


@cache
def _signer(instance: str, kind: str, name: str) -> Identity:
    label = f"{instance} {kind} {name}"
    return _pki(instance).certify(label, "ca", issuer=None, label=label)


@cache
def _auth(instance: str) -> Identity:
    return _pki(instance).auth(ServerId(ClientId(instance, "GOV", "1"), "SS1"))


@dataclass
class Publisher:
    """One instance's publisher; `address` is the host (and port) that it says it has."""

    instance: str = "TEST"
    address: str = "registry.example.test"
    versions: Sequence[int] = (6,)
    members: int = 2
    federation: tuple[Anchor, ...] = ()
    active: str = "first"
    announced: list[str] = field(default_factory=lambda: ["first"])
    optional: dict[str, tuple[str, bytes]] = field(
        default_factory=lambda: {"NEXTUPDATE": ("nextupdate-params.xml", build_next_update(True))}
    )

    @property
    def pki(self) -> Pki:
        return _pki(self.instance)

    def signer(self, name: str, kind: str = "internal") -> Identity:
        return _signer(self.instance, kind, name)

    def certificate(self, name: str, kind: str = "internal") -> bytes:
        return self.signer(name, kind).certificate.public_bytes(Encoding.DER)

    def certificates(self, kind: str = "internal") -> tuple[bytes, ...]:
        return tuple(self.certificate(name, kind) for name in self.announced)

    def anchor(self, kind: str = "internal") -> Anchor:
        source = AnchorSource(f"http://{self.address}/{kind}conf", self.certificates(kind))
        return Anchor(self.instance, (source,), NOON)

    def rotate(self, name: str) -> None:
        self.announced.append(name)

    def activate(self, name: str) -> None:
        self.active = name

    @property
    def shared(self) -> SharedParameters:
        member = ClientId(self.instance, "GOV", "1")
        server = self.pki.server(
            ServerId(member, "SS1"),
            _auth(self.instance),
            clients=[ClientId(self.instance, "GOV", "1", "portal")],
        )
        members = {
            ClientId(self.instance, "GOV", str(number + 1)): ["portal"]
            for number in range(self.members)
        }
        shared = self.pki.instance_conf(members, [server], {"all": [member]}).shared
        source = ConfigurationSource(
            self.address, self.certificates(), self.certificates("external")
        )
        return replace(shared, sources=(source,))

    @property
    def private(self) -> PrivateParameters:
        private = self.pki.instance_conf().private
        assert private is not None
        return replace(private, federation_anchors=self.federation)

    def parts(self, version: int, kind: str) -> dict[str, tuple[str, bytes]]:
        """File name and bytes by content identifier."""
        shared = build_shared_parameters(as_version(self.shared, version))
        parts = {"SHARED-PARAMETERS": ("shared-params.xml", shared)}
        if kind == "internal":
            private = build_private_parameters(self.private)
            parts["PRIVATE-PARAMETERS"] = ("private-params.xml", private)
            parts.update(self.optional)
        return parts

    def entries(
        self, parts: Mapping[str, tuple[str, bytes]], version: int, at: datetime
    ) -> tuple[DirectoryEntry, ...]:
        return tuple(
            DirectoryEntry(
                identifier,
                self.instance,
                f"/V{version}/{stamp(at)}/{name}",
                digest(SHA512_URI, raw),
            )
            for identifier, (name, raw) in parts.items()
        )

    def sign(
        self,
        entries: Sequence[DirectoryEntry],
        at: datetime,
        *,
        kind: str = "internal",
        version: int = 6,
    ) -> bytes:
        identity = self.signer(self.active, kind)
        return build_directory(
            Directory(at + VALIDITY, version, tuple(entries)),
            identity.key,
            identity.certificate.public_bytes(Encoding.DER),
        )

    def publish(self, at: datetime) -> dict[str, bytes]:
        """Everything a web server would have, by path and query."""
        files: dict[str, bytes] = {}
        for version in self.versions:
            for kind in ("internal", "external"):
                parts = self.parts(version, kind)
                entries = self.entries(parts, version, at)
                directory = self.sign(entries, at, kind=kind, version=version)
                files[f"/{kind}conf?version={version}"] = directory
                for name, raw in parts.values():
                    files[f"/V{version}/{stamp(at)}/{name}"] = raw
        return files
