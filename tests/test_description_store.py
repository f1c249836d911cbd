"""Descriptions of services: declared, judged, kept in the database, and seen in the snapshot."""

import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from catalog.declared.changes import difference
from catalog.declared.declaration import ServicesDeclaration, declaration_problems, hosted_clients
from catalog.services import (
    RESERVED_CODES,
    AccessRight,
    DescriptionSource,
    Endpoint,
    HostedClient,
    Repair,
    Service,
    ServiceType,
)
from catalog.stored.description_store import DescriptionStore, KeptDescription
from catalog.stored.store import COMPONENT, MIGRATIONS, ServiceStore
from config.settings import parse_settings
from trust.database import Pool, migrate, open_pool
from trust.errors import ConfigurationError, StorageError
from trust.ids import ClientId, ServiceId

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
PERSONS = ClientId("EX", "GOV", "1000", "persons")
URL = "http://127.0.0.1:9000/openapi.json?all=1"
API = Service(
    ServiceId(PERSONS, "api"),
    ServiceType.OPENAPI,
    "http://127.0.0.1:9000/",
    endpoints=(Endpoint("POST", "/own"),),
    description_url=URL,
    title="Persons",
)
REGISTER = Service(
    ServiceId(PERSONS, "register", "v1"),
    ServiceType.WSDL,
    "http://127.0.0.1:9001/",
    description_url="http://127.0.0.1:9001/?wsdl",
    repair_headers=True,
)
CLIENT = HostedClient(
    PERSONS,
    services=(API, REGISTER),
    rights=(
        AccessRight(PERSONS, "api", Endpoint("get", "/right")),
        AccessRight(PERSONS, "api"),
    ),
    repairs=frozenset(Repair),
)
SOURCE = DescriptionSource(PERSONS, ServiceType.OPENAPI, URL, verify_tls=True)
KEPT = KeptDescription(
    b"\x00text", ("application/json",), (Endpoint("GET", "/a b/*"), Endpoint("POST", "/own")),
    ("odd",), AT,
)  # fmt: skip


@pytest_asyncio.fixture
async def pool(database_dsn: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database_dsn, "test")
    await migrate(opened, COMPONENT, MIGRATIONS)
    yield opened
    with contextlib.suppress(Exception):
        opened.terminate()


@pytest.fixture
def services(pool: Pool) -> ServiceStore:
    return ServiceStore(pool)


@pytest.fixture
def descriptions(pool: Pool) -> DescriptionStore:
    return DescriptionStore(pool)


async def test_what_was_declared_is_loaded(services: ServiceStore) -> None:
    await services.replace((CLIENT,))
    (loaded,) = (await services.load()).clients
    assert loaded.services == CLIENT.services
    assert loaded.repairs == CLIENT.repairs
    changes = await services.replace((replace(CLIENT, repairs=frozenset()),))
    assert [str(change) for change in changes] == [
        "~ client EX:GOV:1000:persons: registered, HTTPS, repairs soap-action,"
        " repairs xml-declaration → registered, HTTPS"
    ]


async def test_a_download_is_kept_and_its_endpoints_are_part_of_the_snapshot(
    services: ServiceStore, descriptions: DescriptionStore
) -> None:
    await services.replace((CLIENT,))
    before = await services.version()
    assert await descriptions.load(SOURCE) is None
    await descriptions.keep(SOURCE, KEPT)
    assert await descriptions.load(SOURCE) == KEPT
    conf = await services.load()
    assert conf.version == before + 1
    assert conf.endpoints(API) == (
        Endpoint("POST", "/own"), Endpoint("GET", "/a b/*"), Endpoint("GET", "/right"),
    )  # fmt: skip
    assert conf.endpoints(REGISTER) == ()
    await descriptions.keep(SOURCE, replace(KEPT, content=b"other"))
    await descriptions.touch(SOURCE, AT + timedelta(hours=1))
    kept = await descriptions.load(SOURCE)
    assert kept == replace(KEPT, content=b"other", fetched_at=AT + timedelta(hours=1))
    assert await services.version() == before + 1


async def test_a_description_goes_with_its_service_and_its_client(
    services: ServiceStore, descriptions: DescriptionStore
) -> None:
    await services.replace((CLIENT,))
    await descriptions.keep(SOURCE, KEPT)
    await descriptions.forget_unused()
    assert await descriptions.load(SOURCE) == KEPT
    await services.replace((replace(CLIENT, services=(replace(API, verify_tls=False),)),))
    assert await descriptions.load(replace(SOURCE, verify_tls=False)) is None
    await descriptions.forget_unused()
    assert await descriptions.load(SOURCE) is None
    await services.replace(())
    await descriptions.keep(SOURCE, KEPT)
    assert await descriptions.load(SOURCE) is None


async def test_a_lost_database_is_a_storage_error(
    pool: Pool, descriptions: DescriptionStore
) -> None:
    pool.terminate()
    for work in (
        descriptions.load(SOURCE),
        descriptions.keep(SOURCE, KEPT),
        descriptions.touch(SOURCE, AT),
        descriptions.forget_unused(),
    ):
        with pytest.raises(StorageError):
            await work


DECLARED = """
[[clients]]
id = "EX:GOV:1000:persons"
repairs = ["soap-action", "xml-declaration"]

[[clients.services]]
code = "api"
type = "OPENAPI"
url = "http://127.0.0.1:9000/"
endpoints = ["POST /own"]
description = "http://127.0.0.1:9000/openapi.json?all=1"
title = "Persons"

[[clients.services]]
code = "register"
version = "v1"
type = "WSDL"
url = "http://127.0.0.1:9001/"
description = "http://127.0.0.1:9001/?wsdl"
repair_headers = true
"""


def read(text: str, folder: Path) -> ServicesDeclaration:
    return parse_settings(
        ServicesDeclaration, text, file="services.toml", folder=folder, check=declaration_problems
    )


def test_a_declaration_stands_for_it(tmp_path: Path) -> None:
    (client,) = hosted_clients(read(DECLARED, tmp_path))
    assert client == replace(CLIENT, rights=())
    said = [str(change) for change in difference((), (client,))]
    assert any(f"described by {URL}, title Persons" in line for line in said)
    assert any("headers repaired" in line for line in said)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"OPENAPI"', '"REST"', 'type = "OPENAPI" or "WSDL", or no description'),
        ("http://127.0.0.1:9000/openapi", "ftp://h/openapi", "begins with http or https"),
        ("http://127.0.0.1:9000/openapi", "http://u:p@h/openapi", "without user or fragment"),
        ("all=1", "all#1", "without user or fragment"),
        ("http://127.0.0.1:9000/openapi", "https://h/openapi", "verify_tls = false"),
        ("http://127.0.0.1:9000/openapi", "http://h:0/openapi", "begins with http or https"),
        ('title = "Persons"', "repair_headers = true", "only SOAP messages have such headers"),
        ('title = "Persons"', 'title = "a\\nb"', "of at most 1000 characters"),
        ('"soap-action", ', '"all", ', '"soap-action", "xml-declaration"'),
    ],
)
def test_a_wrong_declaration_is_refused(old: str, new: str, said: str, tmp_path: Path) -> None:
    assert old in DECLARED
    with pytest.raises(ConfigurationError) as caught:
        read(DECLARED.replace(old, new), tmp_path)
    assert said in str(caught.value)


@pytest.mark.parametrize("code", sorted(RESERVED_CODES))
def test_codes_of_the_node_are_refused(code: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="a code that the node does not answer"):
        read(DECLARED.replace('"api"', f'"{code}"'), tmp_path)


async def test_digests_of_descriptions_are_those_of_their_bytes(pool: Pool) -> None:
    await ServiceStore(pool).replace((CLIENT,))
    store = DescriptionStore(pool)
    assert await store.digests(PERSONS) == {}
    await store.keep(SOURCE, KEPT)
    assert await store.digests(PERSONS) == {SOURCE: hashlib.sha256(KEPT.content).hexdigest()}
    assert await store.digests(ClientId("EX", "GOV", "9999")) == {}
