"""What the registry publishes is what a node believes, by every version and through rotations."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st

from tests.example_registry import (
    COMPANY,
    FIRST,
    OPERATOR,
    PERSONS,
    PORTAL,
    SECOND,
    example_records,
)
from tests.pki import NOON
from trust.configuration.confdirectory import Directory, read_directory
from trust.configuration.confparts import (
    PRIVATE_PARAMETERS_ID,
    SHARED_PARAMETERS_ID,
    anchor_fingerprint,
    parse_anchor,
    parse_private_parameters,
    parse_shared_parameters,
)
from trust.configuration.confpublish import build_anchor
from trust.database import Pool, migrate, open_pool
from trust.errors import EvidenceRejected, StorageError
from trust.globalconf import SharedParameters
from trust.ids import GlobalGroupId
from trust.registry.configuration_keys import (
    ConfigurationKeys,
    KeyFolder,
    KeyRefused,
    anchor_of,
    sources_of,
)
from trust.registry.publication import SOURCES, PublicationFailed, Source, build_parts
from trust.registry.publisher import Publisher, PublishingSettings
from trust.registry.publisher_web import build_app, requested_version
from trust.registry.records import PartRecord, RegistryRecords
from trust.registry.registry import Registry

MIGRATIONS = Path(__file__).parents[1] / "trust" / "registry" / "migrations"
ALL_VERSIONS = PublishingSettings(minimum_version=2)
PASSWORD = b"open sesame"


@dataclass
class Operator:
    """A registry on a fresh database, at a time that the test sets."""

    pool: Pool
    folder: Path
    settings: PublishingSettings = ALL_VERSIONS
    now: datetime = NOON
    registry: Registry = field(init=False)
    keys: ConfigurationKeys = field(init=False)
    publisher: Publisher = field(init=False)

    def __post_init__(self) -> None:
        self.registry = Registry(self.pool)
        folder = KeyFolder(self.folder, PASSWORD)
        self.keys = ConfigurationKeys(self.pool, folder, "registry.example.test")
        self.publisher = Publisher(self.registry, self.keys, self.settings, lambda: self.now)

    async def found(self, records: RegistryRecords | None = None) -> None:
        """Declare the instance and create the first keys."""
        await self.registry.apply(records or example_records(), by="clerk", at=self.now)
        for source in SOURCES:
            await self.keys.create(source, "p256", self.now)

    async def anchor_certificates(self, source: Source = "internal") -> tuple[bytes, ...]:
        keys = await self.keys.all()
        raw = build_anchor(anchor_of("TEST", source, keys, https=False))
        return parse_anchor(raw).sources[0].certificates

    def after(self, **passed: float) -> None:
        self.now += timedelta(**passed)


@pytest_asyncio.fixture
async def operator(database_dsn: str, tmp_path: Path) -> AsyncIterator[Operator]:
    pool = await open_pool(database_dsn, "test")
    await migrate(pool, "registry", MIGRATIONS)
    yield Operator(pool, tmp_path / "keys")
    await pool.close()


@contextlib.asynccontextmanager
async def served(operator: Operator) -> "AsyncIterator[TestClient[web.Request, web.Application]]":
    server = TestServer(build_app(operator.publisher, lambda: operator.now), host="127.0.0.1")
    async with TestClient(server) as client:
        yield client


async def fetched(
    client: "TestClient[web.Request, web.Application]",
    certificates: tuple[bytes, ...],
    at: datetime,
    *,
    source: str = "internal",
    version: int = 6,
) -> tuple[Directory, dict[str, bytes]]:
    """A directory and its parts as a node gets them: over HTTP, verified, with their digests."""
    response = await client.get(f"/{source}conf?version={version}")
    assert response.status == 200
    directory = read_directory(await response.read(), certificates, at)
    parts = {}
    for entry in directory.entries:
        raw = await (await client.get(entry.location)).read()
        assert entry.matches(raw)
        assert entry.instance == "TEST"
        parts[entry.identifier] = raw
    return directory, parts


async def test_every_version_is_published_and_says_what_was_declared(operator: Operator) -> None:
    await operator.found()
    await operator.publisher.publish()
    certificates = await operator.anchor_certificates()
    async with served(operator) as client:
        for version in range(2, 7):
            directory, parts = await fetched(client, certificates, NOON, version=version)
            assert directory.version == version
            assert directory.expires == NOON + timedelta(minutes=10)
            assert parts["NEXTUPDATE"] == example_records().parts[0].content
            private = parse_private_parameters(parts[PRIVATE_PARAMETERS_ID], version)
            assert private.management_provider == example_records().instance.management_provider
            assert private.federation_anchors[0].instance == "PEER"
            shared = parse_shared_parameters(parts[SHARED_PARAMETERS_ID], version)
            check_shared(shared, version)


def check_shared(shared: SharedParameters, version: int) -> None:
    """What the example says, as far as the version can say it."""
    by_id = {server.id: server for server in shared.servers}
    assert [len(digest) for digest in by_id[FIRST].auth_cert_hashes] == [20 if version == 2 else 32]
    assert by_id[FIRST].clients == (PERSONS,)
    assert by_id[SECOND].clients == ((PORTAL,) if version >= 5 else ())
    assert by_id[SECOND].maintenance == ("Back at noon" if version >= 5 else None)
    assert bool(shared.sources) is (version >= 3)
    (ca,) = shared.approved_cas
    assert ca.top.certificate.subject != ca.intermediates[0].certificate.subject
    assert ca.intermediates[0].responders[0].cost_type == ("PAID" if version >= 6 else None)
    assert (ca.acme is not None) is (version >= 3)
    groups = {group.id: group.members for group in shared.groups}
    assert groups[GlobalGroupId("TEST", "security-server-owners")] == {OPERATOR, COMPANY}
    assert PORTAL in groups[GlobalGroupId("TEST", "readers")]


async def test_other_instances_get_the_shared_part_alone(operator: Operator) -> None:
    await operator.found()
    await operator.publisher.publish()
    async with served(operator) as client:
        certificates = await operator.anchor_certificates("external")
        directory, parts = await fetched(client, certificates, NOON, source="external")
        assert list(parts) == [SHARED_PARAMETERS_ID]
        with pytest.raises(EvidenceRejected):
            internal = await operator.anchor_certificates("internal")
            await fetched(client, internal, NOON, source="external")
        assert directory.entries[0].location.startswith("/V6/20261121120000000000000/")


async def test_versions_that_are_not_offered_are_not_found(operator: Operator) -> None:
    operator = Operator(operator.pool, operator.folder, PublishingSettings(minimum_version=4))
    await operator.found()
    await operator.publisher.publish()
    async with served(operator) as client:
        statuses = {
            query: (await client.get(f"/internalconf{query}")).status
            for query in ("", "?version=2", "?version=3", "?version=4", "?version=6", "?version=7")
        }
        assert statuses == {
            "": 404,
            "?version=2": 404,
            "?version=3": 404,
            "?version=4": 200,
            "?version=6": 200,
            "?version=7": 404,
        }
        assert (await client.get("/V6/20000101000000000000000/shared-params.xml")).status == 404
        assert (await client.get("/V6/../internalconf")).status == 404
        assert (await client.post("/internalconf?version=6")).status == 405


async def test_without_a_version_version_two_is_meant(operator: Operator) -> None:
    await operator.found()
    await operator.publisher.publish()
    async with served(operator) as client:
        response = await client.get("/externalconf")
        certificates = await operator.anchor_certificates("external")
        assert read_directory(await response.read(), certificates, NOON).version == 2


async def test_head_answers_like_get_without_the_body(operator: Operator) -> None:
    await operator.found()
    await operator.publisher.publish()
    async with served(operator) as client:
        head = await client.head("/internalconf?version=6")
        whole = await client.get("/internalconf?version=6")
        assert (head.status, await head.read()) == (200, b"")
        assert head.headers["Content-Length"] == str(len(await whole.read()))


async def test_before_the_first_generation_a_node_is_asked_to_come_again(
    operator: Operator,
) -> None:
    async with served(operator) as client:
        assert (await client.get("/internalconf?version=6")).status == 503
        assert (await client.get("/health/live")).status == 200
        ready = await client.get("/health/ready")
        assert ready.status == 503
        with pytest.raises(PublicationFailed, match="No instance has been declared"):
            await operator.publisher.publish()
        ready = await client.get("/health/ready")
        assert "No instance has been declared" in (await ready.json())["reasons"]["publisher"]


async def test_parts_of_a_replaced_directory_stay_for_ten_minutes(operator: Operator) -> None:
    await operator.found()
    first = await operator.publisher.publish()
    (location, *_) = first.files
    for _ in range(11):
        operator.after(minutes=1)
        await operator.publisher.publish()
        assert operator.publisher.part(location) == first.files[location]
    operator.after(minutes=1)
    await operator.publisher.publish()
    assert operator.publisher.part(location) is None


async def test_a_node_follows_a_rotation_without_a_new_anchor(operator: Operator) -> None:
    await operator.found()
    anchored = await operator.anchor_certificates()
    (old,) = [key for key in await operator.keys.all() if key.source == "internal"]
    operator.after(minutes=1)
    new = await operator.keys.create("internal", "rsa2048", operator.now)
    assert not new.active
    await operator.publisher.publish()
    async with served(operator) as client:
        _, parts = await fetched(client, anchored, operator.now)
        learned = parse_shared_parameters(parts[SHARED_PARAMETERS_ID], 6).sources[0]
        assert learned.internal_certificates == (*anchored, new.certificate)

        await operator.keys.activate(new.id)
        await operator.keys.delete(old.id)
        operator.after(minutes=1)
        await operator.publisher.publish()
        with pytest.raises(EvidenceRejected):
            await fetched(client, anchored, operator.now)
        _, parts = await fetched(client, learned.internal_certificates, operator.now)
        source = parse_shared_parameters(parts[SHARED_PARAMETERS_ID], 6).sources[0]
        assert source.internal_certificates == (new.certificate,)
    assert not (operator.folder / f"{old.id}.pem").exists()


async def test_the_anchor_is_the_same_for_the_same_keys(operator: Operator) -> None:
    await operator.found()
    keys = await operator.keys.all()
    anchors = [build_anchor(anchor_of("TEST", "internal", keys, https=True)) for _ in range(2)]
    assert anchors[0] == anchors[1]
    assert len(anchor_fingerprint(anchors[0]).split(":")) == 28
    anchor = parse_anchor(anchors[0])
    assert [source.download_url for source in anchor.sources] == [
        "http://registry.example.test/internalconf",
        "https://registry.example.test/internalconf",
    ]
    assert anchor.generated_at == NOON
    external = anchor_of("TEST", "external", keys, https=False)
    assert external.sources[0].download_url == "http://registry.example.test/externalconf"
    assert external.sources[0].certificates != anchor.sources[0].certificates


async def test_every_machine_of_a_registry_is_named_with_all_its_keys(operator: Operator) -> None:
    await operator.found()
    folder = KeyFolder(operator.folder, PASSWORD)
    other = ConfigurationKeys(operator.pool, folder, "second.example.test")
    second = await other.create("internal", "p256", NOON)
    assert second.active
    keys = await operator.keys.all()
    sources = sources_of(keys)
    assert [source.address for source in sources] == [
        "registry.example.test",
        "second.example.test",
    ]
    assert sources[1].internal_certificates == (second.certificate,)
    assert sources[1].external_certificates == ()
    with pytest.raises(KeyRefused, match="no active external key for second"):
        await other.signers(keys)
    with pytest.raises(KeyRefused, match="belongs to the machine at second"):
        await operator.keys.delete(second.id)


async def test_keys_that_sign_are_not_deleted_and_unreadable_ones_not_activated(
    operator: Operator,
) -> None:
    await operator.found()
    active = (await operator.keys.all())[0]
    with pytest.raises(KeyRefused, match="is active"):
        await operator.keys.delete(active.id)
    with pytest.raises(KeyRefused, match="no key 00"):
        await operator.keys.activate("00")
    spare = await operator.keys.create(active.source, "p256", NOON)
    operator.folder.joinpath(f"{spare.id}.pem").write_bytes(
        operator.folder.joinpath(f"{active.id}.pem").read_bytes()
    )
    with pytest.raises(KeyRefused, match="not that of its certificate"):
        await operator.keys.activate(spare.id)
    wrong = ConfigurationKeys(
        operator.pool, KeyFolder(operator.folder, b"wrong"), "registry.example.test"
    )
    with pytest.raises(KeyRefused, match="wrong password or damaged"):
        await wrong.activate(spare.id)
    operator.folder.joinpath(f"{spare.id}.pem").unlink()
    with pytest.raises(KeyRefused, match="can't be read"):
        await operator.keys.activate(spare.id)
    states = {key.id: key.active for key in await operator.keys.all()}
    assert (states[active.id], states[spare.id]) == (True, False)


async def test_keys_without_a_database_are_a_storage_error(operator: Operator) -> None:
    await operator.found()
    await operator.pool.close()
    with pytest.raises(StorageError, match="keys can't be used"):
        await operator.keys.all()
    with pytest.raises(StorageError):
        await operator.keys.create("internal", "p256", NOON)
    with pytest.raises(StorageError):
        await operator.keys.activate("00")
    with pytest.raises(StorageError):
        await operator.keys.delete("00")


async def test_a_key_that_can_not_be_written_is_not_announced(operator: Operator) -> None:
    operator.folder.write_text("in the way", encoding="utf-8")
    with pytest.raises(KeyRefused, match="can't be written"):
        await operator.keys.create("internal", "p256", NOON)
    assert await operator.keys.all() == ()
    with pytest.raises(KeyRefused, match="no internal key"):
        anchor_of("TEST", "internal", (), https=False)


async def test_private_keys_are_encrypted_and_only_ours(operator: Operator) -> None:
    await operator.found()
    for path in operator.folder.iterdir():
        assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
        assert path.stat().st_mode & 0o777 == 0o600


async def test_a_round_that_fails_leaves_the_generation_before(operator: Operator) -> None:
    await operator.found()
    first = await operator.publisher.publish()
    # Nothing that `apply` takes can break a round, so the row is damaged by hand.
    await operator.pool.execute("UPDATE configuration_part SET content = '<conf/>'")
    operator.after(minutes=2)
    with pytest.raises(PublicationFailed):
        await operator.publisher.publish()
    assert operator.publisher.generation is first
    assert operator.publisher.not_ready(operator.now) is None
    operator.after(minutes=2)
    assert "root element" in (operator.publisher.not_ready(operator.now) or "")
    operator.after(minutes=10)
    assert "expired at" in (operator.publisher.not_ready(operator.now) or "")
    await operator.registry.apply(example_records(), by="clerk", at=NOON)
    await operator.publisher.publish()
    assert operator.publisher.not_ready(operator.now) is None
    assert operator.publisher.last_error is None


async def test_the_last_known_records_are_signed_while_the_database_is_away(
    operator: Operator,
) -> None:
    await operator.found()
    await operator.publisher.publish()
    certificates = await operator.anchor_certificates()
    await operator.pool.close()
    operator.after(minutes=59)
    generation = await operator.publisher.publish()
    directory = read_directory(generation.directories["internal", 6], certificates, operator.now)
    assert directory.expires == operator.now + timedelta(minutes=10)
    operator.after(minutes=2)
    with pytest.raises(StorageError):
        await operator.publisher.publish()


async def test_publishing_goes_on_after_a_failed_round(operator: Operator) -> None:
    rounds: asyncio.Queue[datetime] = asyncio.Queue()

    def clock() -> datetime:
        rounds.put_nowait(NOON)
        return NOON

    settings = PublishingSettings(interval=timedelta(milliseconds=5))
    publisher = Publisher(operator.registry, operator.keys, settings, clock)
    task = asyncio.create_task(publisher.run())
    await rounds.get()
    await rounds.get()  # a second round has begun, so the first one has failed
    assert publisher.last_error is not None
    await operator.found()
    while not rounds.empty():
        rounds.get_nowait()
    await rounds.get()
    await rounds.get()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert publisher.generation is not None
    assert set(publisher.generation.directories) == {("internal", 6), ("external", 6)}


def test_one_version_that_fails_fails_all_versions() -> None:
    # Without a source version 2 can be written, and no later one.
    assert list(build_parts(example_records(), (), [2])) == [2]
    with pytest.raises(PublicationFailed, match="source"):
        build_parts(example_records(), (), range(2, 7))


def test_an_optional_part_of_our_own_is_published_as_it_is() -> None:
    own = PartRecord("OWN", "own.bin", b"\x00")
    parts = build_parts(replace(example_records(), parts=(own,)), (), [2])[2]
    assert [part.content for part in parts if part.optional] == [b"\x00"]


@pytest.mark.parametrize(
    ("query", "version"),
    [
        ("", 2),
        ("version=6", 6),
        ("a=1&version=5&b", 5),
        ("version=x", 2),
        ("xversion=6", 2),
        ("version=", 2),
        ("version=6x", 2),
        ("version=99999", 2),
    ],
)
def test_the_version_is_read_as_the_reference_server_does(query: str, version: int) -> None:
    assert requested_version(query) == version


@given(st.text(alphabet="version=&0126x%", max_size=30))
def test_any_query_asks_for_some_version(query: str) -> None:
    assert requested_version(query) >= 0
