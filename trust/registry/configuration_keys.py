"""The keys that sign the configuration, and the anchors that name them.

A private key is an encrypted PKCS#8 file on one registry machine; who may sign stands in the
database, by the address under which that machine publishes. To rotate: create a key, wait until
every node has seen its certificate, activate it, delete the old one. Nodes that were on during the
wait need no new anchor.

Source: trust.md 2, 8.2, 8.3.
"""

import asyncio
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from trust.database import DATABASE_ERRORS, Pool, PooledConnection, describe
from trust.errors import SacbeError, StorageError
from trust.globalconf import Anchor, AnchorSource, ConfigurationSource
from trust.pki.certificates import parse_certificate
from trust.pki.keys import KeyType, SoftwareKey, generate_key
from trust.registry.publication import SOURCES, Signer, Source

_LIFETIME = timedelta(days=20 * 365)  # no reader looks at it
_COMMON_NAMES: Mapping[Source, str] = {
    "internal": "internalSigningKey",
    "external": "externalSigningKey",
}


class KeyRefused(SacbeError):
    """A configuration key can't be used, activated or deleted; the text says why."""


@dataclass(frozen=True, slots=True)
class ConfigurationKey:
    """A key as the database knows it.

    Attributes:
        id: the first 16 hexadecimal digits of the certificate's SHA-256 digest.
        address: host, and port unless 80, under which its machine publishes.
        certificate: DER; a container for the public key.
    """

    id: str
    address: str
    source: Source
    certificate: bytes
    created_at: datetime
    active: bool


class KeyFolder:
    """The private keys of one registry machine: `<id>.pem`, encrypted."""

    def __init__(self, folder: Path, password: bytes) -> None:
        self._folder = folder
        self._password = password

    def path(self, key_id: str) -> Path:
        return self._folder / f"{key_id}.pem"

    def save(self, key_id: str, key: SoftwareKey) -> None:
        """Write a new key so that it survives a power cut; raises KeyRefused."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(self.path(key_id), flags, 0o600), "wb") as file:
                file.write(key.pem(self._password))
                file.flush()
                os.fsync(file.fileno())
            self._sync_folder()
        except OSError as error:
            raise KeyRefused(f"The key {key_id} can't be written: {error.strerror}") from error

    def _sync_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def load(self, key: ConfigurationKey) -> Signer:
        """Open a private key; raises KeyRefused for a missing file or a wrong password."""
        try:
            pem = self.path(key.id).read_bytes()
            private = load_pem_private_key(pem, self._password)
        except OSError as error:
            raise KeyRefused(f"The key {key.id} can't be read: {error.strerror}") from error
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            text = f"The key {key.id} can't be opened: wrong password or damaged file"
            raise KeyRefused(text) from error
        if not isinstance(private, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise KeyRefused(f"The key {key.id} is neither EC nor RSA")
        software_key = SoftwareKey(private)
        if not software_key.fits(parse_certificate(key.certificate)):
            raise KeyRefused(f"The key {key.id} is not that of its certificate")
        return Signer(software_key, key.certificate)

    def remove(self, key_id: str) -> None:
        self.path(key_id).unlink(missing_ok=True)


class ConfigurationKeys:
    """Who may sign the configuration, for all machines of a registry.

    Args:
        address: under which this machine publishes; keys are created, activated and deleted for
            it alone, while anchors and sources name all machines.
    """

    def __init__(self, pool: Pool, folder: KeyFolder, address: str) -> None:
        self._pool = pool
        self._folder = folder
        self.address = address

    async def all(self) -> tuple[ConfigurationKey, ...]:
        """Every key of every machine, in the order of addresses, sources and creation."""
        try:
            rows = await self._pool.fetch(
                "SELECT id, address, source, certificate, created_at, active "
                "FROM configuration_key ORDER BY address, source DESC, created_at, id"
            )
        except DATABASE_ERRORS as error:
            raise _unreadable(error) from error
        return tuple(ConfigurationKey(**dict(row)) for row in rows)

    async def create(self, source: Source, key_type: KeyType, at: datetime) -> ConfigurationKey:
        """Make a key and announce its certificate; the first one of a source is active at once."""
        private = await asyncio.to_thread(generate_key, key_type)
        certificate = _certificate(private, source, at)
        key_id = hashlib.sha256(certificate).hexdigest()[:16]
        await asyncio.to_thread(self._folder.save, key_id, private)
        try:
            active = await self._pool.fetchval(
                "INSERT INTO configuration_key "
                "(id, address, source, certificate, created_at, active) "
                "SELECT $1, $2, $3, $4, $5, NOT EXISTS "
                "(SELECT FROM configuration_key WHERE address = $2 AND source = $3 AND active) "
                "RETURNING active",
                key_id,
                self.address,
                source,
                certificate,
                at,
            )
        except DATABASE_ERRORS as error:
            # The file stays: whether the row was written is not known after a lost connection.
            raise _unreadable(error) from error
        return ConfigurationKey(key_id, self.address, source, certificate, at, bool(active))

    async def activate(self, key_id: str) -> ConfigurationKey:
        """Let a key sign from the next generation on; raises KeyRefused when it can't."""
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                key = await self._own_key(connection, key_id)
                await asyncio.to_thread(self._folder.load, key)
                await connection.execute(
                    "UPDATE configuration_key SET active = false "
                    "WHERE address = $1 AND source = $2 AND active",
                    key.address,
                    key.source,
                )
                await connection.execute(
                    "UPDATE configuration_key SET active = true WHERE id = $1", key.id
                )
        except DATABASE_ERRORS as error:
            raise _unreadable(error) from error
        return replace(key, active=True)

    async def delete(self, key_id: str) -> ConfigurationKey:
        """Withdraw a key that does not sign, and remove its file; anchors that name only it die."""
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                key = await self._own_key(connection, key_id)
                if key.active:
                    text = f"The key {key.id} is active; activate another one first"
                    raise KeyRefused(text)
                await connection.execute("DELETE FROM configuration_key WHERE id = $1", key.id)
        except DATABASE_ERRORS as error:
            raise _unreadable(error) from error
        await asyncio.to_thread(self._folder.remove, key.id)
        return key

    async def _own_key(self, connection: PooledConnection, key_id: str) -> ConfigurationKey:
        row = await connection.fetchrow(
            "SELECT id, address, source, certificate, created_at, active "
            "FROM configuration_key WHERE id = $1 FOR UPDATE",
            key_id,
        )
        if row is None:
            raise KeyRefused(f"There is no key {key_id}")
        key = ConfigurationKey(**dict(row))
        if key.address != self.address:
            raise KeyRefused(f"The key {key_id} belongs to the machine at {key.address}")
        return key

    async def signers(self, keys: Sequence[ConfigurationKey]) -> Mapping[Source, Signer]:
        """The active key of each source on this machine; raises KeyRefused when one is missing."""
        found: dict[Source, Signer] = {}
        for key in keys:
            if key.active and key.address == self.address:
                found[key.source] = await asyncio.to_thread(self._folder.load, key)
        for source in SOURCES:
            if source not in found:
                raise KeyRefused(f"There is no active {source} key for {self.address}")
        return found


def _unreadable(error: BaseException) -> StorageError:
    return StorageError(f"The configuration keys can't be used: {describe(error)}")


def _certificate(key: SoftwareKey, source: Source, at: datetime) -> bytes:
    """A self-signed certificate as X-Road's central server makes it."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, _COMMON_NAMES[source])])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=True,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.private_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at)
        .not_valid_after(at + _LIFETIME)
        .add_extension(usage, critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    return builder.sign(key.private_key, hashes.SHA512()).public_bytes(Encoding.DER)


def sources_of(keys: Sequence[ConfigurationKey]) -> tuple[ConfigurationSource, ...]:
    """What the shared parameters say about who publishes: every machine with all its keys."""
    addresses = sorted({key.address for key in keys})
    return tuple(
        ConfigurationSource(address, _of(keys, address, "internal"), _of(keys, address, "external"))
        for address in addresses
    )


def anchor_of(
    instance: str, source: Source, keys: Sequence[ConfigurationKey], *, https: bool
) -> Anchor:
    """The anchor of one source; the same keys give the same anchor, to the second of its age.

    Args:
        https: whether the addresses answer HTTPS too. Plain HTTP always stands first: X-Road
            ignores anchors without it.
    """
    chosen = [key for key in keys if key.source == source]
    if not chosen:
        raise KeyRefused(f"There is no {source} key, so there is nothing to anchor")
    schemes = ("http", "https") if https else ("http",)
    sources = tuple(
        AnchorSource(f"{scheme}://{address}/{source}conf", _of(keys, address, source))
        for scheme in schemes
        for address in sorted({key.address for key in chosen})
    )
    generated_at = max(key.created_at for key in chosen).replace(microsecond=0)
    return Anchor(instance, sources, generated_at)


def _of(keys: Sequence[ConfigurationKey], address: str, source: Source) -> tuple[bytes, ...]:
    """The certificates of one machine and source, the active one first."""
    chosen = [key for key in keys if key.address == address and key.source == source]
    return tuple(key.certificate for key in sorted(chosen, key=lambda key: not key.active))
