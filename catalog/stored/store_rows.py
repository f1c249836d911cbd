"""Writes one hosted client: rows that stay keep their numbers, the others go."""

import hashlib
from typing import NamedTuple

import asyncpg

from catalog.encoding import decode_terms, encode_about, encode_mapping, encode_terms
from catalog.services import AccessRight, HostedClient, LocalGroup, Service
from catalog.stored.columns import client_columns, subject_columns
from trust.database import PooledConnection


async def write_client(connection: PooledConnection, client: HostedClient) -> None:
    """Make the database hold exactly this of the client; call it in a transaction."""
    number = await connection.fetchval(
        "INSERT INTO hosted_client"
        " (instance, member_class, member_code, subsystem_code, status, connection, repairs)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)"
        " ON CONFLICT (instance, member_class, member_code, subsystem_code)"
        " DO UPDATE SET status = excluded.status, connection = excluded.connection,"
        " repairs = excluded.repairs"
        " RETURNING id",
        *client_columns(client.id),
        client.status.value,
        client.connection.value,
        sorted(client.repairs),
    )
    await _write_certificates(connection, number, client)
    await _write_groups(connection, number, client.local_groups)
    codes = await _write_codes(connection, number, client)
    await _write_services(connection, codes, client.services)
    await _write_rights(connection, codes, client.rights)


async def _write_certificates(
    connection: PooledConnection, number: int, client: HostedClient
) -> None:
    await connection.execute("DELETE FROM hosted_certificate WHERE client_id = $1", number)
    await connection.executemany(
        "INSERT INTO hosted_certificate (client_id, position, certificate) VALUES ($1, $2, $3)",
        [(number, position, der) for position, der in enumerate(client.certificates)],
    )


async def _write_groups(
    connection: PooledConnection, number: int, groups: tuple[LocalGroup, ...]
) -> None:
    await connection.execute(
        "DELETE FROM local_group WHERE client_id = $1 AND code <> ALL($2)",
        number,
        [group.code for group in groups],
    )
    for position, group in enumerate(groups):
        group_number = await connection.fetchval(
            "INSERT INTO local_group (client_id, code, description, position)"
            " VALUES ($1, $2, $3, $4) ON CONFLICT (client_id, code)"
            " DO UPDATE SET description = excluded.description, position = excluded.position"
            " RETURNING id",
            number,
            group.code,
            group.description,
            position,
        )
        await connection.execute("DELETE FROM local_group_member WHERE group_id = $1", group_number)
        await connection.executemany(
            "INSERT INTO local_group_member"
            " (group_id, instance, member_class, member_code, subsystem_code)"
            " VALUES ($1, $2, $3, $4, $5)",
            sorted((group_number, *client_columns(member)) for member in group.members),
        )


async def _write_codes(
    connection: PooledConnection, number: int, client: HostedClient
) -> dict[str, int]:
    """The numbers of the service codes; a right may outlive the service it was given for."""
    codes = {service.id.service_code for service in client.services}
    codes |= {right.service_code for right in client.rights}
    await connection.execute(
        "DELETE FROM service_code WHERE client_id = $1 AND code <> ALL($2)", number, sorted(codes)
    )
    return {
        code: await connection.fetchval(
            "INSERT INTO service_code (client_id, code) VALUES ($1, $2)"
            " ON CONFLICT (client_id, code) DO UPDATE SET code = excluded.code RETURNING id",
            number,
            code,
        )
        for code in sorted(codes)
    }


async def _write_services(
    connection: PooledConnection, codes: dict[str, int], services: tuple[Service, ...]
) -> None:
    for code, code_number in codes.items():
        kept = [s.id.service_version or "" for s in services if s.id.service_code == code]
        await connection.execute(
            "DELETE FROM service WHERE code_id = $1 AND version <> ALL($2)", code_number, kept
        )
    for position, service in enumerate(services):
        await _write_service(connection, codes[service.id.service_code], position, service)


async def _write_service(
    connection: PooledConnection, code: int, position: int, service: Service
) -> None:
    service_number = await connection.fetchval(
        "INSERT INTO service"
        " (code_id, version, type, url, timeout, verify_tls, notice, position,"
        " description_url, title, repair_headers, mapping, about)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
        " ON CONFLICT (code_id, version) DO UPDATE SET type = excluded.type,"
        " url = excluded.url, timeout = excluded.timeout, verify_tls = excluded.verify_tls,"
        " notice = excluded.notice, position = excluded.position,"
        " description_url = excluded.description_url, title = excluded.title,"
        " repair_headers = excluded.repair_headers, mapping = excluded.mapping,"
        " about = excluded.about"
        " RETURNING id",
        code,
        service.id.service_version or "",
        service.type.value,
        service.url,
        service.timeout,
        service.verify_tls,
        service.notice,
        position,
        service.description_url,
        service.title,
        service.repair_headers,
        encode_mapping(service.mapping),
        encode_about(service.about),
    )
    await connection.execute("DELETE FROM described_endpoint WHERE service_id = $1", service_number)
    await connection.executemany(
        "INSERT INTO described_endpoint (service_id, position, method, path)"
        " VALUES ($1, $2, $3, $4)",
        [
            (service_number, place, endpoint.method, endpoint.path)
            for place, endpoint in enumerate(service.endpoints)
        ],
    )


async def _write_rights(
    connection: PooledConnection, codes: dict[str, int], rights: tuple[AccessRight, ...]
) -> None:
    """Take away what is no longer given, and give what is new."""
    wanted = dict.fromkeys(_right_columns(codes, right) for right in rights)
    rows = await connection.fetch(
        "SELECT access_right.id, code_id, method, path, subject_type, subject, terms"
        " FROM access_right JOIN service_endpoint ON service_endpoint.id = endpoint_id"
        " WHERE code_id = ANY($1)",
        list(codes.values()),
    )
    held = {_held_columns(row): row["id"] for row in rows}
    await connection.execute(
        "DELETE FROM access_right WHERE id = ANY($1)",
        [number for columns, number in held.items() if columns not in wanted],
    )
    for columns in wanted:
        if columns not in held:
            await _give(connection, columns)
    await connection.execute(
        "DELETE FROM service_endpoint WHERE code_id = ANY($1) AND NOT EXISTS"
        " (SELECT FROM access_right WHERE endpoint_id = service_endpoint.id)",
        list(codes.values()),
    )


class _RightColumns(NamedTuple):
    """All that makes a right the one that it is; a row with the same keeps its number."""

    code: int
    method: str
    path: str
    subject_type: str
    subject: tuple[str, ...]
    terms: str


def _right_columns(codes: dict[str, int], right: AccessRight) -> _RightColumns:
    endpoint, code = right.endpoint, codes[right.service_code]
    kind, subject = subject_columns(right.subject)
    return _RightColumns(
        code, endpoint.method, endpoint.path, kind, subject, encode_terms(right.terms)
    )


def _held_columns(row: asyncpg.Record) -> _RightColumns:
    """The columns of a row; its terms as they would be written now."""
    return _RightColumns(
        row["code_id"],
        row["method"],
        row["path"],
        row["subject_type"],
        tuple(row["subject"]),
        encode_terms(decode_terms(row["terms"])),
    )


async def _give(connection: PooledConnection, columns: _RightColumns) -> None:
    endpoint = await connection.fetchval(
        "INSERT INTO service_endpoint (code_id, method, path) VALUES ($1, $2, $3)"
        " ON CONFLICT (code_id, method, path) DO UPDATE SET method = excluded.method"
        " RETURNING id",
        columns.code,
        columns.method,
        columns.path,
    )
    await connection.execute(
        "INSERT INTO access_right (endpoint_id, subject_type, subject, terms, terms_digest)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        endpoint,
        columns.subject_type,
        list(columns.subject),
        columns.terms,
        hashlib.sha256(columns.terms.encode()).digest() if columns.terms else b"",
    )
