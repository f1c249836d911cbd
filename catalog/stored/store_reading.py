"""Reads what a node hosts out of the rows of its database, within a transaction of somebody's.

Everything raises what the database raises, and MalformedMessage for JSON that can't be read.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import asyncpg

from catalog.encoding import decode_about, decode_mapping, decode_mappings, decode_terms
from catalog.services import (
    AccessRight,
    ClientStatus,
    ConnectionType,
    DescriptionSource,
    Endpoint,
    HostedClient,
    LocalGroup,
    Repair,
    ServerConf,
    Service,
    ServiceType,
)
from catalog.stored.columns import client_of, subject_of
from catalog.stored.described_mappings import DescribedMappings
from catalog.stored.granted import load_grants
from trust.database import PooledConnection
from trust.ids import ClientId, ServiceId

Row = asyncpg.Record
_Rows = Mapping[object, Sequence[Row]]

_QUERIES = {
    "certificates": "SELECT * FROM hosted_certificate ORDER BY client_id, position",
    "groups": "SELECT * FROM local_group ORDER BY client_id, position",
    "members": "SELECT * FROM local_group_member",
    "services": (
        "SELECT service.*, client_id, code FROM service"
        " JOIN service_code ON service_code.id = code_id ORDER BY client_id, position"
    ),
    "endpoints": "SELECT * FROM described_endpoint ORDER BY service_id, position",
    "rights": (
        "SELECT access_right.id, client_id, code, method, path, subject_type, subject, terms"
        " FROM access_right"
        " JOIN service_endpoint ON service_endpoint.id = endpoint_id"
        " JOIN service_code ON service_code.id = code_id"
        " ORDER BY client_id, access_right.id"
    ),
}
_KEYS = {
    "certificates": "client_id",
    "groups": "client_id",
    "members": "group_id",
    "services": "client_id",
    "endpoints": "service_id",
    "rights": "client_id",
}


async def load_conf(connection: PooledConnection) -> ServerConf:
    """What was declared and granted, with the endpoints of descriptions."""
    version = await connection.fetchval("SELECT version FROM server_conf")
    clients = await connection.fetch(
        "SELECT * FROM hosted_client ORDER BY instance, member_class, member_code, subsystem_code"
    )
    rows = {
        name: _by(_KEYS[name], await connection.fetch(query)) for name, query in _QUERIES.items()
    }
    described = await connection.fetch(
        "SELECT instance, member_class, member_code, subsystem_code, type, url, verify_tls,"
        " endpoints FROM description JOIN hosted_client ON hosted_client.id = client_id"
    )
    grants = await load_grants(connection)
    return ServerConf(
        tuple(_client(row, rows, grants) for row in clients),
        version,
        {_source(row): tuple(map(_endpoint, row["endpoints"])) for row in described},
    )


async def load_mappings(
    connection: PooledConnection,
) -> Mapping[DescriptionSource, DescribedMappings]:
    """What the kept descriptions say of facts; those that say nothing are left out."""
    rows = await connection.fetch(
        "SELECT instance, member_class, member_code, subsystem_code, type, url, verify_tls,"
        " mappings FROM description JOIN hosted_client ON hosted_client.id = client_id"
        " WHERE mappings <> ''"
    )
    return {_source(row): decode_mappings(row["mappings"]) for row in rows}


def _by(key: str, rows: Iterable[Row]) -> _Rows:
    found: dict[object, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[key]].append(row)
    return found


def _source(row: Row) -> DescriptionSource:
    return DescriptionSource(
        client_of(row), ServiceType(row["type"]), row["url"], row["verify_tls"]
    )


def _endpoint(text: str) -> Endpoint:
    method, _, path = text.partition(" ")
    return Endpoint(method, path)


def _client(
    row: Row, rows: Mapping[str, _Rows], grants: Mapping[ClientId, tuple[AccessRight, ...]]
) -> HostedClient:
    client, number = client_of(row), row["id"]
    certificates = tuple(item["certificate"] for item in rows["certificates"].get(number, ()))
    return HostedClient(
        id=client,
        status=ClientStatus(row["status"]),
        connection=ConnectionType(row["connection"]),
        certificates=certificates,
        services=tuple(
            _service(client, item, certificates, rows["endpoints"].get(item["id"], ()))
            for item in rows["services"].get(number, ())
        ),
        local_groups=tuple(
            LocalGroup(
                item["code"],
                item["description"],
                frozenset(client_of(member) for member in rows["members"].get(item["id"], ())),
            )
            for item in rows["groups"].get(number, ())
        ),
        rights=tuple(right_of(item, item["code"]) for item in rows["rights"].get(number, ())),
        repairs=frozenset(Repair(name) for name in row["repairs"]),
        grants=grants.get(client, ()),
    )


def _service(
    client: ClientId, row: Row, certificates: tuple[bytes, ...], endpoints: Sequence[Row]
) -> Service:
    return Service(
        id=ServiceId(client, row["code"], row["version"] or None),
        type=ServiceType(row["type"]),
        url=row["url"],
        timeout=row["timeout"],
        verify_tls=row["verify_tls"],
        certificates=certificates,
        notice=row["notice"],
        endpoints=tuple(Endpoint(item["method"], item["path"]) for item in endpoints),
        description_url=row["description_url"],
        title=row["title"],
        repair_headers=row["repair_headers"],
        mapping=decode_mapping(row["mapping"]),
        about=decode_about(row["about"]),
    )


def right_of(row: Row, code: str) -> AccessRight:
    """A right, of a row with its endpoint and terms."""
    return AccessRight(
        subject_of(row["subject_type"], row["subject"]),
        code,
        Endpoint(row["method"], row["path"]),
        decode_terms(row["terms"]),
        row["id"],
    )
