"""Service paths as access is judged on them, and the patterns they match."""

import contextlib
import re
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from catalog.paths import PathGlob, ServicePath
from trust.errors import MalformedMessage


@pytest.mark.parametrize(
    ("raw", "readings"),
    [
        ("", ("",)),
        ("/", ("/",)),
        ("/persons/39", ("/persons/39",)),
        ("/persons/J%C3%B5gi%20x", ("/persons/Jõgi x",)),
        ("/a+b;v=1", ("/a+b;v=1", "/a+b")),
        ("/admin;.json", ("/admin;.json", "/admin")),
        ("/a;x%2Fy", ("/a;x/y", "/a/y", "/a;x%2Fy", "/a")),
        ("/a%3Bb;c", ("/a;b;c", "/a", "/a;b")),
        ("/a%5Cb", ("/a\\b", "/a/b")),
        ("/a%5C%5Cb", ("/a\\\\b", "/a//b", "/a/b")),
        ("/a%2Fb", ("/a/b", "/a%2Fb")),
        ("/a%2fb", ("/a/b", "/a%2Fb")),
        ("/a//b", ("/a/b", "/a//b")),
        ("/a/%2Fb", ("/a/b", "/a//b", "/a/%2Fb")),
        ("/100%25", ("/100%",)),
        ("/a..b/...", ("/a..b/...",)),
        ("/.well-known/x", ("/.well-known/x",)),
    ],
)
def test_a_path_is_read_in_every_way_a_system_may_read_it(
    raw: str, readings: tuple[str, ...]
) -> None:
    assert ServicePath.parse(raw).readings == readings


@pytest.mark.parametrize(
    "raw",
    [
        "/..",
        "/a/../b",
        "/a/./b",
        "/a/..",
        "/%2e%2e/b",
        "/a/%2E./b",
        "/a/..%2Fb",
        "/a%2f..%2fb",
        "/a/..;v=1/b",
        "/a/..%3Bv/b",
        "/a/%252e%252e/b",
        "/a/%25252e%25252e%25252fb",
        "/a\\..\\b".replace("\\", "%5C"),
        "/a%5c..%5cb",
        "/a%00",
        "/a%2500",
        "/%2525252525252525",
    ],
)
def test_a_path_that_may_lead_elsewhere_has_no_reading(raw: str) -> None:
    assert ServicePath.parse(raw).readings == ()


@pytest.mark.parametrize("raw", ["/%", "/%4", "/%zz", "/%E4", "/%C0%AE%C0%AE/", "/é"])
def test_a_path_that_is_not_utf_8_is_refused(raw: str) -> None:
    with pytest.raises(MalformedMessage) as refused:
        ServicePath.parse(raw)
    assert refused.value.code == "internal_error"


@pytest.mark.parametrize(
    ("pattern", "raw"),
    [
        ("/*.json", "/admin;.json"),
        ("/*.json", "/admin%3B.json"),
        ("/a*", "/a%5Cb"),
        ("/a*", "/a;%5Cb"),
        ("/a;b;c", "/a%3Bb;c"),
    ],
)
def test_a_pattern_that_grants_one_reading_alone_does_not_grant_the_path(
    pattern: str, raw: str
) -> None:
    found = {
        PathGlob.parse(pattern).matches(reading) for reading in ServicePath.parse(raw).readings
    }
    assert found == {True, False}


@given(
    st.lists(
        st.sampled_from(
            ["/", ".", "%2e", "%2F", "%5C", "%25", "%3B", "a", ";", "%C3%B5", "%", "é"]
        ),
        max_size=40,
    )
)
def test_any_path_is_read_or_refused_and_no_reading_climbs(pieces: list[str]) -> None:
    with contextlib.suppress(MalformedMessage):
        for reading in ServicePath.parse("".join(pieces)).readings:
            assert not {".", ".."} & set(reading.split("/"))


@given(st.lists(st.sampled_from(["/", "%2F", "%5C", "%3B", ";", "a"]), max_size=60))
@example(["/", "%3B", "/", ";", "/", "%2F", "%5C", "/"])
def test_readings_are_few_and_each_is_there_once(pieces: list[str]) -> None:
    """Cutting parameters and turning backslashes change a path once each; merging comes between.

    Neither, one, or both in either order, and before, between and after them a merge or none, make
    2 + 2 * 4 + 2 * 8 = 26 ways; four decoded forms go them.
    """
    readings = ServicePath.parse("/" + "".join(pieces)).readings
    assert len(readings) == len(set(readings)) <= 4 * 26


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="%/\\\0;.")))
def test_an_encoded_segment_has_one_reading(segment: str) -> None:
    assert ServicePath.parse("/" + quote(segment, safe="")).readings == ("/" + segment,)


MATCHES = [
    ("**", ["", "/", "/a/b"], []),
    ("*", ["", "a"], ["/", "a/b"]),
    ("/persons/*", ["/persons/", "/persons/39"], ["/persons", "/persons/39/x", "/Persons/39"]),
    ("/foo/*/bar/", ["/foo/zyggy/bar/"], ["/foo/zyggy/quux/bar/", "/foo/zyggy/bar"]),
    ("/foo/**/bar", ["/foo/any//bar", "/foo/a/b/bar", "/foo//bar"], ["/foo/bar", "/foo/bar/x"]),
    ("/foo/**bar", ["/foo/bar", "/foo/zyggybar", "/foo/a/bar"], ["/foo/a"]),
    ("/a*b*c", ["/abc", "/axbbxc"], ["/ab/c", "/ac"]),
    ("/***", ["/", "/a/b"], [""]),
    (r"/\*", ["/*"], ["/a"]),
    (r"/a\\b", ["/a\\b"], ["/a\\\\b"]),
    (r"/a\b", ["/a\\b"], ["/ab"]),
    ("/a.b+(c)[d]?", ["/a.b+(c)[d]?"], ["/axb+(c)[d]?"]),
    ("", [""], ["/"]),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "yes", "no"), MATCHES)
def test_patterns_match_as_documented(pattern: str, yes: list[str], no: list[str]) -> None:
    glob = PathGlob.parse(pattern)
    assert [path for path in yes if not glob.matches(path)] == []
    assert [path for path in no if glob.matches(path)] == []


def _regex(pattern: str) -> "re.Pattern[str]":
    """The same pattern for the standard library, to compare with."""
    words = re.findall(r"\\[*\\]|\*+|.", pattern)
    runs = {True: "[^/]*", False: ".*"}
    return re.compile(
        "".join(runs[w == "*"] if w[0] == "*" else re.escape(w[-1]) for w in words), re.DOTALL
    )


@given(st.text("a/*\\", max_size=8), st.text("a/*\\b", max_size=10))
def test_patterns_match_as_the_equivalent_regular_expression(pattern: str, path: str) -> None:
    assert PathGlob.parse(pattern).matches(path) == bool(_regex(pattern).fullmatch(path))


def test_a_hostile_path_costs_no_more_than_its_length() -> None:
    """A backtracking matcher would not come back from this."""
    glob = PathGlob.parse("/" + "*a" * 200 + "**b")
    assert not glob.matches("/" + "a" * 5000)


def test_an_endless_pattern_is_refused() -> None:
    with pytest.raises(ValueError, match="at most"):
        PathGlob.parse("/" + "a" * 3000)


def test_patterns_compare_by_their_text() -> None:
    assert PathGlob.parse("/a*") == PathGlob.parse("/a*")
    assert len({PathGlob.parse("/a*"), PathGlob.parse("/a*"), PathGlob.parse("/b")}) == 2
