"""`sacbe catalog`: at the registry, and offline at a node."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp.test_utils import unused_port

from catalog.about import About, LifeCycle, LifeState
from catalog.central.composing import KnownProvider
from catalog.central.encoding import PART_FILE, PART_IDENTIFIER, encode_catalog
from catalog.central.entries import Availability, CatalogService
from catalog.central.harvest.settings import CatalogSettings, CentralSettings
from catalog.central.service import CentralCatalog
from catalog.services import ServiceType
from config.describe import describe_settings
from config.settings import load_settings
from scripts.cli import main
from tests.example_registry import PERSONS, example_records
from tests.large_catalog import large_catalog
from tests.pki import NOON
from tests.published import Publisher
from trust.configuration.confclient import ConfigurationClient
from trust.configuration.conflocations import Location
from trust.configuration.confstore import save_set
from trust.database import migrate, open_pool
from trust.errors import ConfigurationError
from trust.ids import ServiceId
from trust.registry.registry import Registry
from trust.registry.registry_app import MIGRATIONS

SERVICE = CatalogService(
    ServiceId(PERSONS, "people"),
    ServiceType.REST,
    title="People",
    about=About(
        description="Who lives where",
        life=LifeCycle(LifeState.DEPRECATED, (NOON + timedelta(days=90)).date(), "citizens"),
    ),
    plain=True,
    availability=Availability(NOON, 10, 9),
)
NAME = SERVICE.id.colons
DESCRIBED = ServiceId(PERSONS, "described")
MAPPING = """
[[endpoints]]
method = "GET"
path = "/people/{id}"
subject = { name = "id", scheme = "urn:ex:person" }
fields = [{ name = "born", path = "/born", concept = "urn:ex:birth", type = "date" }]
"""


DESCRIPTION = b"""{"openapi": "3.0.3", "info": {"title": "People", "version": "1"}, "paths":
{"/people/{id}": {"get": {"parameters": [{"name": "id", "in": "path", "required": true,
"schema": {"type": "string"}}], "responses": {"200": {"description": "", "content":
{"application/json": {"schema": {"type": "object", "additionalProperties": false,
"properties": {"born": {"type": "string", "format": "date"}}}}}}}}}}}"""


async def filled(dsn: str) -> None:
    pool = await open_pool(dsn, "test")
    await migrate(pool, "registry", MIGRATIONS)
    registry = Registry(pool)
    await registry.apply(example_records(), by="clerk", at=NOON)
    central = CentralCatalog(pool, registry, CatalogSettings())
    await central.prepare()
    described = CatalogService(DESCRIBED, ServiceType.OPENAPI, plain=True, description_digest="d1")
    told = KnownProvider(PERSONS, NOON, NOON, services=(SERVICE, described))
    await central.harvest.keep(None, told)
    await central.library.keep(PERSONS, "d1", DESCRIPTION, NOON)
    await central.renew()
    await pool.close()


@pytest.fixture
async def config(database_dsn: str, tmp_path: Path) -> Path:
    await filled(database_dsn)
    (tmp_path / "dsn").write_text(database_dsn, encoding="utf-8")
    (tmp_path / "dsn").chmod(0o600)
    (tmp_path / "persons.mapping.toml").write_text(MAPPING, encoding="utf-8")
    path = tmp_path / "registry.toml"
    path.write_text(
        'address = "registry.test"\ndata = "data"\ndatabase = { dsn_file = "dsn" }\n'
        'keys = { folder = "keys", password_file = "none" }\n'
        f'[catalog]\nnode = "http://127.0.0.1:{unused_port()}"\nclient = "TEST:GOV:1000:persons"\n',
        encoding="utf-8",
    )
    return path


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    """The exit code and everything that a command says."""
    status = main(["catalog", *map(str, words)])
    told = capsys.readouterr()
    return status, told.out + told.err


def test_versions_and_what_was_harvested_are_told(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = said(capsys, "versions", "--config", config)
    assert status == 0
    assert text.startswith("1  ")
    assert f"    + service {NAME}: REST\n" in text
    status, text = said(capsys, "harvested", "--provider", PERSONS.colons, "--config", config)
    assert (status, text.count(NAME)) == (0, 1)
    status, text = said(capsys, "harvested", "--provider", "TEST:GOV:1", "--config", config)
    assert (status, text) == (0, "TEST:GOV:1: nothing was harvested yet\n")


def test_a_mapping_is_attached_and_taken_away(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = config.with_name("persons.mapping.toml")
    status, text = said(capsys, "map", NAME, file, "--config", config, "--by", "clerk")
    assert (status, "Version 2: " in text) == (0, True)
    status, text = said(capsys, "maps", "--config", config)
    assert text.startswith(f"{NAME}  1 fields  ")
    assert text.endswith("  clerk\n")
    status, text = said(capsys, "diff", 1, "--config", config)
    assert f"+ service {NAME} GET /people/{{id}} field born: /born, date, urn:ex:birth" in text
    status, text = said(capsys, "show", NAME, "--config", config)
    assert "  GET /people/{id}, by id: urn:ex:person\n    born  /born  date  urn:ex:birth" in text
    assert "answered    9 of 10 calls" in text
    assert "state       deprecated until 2027-02-19" in text
    assert said(capsys, "unmap", NAME, "--config", config)[0] == 0
    assert said(capsys, "unmap", NAME, "--config", config)[0] == 1
    status, text = said(capsys, "map", f"{PERSONS.colons}:none", file, "--config", config)
    assert "Note: no such service is in the catalog yet" in text
    status, text = said(capsys, "diff", 9, "--config", config)
    assert (status, "Version 9 is not there whole" in text) == (2, True)


def test_a_bad_mapping_is_refused_with_its_line(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = config.with_name("bad.mapping.toml")
    file.write_text(MAPPING.replace("/people/{id}", "/people/{other}"), encoding="utf-8")
    status, text = said(capsys, "map", NAME, file, "--config", config)
    assert (status, "bad.mapping.toml:" in text) == (2, True)


def test_a_mapping_is_compared_with_the_description_that_was_harvested(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = config.with_name("persons.mapping.toml")
    assert said(capsys, "map", DESCRIBED.colons, file, "--config", config)[0] == 0
    file.write_text(MAPPING.replace('"/born"', '"/birth"'), encoding="utf-8")
    status, text = said(capsys, "map", DESCRIBED.colons, file, "--config", config)
    assert status == 2
    assert "persons.mapping.toml:6: found '/birth', expected a field of the descr" in text


def test_a_round_says_who_did_not_answer(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = said(capsys, "harvest", "--config", config)
    assert status == 1
    assert f"{PERSONS.colons}  no answer\n    Our own node can't be asked" in text
    assert "The catalog stays as it is" in text
    silent = config.with_name("silent.toml")
    silent.write_text(config.read_text(encoding="utf-8").partition("[catalog]")[0])
    status, text = said(capsys, "harvest", "--config", silent)
    assert (status, "names no node in [catalog]" in text) == (2, True)


def test_services_are_found(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = said(capsys, "search", "lives", "--config", config)
    assert (status, text.splitlines()[0]) == (0, f"{NAME}  People  (deprecated)")
    status, text = said(capsys, "search", "nothing", "--config", config)
    assert (status, text.startswith("0 services, page 1 of 1, catalog version 1")) == (1, True)


# --- at a node ------------------------------------------------------------------------------------


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """The settings of a node that believed a catalog and is off now."""
    registry = Publisher("TEST")
    catalog = replace(large_catalog(services=20, fields=2), instance="TEST")
    registry.optional[PART_IDENTIFIER] = (PART_FILE, encode_catalog(catalog))
    files, client = registry.publish(NOON), ConfigurationClient(registry.anchor())
    place = "http://registry.example.test"
    location = Location(f"{place}/internalconf", registry.certificates())
    raw = files["/internalconf?version=6"]
    update = client.read(client.anchor, location, f"{place}/internalconf?version=6", raw, NOON)
    found = {one: files[url.removeprefix(place)] for one, url in update.missing.items()}
    client.accept(update, found)
    save_set(tmp_path / "data" / "globalconf", client.kept)
    path = tmp_path / "node.toml"
    path.write_text(
        'server = "TEST:GOV:1:SS1"\ndata = "data"\nconfiguration = { anchor = "anchor.xml" }\n'
        'keys = { folder = "keys", password_file = "none" }\n',
        encoding="utf-8",
    )
    return path


def test_a_node_s_catalog_is_searched_offline(
    node: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = said(capsys, "search", "--concept", "dato 3 1", "--node-config", node)
    assert status == 0
    first, second, last = text.splitlines()
    assert first == "LARGE:GOV:00000:registry3:service3  Facts of kind 3"
    assert second == "    fact 3 1  <urn:large:concept:3:1>"
    assert last.startswith("1 service, page 1 of 1, catalog version 1 of 2026-01-01 00:00Z")
    named = "LARGE:GOV:00000:registry3:service3"
    status, text = said(capsys, "show", named, "--language", "es", "--node-config", node)
    assert "dato 3 1  <urn:large:concept:3:1>" in text
    assert said(capsys, "show", f"{named}x", "--node-config", node)[0] == 1


def test_a_node_without_a_catalog_says_so(node: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (node.parent / "data" / "globalconf" / "TEST" / PART_FILE).unlink()
    status, text = said(capsys, "search", "--node-config", node)
    assert (status, "has got no catalog" in text) == (2, True)
    (node.parent / "data").rename(node.parent / "elsewhere")
    status, text = said(capsys, "search", "--node-config", node)
    assert (status, "has got no trust list yet" in text) == (2, True)


# --- settings -------------------------------------------------------------------------------------


def test_the_example_is_settings(tmp_path: Path) -> None:
    path = tmp_path / "registry.toml"
    path.write_text(describe_settings(CentralSettings), encoding="utf-8")
    settings = load_settings(CentralSettings, path, check=CentralSettings.problems)
    assert settings.catalog == CatalogSettings()
    assert "[catalog]" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('node = "http://node"', "node and client go together"),
        ('client = "EX:GOV:1:a"', "node and client go together"),
        ('node = "ftp://node"', "http:// or https://"),
        ('node = "http://node/path"', "http:// or https://"),
        ('key = "a.pem"', "certificate and key go together"),
        ('interval = "1s"', "10s to 7d"),
    ],
)
def test_settings_that_can_not_work_are_refused(tmp_path: Path, line: str, found: str) -> None:
    path = tmp_path / "registry.toml"
    start = 'address = "x"\ndata = "."\nkeys = { folder = "k", password_file = "p" }\n[catalog]\n'
    path.write_text(start + line, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=found):
        load_settings(CentralSettings, path, check=CentralSettings.problems)
