"""`sacbe adapter` as an operator uses it: check a declaration, and what its samples are worth."""

import json
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from lxml import etree

from adapters.faces.samples import rest_sample, soap_sample
from adapters.faces.wsdl import SoapService
from adapters.operations import Method, Operation
from adapters.shapes import AnyValue, Field, ListOf, Record, Scalar, ValueType
from adapters.shell import build_app
from node.messages.soap import SoapMessage, parse_soap
from scripts.adapter import read_declaration
from scripts.cli import main
from tests.sql_databases import sqlite_register

DECLARATION = """
title = "Persons"

[database]
dsn_file = "database.dsn"

[[query]]
name = "person"
path = "/persons/{id}"
sql = "SELECT id, name FROM person WHERE id = :id"
single = true
parameters = [{ name = "id", example = "1" }]

[[query]]
name = "by-name"
path = "/persons/search"
method = "POST"
sql = "SELECT id FROM person WHERE name = :name AND born > coalesce(:since, '')"
parameters = [
    { name = "name", example = "O'Hara & Söhne" },
    { name = "since", type = "date", required = false },
]
"""
Client = TestClient[web.Request, web.Application]


@pytest.fixture
def declaration(tmp_path: Path) -> Path:
    sqlite_register(tmp_path / "register.db")
    (tmp_path / "database.dsn").write_text("sqlite:///register.db\n")
    (tmp_path / "database.dsn").chmod(0o600)
    file = tmp_path / "adapter.toml"
    file.write_text(DECLARATION)
    return file


@asynccontextmanager
async def served(file: Path) -> AsyncIterator[Client]:
    kind, settings = read_declaration(file)
    source = await kind.open(settings)
    opened: Client = TestClient(TestServer(build_app(settings, source)))
    async with opened:
        yield opened
    await source.close()


def test_a_sound_declaration_is_answered_with_a_call_of_each_service(
    declaration: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["adapter", "check", "--config", str(declaration)]) == 0
    told = capsys.readouterr().out
    assert "curl -H 'X-Road-Client: INSTANCE/CLASS/CONSUMER/SUBSYSTEM' http://NODE:8080" in told
    assert "/r1/INSTANCE/CLASS/PROVIDER/SUBSYSTEM/SERVICE/persons/1\n" in told
    assert "<adp:name>O'Hara &amp; Söhne</adp:name>" in told


@pytest.fixture
def samples(declaration: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    assert main(["adapter", "check", "--json", "--config", str(declaration)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["problems"] == []
    services: list[dict[str, str]] = told["services"]
    return services


async def test_the_samples_are_calls_that_the_adapter_answers(
    declaration: Path, samples: list[dict[str, str]]
) -> None:
    async with served(declaration) as client:
        for service in samples:
            words = shlex.split(service["rest"])
            path = urlsplit(words[-1]).path.partition("/SERVICE")[2]
            body = words[words.index("-d") + 1] if "-d" in words else None
            answer = await client.request("POST" if body else "GET", path, data=body)
            assert answer.status == 200, service["name"]
            headers = {"Content-Type": "text/xml; charset=utf-8"}
            answer = await client.post("/", data=service["soap"].encode(), headers=headers)
            assert answer.status == 200, await answer.text()


@pytest.mark.parametrize(
    ("old", "new", "code", "expected"),
    [
        (
            "FROM person WHERE id",
            "FROM people WHERE id",
            1,
            "query 'person': no such table: people",
        ),
        ('id", example = "1"', 'id", type = "integer", example = "I"', 1, "with its examples: "),
        ('title = "Persons"', 'kind = "none"', 2, "found kind = 'none', expected one of"),
        ('path = "/persons/{id}"', 'path = "/persons/{no}"', 2, "'{no}' is not declared"),
        ('path = "/persons/{id}"', 'path = "persons"', 2, "an absolute path of plain segments"),
    ],
)
def test_what_is_wrong_is_told(
    declaration: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, code: int,
    expected: str,
) -> None:  # fmt: skip
    declaration.write_text(DECLARATION.replace(old, new))
    assert main(["adapter", "check", "--config", str(declaration)]) == code
    assert expected in capsys.readouterr().err


def test_every_problem_is_told_at_once(
    declaration: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declaration.write_text(DECLARATION.replace("FROM person", "FROM people"))
    assert main(["adapter", "check", "--json", "--config", str(declaration)]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [problem.partition(":")[0] for problem in told["problems"]] == [
        "query 'person'", "query 'by-name'",
    ]  # fmt: skip


def test_a_source_that_is_away_is_a_problem(
    declaration: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (declaration.parent / "register.db").unlink()
    assert main(["adapter", "check", "--config", str(declaration)]) == 1
    assert "the database can't be opened" in capsys.readouterr().err


def test_the_example_of_each_kind_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adapter", "example"]) == 0
    assert "[[query]]" in capsys.readouterr().out
    assert main(["adapter", "example", "soap"]) == 0
    assert "wsdl" in capsys.readouterr().out.lower()


NESTED = Operation(
    name="2 things",
    path="/a/{kind}/b",
    method=Method.PUT,
    parameters=(
        Field("kind", Scalar(choices=("A", "B"))),
        Field("q", ListOf(Scalar(ValueType.INTEGER))),
        Field("left", Scalar(), required=False),
    ),
    body=Record(
        (
            Field("when", Scalar(ValueType.DATE)),
            Field("list", ListOf(Record((Field("n", Scalar(ValueType.NUMBER)),)))),
            Field("any", AnyValue()),
        )
    ),
    answer=AnyValue(),
)


def test_samples_of_nested_values_have_the_form_of_their_types() -> None:
    words = shlex.split(rest_sample(NESTED))
    assert words[-1].endswith("/SERVICE/a/A/b?q=1")
    assert words[words.index("-X") + 1] == "PUT"
    assert json.loads(words[words.index("-d") + 1]) == {
        "when": "2026-01-31", "list": [{"n": 1.5}], "any": "anything",
    }  # fmt: skip
    raw = soap_sample(NESTED, SoapService("T", "urn:t", "v2")).encode()
    message = parse_soap(raw, "text/xml")
    assert isinstance(message, SoapMessage)
    assert message.service.service_code == message.body_name == "_x0032__x0020_things"
    assert message.service.service_version == "v2"
    texts = [one.text for one in etree.fromstring(raw).iter("{urn:t}*") if len(one) == 0]
    assert texts == ["A", "1", "2026-01-31", "1.5", "anything"]
