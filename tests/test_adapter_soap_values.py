"""JSON becomes XML by a grammar, and XML becomes the same JSON again."""

import itertools
import string
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from adapters.operations import BadParameter
from adapters.shapes import AnyValue, Field, ListOf, Record, Scalar, ValueType
from adapters.soap.content import (
    Anything,
    Attribute,
    Complex,
    Content,
    Element,
    Group,
    Order,
    Particle,
    Wildcard,
    fields_of,
)
from adapters.soap.lexical import Simple, read_simple, write_simple
from adapters.soap.reading import read_content
from adapters.soap.writing import write_content
from adapters.values import read_fields
from trust.errors import MalformedMessage
from trust.xmlbytes import parse_xml

NS = "{urn:t}"
ENCODER = msgspec.json.Encoder(decimal_format="string")
XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


def element(name: str, content: Content | None = None, **more: object) -> Element:
    return Element(NS + name, name, content or Simple(), **more)  # type: ignore[arg-type]


def sequence(*parts: Particle, **more: object) -> Group:
    return Group(Order.SEQUENCE, parts, **more)  # type: ignore[arg-type]


def choice(*parts: Particle, **more: object) -> Group:
    return Group(Order.CHOICE, parts, **more)  # type: ignore[arg-type]


def written(content: Content, value: object) -> bytes:
    node = etree.Element(NS + "top")
    write_content(node, content, value)
    return etree.tostring(node)


def read(content: Content, xml: str) -> object:
    return read_content(parse_xml(f'<top xmlns="urn:t" {XSI}>{xml}</top>'.encode()), content)


# The identity, over generated grammars.

_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8) | (
    st.sampled_from(["", " ", "a\tb\nc", "\r", "<&>\"'", "]]>", "\ud7ff", "\U0001f600"])
)
_TEXT = _TEXT.filter(lambda text: not set(text) & {"\ufffe", "\uffff"})
_SIMPLE: dict[str, st.SearchStrategy[object]] = {
    "string": _TEXT,
    "boolean": st.booleans(),
    "int": st.integers(-(1 << 31), (1 << 31) - 1),
    "long": st.integers(-(1 << 63), (1 << 63) - 1),
    "decimal": st.decimals(-(10**20), 10**20, places=6).map(str),
    "double": st.floats(-1e300, 1e300) | st.just(5e-324),
    "date": st.dates(date(1, 1, 1)).map(date.isoformat),
    "dateTime": st.datetimes().map(datetime.isoformat)
    | st.datetimes().map(lambda at: at.isoformat() + "Z"),
    "base64Binary": st.sampled_from(["", "AA==", "AAEC", "/+8="]),
    "hexBinary": st.sampled_from(["", "AA==", "AAEC"]),
}
_NAMES = (f"e{number}" for number in itertools.count())


@st.composite
def contents(draw: st.DrawFn, depth: int) -> tuple[Content, st.SearchStrategy[object]]:
    """A grammar, and JSON values that fit it."""
    if depth == 0 or draw(st.integers(0, 2)) == 0:
        name = draw(st.sampled_from(sorted(_SIMPLE)))
        return Simple(name), _SIMPLE[name]
    if draw(st.integers(0, 5)) == 0:
        attribute, values = Attribute("kind", "kind", Simple()), _TEXT
        record = st.fixed_dictionaries({"value": _TEXT}, optional={"kind": values})
        return Complex(None, (attribute,), Simple()), record
    parts = [draw(particles(depth)) for _ in range(draw(st.integers(0, 3)))]
    return Complex(sequence(*(part for part, _ in parts))), _merged([v for _, v in parts])


@st.composite
def elements(
    draw: st.DrawFn, depth: int, *, plain: bool = False
) -> tuple[Element, st.SearchStrategy[dict[str, object]]]:
    content, values = draw(contents(depth - 1))
    name = next(_NAMES)
    least = 1 if plain else draw(st.integers(0, 1))
    most = 1 if plain else draw(st.sampled_from([1, None]))
    nillable = not plain and draw(st.booleans())
    one = values | st.none() if nillable else values
    if most is None:
        chosen: st.SearchStrategy[object] = st.lists(one, min_size=1, max_size=3)
    else:
        chosen = one if least else values
    whole = st.fixed_dictionaries({name: chosen})
    return (
        element(name, content, least=least, most=most, nillable=nillable),
        whole if least else st.just({}) | whole,
    )


@st.composite
def particles(draw: st.DrawFn, depth: int) -> tuple[Particle, st.SearchStrategy[dict[str, object]]]:
    kind = draw(st.sampled_from(["element", "element", "choice", "optional", "repeated"]))
    if kind == "element":
        return draw(elements(depth))
    found = [draw(elements(depth, plain=True)) for _ in range(draw(st.integers(1, 3)))]
    parts = tuple(part for part, _ in found)
    values = [value for _, value in found]
    if kind == "choice":
        return Group(Order.CHOICE, parts), st.one_of(values)
    if kind == "optional":
        return Group(Order.SEQUENCE, parts, least=0), st.just({}) | _merged(values)
    name = next(_NAMES)
    group = Group(Order.SEQUENCE, parts, least=0, most=None, field=name)
    items = st.lists(_merged(values), min_size=1, max_size=3)
    return group, st.fixed_dictionaries({name: items})


def _merged(
    values: list[st.SearchStrategy[dict[str, object]]],
) -> st.SearchStrategy[dict[str, object]]:
    return st.tuples(*values).map(lambda found: {k: v for one in found for k, v in one.items()})


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_json_comes_back_from_xml_as_it_was(data: st.DataObject) -> None:
    parts = [data.draw(particles(3)) for _ in range(2)]
    content = Complex(sequence(*(part for part, _ in parts)))
    sent = data.draw(_merged([values for _, values in parts]))
    text = ENCODER.encode(sent)
    values = read_fields(fields_of(content), msgspec.json.decode(text))
    back = read_content(parse_xml(written(content, values)), content)
    assert msgspec.json.decode(ENCODER.encode(back)) == msgspec.json.decode(text)


@given(st.sampled_from(sorted(_SIMPLE)), st.text(string.digits + "+-.:TZeE aF/=", max_size=12))
def test_any_text_is_a_value_or_an_error(name: str, text: str) -> None:
    try:
        value = read_simple(Simple(name), text)
    except ValueError:
        return
    assert read_simple(Simple(name), write_simple(Simple(name), value)) == value


# Single values.


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("decimal", " 1.10 ", Decimal("1.10")),
        ("double", "1E5", 100000.0),
        ("boolean", "1", True),
        ("integer", "+007", 7),
        ("date", "2020-02-29+02:00", date(2020, 2, 29)),
        ("dateTime", "2020-01-01T00:00:00.1234567Z", datetime(2020, 1, 1, 0, 0, 0, 123456, UTC)),
        ("base64Binary", "AA E\nC", b"\x00\x01\x02"),
        ("hexBinary", "00ff", b"\x00\xff"),
        ("string", "  a ", "  a "),
        ("token", "  a  b ", "a b"),
    ],
)
def test_a_text_is_read_as_its_type(name: str, text: str, value: object) -> None:
    assert read_simple(Simple(name), text) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("int", "2147483648"),
        ("int", ""),
        ("int", "1.0"),
        ("int", "\uff19"),
        ("unsignedByte", "-1"),
        ("integer", "9" * 30),
        ("integer", "9" * 500),
        ("double", "INF"),
        ("double", "NaN"),
        ("double", "1e999"),
        ("decimal", "1e5"),
        ("boolean", "yes"),
        ("date", "2021-02-29"),
        ("date", "-0044-03-15"),
        ("dateTime", "2020-01-01"),
        ("dateTime", "2020-01-01T24:00:01"),
        ("base64Binary", "A"),
        ("hexBinary", "abc"),
    ],
)
def test_a_text_that_its_type_does_not_have_is_an_error(name: str, text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - words differ, and none holds the value
        read_simple(Simple(name), text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("int", 1 << 31),
        ("int", True),
        ("decimal", Decimal("NaN")),
        ("decimal", Decimal("1E+1000")),
        ("date", datetime(2020, 1, 1, tzinfo=UTC)),
        ("string", 5),
        ("base64Binary", "AA=="),
    ],
)
def test_a_value_that_its_type_does_not_have_is_not_written(name: str, value: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - words differ
        write_simple(Simple(name), value)


def test_a_decimal_is_never_written_with_an_exponent() -> None:
    assert write_simple(Simple("decimal"), Decimal("1E+3")) == "1000"
    assert write_simple(Simple("double"), Decimal("1E+3")) == "1E+3"


def test_a_list_of_texts_holds_none_with_white_space() -> None:
    simple = Simple("string", listed=True)
    assert write_simple(simple, ["a", "b"]) == "a b"
    assert read_simple(simple, " a  b ") == ["a", "b"]
    for bad in ("a b", "", " a"):
        with pytest.raises(ValueError, match="white space"):
            write_simple(simple, [bad])


def test_an_enumeration_is_closed_in_both_directions() -> None:
    simple = Simple("string", ("red", "blue"))
    assert simple.scalar == Scalar(ValueType.TEXT, choices=("red", "blue"))
    with pytest.raises(ValueError, match="enumerated"):
        read_simple(simple, "green")
    with pytest.raises(ValueError, match="enumerated"):
        write_simple(simple, "green")


# Writing.

PERSON = Complex(
    sequence(
        element("code"),
        element("born", Simple("date"), least=0, nillable=True),
        choice(element("street"), element("box", Simple("int")), least=0),
        element("name", least=1, most=2),
    ),
    (Attribute("kind", "kind", Simple(), required=True),),
)


def test_elements_stand_in_the_order_of_the_grammar() -> None:
    value = {"name": ["b", "a"], "box": 5, "kind": "x", "code": "1", "born": None}
    assert written(PERSON, value) == (
        b'<ns0:top xmlns:ns0="urn:t" kind="x"><ns0:code>1</ns0:code><ns0:box>5</ns0:box>'
        b"<ns0:name>b</ns0:name><ns0:name>a</ns0:name></ns0:top>"
    )


@pytest.mark.parametrize(
    ("change", "parameter", "words"),
    [
        ({"code": None}, "code", "is missing"),
        ({"kind": None}, "kind", "is missing"),
        ({"street": "a", "box": 1}, "", "only one of 'street' and 'box'"),
        ({"name": []}, "name", "is missing"),
        ({"name": ["a", "b", "c"]}, "name", "more than 2 items"),
        ({"name": "a"}, "name", "must be a list"),
        ({"name": ["a", None]}, "name.1", "is missing"),
        ({"code": "a\x01"}, "code", "a character that XML does not have"),
        ({"kind": "\ufffe"}, "kind", "a character that XML does not have"),
        ({"born": "2020"}, "born", "no date"),
    ],
)
def test_what_the_grammar_does_not_take_names_the_parameter(
    change: Mapping[str, object], parameter: str, words: str
) -> None:
    good: dict[str, object] = {"name": ["b"], "kind": "x", "code": "1"}
    written(PERSON, good)
    with pytest.raises(BadParameter, match=words) as caught:
        written(PERSON, good | dict(change))
    assert caught.value.parameter == parameter


def test_a_choice_that_must_be_made_says_between_what() -> None:
    content = Complex(choice(element("a"), sequence(element("b"), element("c"))))
    with pytest.raises(BadParameter, match="one of 'a', 'b' must be given"):
        written(content, {})
    with pytest.raises(BadParameter, match="'c' is missing"):
        written(content, {"b": "1"})


def test_a_group_is_optional_as_a_whole() -> None:
    content = Complex(sequence(sequence(element("a"), element("b"), least=0), element("c")))
    assert [field.required for field in fields_of(content)] == [False, False, True]
    assert b"<ns0:c>" in written(content, {"c": "1"})
    with pytest.raises(BadParameter, match="'b' is missing"):
        written(content, {"a": "1", "c": "1"})


def test_what_is_not_declared_is_only_sent_as_a_single_value() -> None:
    content = Complex(element("any", Anything()))
    assert fields_of(content) == (Field("any", AnyValue()),)
    assert b">true<" in written(content, {"any": True})
    with pytest.raises(BadParameter, match="must be a single value"):
        written(content, {"any": {"a": 1}})


def test_what_stands_for_a_wildcard_is_not_sent() -> None:
    content = Complex(Wildcard("others", 0, None))
    with pytest.raises(BadParameter, match="only stand in answers"):
        written(content, {"others": ["x"]})


# Reading.


def test_a_record_is_read_with_its_nils_and_lists() -> None:
    content = Complex(
        sequence(
            element("a", nillable=True),
            element("b", Simple("int"), least=0, most=None, nillable=True),
            element("c", least=0),
        )
    )
    xml = '<a xsi:nil="true"/><b>1</b><b xsi:nil="1"/><b> 3 </b>'
    assert read(content, xml) == {"a": None, "b": [1, None, 3]}


@pytest.mark.parametrize(
    ("xml", "words"),
    [
        ("", "lacks 'a'"),
        ("<b/>", "lacks 'a'"),
        ("<a/><a/>", "holds 'a', which is not declared there"),
        ("<a/><x/>", "holds 'x'"),
        ("<b/><a/>", "lacks 'a'"),
        ('<a xmlns="urn:other"/>', "lacks 'a'"),
        ("<a/>words", "holds text between"),
        ("<a><b/></a>", "holds elements where a text"),
        ('<a x="1"/>', "has an attribute 'x'"),
        ('<a xsi:nil="true"/>', "is nil, which is not declared"),
        ("<a/><b>x</b>", "does not fit its type"),
        ("<a/><b/>", "does not fit its type"),
    ],
)
def test_what_the_grammar_does_not_have_is_an_error(xml: str, words: str) -> None:
    content = Complex(sequence(element("a"), element("b", Simple("int"), least=0)))
    assert read(content, "<a/>") == {"a": ""}
    with pytest.raises(MalformedMessage, match=words) as caught:
        read(content, xml)
    assert caught.value.code == "invalid_body"


def test_a_derived_type_is_not_taken_for_the_declared_one() -> None:
    inner = Complex(sequence(element("a", least=0)), type_name="{urn:t}Base")
    content = Complex(element("x", inner))
    assert read(content, '<x xmlns:t="urn:t" xsi:type="t:Base"/>') == {"x": {}}
    with pytest.raises(MalformedMessage, match="of type 'Derived' and not of the declared 'Base'"):
        read(content, '<x xmlns:t="urn:t" xsi:type="t:Derived"/>')


def test_the_parts_of_all_come_in_any_order_and_all_must_come() -> None:
    content = Complex(Group(Order.ALL, (element("a"), element("b", least=0), element("c"))))
    assert read(content, "<c>3</c><a>1</a>") == {"a": "1", "c": "3"}
    with pytest.raises(MalformedMessage, match="lacks 'c'"):
        read(content, "<b/><a/>")


def test_a_repeated_choice_is_a_list_of_records() -> None:
    group = choice(element("a"), element("b"), least=0, most=None, field="items")
    content = Complex(group)
    shape = fields_of(content)[0].shape
    assert isinstance(shape, ListOf)
    assert isinstance(shape.item, Record)
    assert not any(field.required for field in shape.item.fields)
    value = {"items": [{"b": "1"}, {"a": "2"}, {"b": "3"}]}
    assert read(content, "<b>1</b><a>2</a><b>3</b>") == value
    assert read_content(parse_xml(written(content, value)), content) == value


def test_of_a_choice_one_branch_is_read() -> None:
    content = Complex(
        sequence(choice(element("a"), sequence(element("b"), element("c"))), element("d", least=0))
    )
    assert read(content, "<a/>") == {"a": ""}
    assert read(content, "<b/><c/><d/>") == {"b": "", "c": "", "d": ""}
    with pytest.raises(MalformedMessage, match="none of the elements of which it must have one"):
        read(content, "<d/>")
    with pytest.raises(MalformedMessage, match="lacks 'c'"):
        read(content, "<b/>")


def test_a_choice_may_have_a_branch_for_everything_else() -> None:
    content = Complex(choice(element("a"), Wildcard("others", 0, 1)))
    assert read(content, "<a>1</a>") == {"a": "1"}
    assert read(content, "<x>1</x>") == {"others": ["1"]}
    assert read(content, "") == {}


def test_a_group_that_must_repeat_must_be_there_often_enough() -> None:
    content = Complex(sequence(element("a"), least=2, most=3, field="items"))
    assert read(content, "<a/><a/>") == {"items": [{"a": ""}, {"a": ""}]}
    with pytest.raises(MalformedMessage, match="too few"):
        read(content, "<a/>")
    with pytest.raises(MalformedMessage, match="holds 'a', which is not declared there"):
        read(content, "<a/>" * 4)
    for items, words in (
        ([{"a": "1"}], "fewer than 2"),
        (["x", "y"], "items.0' must be an object"),
    ):
        with pytest.raises(BadParameter, match=words):
            written(content, {"items": items})


def test_texts_with_attributes_are_written_and_read() -> None:
    attributes = (Attribute("kind", "kind", Simple("int"), required=True),)
    content = Complex(element("x", Complex(None, attributes, Simple("decimal"))))
    value = {"x": {"kind": 5, "value": Decimal("1.50")}}
    assert read_content(parse_xml(written(content, value)), content) == value
    with pytest.raises(BadParameter, match=r"'x\.value' is missing"):
        written(content, {"x": {"kind": 5}})
    with pytest.raises(BadParameter, match="'x' must be an object"):
        written(content, {"x": "1.50"})
    for xml, words in (
        ("<x>1</x>", "has no attribute 'kind'"),
        ('<x kind="a">1</x>', "no whole number"),
        ('<x kind="1" xsi:nil="true">1</x>', "is nil"),
    ):
        with pytest.raises(MalformedMessage, match=words):
            read(content, xml)


def test_a_nil_with_something_in_it_is_an_error() -> None:
    content = Complex(element("a", nillable=True))
    with pytest.raises(MalformedMessage, match="is nil and yet not empty"):
        read(content, '<a xsi:nil="true">1</a>')


def test_attributes_of_any_name_are_told() -> None:
    content = Complex(None, (), Simple(), other_attributes="more")
    assert read(Complex(element("x", content)), '<x a="1">t</x>') == {
        "x": {"more": {"a": "1"}, "value": "t"}
    }


def test_what_nobody_declared_is_read_as_it_stands() -> None:
    content = Complex(element("any", Anything()))
    xml = '<any n="1">t<a>1</a><a><b xsi:nil="true"/></a><c/></any>'
    assert read(content, xml) == {
        "any": {"@n": "1", "a": ["1", {"b": None}], "c": "", "#text": "t"}
    }


def test_what_nobody_declared_is_not_read_endlessly_deep() -> None:
    content = Complex(element("any", Anything()))
    with pytest.raises(MalformedMessage, match="nested more than 32 deep"):
        read(content, "<any>" + "<a>" * 40 + "</a>" * 40 + "</any>")


def test_a_wildcard_takes_elements_of_any_name() -> None:
    content = Complex(sequence(element("a"), Wildcard("others", 0, None)))
    assert read(content, '<a/><b>1</b><c xmlns="urn:x"/>') == {"a": "", "others": ["1", ""]}
