"""`sacbe node apply` with mapping files: judged by what services describe now, or did last."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from catalog.mapping import NO_MAPPING, Place
from catalog.services import HostedClient
from catalog.stored.description_store import DescriptionStore, KeptDescription
from catalog.stored.store import ServiceStore
from node.metadata.descriptions import judge
from node.parts.database import open_database
from node.settings import NodeSettings
from scripts.descriptions import check
from scripts.node import apply_services, load_node_settings
from tests.metadata_stage import Library
from tests.test_described_fields import BIRTH_DATE, SCHEME, WSDL, document
from tests.test_node_command import SETTINGS
from trust.database import Pool
from trust.errors import ConfigurationError

NOW = datetime(2026, 3, 2, tzinfo=UTC)
SERVICES = """
[[clients]]
id = "TEST:GOV:1000:persons"

[[clients.services]]
code = "persons"
type = "OPENAPI"
url = "{base}/"
description = "{base}/openapi.json"
mapping = "persons.mapping.toml"

[[clients.services]]
code = "getPension"
version = "v1"
type = "WSDL"
url = "{base}/"
description = "{base}/service.wsdl"
mapping = "pension.mapping.toml"

[[clients.access]]
service = "persons"
client = "TEST:COM:2000:portal"
fields = ["born", "adult"]
"""
PERSONS_MAPPING = """
[[endpoints]]
method = "GET"
path = "/persons/{id}"
subject = { name = "id", scheme = "urn:example:national-id" }
[[endpoints.fields]]
name = "born"
path = "/birthDate"
concept = "urn:example:birth-date"
type = "date"
[[endpoints.views]]
name = "adult"
source = "born"
rule = "years-at-least"
value = "18"
"""
PENSION_MAPPING = """
[[endpoints]]
namespace = "urn:example:pensions"
subject = { name = "/getPension/id", scheme = "urn:example:national-id", place = "body" }
[[endpoints.fields]]
name = "paid"
path = "/getPensionResponse/paid"
type = "number"
"""


async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


class Stage:
    """A folder of an operator, a system that describes its services, and the node's database."""

    def __init__(self, folder: Path, dsn: str, library: Library, pool: Pool) -> None:
        self.folder, self.dsn, self.library, self.pool = folder, dsn, library, pool
        self.settings: NodeSettings = load_node_settings(folder / "node.toml")

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    async def apply(self, *, unchecked: bool = False) -> HostedClient:
        declaration = self.folder / "services.toml"
        await apply_services(self.settings, self.dsn, declaration, unchecked=unchecked)
        return (await ServiceStore(self.pool).load()).clients[0]


@pytest_asyncio.fixture
async def stage(tmp_path: Path, database_dsn: str) -> AsyncIterator[Stage]:
    for name, text in (
        ("node.toml", SETTINGS),
        ("keys.password", "open sesame\n"),
        ("database.dsn", database_dsn + "\n"),
        ("persons.mapping.toml", PERSONS_MAPPING),
        ("pension.mapping.toml", PENSION_MAPPING),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(0o600)
    async with contextlib.AsyncExitStack() as stack:
        library = Library()
        await stack.enter_async_context(library.listening())
        library.put("/openapi.json", json.dumps(document()).encode(), "application/json")
        library.put("/service.wsdl", WSDL.encode(), "text/xml")
        base = library.where("").rstrip("/")
        (tmp_path / "services.toml").write_text(SERVICES.format(base=base), encoding="utf-8")
        pool = await open_database(database_dsn, load_node_settings(tmp_path / "node.toml"))
        stack.push_async_callback(pool.close)
        yield Stage(tmp_path, database_dsn, library, pool)


async def test_mapping_files_that_fit_are_taken_over(stage: Stage) -> None:
    client = await stage.apply()
    persons, pension = client.services
    assert persons.mapping.endpoints[0].view["adult"].source == "born"
    assert pension.mapping.endpoints[0].subject is not None
    assert pension.mapping.endpoints[0].subject.place is Place.BODY


async def test_what_descriptions_contradict_is_refused_at_once_with_its_line(stage: Stage) -> None:
    stage.write("persons.mapping.toml", PERSONS_MAPPING.replace("/birthDate", "/born"))
    stage.write("pension.mapping.toml", PENSION_MAPPING.replace("number", "boolean"))
    with pytest.raises(ConfigurationError) as refused:
        await stage.apply()
    told = [(Path(p.file).name, p.line, p.found) for p in refused.value.problems]
    assert told == [
        ("persons.mapping.toml", 8, "'/born'"),
        ("pension.mapping.toml", 8, "type boolean for '/getPensionResponse/paid'"),
    ]
    assert (await ServiceStore(stage.pool).load()).clients == ()


async def test_every_mistake_is_told_at_once_whoever_finds_it(stage: Stage) -> None:
    circle = """
[[endpoints.views]]
name = "a"
source = "b"
rule = "present"
[[endpoints.views]]
name = "b"
source = "a"
rule = "present"
"""
    stage.write("persons.mapping.toml", PERSONS_MAPPING.replace("/birthDate", "/born") + circle)
    stage.write("pension.mapping.toml", "nonsense = 1")
    text = (stage.folder / "services.toml").read_text(encoding="utf-8")
    text = text.replace('"adult"]', '"grown"]\npurposes = ["urn:x:y"]')
    stage.write("services.toml", text)
    with pytest.raises(ConfigurationError) as refused:
        await stage.apply()
    told = [(Path(p.file).name, p.line, p.found) for p in refused.value.problems]
    assert told == [
        ("services.toml", 23, "'grown'"),
        ("services.toml", 24, "purposes without a legal basis"),
        ("persons.mapping.toml", 8, "'/born'"),
        ("persons.mapping.toml", 19, "the circle 'a' → 'b' → 'a'"),
        ("persons.mapping.toml", 23, "the circle 'b' → 'a' → 'b'"),
        ("pension.mapping.toml", 0, "no key 'endpoints' in the file"),
        ("pension.mapping.toml", 1, "unknown key 'nonsense'"),
    ]


async def test_an_operation_that_the_wsdl_does_not_have_is_told(stage: Stage) -> None:
    text = (stage.folder / "services.toml").read_text(encoding="utf-8")
    stage.write("services.toml", text.replace('version = "v1"', 'version = "v2"'))
    with pytest.raises(ConfigurationError, match="'getPension' v2, which the WSDL does not have"):
        await stage.apply()


async def test_without_any_description_nothing_is_taken_over_unchecked(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.library.documents.clear()
    with pytest.raises(ConfigurationError) as refused:
        await stage.apply()
    assert ["could not be checked: 404" in p.found for p in refused.value.problems] == [True, True]
    assert "--unchecked" in refused.value.problems[0].expected
    client = await stage.apply(unchecked=True)
    assert client.services[0].mapping != NO_MAPPING
    stage.write("persons.mapping.toml", PERSONS_MAPPING.replace('"born"', '"birth"'))
    with pytest.raises(ConfigurationError, match=r"services\.toml"):
        await stage.apply(unchecked=True)  # what needs no description is checked all the same


async def test_a_system_that_is_down_is_judged_by_its_last_description(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    client = await stage.apply()
    store = DescriptionStore(stage.pool)
    for service in client.services:
        source = service.description
        assert source is not None
        path = "/openapi.json" if "openapi" in source.url else "/service.wsdl"
        content = stage.library.documents[path].partition(b"\r\n\r\n")[2]
        found = judge(source.type, source.url, content, ())
        await store.keep(source, KeptDescription(content, (), found.endpoints, (), NOW))
    stage.library.visit = hang_up
    await stage.apply()
    assert "judged by the one of 2026-03-02" in capsys.readouterr().err
    stage.write("persons.mapping.toml", PERSONS_MAPPING.replace("/birthDate", "/born"))
    with pytest.raises(ConfigurationError, match="'/born'"):
        await stage.apply()


async def test_a_description_brings_the_mapping_where_no_file_does(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (stage.folder / "services.toml").read_text(encoding="utf-8")
    text = "\n".join(line for line in text.splitlines() if not line.startswith("mapping"))
    stage.write("services.toml", text)
    with pytest.raises(ConfigurationError, match=r"services\.toml:\d+: found 'born'"):
        await stage.apply()
    stage.write("services.toml", text.replace('"born"', f'"birthDate", "{BIRTH_DATE}"'))
    client = await stage.apply()
    assert [one.mapping for one in client.services] == [NO_MAPPING, NO_MAPPING]
    store, before = DescriptionStore(stage.pool), await ServiceStore(stage.pool).version()
    for service in client.services:
        source = service.description
        assert source is not None
        path = "/openapi.json" if "openapi" in source.url else "/service.wsdl"
        content = stage.library.documents[path].partition(b"\r\n\r\n")[2]
        found = judge(source.type, source.url, content, ())
        kept = KeptDescription(content, (), found.endpoints, (), NOW, found.mappings)
        await store.keep(source, kept)
        assert await store.load(source) == kept
    conf = await ServiceStore(stage.pool).load()
    assert conf.version == before + 2
    persons, pension = conf.clients[0].services
    assert persons.mapping.endpoints[0].names_of[BIRTH_DATE] == "birthDate"
    assert pension.mapping.endpoints[0].subject is not None
    assert pension.mapping.endpoints[0].subject.scheme == SCHEME
    assert (await ServiceStore(stage.pool).load_declared()).clients[0] == client
    assert await apply_services(stage.settings, stage.dsn, stage.folder / "services.toml") == ()


async def test_check_tells_what_is_known_and_what_has_changed(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    await stage.apply()
    changed = json.dumps(document()).replace("birthDate", "bornOn")
    stage.library.put("/openapi.json", changed.encode(), "application/json")
    assert await check(stage.settings) == 0
    told = capsys.readouterr().out
    assert "2 fields and derived facts of 'persons'" in told
    assert "warning: the mapping file of 'persons', endpoints.0.fields.0.path: found '/bir" in told
    assert "1 fields and derived facts of 'getPension' v1" in told
