"""OpenAPI: endpoints, oddities, hidden addresses, and documents that were made to hurt."""

import contextlib
import json
import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from catalog.openapi import (
    MAX_BYTES,
    DocumentType,
    UnreadableDescription,
    document_type,
    hide_addresses,
    parse_document,
    parse_openapi,
    resolve_base,
)
from catalog.services import Endpoint
from trust.errors import ExchangeError

GOOD = {
    "openapi": "3.0.3",
    "info": {"title": "Persons", "version": "1.0"},
    "servers": [
        {"url": "https://registry.example:8443/api%20v1?x=1"},
        {"url": "https://registry.example"},
        {"url": "https://{host}/api"},
        {"url": "/relative"},
        {"url": "rel/ative"},
        {"url": "//other.example/there"},
        {"url": "mailto:somebody"},
        {"description": "none"},
    ],
    "paths": {
        "/persons/{id}": {
            "get": {"responses": {"200": {"description": "ok"}}},
            "servers": [{"url": "http://inside.example/kept"}],
        },
        "/persons": {"post": {}, "parameters": []},
        "/files/{a}-{b}/x/{c}": {"get": {}},
    },
}
ENDPOINTS = (
    Endpoint("GET", "/persons/*"),
    Endpoint("POST", "/persons"),
    Endpoint("GET", "/files/*/x/*"),
)
JSON, YAML = DocumentType.JSON, DocumentType.YAML


def raw(document: object, kind: DocumentType) -> bytes:
    if kind is JSON:
        return json.dumps(document).encode()
    return yaml.safe_dump(document, sort_keys=False).encode()


@pytest.mark.parametrize("kind", DocumentType)
def test_a_description_gives_endpoints_with_stars_for_parameters(kind: DocumentType) -> None:
    found = parse_openapi(raw(GOOD, kind), kind)
    assert found.endpoints == ENDPOINTS
    assert found.version == "3.0.3"
    assert found.title == "Persons"
    assert found.base_url == "https://registry.example:8443/api%20v1?x=1"
    assert found.warnings == ()


@pytest.mark.parametrize("kind", DocumentType)
def test_of_servers_only_the_path_is_left(kind: DocumentType) -> None:
    hidden = hide_addresses(raw(GOOD, kind), kind)
    found = parse_document(hidden, kind)
    assert [server.get("url") for server in found["servers"]] == [
        "/api%20v1", "", "https://{host}/api", "/relative", "rel/ative", "/there", "", None,
    ]  # fmt: skip
    expected = json.loads(json.dumps(GOOD))
    expected["servers"] = found["servers"]
    assert found == expected


def test_json_is_compact_and_keeps_its_order() -> None:
    text = '{"openapi": "3.1.0", "x": [1, 2.5, null, true, "ä"], "servers": [{"url": "http://h"}]}'
    assert hide_addresses(text.encode(), JSON) == (
        '{"openapi":"3.1.0","x":[1,2.5,null,true,"ä"],"servers":[{"url":""}]}'.encode()
    )


def test_yaml_loses_its_comments_and_keeps_its_values() -> None:
    text = (
        "# http://inside.example\nopenapi: 3.0.1\nservers:\n- url: http://inside.example/v1 # x\n"
        "x-date: 2020-01-01\nx-yes: yes\nx-no: 'no'\nx-a: &a {k: 1}\nx-b: *a\n"
    )
    found = hide_addresses(text.encode(), YAML).decode()
    assert found == (
        '---\nopenapi: 3.0.1\nservers:\n- url: "/v1"\nx-date: 2020-01-01\nx-yes: yes\n'
        "x-no: 'no'\nx-a: &a {k: 1}\nx-b: *a\n"
    )


def test_aliases_and_merges_are_understood() -> None:
    text = (
        "openapi: 3.0.1\ninfo: {title: t}\nx: &s\n- url: http://h/a\nservers: *s\n"
        "y: &g {get: {}}\npaths:\n  /a: *g\n  /b:\n    <<: *g\n    post: {}\n"
    )
    found = parse_openapi(text.encode(), YAML)
    assert found.endpoints == (
        Endpoint("GET", "/a"), Endpoint("POST", "/b"), Endpoint("GET", "/b"),
    ) or found.endpoints == (
        Endpoint("GET", "/a"), Endpoint("GET", "/b"), Endpoint("POST", "/b"),
    )  # fmt: skip
    assert found.base_url == "http://h/a"
    assert b"http://h" not in hide_addresses(text.encode(), YAML)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"openapi": "3.2.0"}, "version '3.2.0' is not among 3.0.x and 3.1.0"),
        ({"openapi": ""}, "there is no version"),
        ({"info": {}}, "there is no title"),
        ({"paths": []}, "there are no paths"),
        ({"paths": {}}, "there is no endpoint"),
        ({"paths": {"x-more": {"get": {}}}}, "there is no endpoint"),
        ({"paths": {"persons": {"get": {}}}}, "'persons' is no path"),
        ({"paths": {"/p\n": {"get": {}}}}, "is no path"),
        ({"paths": {"/p": None}}, "path '/p' has no operations"),
        ({"paths": {"/p": {"$ref": "x.yaml", "get": {}}}}, "refers to another place"),
        ({"paths": {"/{a}": {"get": {}}, "/{b}": {"get": {}}}}, "'GET /*' stands there twice"),
        ({"paths": {f"/{n}": {"get": {}} for n in range(5001)}}, "more than 5000 endpoints"),
    ],
)
def test_what_is_odd_is_a_warning(change: dict[str, object], said: str) -> None:
    found = parse_openapi(raw({**GOOD, **change}, JSON), JSON)
    assert any(said in warning for warning in found.warnings), found.warnings
    assert len(found.endpoints) <= 5000


@pytest.mark.parametrize(
    ("version", "shown"), [('"2.0"', '"2.0"'), ("3.0", "3.0"), ('"30"', '"30"'), ("[]", "[]")]
)
@pytest.mark.parametrize("kind", DocumentType)
def test_another_version_is_not_given_out(version: str, shown: str, kind: DocumentType) -> None:
    with pytest.raises(ExchangeError) as caught:
        hide_addresses(f'{{"openapi": {version}}}'.encode(), kind)
    assert caught.value.code == "internal_error"
    assert caught.value.text == (
        "Incompatible openapi version. Openapi version 3 or greater expected. "
        f"Given openapi document is of version {shown}"
    )
    assert not isinstance(caught.value, UnreadableDescription)


def test_a_description_without_version_is_given_out() -> None:
    assert hide_addresses(b'{"a": 1}', JSON) == b'{"a":1}'


@pytest.mark.parametrize("url", ["http://a b/", "http://h/%zz", "http://[::1/", "a|b", "h\\p"])
def test_a_bad_server_url_is_named(url: str) -> None:
    with pytest.raises(ExchangeError) as caught:
        hide_addresses(raw({"openapi": "3.0.0", "servers": [{"url": url}]}, JSON), JSON)
    assert caught.value.text == f"Can't parse url string: {url}"


@pytest.mark.parametrize(
    ("types", "path", "kind"),
    [
        (["application/json; charset=utf-8"], "/a.yaml", JSON),
        (["application/vnd.oai.openapi+json"], "/a", YAML),
        (["application/x-yaml"], "/a.json", YAML),
        (["application/x-yaml; charset=utf-8"], "/a.json", JSON),
        (["text/plain", "application/json"], "/a", JSON),
        ([], "/a.json", JSON),
        ([], "/a", YAML),
    ],
)
def test_the_notation_follows_header_and_path(
    types: list[str], path: str, kind: DocumentType
) -> None:
    assert document_type(types, path) is kind


def test_where_the_service_is_follows_from_the_first_server() -> None:
    url = "http://h:8/docs/openapi.json"
    assert resolve_base("/api", url) == "http://h:8/api"
    assert resolve_base("https://other/api", url) == "https://other/api"
    assert resolve_base("", url) == "http://h:8/"
    assert resolve_base("https://{x}/api", url) == "https://{x}/api"


BOMB = "a: &a [" + "x," * 99 + "x]\n" + "".join(
    f"{name}: &{name} [" + ",".join([f"*{before}"] * 100) + "]\n"
    for before, name in zip("abcdef", "bcdefg", strict=True)
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (BOMB, YAML),
        ("a: &a\n  <<: *a\n", YAML),
        ("a: &a [*a]", YAML),
        ("a: *b", YAML),
        ("[" * 100_000, YAML),
        ("- " * 100_000, YAML),
        ("{a: " * 100_000, YAML),
        ("? " * 10_000, YAML),
        ("[" * 100_000, JSON),
        ('{"a":' * 100_000, JSON),
        ("[]", JSON),
        ('"text"', YAML),
        ("", YAML),
        ("", JSON),
        ("a: 1\n---\na: 2\n", YAML),
        ("a: !!python/object/apply:os.system [x]", YAML),
        ("a: !own {b: 1}", YAML),
        ("{[a]: b}", YAML),
        ("a: \x00", YAML),
        ("%YAML 3.0\n---\na: 1", YAML),
        ('{"a": NaN}', JSON),
        ('{"a": 1' + "0" * 5000 + "}", JSON),
        ("<definitions/>", JSON),
        ("x: [" + "a, " * 600_000 + "a]", YAML),
        (" " * (MAX_BYTES + 1), JSON),
        (f'a: &a "{"x" * 1_000_000}"\nopenapi: [{"*a," * 100_000}]', YAML),
        (f'a: &a "{"x" * 1_000_000}"\nb: [{"{*a : 1}," * 100_000}]', YAML),
        ("".join(f"%TAG !a{n}! b\n" for n in range(200_000)) + "---\nopenapi: 3.0.0", YAML),
    ],
)
def test_hostile_documents_are_refused_at_once(text: str, kind: DocumentType) -> None:
    started = time.process_time()
    with pytest.raises(UnreadableDescription):
        hide_addresses(text.encode(), kind)
    assert time.process_time() - started < 5


def test_bytes_that_are_no_text_are_refused() -> None:
    for kind in DocumentType:
        with pytest.raises(UnreadableDescription):
            parse_openapi(b'{"openapi": "\xff\xfe"}', kind)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=5), inside),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=5), PLAIN, max_size=4))
def test_what_others_get_says_the_same(document: dict[str, object]) -> None:
    document.pop("openapi", None)
    document.pop("servers", None)
    for kind in DocumentType:
        text = raw(document, kind)
        with contextlib.suppress(UnreadableDescription):  # YAML 1.1 has its own ideas of texts
            assert parse_document(hide_addresses(text, kind), kind) == parse_document(text, kind)
    assert parse_document(hide_addresses(raw(document, JSON), JSON), JSON) == document


@given(st.text(alphabet="&*[]{}:,-#|>!? \nab\"'%", max_size=60))
def test_any_yaml_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ExchangeError):
        parse_openapi(text.encode(), YAML)
        hide_addresses(text.encode(), YAML)
