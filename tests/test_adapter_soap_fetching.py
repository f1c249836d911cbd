"""Descriptions are fetched once, by command, from hosts that were named."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from adapters.soap.catalogue import Catalogue, CatalogueError
from adapters.soap.description import read_description
from adapters.soap.fetching import fetch_catalogue
from scripts.cli import main
from tests.soap_descriptions import ECHO, schema_document, wsdl
from tests.soap_services import Service, echoed, listening


class Files(Service):
    """A server of documents by path."""

    def __init__(self, **files: bytes) -> None:
        super().__init__(answerer=self._send)
        self.files = {f"/{name}": data for name, data in files.items()}
        self.asked: list[str] = []

    async def _send(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        data = self.files.get(request.path)
        if data is None:
            raise (
                web.HTTPFound("http://169.254.169.254/")
                if "away" in request.path
                else web.HTTPNotFound
            )
        return web.Response(body=data, content_type="text/xml")


def included(location: str) -> bytes:
    return wsdl(f'<xs:include schemaLocation="{location}"/>' + ECHO)


def names_in(folder: Path) -> list[str]:
    return sorted(found.name for found in folder.iterdir())


def origin(address: str) -> str:
    return address.removesuffix("/service")


async def test_a_description_is_fetched_with_all_that_it_imports(tmp_path: Path) -> None:
    inner = schema_document('<xs:include schemaLocation="a.xsd"/>').encode()
    service = Files(service=included("a.xsd?v=1&amp;w"), **{"a.xsd": inner})
    folder = tmp_path / "new" / "wsdl"
    async with listening(service) as address:
        entries = await fetch_catalogue(address + "?wsdl", folder, ())
        assert service.asked == ["/service?wsdl", "/a.xsd?v=1&w", "/a.xsd"]
    assert [entry.file for entry in entries] == ["service.wsdl", "001-a.xsd", "002-a.xsd"]
    catalogue = Catalogue.load(folder)
    location = catalogue.address_of(folder / "service.wsdl")
    assert location == address + "?wsdl"
    assert read_description(catalogue, location).operations  # and nobody listens any more
    with pytest.raises(CatalogueError, match=r"has a catalogue\.toml already"):
        await fetch_catalogue(address, folder, ())


async def test_another_host_is_only_asked_when_it_was_named(tmp_path: Path) -> None:
    other = Files(service=schema_document("").encode())
    async with listening(other) as second:
        service = Files(service=included(second))
        async with listening(service) as first:
            with pytest.raises(CatalogueError, match=r"host 127\.0\.0\.1:\d+ was not named"):
                await fetch_catalogue(first, tmp_path, ())
            assert other.asked == []
            assert names_in(tmp_path) == []
            host = origin(second).removeprefix("http://")
            assert len(await fetch_catalogue(first, tmp_path, [host])) == 2


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (included("http://169.254.169.254/x"), "host 169.254.169.254 was not named"),
        (included("file:///etc/passwd"), "no address with http or https"),
        (included("gone.xsd"), "answered with status 404"),
        (included("away.xsd"), "answered with status 302"),
        (b"<html/>", "neither a WSDL nor an XML schema"),
        (b"x", "not well-formed"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]>' + wsdl(), "document type declaration"),
        (b"x" * (9 << 20), "larger than"),
    ],
)
async def test_what_is_not_fetched_leaves_nothing_behind(
    document: bytes, words: str, tmp_path: Path
) -> None:
    async with listening(Files(service=document)) as address:
        with pytest.raises(CatalogueError, match=words):
            await fetch_catalogue(address, tmp_path, ())
    assert names_in(tmp_path) == []


async def test_imports_without_end_are_cut(tmp_path: Path) -> None:
    async def more(request: web.Request) -> web.StreamResponse:
        number = int(request.query.get("n", "0")) + 1
        schema = schema_document(f'<xs:include schemaLocation="?n={number}"/>')
        return web.Response(text=schema, content_type="text/xml")

    async with listening(Service(answerer=more)) as address:
        with pytest.raises(CatalogueError, match="more than 200 documents"):
            await fetch_catalogue(address, tmp_path, ())


async def test_the_command_says_what_it_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "wsdl"
    async with listening(Files(service=wsdl())) as address:
        command = ["adapter", "fetch-wsdl", address, "--folder", str(folder)]
        assert await asyncio.to_thread(main, command) == 0
        assert capsys.readouterr().out == f"{folder / 'service.wsdl'}  {address}\n"
        assert await asyncio.to_thread(main, command) == 2
        assert "has a catalogue.toml already" in capsys.readouterr().err


_XROAD = """
kind = "xroad"
title = "Population"
[service]
node = "{}"
client = "EX:GOV:1234567:portal"
provider = "EX:GOV:7654321:population"
[wsdl]
file = "wsdl/a.wsdl"
"""


async def test_the_command_asks_the_node_and_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = (echoed(), included("http://register.example/o.xsd"))
    body = b"".join(b"--b\r\nContent-Type: text/xml\r\n\r\n" + one + b"\r\n" for one in parts)
    node = Service(body + b"--b--", "multipart/related; boundary=b")
    declared, written = tmp_path / "adapter.toml", tmp_path / "wsdl" / "a.wsdl"
    async with listening(node) as address:
        declared.write_text(_XROAD.format(address))
        command = ["adapter", "get-wsdl", "--config", str(declared), "--service", "echo"]
        assert await asyncio.to_thread(main, command) == 1
        assert capsys.readouterr().out == (
            f"{written}\nimported and not here: http://register.example/o.xsd (no namespace)\n"
        )
        assert written.read_bytes() == parts[1]
        assert await asyncio.to_thread(main, command) == 2
        assert "exists already" in capsys.readouterr().err
