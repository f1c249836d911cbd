"""`listClients` byte for byte, and what `Accept` means to it."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from node.metadata.client_list import build_json, build_xml, wants_json
from trust.errors import ExchangeError
from trust.globalconf import Member, Subsystem
from trust.ids import ClientId

POPULATION = ClientId("EX", "GOV", "7654321", "population")
MEMBERS = (
    Member(
        POPULATION.member, "Population Office", (Subsystem(POPULATION, "Population register"),)
    ),
)  # fmt: skip
JSON = (
    '{"member":[{"id":{"member_class":"GOV","member_code":"7654321","object_type":"MEMBER",'
    '"xroad_instance":"EX"},"name":"Population Office"},{"id":{"member_class":"GOV",'
    '"member_code":"7654321","object_type":"SUBSYSTEM","subsystem_code":"population",'
    '"xroad_instance":"EX"},"name":"Population Office","subsystem_name":"Population register"}]}'
)
XML = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<xroad:clientList xmlns:xroad="http://x-road.eu/xsd/xroad.xsd" xmlns:id="http://x-road.eu/xsd/identifiers">
    <xroad:member>
        <xroad:id id:objectType="MEMBER">
            <id:xRoadInstance>EX</id:xRoadInstance>
            <id:memberClass>GOV</id:memberClass>
            <id:memberCode>7654321</id:memberCode>
        </xroad:id>
        <xroad:name>Population Office</xroad:name>
    </xroad:member>
    <xroad:member>
        <xroad:id id:objectType="SUBSYSTEM">
            <id:xRoadInstance>EX</id:xRoadInstance>
            <id:memberClass>GOV</id:memberClass>
            <id:memberCode>7654321</id:memberCode>
            <id:subsystemCode>population</id:subsystemCode>
        </xroad:id>
        <xroad:name>Population Office</xroad:name>
        <xroad:subsystemName>Population register</xroad:subsystemName>
    </xroad:member>
</xroad:clientList>
"""
NAMES = {"x": "http://x-road.eu/xsd/xroad.xsd"}


def test_the_list_has_the_bytes_of_the_protocols_example() -> None:
    assert build_json(MEMBERS).decode() == JSON
    assert build_xml(MEMBERS).decode() == XML


def test_an_empty_list_is_one() -> None:
    assert build_json(()) == b'{"member":[]}'
    assert len(etree.fromstring(build_xml(()))) == 0


TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff"))


@given(TEXTS, TEXTS.filter(str.strip).filter(lambda text: len(text) < 200), st.none() | TEXTS)
def test_whatever_names_hold_comes_out_again(name: str, code: str, title: str | None) -> None:
    subsystem = ClientId("EX", "GOV", "1", code)
    members = (Member(subsystem.member, name, (Subsystem(subsystem, title),)),)
    entry = json.loads(build_json(members))["member"][1]
    assert (entry["id"]["subsystem_code"], entry["name"], entry.get("subsystem_name")) == (
        code, name, title,
    )  # fmt: skip
    element = etree.fromstring(build_xml(members))[1]
    assert element[0][3].text == code
    assert element.findtext("x:name", namespaces=NAMES) == name
    assert element.findtext("x:subsystemName", namespaces=NAMES) == title


@pytest.mark.parametrize(
    ("accept", "json_wanted"),
    [
        ([], False),
        ([""], False),
        (["*/*"], False),
        (["text/xml"], False),
        (["application/json"], True),
        (["Application/JSON; q=0.1"], True),
        (["text/xml;q=1.0, application/json;q=0.9"], True),
        (["text/html", "application/json"], True),
        (['application/json;profile="a;b\\"c"'], True),
        (["application/json+ld"], False),
        (["text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"], False),
        (["application"], None),
        (["/json"], None),
        (["application/json; q"], None),
        (["a/b" + ";c=d" * 2000], None),
    ],
)
def test_json_is_wanted_when_some_entry_says_so(
    accept: list[str], json_wanted: bool | None
) -> None:
    if json_wanted is None:
        with pytest.raises(ExchangeError):
            wants_json(accept)
    else:
        assert wants_json(accept) is json_wanted


@given(st.lists(st.text(alphabet='aj/;=", *q.\\\t', max_size=40), max_size=3))
def test_any_accept_is_understood_or_refused(accept: list[str]) -> None:
    with contextlib.suppress(ExchangeError):
        wants_json(accept)
