"""The line of every key is found, in every way TOML has to write one."""

import contextlib
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.toml_lines import find_lines

Place = tuple[str | int, ...]


def places(value: object, here: Place = ()) -> Iterator[Place]:
    if here:
        yield here
    children: dict[Any, object] = {}
    if isinstance(value, dict):
        children = value
    elif isinstance(value, list):
        children = dict(enumerate(value))
    for key, child in children.items():
        yield from places(child, (*here, key))


def test_the_lines_of_a_document_with_everything() -> None:
    document = '''# a comment = 1
title = "x # no comment"
"quoted key" = 1
site."exa.mple".port = 80

[owner]  # = "not a key"
dob = 1979-05-27T07:32:00-08:00
text = """
a = 1
\\""" [b]
""""
raw = \'\'\'
[c]\'\'\'
[[fruit]]
name = "apple"
sizes = [1, # one
  { small = [2,
     3] }, ]
[[fruit.variety]]
name = "red"
[[fruit.variety]]
name = "green"
[[fruit]]
point = { x = 1, y.z = "}" }
[fruit.physical]
colour = 'red'
'''
    lines = find_lines(document)
    assert set(lines) == set(places(tomllib.loads(document)))
    assert lines["title",] == 2
    assert lines["quoted key",] == 3
    assert lines["site", "exa.mple", "port"] == 4
    assert lines["owner",] == 6
    assert lines["owner", "text"] == 8
    assert lines["owner", "raw"] == 12
    assert lines["fruit", 0] == 14
    assert lines["fruit", 0, "sizes", 1, "small", 1] == 18
    assert lines["fruit", 0, "variety", 1, "name"] == 22
    assert lines["fruit", 1] == 23
    assert lines["fruit", 1, "point", "y", "z"] == 24
    assert lines["fruit", 1, "physical", "colour"] == 26


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_both_line_ends_count(newline: str) -> None:
    assert find_lines(newline.join(["a = 1", "", "b = [", "2]"])) == {
        ("a",): 1,
        ("b",): 3,
        ("b", 0): 4,
    }


keys = st.sampled_from(["a", "b", "c-1", '"d"', "'e.f'", '"g\\"h"', '""', "a.b", 'b."x y" . c'])
blanks = st.sampled_from(["", " ", "\t"])
gaps = st.sampled_from(["", " ", "\n", " # ] } , comment\n", "\r\n  "])
leaves = st.sampled_from(["1", "-2.5e3", "true", "inf", "1979-05-27 07:32:00"]) | st.sampled_from(
    [
        '"a#b"',
        "''",
        '"\\"]"',
        "'\\'",
        '"""x\n"y"" \\""" z"""',
        "'''\n'a''b'''",
        '"""""a"""""',
        "''''''''",
    ]
)


def lists(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    items = st.lists(st.tuples(gaps, inner, gaps).map("".join), max_size=3)
    ends = st.sampled_from(["", ",", ",\n"])
    return st.tuples(items, ends).map(
        lambda pair: "[" + ",".join(pair[0]) + (pair[1] if pair[0] else "") + "]"
    )


def tables(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.tuples(blanks, keys, st.just(" ="), blanks, inner, blanks).map("".join)
    return st.lists(pairs, max_size=3).map(lambda items: "{" + ",".join(items) + "}")


values = st.recursive(leaves, lambda inner: lists(inner) | tables(inner), max_leaves=6)
statements = st.one_of(
    st.tuples(keys, st.just(" = "), values).map("".join),
    st.tuples(st.just("["), blanks, keys, blanks, st.just("]")).map("".join),
    st.tuples(st.just("[["), blanks, keys, blanks, st.just("]] # x")).map("".join),
    st.sampled_from(["", "# [not] = a table"]),
)


@given(st.lists(statements, max_size=8), st.sampled_from(["\n", "\r\n"]))
def test_the_keys_are_those_that_tomllib_sees(parts: list[str], newline: str) -> None:
    # Tables may collide; what is left when every colliding statement is dropped is a document.
    kept: list[str] = []
    for part in parts:
        with contextlib.suppress(tomllib.TOMLDecodeError):
            tomllib.loads(newline.join([*kept, part]))
            kept.append(part)
    document = newline.join(kept)
    lines = find_lines(document)
    assert set(lines) == set(places(tomllib.loads(document)))
    assert all(1 <= line <= document.count("\n") + 1 for line in lines.values())


@given(st.text(alphabet="ab=.[]{}\"'#,\n 1\\", max_size=40))
def test_every_text_that_is_toml_is_walked_to_its_end(text: str) -> None:
    try:
        expected = set(places(tomllib.loads(text)))
    except tomllib.TOMLDecodeError:
        return
    assert set(find_lines(text)) == expected
