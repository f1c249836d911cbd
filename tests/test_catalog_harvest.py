"""The registry asks real nodes for services: one that knows of the catalog, one that does not."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import astuple, dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from catalog.about import About, Contact, LifeCycle
from catalog.central.composing import KnownProvider
from catalog.central.description_library import DescriptionLibrary
from catalog.central.entries import Availability, CatalogService
from catalog.central.harvest.asking import NodeAsker, open_asker
from catalog.central.harvest.provider import Harvested, Library, harvest_provider
from catalog.central.harvest.rounds import Asked, Harvester
from catalog.central.harvest.settings import CatalogSettings
from catalog.central.harvest_store import HarvestStore
from catalog.central.wire import SERVICE_CODE, encode_entry
from catalog.mapping import EndpointMapping, FieldMapping, ServiceMapping, SubjectParameter
from catalog.meaning.store import COMPONENT
from catalog.meaning.store import MIGRATIONS as CENTRAL_MIGRATIONS
from catalog.services import ServiceType
from node.exchange.builtin import BuiltInService, Call, RestAnswer
from node.messages.rest import RestRequestHead
from scripts.postgres import PostgresServer
from tests.instance import CONSUMER, PROVIDER, utc_now
from tests.metadata_stage import OPENAPI, Stage, metadata_stage
from trust.database import Pool, migrate, open_pool
from trust.errors import ExchangeError, NetworkFailure, PeerFault
from trust.ids import ClientId, ServiceId
from trust.settings import ByteSize

pytestmark = pytest.mark.asyncio(loop_scope="module")
TOLD = CatalogService(
    ServiceId(CONSUMER, "benefits"),
    ServiceType.OPENAPI,
    title="Benefits",
    about=About(description="Who gets what"),
    endpoints=("GET /benefits/*",),
    mapping=ServiceMapping(
        (
            EndpointMapping(
                "GET",
                "/benefits/{id}",
                SubjectParameter("id", "urn:ex:person"),
                fields=(FieldMapping("amount", "/amount", "urn:ex:amount"),),
            ),
        )
    ),
    availability=Availability(utc_now(), 10, 9),
)
NOBODY = ClientId("TEST", "GOV", "1001", "nobody")


@dataclass
class Word:
    """What a node says when it is asked for its catalog entry; a test makes it lie."""

    body: Callable[[], bytes] = field(default=lambda: encode_entry((TOLD,)))
    status: int = 200
    delay: float = 0
    type = ServiceType.REST

    def takes(self, call: Call) -> bool:
        request = call.request
        asked = isinstance(request, RestRequestHead) and request.service.service_code
        return asked == SERVICE_CODE

    def check_access(self, call: Call) -> None:
        """Everybody may ask."""

    async def answer(self, call: Call) -> RestAnswer:
        await asyncio.sleep(self.delay)
        headers = ((b"content-type", b"application/json"),)
        return RestAnswer(self.status, headers, self.body())


def other_services(found: Sequence[BuiltInService]) -> list[BuiltInService]:
    """The built-in services without the word for the catalog: a plain node's."""
    return [one for one in found if "catalog" not in type(one).__module__]


@dataclass
class Scene:
    """A plain node (CIVIL) and one that knows of the catalog (MUNI), behind which we ask."""

    stage: Stage
    word: Word
    asker: NodeAsker
    settings: CatalogSettings

    async def harvest(self, provider: ClientId, *known: CatalogService) -> Harvested:
        before = {one.id: one for one in known}
        return await harvest_provider(self.asker, provider, self.settings, before)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Scene]:
    folder: Path = tmp_path_factory.mktemp("harvest")
    async with metadata_stage(folder, postgres_server) as stage:
        word = Word()
        for node, more in ((stage.provider, ()), (stage.consumer, (word,))):
            provider = node.running.exchanges.provider
            provider.built_in = (*other_services(provider.built_in), *more)
        settings = CatalogSettings(
            node=stage.consumer.url, client=CONSUMER, answer=timedelta(seconds=5)
        )
        async with open_asker(settings) as asker:
            yield Scene(stage, word, asker, settings)


@pytest.fixture(autouse=True)
def honest(scene: Scene) -> None:
    scene.word.__init__()  # type: ignore[misc]  # every test begins with an honest node


async def test_a_node_tells_of_its_services_itself(scene: Scene) -> None:
    assert await scene.harvest(CONSUMER) == Harvested((TOLD,), plain=False)


async def test_of_a_plain_node_the_metadata_services_tell(scene: Scene) -> None:
    found = await scene.harvest(PROVIDER)
    services = {(one.id.service_code, one.id.service_version): one for one in found.services}
    assert found.plain
    assert all(one.plain and one.id.provider == PROVIDER for one in found.services)
    assert ("personData", "v1") in services
    persons = services["persons", None]
    assert (persons.type, persons.title) == (ServiceType.OPENAPI, "P")
    assert "GET /persons/*" in persons.endpoints
    assert len(persons.description_digest) == 64
    assert services["people", None].type is ServiceType.REST
    assert services["plain", None].type is ServiceType.WSDL
    assert len(services["personData", "v1"].description_digest) == 64
    assert {note.partition(":")[0] for note in found.notes} == {
        "gone", "broken", "old", "undescribed", "lost", "page", "undescribedSoap",
    }  # fmt: skip


async def test_facts_are_read_out_of_a_plain_description(scene: Scene) -> None:
    document = json.loads(OPENAPI)
    document["paths"] = {
        "/persons/{id}": {
            "get": {
                "parameters": [
                    {
                        "name": "id", "in": "path", "required": True, "x-subject": "urn:ex:person",
                        "schema": {"type": "string"},
                    }
                ],
                "responses": {
                    "200": {
                        "description": "",
                        "content": {
                            "application/json": {
                                "schema": {
                                    "type": "object",
                                    "properties": {
                                        "born": {"type": "string", "x-concept": "urn:ex:birth"}
                                    },
                                }
                            }
                        },
                    }
                },
            }
        }
    }  # fmt: skip
    library = scene.stage.library
    library.put("/openapi.json", json.dumps(document).encode(), "application/json")
    try:
        found = await scene.harvest(PROVIDER)
        (persons,) = [one for one in found.services if one.id.service_code == "persons"]
        (endpoint,) = persons.mapping.endpoints
        assert endpoint.subject == SubjectParameter("id", "urn:ex:person")
        assert [(one.path, one.concept) for one in endpoint.fields] == [("/born", "urn:ex:birth")]
        library.documents.pop("/openapi.json")
        again = await scene.harvest(PROVIDER, *found.services)
        (same,) = [one for one in again.services if one.id == persons.id]
        # what was known goes on while its system is away; its node may forget endpoints meanwhile
        assert replace(same, endpoints=()) == replace(persons, endpoints=())
        assert any(note.startswith("persons: ") for note in again.notes)
    finally:
        library.put("/openapi.json", OPENAPI, "application/json")


async def test_nobody_is_believed_about_others_and_too_much_is_left(scene: Scene) -> None:
    services = tuple(replace(TOLD, id=ServiceId(PROVIDER, f"s{number}")) for number in range(5))
    scene.word.body = lambda: encode_entry(services)
    few = replace(scene.settings, services=3)
    found = await harvest_provider(scene.asker, CONSUMER, few, {})
    assert [one.id.provider for one in found.services] == [CONSUMER] * 3
    assert found.notes == ("it has 5 services, of which 3 are taken",)
    assert not found.plain


async def test_texts_of_others_do_nothing_to_a_terminal(scene: Scene, pool: Pool) -> None:
    hostile = "a\x1b[2J\0\u202eb\r\nc"
    contact = Contact(hostile, hostile, hostile, hostile)
    about = About(hostile, LifeCycle(successor=hostile), contact, hostile, (hostile,), "", "")
    clean = replace(TOLD, id=ServiceId(CONSUMER, "s"), title=hostile, about=about)
    clean = replace(clean, endpoints=("GET /a", f"GET /{hostile}"))
    scene.word.body = lambda: encode_entry((clean,))
    found = await scene.harvest(CONSUMER)
    [told] = found.services
    assert told.endpoints == ("GET /a",)
    assert told.title.startswith("a [2J")
    for text in (told.title, *astuple(told.about.contact), *told.about.keywords):
        assert text.isprintable()
    assert told.about.description.replace("\n", "").isprintable()
    store = HarvestStore(pool)
    harvester = Harvester(store, scene.settings, utc_now)
    [asked] = await harvester.round(scene.asker, [CONSUMER])
    assert asked.answered
    assert all(line.isprintable() for line in asked.changes)
    odd = EndpointMapping("GET", "/a", fields=(FieldMapping("a\r\nb: c\x1b", "/a"),))
    mapped = replace(clean, mapping=ServiceMapping((odd,)))
    scene.word.body = lambda: encode_entry((mapped,))
    [asked] = await harvester.round(scene.asker, [CONSUMER])
    assert not asked.answered
    assert asked.provider.problem.isprintable()


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"{", 200, "can't be read"),
        (b"[" * 100_000, 200, "can't be read"),
        (b'{"format": 9, "services": []}', 200, "format 9"),
        (b"{}", 500, "answered with status 500"),
        (bytes(9 << 20), 200, "more than 8388608 bytes"),
    ],
)
async def test_lies_are_told_and_nothing_is_taken(
    scene: Scene, body: bytes, status: int, reason: str
) -> None:
    scene.word.body, scene.word.status = lambda: body, status
    with pytest.raises(ExchangeError, match=reason):
        await scene.harvest(CONSUMER)


async def test_a_node_that_is_slow_or_talks_too_much_is_given_up(scene: Scene) -> None:
    little = replace(scene.settings, answers=ByteSize(100))
    with pytest.raises(ExchangeError, match="larger than is taken"):
        await harvest_provider(scene.asker, CONSUMER, little, {})
    scene.word.delay = 2
    hasty = replace(scene.settings, institution=timedelta(seconds=0.3))
    with pytest.raises(ExchangeError, match="took longer"):
        await harvest_provider(scene.asker, CONSUMER, hasty, {})
    async with open_asker(replace(scene.settings, answer=timedelta(seconds=0.3))) as asker:
        with pytest.raises(NetworkFailure, match="too long"):
            await harvest_provider(asker, CONSUMER, scene.settings, {})


async def test_whom_no_node_hosts_can_not_be_asked(scene: Scene) -> None:
    with pytest.raises(PeerFault) as raised:
        await scene.harvest(NOBODY)
    assert raised.value.code == "server.clientproxy.unknown_member"


@pytest_asyncio.fixture(loop_scope="module")
async def pool(database_dsn: str) -> AsyncIterator[Pool]:
    pool = await open_pool(database_dsn, "test")
    await migrate(pool, COMPONENT, CENTRAL_MIGRATIONS)
    yield pool
    await pool.close()


async def test_one_bad_node_spoils_nothing_of_others_and_keeps_what_was_known(
    scene: Scene, pool: Pool
) -> None:
    store = HarvestStore(pool)
    library = DescriptionLibrary(pool)
    harvester = Harvester(store, scene.settings, utc_now, library)
    first = await harvester.round(scene.asker, (PROVIDER, CONSUMER, NOBODY))
    assert [one.answered for one in first] == [True, True, False]
    scene.word.body = lambda: b"lies"
    second = await harvester.round(scene.asker, (PROVIDER, CONSUMER))
    assert [one.answered for one in second] == [True, False]
    assert second[1].changes == ()
    assert all(" endpoint " in line for line in second[0].changes)  # its node learns them by itself
    kept = {one.id: one for one in await store.providers()}
    assert kept[CONSUMER].services == (TOLD,)
    assert kept[CONSUMER].answered_at == first[1].provider.asked_at
    assert "can't be read" in kept[CONSUMER].problem
    assert kept[NOBODY] == KnownProvider(
        NOBODY, first[2].provider.asked_at, problem=kept[NOBODY].problem
    )
    assert len(kept[PROVIDER].services) == 13
    await checked_history(store, first)
    digests = {one.description_digest for one in kept[PROVIDER].services} - {""}
    assert await library.digests(PROVIDER) == digests
    (persons,) = [one for one in kept[PROVIDER].services if one.id.service_code == "persons"]
    description = await library.get(PROVIDER, persons.description_digest)
    assert description is not None
    assert b"10.1.2.3" not in description
    assert json.loads(description)["openapi"] == "3.0.3"
    await library.forget_others(PROVIDER, ())
    assert await library.get(PROVIDER, persons.description_digest) is None


async def test_a_node_that_tells_its_own_word_is_asked_for_new_descriptions(scene: Scene) -> None:
    """What is told is under the institution's name; the description is beside it, for people."""
    described = replace(TOLD, description_digest="d" * 64)
    scene.word.body = lambda: encode_entry((described,))
    found = await scene.harvest(CONSUMER)
    assert found.notes == ()
    kept: dict[str, bytes] = {}

    async def keep(digest: str, description: bytes) -> None:
        kept[digest] = description

    asked = await harvest_provider(scene.asker, CONSUMER, scene.settings, {}, Library(keep=keep))
    assert asked.services == (described,)
    assert asked.notes == (f"benefits: Service not found: {TOLD.id}",)
    assert kept == {}


async def checked_history(store: HarvestStore, first: tuple[Asked, ...]) -> None:
    told = await store.changes(10)
    assert {one.provider for one in told} == {PROVIDER, CONSUMER}
    (ours,) = await store.changes(10, CONSUMER)
    assert ours.changes == first[1].changes == (f"+ service {TOLD.id.colons}: OPENAPI",)
    last = await store.last_round()
    assert last is not None
    assert (last.asked, last.answered) == (2, 1)
