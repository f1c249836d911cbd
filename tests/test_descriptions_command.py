"""`sacbe node services`: what is told about descriptions, and what is written for services.toml."""

import argparse
import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.declared.declaration import ServicesDeclaration, declaration_problems
from config.settings import parse_settings
from node.network.information_system import Download
from scripts import node as command
from scripts.descriptions import check, declaration_of, describe, full_check
from scripts.postgres import PostgresServer
from tests.metadata_stage import OPENAPI, Library, metadata_stage
from tests.test_wsdl import GOOD
from trust.errors import ConfigurationError, ExchangeError

CLIENT = '[[clients]]\nid = "EX:GOV:1000:persons"\n\n'


def as_declared(text: str) -> ServicesDeclaration:
    """What `sacbe node apply` would make of it, below a client."""
    pasted = CLIENT + text.replace('"CODE"', '"persons"')
    return parse_settings(
        ServicesDeclaration, pasted, file="s", folder=Path(), check=declaration_problems
    )


def test_an_openapi_description_becomes_a_service() -> None:
    url = "http://127.0.0.1:9000/docs/openapi.json?x"
    text, warnings = declaration_of(url, Download(200, "OK", ("application/json",), OPENAPI), None)
    assert text == (
        '[[clients.services]]\ncode = "CODE"\ntype = "OPENAPI"\ntitle = "P"\n'
        'url = "http://10.1.2.3/api"\n'
        'description = "http://127.0.0.1:9000/docs/openapi.json?x"\n'
        "# GET /persons/*\n# POST /persons\n"
    )
    assert warnings == ()
    (service,) = as_declared(text).clients[0].services
    assert (service.code, service.description) == ("persons", url)


def test_every_operation_of_a_wsdl_becomes_a_service() -> None:
    own = '<wsdl:operation name="listMethods"><soap:operation/></wsdl:operation>'
    raw = GOOD.replace("  </wsdl:binding>", own + "</wsdl:binding>").encode()
    text, warnings = declaration_of("http://h/?wsdl", Download(200, "OK", (), raw), None)
    assert text.startswith(
        '[[clients.services]]\ncode = "personData"\nversion = "v1"\ntype = "WSDL"\n'
        'title = "Données d\'une personne"\nurl = "http://10.0.0.7:8080/secret"\n'
        'description = "http://h/?wsdl"\n\n# this code is the node\'s own:\n'
    )
    (service,) = as_declared(text).clients[0].services
    assert (service.code, service.version) == ("personData", "v1")
    assert any("'listMethods' has a code that the node itself answers" in one for one in warnings)


@pytest.mark.parametrize(
    "title", ['"', "\\", "a\nb", "\x07\x7f", "ä\u200b\U0001f600", '"""', "]]\n[[clients]]"]
)
def test_no_text_of_a_description_escapes_from_its_quotes(title: str) -> None:
    document = {"openapi": "3.0.0", "info": {"title": title}, "paths": {}}
    download = Download(200, "OK", (), json.dumps(document).encode())
    text, _ = declaration_of("http://h/o.json", download, 'c"\\\n')
    (service,) = tomllib.loads(text)["clients"]["services"]
    assert service["title"] == " ".join(title.split())
    assert service["code"] == 'c"\\\n'


def test_the_whole_schema_is_checked_and_nothing_outside_is_fetched() -> None:
    assert list(full_check(b"", {"openapi": "3.0.0", "info": {}, "paths": {}})) == [
        "warning: info: 'title' is a required property",
        "warning: info: 'version' is a required property",
    ]
    good = {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {}}
    assert list(full_check(b"", good)) == []
    for address in ("http://192.0.2.1/x", "file:///etc/hostname", "ftp://192.0.2.1/x"):
        asks = {**good, "openapi": "3.0.0", "paths": {"/a": {"get": {
            "responses": {"200": {"$ref": address}}}}}}  # fmt: skip
        (line,) = full_check(b"", asks)
        assert line == (
            f"note: the check against the whole schema broke off: Unresolvable, {address}"
        )
    assert "larger than" in next(iter(full_check(b"x" * (3 << 20), good)))


def test_a_description_that_is_none_is_refused() -> None:
    with pytest.raises(ExchangeError):
        declaration_of("http://h/o", Download(200, "OK", (), b"\x00"), None)


async def test_check_tells_what_is_odd_about_each(
    tmp_path: Path, postgres_server: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    async with metadata_stage(tmp_path, postgres_server) as stage:
        dsn = tmp_path / "dsn"
        dsn.write_text(stage.provider.dsn)
        dsn.chmod(0o600)
        settings = stage.provider.settings
        settings = replace(settings, database=replace(settings.database, dsn_file=dsn))
        settings.keys.password_file.chmod(0o600)
        capsys.readouterr()
        assert await check(settings) == 1
        told = capsys.readouterr().out
    place = "TEST:GOV:1001:persons"
    assert f"{place} OPENAPI {stage.library.where('/openapi.json')}\n  2 endpoints\n" in told
    assert "  not to be had: 404 Not Found\n" in told
    assert "  not to be had: The description is no JSON" in told
    assert "  warning: port 'p': there is no binding 'b'\n" in told
    assert "  warning: 'personData' v1 is no operation\n" in told
    assert "has a right to '* /**' of yaml, which is not described" in told


async def test_describe_prints_what_an_address_gives(capsys: pytest.CaptureFixture[str]) -> None:
    library = Library()
    library.put("/openapi.json", OPENAPI, "application/json")
    library.put("/broken", b"[")
    async with library.listening():
        assert await describe(library.where("/openapi.json"), "persons", None) == 0
        assert 'code = "persons"' in capsys.readouterr().out
        with pytest.raises(ExchangeError, match="answers 404 Not Found"):
            await describe(library.where("/nothing"), None, None)
        with pytest.raises(ExchangeError, match="no YAML"):
            await describe(library.where("/broken"), None, None)


def test_the_command_knows_its_words() -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    found = parser.parse_args(["services", "describe", "http://h/", "--code", "x"])
    assert (found.look, found.url, found.code, found.config) == ("describe", "http://h/", "x", None)
    assert parser.parse_args(["services", "check", "--config", "n"]).config == Path("n")
    with pytest.raises(ConfigurationError):
        command.run(parser.parse_args(["services", "check", "--config", "/nowhere/node.toml"]))
