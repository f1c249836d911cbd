"""The registry's records in PostgreSQL: read whole, written whole.

Lists whose order means something to readers of the trust list (CAs, responders, TSAs,
certificates) keep it; everything else comes back in the order of its identifiers.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import asyncpg

from trust.database import PooledConnection
from trust.ids import ClientId, ServerId
from trust.registry.records import (
    AcmeRecord,
    AuthorityRecord,
    CertificationServiceRecord,
    CostType,
    FederationRecord,
    GroupRecord,
    HostedRecord,
    InstanceRecord,
    MemberClassRecord,
    MemberRecord,
    PartRecord,
    RegistryRecords,
    ResponderRecord,
    ServerRecord,
    SubsystemRecord,
    TimeStampingServiceRecord,
)

Row = asyncpg.Record

_TABLES = {  # in the order of writing; emptied in the other order
    "registry_instance": (
        "instance, ocsp_freshness, time_stamping_interval, owners_group, registration_url, "
        "registration_certificate, provider_class, provider_code, provider_subsystem"
    ),
    "member_class": "code, description, position",
    "member": "member_class, member_code, name",
    "subsystem": "member_class, member_code, subsystem_code, name",
    "server": "owner_class, owner_code, server_code, address, maintenance",
    "auth_certificate": "owner_class, owner_code, server_code, certificate, position",
    "hosted_client": (
        "owner_class, owner_code, server_code, member_class, member_code, subsystem_code, enabled"
    ),
    "certification_service": (
        "name, position, profile, authentication_only, default_csr_format, acme_directory_url, "
        "acme_ip_address, acme_auth_profile_id, acme_sign_profile_id"
    ),
    "authority": "service, position, certificate",
    "ocsp_responder": "service, authority, position, url, certificate, cost",
    "time_stamping_service": "url, position, name, certificate, cost",
    "global_group": "code, description",
    "group_member": "group_code, instance, member_class, member_code, subsystem_code",
    "federation": "instance, anchor",
    "configuration_part": "identifier, file_name, content",
}
_ORDER = {
    "member_class": "position",
    "member": "member_class, member_code",
    "subsystem": "member_class, member_code, subsystem_code",
    "server": "owner_class, owner_code, server_code",
    "auth_certificate": "position",
    "hosted_client": "member_class, member_code, subsystem_code NULLS FIRST",
    "certification_service": "position",
    "authority": "position",
    "ocsp_responder": "position",
    "time_stamping_service": "position",
    "global_group": "code",
    "group_member": "instance, member_class, member_code, subsystem_code NULLS FIRST",
    "federation": "instance",
    "configuration_part": "identifier",
}


async def load_records(connection: PooledConnection) -> RegistryRecords | None:
    """The records as they are, None before the first ones; call it in a transaction.

    A snapshot needs isolation `repeatable_read`, since many tables are read one by one.
    """
    # The names of tables and columns are constants of this module.
    found = await connection.fetchrow("SELECT * FROM registry_instance")
    if found is None:
        return None
    rows = {
        table: await connection.fetch(f"SELECT * FROM {table} ORDER BY {order}")  # noqa: S608
        for table, order in _ORDER.items()
    }
    instance = str(found["instance"])
    return RegistryRecords(
        instance=_instance(found),
        member_classes=tuple(
            MemberClassRecord(row["code"], row["description"]) for row in rows["member_class"]
        ),
        members=_members(rows),
        servers=_servers(instance, rows),
        certification_services=_certification_services(rows),
        time_stamping_services=tuple(
            TimeStampingServiceRecord(
                row["name"], row["url"], row["certificate"], CostType(row["cost"])
            )
            for row in rows["time_stamping_service"]
        ),
        groups=_groups(rows),
        federation=tuple(
            FederationRecord(row["instance"], row["anchor"]) for row in rows["federation"]
        ),
        parts=tuple(
            PartRecord(row["identifier"], row["file_name"], row["content"])
            for row in rows["configuration_part"]
        ),
    )


async def store_records(connection: PooledConnection, records: RegistryRecords) -> None:
    """Put these records in the place of all others; call it in a transaction."""
    for table in reversed(_TABLES):
        await connection.execute(f"DELETE FROM {table}")  # noqa: S608 - constants
    for table, rows in _rows_of(records).items():
        columns = _TABLES[table]
        values = ", ".join(f"${number + 1}" for number in range(columns.count(",") + 1))
        await connection.executemany(
            f"INSERT INTO {table} ({columns}) VALUES ({values})",  # noqa: S608 - constants
            rows,
        )


def _by(rows: Iterable[Row], *columns: str) -> Mapping[tuple[object, ...], Sequence[Row]]:
    found = defaultdict(list)
    for row in rows:
        found[tuple(row[column] for column in columns)].append(row)
    return found


def _instance(row: Row) -> InstanceRecord:
    return InstanceRecord(
        instance=row["instance"],
        ocsp_freshness=row["ocsp_freshness"],
        time_stamping_interval=row["time_stamping_interval"],
        registration_url=row["registration_url"],
        registration_certificate=row["registration_certificate"],
        management_provider=ClientId(
            row["instance"], row["provider_class"], row["provider_code"], row["provider_subsystem"]
        ),
        owners_group=row["owners_group"],
    )


def _members(rows: Mapping[str, Sequence[Row]]) -> tuple[MemberRecord, ...]:
    subsystems = _by(rows["subsystem"], "member_class", "member_code")
    return tuple(
        MemberRecord(
            row["member_class"],
            row["member_code"],
            row["name"],
            tuple(
                SubsystemRecord(item["subsystem_code"], item["name"])
                for item in subsystems.get((row["member_class"], row["member_code"]), ())
            ),
        )
        for row in rows["member"]
    )


def _client(instance: str, row: Row) -> ClientId:
    return ClientId(instance, row["member_class"], row["member_code"], row["subsystem_code"])


def _servers(instance: str, rows: Mapping[str, Sequence[Row]]) -> tuple[ServerRecord, ...]:
    key = ("owner_class", "owner_code", "server_code")
    certificates = _by(rows["auth_certificate"], *key)
    clients = _by(rows["hosted_client"], *key)
    return tuple(
        ServerRecord(
            id=ServerId(ClientId(instance, *server[:2]), server[2]),
            address=row["address"],
            auth_certificates=tuple(item["certificate"] for item in certificates.get(server, ())),
            clients=tuple(
                HostedRecord(_client(instance, item), item["enabled"])
                for item in clients.get(server, ())
            ),
            maintenance=row["maintenance"],
        )
        for row in rows["server"]
        for server in [tuple(str(row[column]) for column in key)]
    )


def _certification_services(
    rows: Mapping[str, Sequence[Row]],
) -> tuple[CertificationServiceRecord, ...]:
    responders = _by(rows["ocsp_responder"], "service", "authority")
    authorities: dict[str, list[AuthorityRecord]] = defaultdict(list)
    for row in rows["authority"]:
        found = responders.get((row["service"], row["position"]), ())
        items = (
            ResponderRecord(item["url"], item["certificate"], CostType(item["cost"]))
            for item in found
        )
        authorities[row["service"]].append(AuthorityRecord(row["certificate"], tuple(items)))
    return tuple(
        CertificationServiceRecord(
            name=row["name"],
            profile=row["profile"],
            authentication_only=row["authentication_only"],
            top=authorities[row["name"]][0],
            intermediates=tuple(authorities[row["name"]][1:]),
            default_csr_format=row["default_csr_format"],
            acme=_acme(row),
        )
        for row in rows["certification_service"]
    )


def _acme(row: Row) -> AcmeRecord | None:
    if row["acme_directory_url"] is None:
        return None
    return AcmeRecord(
        row["acme_directory_url"],
        row["acme_ip_address"],
        row["acme_auth_profile_id"],
        row["acme_sign_profile_id"],
    )


def _groups(rows: Mapping[str, Sequence[Row]]) -> tuple[GroupRecord, ...]:
    members = _by(rows["group_member"], "group_code")
    return tuple(
        GroupRecord(
            row["code"],
            row["description"],
            tuple(_client(item["instance"], item) for item in members.get((row["code"],), ())),
        )
        for row in rows["global_group"]
    )


def _client_columns(client: ClientId) -> tuple[str, str, str | None]:
    return client.member_class, client.member_code, client.subsystem_code


def _rows_of(records: RegistryRecords) -> Mapping[str, Sequence[tuple[object, ...]]]:
    instance = records.instance
    services = records.certification_services
    return {
        "registry_instance": [
            (
                instance.instance,
                instance.ocsp_freshness,
                instance.time_stamping_interval,
                instance.owners_group,
                instance.registration_url,
                instance.registration_certificate,
                *_client_columns(instance.management_provider),
            )
        ],
        "member_class": [
            (item.code, item.description, index)
            for index, item in enumerate(records.member_classes)
        ],
        "member": [(item.member_class, item.code, item.name) for item in records.members],
        "subsystem": [
            (member.member_class, member.code, item.code, item.name)
            for member in records.members
            for item in member.subsystems
        ],
        **_server_rows(records.servers),
        "certification_service": [
            _service_row(index, service) for index, service in enumerate(services)
        ],
        "authority": [
            (service.name, index, authority.certificate)
            for service in services
            for index, authority in enumerate(_authorities(service))
        ],
        "ocsp_responder": [
            (service.name, number, index, item.url, item.certificate, item.cost.value)
            for service in services
            for number, authority in enumerate(_authorities(service))
            for index, item in enumerate(authority.responders)
        ],
        "time_stamping_service": [
            (item.url, index, item.name, item.certificate, item.cost.value)
            for index, item in enumerate(records.time_stamping_services)
        ],
        "global_group": [(group.code, group.description) for group in records.groups],
        "group_member": [
            (group.code, member.instance, *_client_columns(member))
            for group in records.groups
            for member in group.members
        ],
        "federation": [(item.instance, item.anchor) for item in records.federation],
        "configuration_part": [
            (item.identifier, item.file_name, item.content) for item in records.parts
        ],
    }


def _server_rows(servers: Iterable[ServerRecord]) -> dict[str, list[tuple[object, ...]]]:
    rows: dict[str, list[tuple[object, ...]]] = {
        "server": [],
        "auth_certificate": [],
        "hosted_client": [],
    }
    for server in servers:
        key = server.id.parts[1:]
        rows["server"].append((*key, server.address, server.maintenance))
        rows["auth_certificate"] += [
            (*key, certificate, index) for index, certificate in enumerate(server.auth_certificates)
        ]
        rows["hosted_client"] += [
            (*key, *_client_columns(item.id), item.enabled) for item in server.clients
        ]
    return rows


def _authorities(service: CertificationServiceRecord) -> Iterable[AuthorityRecord]:
    return chain([service.top], service.intermediates)


def _service_row(index: int, service: CertificationServiceRecord) -> tuple[object, ...]:
    acme = service.acme
    return (
        service.name,
        index,
        service.profile,
        service.authentication_only,
        service.default_csr_format,
        acme and acme.directory_url,
        acme and acme.ip_address,
        acme and acme.auth_profile_id,
        acme and acme.sign_profile_id,
    )
