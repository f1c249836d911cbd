"""The parts of the sandbox: ports and folders, its files, its processes, its story."""

import importlib.util
import json
import re
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from adapters.rest.declared import problems_of as rest_problems
from adapters.rest.settings import RestSettings
from adapters.sql.settings import SqlSettings, problems_of
from adapters.xroad.settings import XroadAdapterSettings, xroad_problems
from catalog.central.harvest.settings import CentralSettings
from catalog.declared.declaration import ServicesDeclaration, declaration_problems
from catalog.fields.mapping_file import MappingFile, file_problems
from catalog.meaning.declaration import OnceDeclaration
from catalog.meaning.declaration import declaration_problems as once_problems
from config.mapping_files import read_mapping
from config.settings import load_settings, parse_settings
from node.settings import NodeSettings
from scripts.cli import main
from scripts.ecosystem.adapter_files import (
    adapter_settings,
    bridge_settings,
    tax_adapter_settings,
)
from scripts.ecosystem.institutions import (
    BENEFITS,
    CASES,
    INSTITUTIONS,
    LIBRARY,
    PAIR,
    PERSONS,
    SOCIAL,
    instance_declaration,
    node_settings,
    registry_settings,
)
from scripts.ecosystem.mappings import mapping_files
from scripts.ecosystem.offers import civil_services, services_of
from scripts.ecosystem.places import LOCAL, WANTED, Reserved, check_free, choose_ports, opened
from scripts.ecosystem.processes import Child, ProcessFailed
from scripts.ecosystem.report import Outcome, Step
from scripts.ecosystem.running import Ecosystem, Site
from scripts.ecosystem.story import Story
from scripts.ecosystem.system import container_path, fault_key
from scripts.ecosystem.tax_authority import description
from scripts.ecosystem.vocabulary import vocabulary_declaration
from scripts.people import people
from scripts.sandbox import available_institutions, commands
from trust.errors import StorageError
from trust.registry.declaration import RegistryDeclaration

# Choosing ports takes each of them for a moment, which would disturb a sandbox that starts.
pytestmark = pytest.mark.xdist_group("sandbox")

T = TypeVar("T")
PORTS = {name: usual for name, (usual, _) in WANTED.items()}


# --- places ---------------------------------------------------------------------------------------


@pytest.fixture
def reserved() -> Iterator[Reserved]:
    with Reserved() as found:
        yield found


def test_every_port_of_a_sandbox_is_free_and_no_two_are_the_same(reserved: Reserved) -> None:
    ports = choose_ports(reserved)
    check_free(ports)
    assert set(ports) == set(WANTED)
    assert len(set(ports.values())) == len(ports)


def test_another_port_takes_the_place_of_one_that_is_taken() -> None:
    with Reserved() as first:
        taken = choose_ports(first)["adapter"]
    with socket.create_server((LOCAL, taken)), Reserved() as second:
        assert choose_ports(second)["adapter"] != taken


def test_a_port_for_peers_is_free_for_all_nodes() -> None:
    with Reserved() as first:
        port = choose_ports(first)["peers"]
    with socket.create_server((INSTITUTIONS[1].address, port)), Reserved() as second:
        assert choose_ports(second)["peers"] != port


def test_two_sandboxes_choose_other_ports_though_nothing_listens(reserved: Reserved) -> None:
    ports = choose_ports(reserved)
    with Reserved() as others:
        assert not set(ports.values()) & set(choose_ports(others).values())


def test_ports_that_a_process_chose_are_free_again_when_it_is_killed(tmp_path: Path) -> None:
    code = (
        "import time; from scripts.ecosystem.places import Reserved\n"
        "reserved = Reserved(); print(reserved.take(31999), flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"True\n"
        with Reserved() as ours:
            assert not ours.take(31999)
            process.kill()
            process.wait()
            assert ours.take(31999)


def test_a_port_that_another_sandbox_reserved_is_named(tmp_path: Path) -> None:
    with opened(tmp_path / "sandbox") as ports:
        pass
    with Reserved() as others:
        assert others.take(ports["registry"])
        with (
            pytest.raises(StorageError, match=r"\(registry of this sandbox\).*another sandbox"),
            opened(tmp_path / "sandbox"),
        ):
            pass


def test_a_folder_keeps_its_ports_and_lets_one_sandbox_in(tmp_path: Path) -> None:
    folder = tmp_path / "sandbox"
    with opened(folder) as ports:
        assert folder.stat().st_mode & 0o077 == 0
        with pytest.raises(StorageError, match=r"runs in .* already"), opened(folder):
            pass
    with opened(folder) as again:
        assert again == ports


def test_a_port_of_a_kept_sandbox_that_is_taken_is_named(tmp_path: Path) -> None:
    with opened(tmp_path / "sandbox") as ports:
        pass
    with (
        socket.create_server((LOCAL, ports["registry"])),
        pytest.raises(StorageError, match=rf"{ports['registry']} \(registry of this sandbox\)"),
        opened(tmp_path / "sandbox"),
    ):
        pass


@pytest.mark.parametrize("notes", ["", "{}", '{"ports": {"ca": 1}}', '{"ports": []}'])
def test_damaged_notes_of_a_sandbox_are_told(tmp_path: Path, notes: str) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "sandbox.json").write_text(notes, encoding="utf-8")
    with pytest.raises(StorageError, match=r"sandbox\.json can't be read"), opened(tmp_path):
        pass


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(StorageError, match="holds something else"), opened(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


# --- what was written down ------------------------------------------------------------------------


def read(cls: type[T], text: str, folder: Path) -> T:
    return parse_settings(cls, text, file="file", folder=folder)


def test_every_file_of_the_sandbox_is_what_its_reader_expects(tmp_path: Path) -> None:
    registry = read(CentralSettings, registry_settings(PORTS), tmp_path)
    assert registry.problems() == []
    instance = read(
        RegistryDeclaration, instance_declaration(PORTS, tmp_path, INSTITUTIONS), tmp_path
    )
    assert [server.id for server in instance.servers] == [one.server for one in INSTITUTIONS]
    for one in INSTITUTIONS:
        assert read(NodeSettings, node_settings(one, PORTS, tmp_path), tmp_path).problems() == []
    once = read(OnceDeclaration, vocabulary_declaration(), tmp_path)
    assert [*once_problems(once)] == []
    for name, text in mapping_files().items():
        (tmp_path / Path(name).name).write_text(text)
        mapping = parse_settings(MappingFile, text, file=name, folder=tmp_path)
        assert [*file_problems(mapping)] == []
    adapter = read(SqlSettings, adapter_settings(PORTS), tmp_path)
    assert problems_of(adapter) == []
    for one in INSTITUTIONS:
        services = read(ServicesDeclaration, services_of(one, PORTS), tmp_path)
        assert list(declaration_problems(services, read_mapping)) == []
        hosted = {client.id for client in services.clients}
        assert set(one.clients) <= hosted <= {*one.clients, one.owner}


def test_the_bridges_are_between_the_municipality_s_node_and_the_tax_authority(
    tmp_path: Path,
) -> None:
    bridge = read(XroadAdapterSettings, bridge_settings(PORTS), tmp_path)
    assert list(xroad_problems(bridge)) == []
    assert bridge.service.node == f"http://127.0.0.1:{PORTS['muni-http']}"
    assert bridge.wsdl.file.is_file()
    (tmp_path / "openapi.json").write_text(json.dumps(description("http://127.0.0.1:1")))
    tax = read(RestSettings, tax_adapter_settings(PORTS), tmp_path)
    assert rest_problems(tax) == []
    assert tax.upstream.url == f"http://127.0.0.1:{PORTS['tax-authority']}"


def test_a_sandbox_without_an_institution_does_not_register_it(tmp_path: Path) -> None:
    instance = read(RegistryDeclaration, instance_declaration(PORTS, tmp_path, PAIR), tmp_path)
    assert [server.id for server in instance.servers] == [one.server for one in PAIR]
    names = Ecosystem(Site(tmp_path, PORTS, PAIR), lambda line: None).children
    assert [name for name in names if "'s system" in name] == []
    names = Ecosystem(Site(tmp_path, PORTS), lambda line: None).children
    assert {"Social Security Office's system", "Tax Authority's system", "node TAX"} <= set(names)


def test_the_library_has_no_right(tmp_path: Path) -> None:
    path = tmp_path / "services.toml"
    path.write_text(civil_services(PORTS), encoding="utf-8")
    persons = load_settings(ServicesDeclaration, path).clients[-1]
    assert persons.id == PERSONS  # the last: the tutorial adds a right at the end of the file
    assert {access.client for access in persons.access if access.client} == {BENEFITS, CASES}
    assert LIBRARY.colons not in civil_services(PORTS)
    assert (
        LIBRARY.colons
        not in instance_declaration(PORTS, tmp_path, INSTITUTIONS).partition("[[groups]]")[2]
    )


def test_without_spyne_the_sandbox_says_who_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert SOCIAL not in available_institutions()
    assert len(available_institutions()) == len(INSTITUTIONS) - 1
    assert "without the Social Security Office" in capsys.readouterr().err


def test_the_addresses_are_shell_variables() -> None:
    site = Site(Path("/some where"), PORTS)
    lines = site.address_lines().splitlines()
    assert f"MUNI=http://127.0.0.1:{PORTS['muni-http']}" in lines
    assert f"CIVIL_ADMIN=http://127.0.0.1:{PORTS['civil-admin']}" in lines
    assert all(re.fullmatch(r"[A-Z_]+=http://[0-9.:]+", line) for line in lines)


def test_the_commands_survive_any_folder_name() -> None:
    site = Site(Path("/some where/it's"), PORTS)
    call, download, verify = commands(site, "id 1")
    assert next(people(1)).national_id in call
    assert "'/some where/it'\"'\"'s/id 1.asice'" in download
    assert "queryId=id+1&" in download
    assert "'/some where/it'\"'\"'s/muni/data/globalconf'" in verify


def test_a_container_of_a_member_itself_is_asked_for_without_subsystem() -> None:
    assert container_path("a/b", BENEFITS.member, "request") == (
        "/asic?queryId=a%2Fb&xRoadInstance=SANDBOX&memberClass=MUN&memberCode=2001"
        "&unique&force&requestOnly"
    )


@pytest.mark.parametrize(
    ("code", "key"),
    [
        ("server.serverproxy.access_denied", "access_denied"),
        ("Server.ClientProxy.NetworkError", "NetworkError"),
        ("client.invalid_soap", "client.invalid_soap"),
        ("", ""),
    ],
)
def test_a_fault_is_counted_without_the_side_that_raised_it(code: str, key: str) -> None:
    assert fault_key(code) == key


# --- processes ------------------------------------------------------------------------------------


def child(folder: Path, *words: str) -> Child:
    return Child("test CA", words, "test CA: ", "http://127.0.0.1:1/", folder / "child.log")


async def test_a_process_that_ends_tells_what_it_said_last(tmp_path: Path) -> None:
    broken = child(tmp_path, "testca", "run", "--dir", str(tmp_path / "ca"), "--port", "none")
    broken.start()
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ProcessFailed, match=r"(?s)ended \(status 2\).*is no whole number"):
            await broken.ready(session)
    assert broken.failed
    await broken.stop()
    assert not broken.failed
    assert broken.pid is None
    assert broken.resident_mb() == 0


async def test_a_stranger_on_its_port_does_not_make_a_process_ready(tmp_path: Path) -> None:
    """It would be the stranger's answers that the sandbox then works with."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="ready")

    async with TestServer(_app(answer)) as stranger, aiohttp.ClientSession() as session:
        port = str(stranger.port)
        late = child(tmp_path, "testca", "run", "--dir", str(tmp_path / "ca"), "--port", port)
        late.ready_url = str(stranger.make_url("/"))
        late.start()
        with pytest.raises(ProcessFailed, match=r"(?i)address already in use"):
            await late.ready(session)
        await late.stop()


async def test_a_process_is_ready_when_it_says_so_and_answers(tmp_path: Path) -> None:
    authority = child(tmp_path, "testca", "run", "--dir", str(tmp_path / "ca"), "--port", "0")
    (tmp_path / "child.log").write_text("test CA: of an earlier start\n", encoding="utf-8")

    async def answer(_request: web.Request) -> web.Response:
        lines = authority.log.read_text(encoding="utf-8").splitlines()
        return web.Response(status=200 if len(lines) > 1 else 503)

    async with TestServer(_app(answer)) as probe, aiohttp.ClientSession() as session:
        authority.ready_url = str(probe.make_url("/"))
        authority.start()
        await authority.ready(session)
        assert authority.resident_mb() > 5
        await authority.stop()
    assert len(authority.log.read_text(encoding="utf-8").splitlines()) == 2


def _app(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    return app


# --- story ----------------------------------------------------------------------------------------


def test_an_outcome_is_good_only_when_every_step_is() -> None:
    outcome = Outcome(ready_s=1.26, refused=Counter({"access_denied": 1}), rss_mb={"MUNI": 80.2})
    assert not outcome.ok
    outcome.steps.append(Step("first", True, "fine"))
    assert outcome.ok
    outcome.steps.append(Step("second", False, "wörse"))
    assert json.loads(outcome.as_json()) == {
        "ok": False,
        "ready_s": 1.3,
        "exchanges": 0,
        "verified": 0,
        "refused": {"access_denied": 1},
        "rss_mb": {"MUNI": 80.2},
        "steps": [
            {"name": "first", "ok": True, "detail": "fine"},
            {"name": "second", "ok": False, "detail": "wörse"},
        ],
    }
    lines = outcome.as_table().splitlines()
    assert lines[:2] == ["ok      first                fine", "FAILED  second               wörse"]
    assert lines[-1] == "FAILED"


@pytest.fixture
async def careless(tmp_path: Path) -> AsyncIterator[Ecosystem]:
    """A sandbox of which nothing runs; in the nodes' place is something that agrees to all."""

    async def agree(_request: web.Request) -> web.Response:
        return web.Response(text="{}", content_type="application/json")

    with Reserved() as reserved:
        chosen = choose_ports(reserved)
    async with TestServer(_app(agree)) as nodes:
        assert nodes.port is not None
        ports = chosen | {f"{one.key}-http": nodes.port for one in INSTITUTIONS}
        (tmp_path / "logs").mkdir()
        ecosystem = Ecosystem(Site(tmp_path, ports), lambda line: None)
        ecosystem._session = aiohttp.ClientSession()
        yield ecosystem
        await ecosystem._stop()


async def test_the_story_fails_in_every_step_where_nothing_is_as_it_must_be(
    careless: Ecosystem,
) -> None:
    told: list[str] = []
    outcome = await Story(careless, Outcome(0.0), told.append).run()
    assert [step.name for step in outcome.steps if step.ok] == []
    assert len(outcome.steps) == 35
    assert len(told) == 35
    assert not outcome.ok
    assert "not refused" in next(s.detail for s in outcome.steps if s.name == "no access right")


def test_json_is_for_a_check_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sandbox", "--json"]) == 2
    assert "--json is for --check" in capsys.readouterr().err
