"""Operations taken from an OpenAPI description, and what is wrong in a declaration."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st

from adapters.kinds import load_kind
from adapters.operations import BadParameter, Method
from adapters.rest.declared import problems_of
from adapters.rest.description import UnfitDescription, _Reader, routes_of
from adapters.rest.request import build_request
from adapters.rest.settings import (
    AnswerField,
    AnswerKind,
    BasicSettings,
    ErrorSettings,
    FromOpenApi,
    HeaderSettings,
    KeySettings,
    OauthSettings,
    RestOperation,
    RestParameter,
    Target,
    UpstreamTls,
)
from adapters.rest.source import open_rest
from adapters.shapes import AnyValue, Document, Field, ListOf, Record, Scalar, ValueType
from adapters.shell import build_app
from config.settings import parse_settings
from tests.rest_upstream import ANN, PERSON, PERSON_FIELDS, declared, upstream_at
from trust.errors import ConfigurationError

DESCRIPTION: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "People", "version": "1"},
    "paths": {
        "/people/{id}": {
            "parameters": [{"$ref": "#/components/parameters/id"}],
            "get": {
                "operationId": "getPerson",
                "summary": "One person",
                "parameters": [
                    {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                    {"name": "Authorization", "in": "header", "schema": {"type": "string"}},
                    {"name": "visit", "in": "cookie", "schema": {"type": "string"}},
                ],
                "responses": {
                    "200": {
                        "content": {
                            "application/json; charset=utf-8": {
                                "schema": {
                                    "type": "object",
                                    "properties": {"data": {"$ref": "#/components/schemas/Person"}},
                                    "required": ["data"],
                                }
                            }
                        }
                    },
                    "404": {"description": "none"},
                },
            },
            "delete": {"operationId": "deletePerson", "responses": {"204": {"description": "ok"}}},
        },
        "/people": {
            "post": {
                "operationId": "addPerson",
                "requestBody": {
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Person"}}
                    }
                },
                "responses": {"201": {"content": {"application/pdf": {}}}},
            },
            "get": {
                "operationId": "listPeople",
                "parameters": [
                    {
                        "name": "region", "in": "query", "required": True, "example": "A",
                        "schema": {"type": "array", "items": {"type": "string"}},
                    },
                    {"name": "filter", "in": "query", "schema": {"type": "object",
                     "properties": {"a": {"type": "string"}}}},
                ],
                "responses": {"200": {"content": {"application/json": {}}}},
            },
        },
    },
    "components": {
        "parameters": {
            "id": {
                "name": "id", "in": "path", "required": True, "example": 1,
                "schema": {"type": "string", "maxLength": 11},
            }
        },
        "schemas": {
            "Person": {
                "type": "object",
                "required": ["id", "born"],
                "properties": {
                    "id": {"type": "string", "x-concept": "urn:id"},
                    "name": {"$ref": "#/components/schemas/Name"},
                    "born": {"type": "string", "format": "date"},
                    "income": {"type": ["number", "null"]},
                    "kind": {"type": "string", "enum": ["a", "b"], "nullable": True},
                    "either": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
                    "perhaps": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                    "parent": {"$ref": "#/components/schemas/Person"},
                    "both": {
                        "allOf": [
                            {"$ref": "#/components/schemas/Name"},
                            {"type": "object", "properties": {"more": {"type": "boolean"}}},
                        ]
                    },
                },
            },
            "Name": {"type": "object", "properties": {"first": {"type": "string"}}},
        },
    },
}  # fmt: skip


def written(folder: Path, document: object = DESCRIPTION, name: str = "api.json") -> Path:
    path = folder / name
    text = (
        json.dumps(document) if name.endswith("json") else yaml.safe_dump(document, sort_keys=False)
    )
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["api.json", "api.yaml"])
def test_an_operation_is_taken_as_it_is_described(tmp_path: Path, name: str) -> None:
    (route,) = routes_of(written(tmp_path, name=name), ["getPerson"])
    operation = route.operation
    assert (operation.name, operation.method, operation.path) == (
        "getPerson", Method.GET, "/people/{id}",
    )  # fmt: skip
    assert operation.may_be_missing
    assert operation.summary == "One person"
    assert operation.parameters == (
        Field("id", Scalar(max_length=11), True, "", None, "1"),
        Field("X_Trace", Scalar(), False),
    )
    assert (route.sent["X_Trace"].target, route.sent["X_Trace"].name) == (Target.HEADER, "X-Trace")
    assert isinstance(operation.answer, Record)
    person = operation.answer.fields[0].shape
    assert isinstance(person, Record)
    name_ = Record((Field("first", Scalar(), False),))
    assert {one.name: (one.shape, one.required) for one in person.fields} == {
        "id": (Scalar(), True),
        "name": (name_, False),
        "born": (Scalar(ValueType.DATE), True),
        "income": (Scalar(ValueType.NUMBER, nullable=True), False),
        "kind": (Scalar(nullable=True, choices=("a", "b")), False),
        "either": (AnyValue(), False),
        "perhaps": (Scalar(ValueType.INTEGER, nullable=True), False),
        "parent": (AnyValue(), False),
        "both": (
            Record((*name_.fields, Field("more", Scalar(ValueType.BOOLEAN), False))), False,
        ),
    }  # fmt: skip
    assert person.fields[0].concept == "urn:id"


def test_bodies_lists_and_answers_that_are_no_json(tmp_path: Path) -> None:
    added, deleted = routes_of(written(tmp_path), ["addPerson", "deletePerson"])
    assert added.operation.body is not None
    assert [one.name for one in added.operation.body.fields][:2] == ["id", "name"]
    assert added.sent["born"].steps == ("born",)
    assert added.operation.answer == Document("application/pdf")
    assert deleted.operation.answer == AnyValue()
    (listed,) = routes_of(written(tmp_path), ["listPeople"])
    (region,) = listed.operation.parameters  # and no filter, which is an object and optional
    assert region.shape == ListOf(Scalar())
    assert listed.sent["region"].join == ""


@pytest.mark.parametrize(
    ("form", "query"),
    [
        ({}, (("region", "A"), ("region", "B"))),
        ({"explode": False}, (("region", "A,B"),)),
        ({"style": "pipeDelimited", "explode": False}, (("region", "A|B"),)),
        ({"style": "spaceDelimited"}, (("region", "A B"),)),
    ],
)
def test_lists_in_a_query_are_written_as_described(
    tmp_path: Path, form: dict[str, Any], query: object
) -> None:
    document = json.loads(json.dumps(DESCRIPTION))
    document["paths"]["/people"]["get"]["parameters"][0] |= form
    (route,) = routes_of(written(tmp_path, document), ["listPeople"])
    assert build_request(route, {"region": ["A", "B"]}).query == query
    if route.sent["region"].join:
        with pytest.raises(BadParameter):
            build_request(route, {"region": ["A" + route.sent["region"].join]})
    document["paths"]["/people"]["get"]["parameters"][0]["style"] = "deepObject"
    with pytest.raises(ConfigurationError, match="the style 'deepObject'"):
        routes_of(written(tmp_path, document), ["listPeople"])


def test_every_operation_that_can_t_be_offered_is_told(tmp_path: Path) -> None:
    document = json.loads(json.dumps(DESCRIPTION))
    document["paths"]["/people"]["get"]["parameters"][1]["required"] = True
    document["paths"]["/x/{a.b}"] = {"get": {"operationId": "path"}}
    document["paths"]["/y"] = {
        "post": {"operationId": "body", "requestBody": {"content": {"text/plain": {}}}},
        "get": {"operationId": "far", "parameters": [{"$ref": "http://x.test/a#/b"}]},
        "put": {"operationId": "round", "parameters": [{"$ref": "#/components/loop"}]},
        "delete": {
            "operationId": "cookie",
            "parameters": [{"name": "c", "in": "cookie", "required": True}],
        },
    }
    document["components"]["loop"] = {"$ref": "#/components/loop"}
    names = ["path", "body", "far", "round", "cookie", "listPeople", "nobody", "getPerson"]
    with pytest.raises(ConfigurationError) as caught:
        routes_of(written(tmp_path, document), names)
    assert [problem.found for problem in caught.value.problems] == [
        "operation 'path': its path '/x/{a.b}' has other parts than names",
        "operation 'body': its request body is no JSON object with named fields",
        "operation 'far': it refers to another document",
        "operation 'round': its references go round in circles",
        "operation 'cookie': it needs the cookie 'c'",
        "operation 'listPeople': its parameter 'filter' is no single value",
        "no operation with the operationId 'nobody'",
    ]


@pytest.mark.parametrize("text", ["", "[", "[]", "{", "a: &a [*a]"])
def test_a_file_that_is_no_description(tmp_path: Path, text: str) -> None:
    path = tmp_path / "api.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError):
        routes_of(path, ["x"])
    with pytest.raises(ConfigurationError, match="No such file"):
        routes_of(tmp_path / "none.yaml", ["x"])


def test_a_wide_and_deep_description_is_bounded(tmp_path: Path) -> None:
    document = json.loads(json.dumps(DESCRIPTION))
    schemas = document["components"]["schemas"]
    for level in range(8):  # 10 to the power of 8 fields, were they all written out
        inner = {"$ref": f"#/components/schemas/L{level + 1}"}
        schemas[f"L{level}"] = {
            "type": "object", "properties": {f"f{n}": inner for n in range(10)}
        }  # fmt: skip
    schemas["L8"] = {"type": "string"}
    schemas["Person"] = {"$ref": "#/components/schemas/L0"}
    (route,) = routes_of(written(tmp_path, document), ["getPerson"])
    assert "AnyValue" in repr(route.operation.answer)


_SCHEMAS: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(
        [{"type": "string"}, {"type": []}, {"$ref": "#/a"}, {"$ref": 1}, None, 7, [], {}]
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["object", "array", "string", ["null", "object"], 3, None]),
            "properties": st.dictionaries(st.sampled_from(["a", "b c", ""]), inner, max_size=2),
            "items": inner,
            "allOf": st.lists(inner, max_size=2),
            "oneOf": st.lists(inner, max_size=2),
            "required": st.sampled_from([["a"], "a", None]),
            "enum": st.sampled_from([["a", 1], [], "x"]),
            "example": st.sampled_from([1, "a", {}, True]),
        },
    ),
    max_leaves=6,
)


@given(_SCHEMAS)
def test_any_schema_becomes_a_shape_or_is_refused(schema: object) -> None:
    reader = _Reader({"a": {"type": "object", "properties": {"x": {"$ref": "#/a"}}}})
    try:
        shape = reader._shape(schema, ())
    except UnfitDescription:
        return
    assert isinstance(shape, Scalar | ListOf | Record | AnyValue)


async def test_a_described_operation_is_served(tmp_path: Path) -> None:
    description = FromOpenApi(file=written(tmp_path), operations=("getPerson",))
    async with upstream_at() as upstream:
        ann = {**ANN, "parent": {"id": "9", "anything": [1]}, "extra": 1}
        upstream.answers["/people/1"] = web.json_response({"data": ann})
        chosen = replace(declared(upstream.url), operation=(), from_openapi=description)
        assert problems_of(chosen) == []
        source = await open_rest(chosen)
        async with TestClient(TestServer(build_app(chosen, source))) as client:
            answer = await client.get("/people/1?X_Trace=t")
            assert await answer.json() == {
                "data": {
                    "id": "1", "name": {"first": "Ann"}, "born": "1990-05-01", "income": 10.5,
                    "parent": {"id": "9", "anything": [1]},
                }
            }  # fmt: skip
            assert upstream.requests[0].headers["X-Trace"] == "t"
            assert (await client.get("/people")).status == 404  # not in the list
            assert (await client.get("/people/2")).status == 404
            upstream.answers["/people/1"] = web.json_response({"data": 1})
            assert (await client.get("/people/1")).status == 502
            assert (
                "sacbe_adapter_upstream_answers_total"
                in await (await client.get("/metrics")).text()
            )
        assert await source.check() == ["operation 'getPerson': the source answered something "
                                        "else than it should"]  # fmt: skip
        await source.close()


# --- declarations ---------------------------------------------------------------------------------


def found_in(settings: Any) -> list[str]:  # noqa: ANN401 - settings of the kind
    return [f"{'.'.join(map(str, one.path))}: {one.found}" for one in problems_of(settings)]


def test_a_sound_declaration_has_no_problems() -> None:
    assert found_in(declared("https://api.test/v1")) == []


def test_every_problem_of_a_declaration_is_told_at_once() -> None:
    key = KeySettings(file=Path("k"), name="Cookie")
    basic = BasicSettings(user="u", password_file=Path("p"))
    bad = RestOperation(
        name="person",
        path="/persons/{other}",
        ask="/people/{id}/{missing}/{",
        parameters=(
            RestParameter(name="id"),
            RestParameter(name="id"),
            RestParameter(name="other", required=False),
            RestParameter(name="a", to=Target.BODY),
            RestParameter(name="b", to=Target.HEADER, called="Authorization"),
        ),
        rows="data",
        fields=(
            AnswerField(name="x", at="/~2"),
            AnswerField(name="x", at="/x", header="ETag"),
        ),
    )
    none = RestOperation(name="none", path="/health/live", ask="/x")
    document = RestOperation(
        name="d", path="/d", ask="/x", answer=AnswerKind.ANY, fields=PERSON_FIELDS
    )
    inside = RestOperation(
        name="i", path="/i", ask="/i", method=Method.POST, answer=AnswerKind.ANY,
        parameters=(
            RestParameter(name="a", called="/x"),
            RestParameter(name="b", called="/x/y"),
        ),
    )  # fmt: skip
    chosen = declared(
        "http://api.test", PERSON, bad, none, document, inside,
        upstream={"key": key, "basic": basic, "health": "x",
                  "tls": UpstreamTls(key=Path("only.key"))},
        headers=HeaderSettings(constant={"Authorization": "secret", "X-A": "a\nb"}),
        errors=ErrorSettings(text="message"),
    )  # fmt: skip
    told = found_in(chosen)
    for part in (
        "upstream.basic: [upstream.key] and [upstream.basic]",
        "upstream.url: a secret for an address without TLS",
        "upstream.health: 'x'",
        "upstream.tls: one of certificate and key",
        "upstream.key.name: 'Cookie'",
        "headers.constant.Authorization: the header 'Authorization'",
        "headers.constant.X-A: a value that can't stand in a header",
        "errors.text: 'message' does not begin with '/'",
        "operation.1.name: the name 'person' a second time",
        "operation.1.parameters.1.name: the name 'id' a second time",
        "operation.1.parameters.3.to: a body",
        "operation.1.parameters.4: the header 'Authorization'",
        "operation.1.path: '{other}'",
        "operation.1.ask: '{missing}'",
        "operation.1.rows: 'data' does not begin with '/'",
        "operation.1.fields.0.at: '/~2' has a '~' that is neither '~0' nor '~1'",
        "operation.1.fields.1.name: the name 'x' a second time",
        "operation.1.fields.1.header: a pointer and a header",
        "operation.2.path: GET /health/live a second time",
        "operation.2.fields: no field",
        "operation.3.fields: fields of an answer of the kind 'any'",
        "operation.4.parameters: 'a' and another one at the same place of the body",
    ):
        assert part in told, part


def test_a_secret_goes_to_no_address_in_clear_but_this_machine(tmp_path: Path) -> None:
    def told(url: str) -> list[str]:
        oauth = OauthSettings(token_url=url, client_id="a", secret_file=tmp_path)
        return found_in(declared("https://api.test", upstream={"oauth": oauth}))

    assert told("http://127.0.0.1:8080/token") == []
    assert told("http://[::1]/token") == []
    assert told("https://login.test/token") == []
    for url in ("http://127.evil.test/token", "http://login.test:80/t", "http://10.0.0.1/t"):
        assert told(url) == ["upstream.oauth.token_url: a secret for an address without TLS"]


def test_problems_of_a_description_stand_where_it_is_named(tmp_path: Path) -> None:
    description = FromOpenApi(file=written(tmp_path), operations=("nobody",))
    (told,) = found_in(replace(declared("https://api.test"), from_openapi=description))
    assert told.startswith("from_openapi.operations: ")
    assert "no operation with the operationId 'nobody'" in told
    described = FromOpenApi(file=written(tmp_path), operations=("getPerson",))
    twice = replace(PERSON, name="getPerson")
    (told,) = found_in(replace(declared("https://api.test", twice), from_openapi=described))
    assert "'getPerson' a second time" in told
    assert "no operation" in found_in(replace(declared("https://api.test"), operation=()))[0]


def test_a_file_is_read_and_every_mistake_has_its_line(tmp_path: Path) -> None:
    kind = load_kind("rest")
    text = """\
kind = "rest"
title = "People"
[upstream]
url = "https://api.test/v1"
[[operation]]
name = "person"
path = "/persons/{id}"
ask = "/people/{id}"
parameters = [{ name = "id" }]
fields = [
    { name = "first", at = "/name/first" },
    { name = "born", at = "born", type = "date" },
]
"""
    with pytest.raises(ConfigurationError) as caught:
        parse_settings(kind.settings, text, file="a.toml", folder=tmp_path, check=kind.problems)
    (problem,) = caught.value.problems
    assert (problem.line, problem.found) == (12, "'born' does not begin with '/'")
    good = text.replace('at = "born"', 'at = "/born"')
    settings = parse_settings(
        kind.settings, good, file="a.toml", folder=tmp_path, check=kind.problems
    )
    assert settings.title == "People"
