"""One hosted client as the history of a node keeps it: text that outlives the code that wrote it.

What is missing in a text has its default, and what is too much is passed over, so that texts of
older and newer versions of this software are read alike. Certificates are left out: they say
nothing about who may call whom.
"""

import zlib
from dataclasses import replace

import msgspec

from catalog.services import (
    AccessRight,
    ClientStatus,
    ConnectionType,
    Endpoint,
    HostedClient,
    LocalGroup,
    Repair,
    Service,
)
from catalog.stored.columns import subject_columns, subject_of
from catalog.terms import NO_TERMS, Terms
from trust.errors import MalformedMessage, StorageError
from trust.ids import ClientId

MOST_BYTES = 64 << 20  # of one client's text


class _Right(msgspec.Struct, omit_defaults=True):
    subject_type: str
    subject: tuple[str, ...]
    service_code: str
    method: str
    path: str
    terms: Terms = NO_TERMS
    number: int = 0


class _Group(msgspec.Struct, omit_defaults=True):
    code: str
    description: str
    members: tuple[ClientId, ...] = ()


class _Client(msgspec.Struct, omit_defaults=True):
    id: ClientId
    status: ClientStatus = ClientStatus.REGISTERED
    connection: ConnectionType = ConnectionType.HTTPS
    services: tuple[Service, ...] = ()
    local_groups: tuple[_Group, ...] = ()
    rights: tuple[_Right, ...] = ()
    repairs: tuple[Repair, ...] = ()
    grants: tuple[_Right, ...] = ()


def encode_client(client: HostedClient) -> bytes:
    """The text of a client: the same for the same client."""
    return msgspec.json.encode(
        _Client(
            client.id,
            client.status,
            client.connection,
            tuple(replace(service, certificates=()) for service in client.services),
            tuple(map(_written_group, client.local_groups)),
            tuple(map(_written, client.rights)),
            tuple(sorted(client.repairs)),
            tuple(map(_written, client.grants)),
        ),
    )


def decode_client(text: bytes) -> HostedClient:
    """Read a text; raises StorageError for what this node can't have written."""
    try:
        read = msgspec.json.decode(text, type=_Client)
        return HostedClient(
            id=read.id,
            status=read.status,
            connection=read.connection,
            services=read.services,
            local_groups=tuple(
                LocalGroup(one.code, one.description, frozenset(one.members))
                for one in read.local_groups
            ),
            rights=tuple(map(_read, read.rights)),
            repairs=frozenset(read.repairs),
            grants=tuple(map(_read, read.grants)),
        )
    except (ValueError, TypeError, MalformedMessage) as error:
        raise _unreadable(str(error)) from error


def compress(text: bytes) -> bytes:
    """As it is stored."""
    return zlib.compress(text)


def decompress(stored: bytes) -> bytes:
    """Undo `compress`; raises StorageError, also for what becomes too long."""
    reader = zlib.decompressobj()
    try:
        text = reader.decompress(stored, MOST_BYTES)
    except zlib.error as error:
        raise _unreadable(str(error)) from error
    if not reader.eof:
        raise _unreadable("it is cut off, or too long")
    return text


def _unreadable(why: str) -> StorageError:
    return StorageError(f"The history of this node's services can't be read: {why}")


def _written_group(group: LocalGroup) -> _Group:
    members = sorted(group.members, key=lambda member: member.parts)
    return _Group(group.code, group.description, tuple(members))


def _written(right: AccessRight) -> _Right:
    kind, parts = subject_columns(right.subject)
    endpoint = right.endpoint
    return _Right(
        kind, parts, right.service_code, endpoint.method, endpoint.path, right.terms, right.number
    )


def _read(right: _Right) -> AccessRight:
    return AccessRight(
        subject_of(right.subject_type, right.subject),
        right.service_code,
        Endpoint(right.method, right.path),
        right.terms,
        right.number,
    )
