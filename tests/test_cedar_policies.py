"""Policies in Cedar: what they permit and forbid, and what is told of wrong ones."""

import sys
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.services import HostedClient, LocalGroup, ServerConf
from node.messages.intent import Intent
from node.once.enforcement.policy import CallFacts
from node.once.policy import cedar
from node.once.policy.cedar import CedarPolicies, CedarPolicy, open_policies
from node.once.policy.facts import Groups
from node.once.policy.statements import split_statements
from trust.errors import ConfigurationError
from trust.ids import ClientId, GlobalGroupId, LocalGroupId, ServiceId

PERSONS = ClientId("EX", "GOV", "1000", "persons")
PORTAL = ClientId("EX", "MUN", "2000", "a portal")
GROUPS = (GlobalGroupId("EX", "towns"), LocalGroupId("clerks"))
FACTS = CallFacts(
    client=PORTAL,
    service=ServiceId(PERSONS, "register", "v1"),
    at=datetime(2026, 11, 21, 9, tzinfo=UTC),
    method="GET",
    path="/persons/1",
    grant=7,
    terms=True,
    fields=("name", "birth"),
    about_person=True,
    intent=Intent("urn:x:benefit", "Act", "urn:x:procedure", ("name",), "case 1", "u1"),
)
CLIENT = 'Sacbe::Client::"EX/MUN/2000/a%20portal"'
SERVICE = 'Sacbe::Service::"EX/GOV/1000/persons/register"'


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    pytest.importorskip("cedarpy", reason="the extra 'cedar' is not installed")
    return tmp_path


def written(folder: Path, *texts: str) -> CedarPolicies:
    for number, text in enumerate(texts):
        (folder / f"{number}.cedar").write_text(text, encoding="utf-8")
    return open_policies(folder)


@pytest.mark.parametrize(
    "condition",
    [
        f"permit(principal == {CLIENT}, action, resource);",
        'permit(principal in Sacbe::Member::"EX/MUN/2000", action, resource);',
        'permit(principal in Sacbe::GlobalGroup::"EX/towns", action, resource);',
        'permit(principal in Sacbe::LocalGroup::"clerks", action, resource);',
        'permit(principal, action == Sacbe::Action::"GET", resource);',
        'permit(principal, action in Sacbe::Action::"call", resource);',
        f"permit(principal, action, resource == {SERVICE});",
        'permit(principal, action, resource in Sacbe::Provider::"EX/GOV/1000/persons");',
        'permit(principal, action, resource in Sacbe::Member::"EX/GOV/1000");',
        'permit(principal, action, resource) when { context.purpose == "urn:x:benefit" &&'
        ' context.legalBasis == "Act" && context.procedure == "urn:x:procedure" };',
        "permit(principal, action, resource) when { context.hasCase && context.hasOfficial };",
        "permit(principal, action, resource) unless { context.hasMandate };",
        'permit(principal, action, resource) when { context.fields == ["name"] };',
        'permit(principal, action, resource) when { context.path like "/persons/*" &&'
        ' context.version == "v1" && context.grant == 7 };',
        'permit(principal, action, resource) when { context.grantedFields.contains("birth") &&'
        " context.underTerms && context.aboutPerson };",
        "permit(principal, action, resource) when { context.hour == 9 && context.weekday == 6"
        " && context.year == 2026 && context.month == 11 && context.day == 21 };",
    ],
)
async def test_a_policy_may_go_by_all_of_this(policies: Path, condition: str) -> None:
    found = written(policies, condition)
    assert await found.judge(FACTS, GROUPS) is None
    away = replace(
        FACTS,
        client=ClientId("EX", "MUN", "2001"),
        service=ServiceId(ClientId("EX", "GOV", "1001"), "other"),
        at=datetime(2027, 1, 1, 3, tzinfo=UTC),
        method="",
        path="",
        terms=False,
        intent=Intent(mandate="someone"),
    )
    by_action = 'in Sacbe::Action::"call"' in condition
    assert await found.judge(away, ()) == (None if by_action else "no policy permits it")


async def test_what_is_forbidden_is_told_with_its_place(policies: Path) -> None:
    found = written(
        policies,
        "permit(principal, action, resource);",
        '// At night nobody works.\n\n@id("night")\nforbid(principal, action, resource)\n'
        "when { context.hour < 6 };  // UTC\nforbid(principal, action, resource)"
        " when { context.hour < 5 };",
    )
    assert await found.judge(FACTS, GROUPS) is None
    at_night = replace(FACTS, at=datetime(2026, 11, 21, 5, tzinfo=UTC))
    assert await found.judge(at_night, GROUPS) == "forbidden by 1.cedar:3"


async def test_a_node_tells_the_groups_of_a_client(policies: Path) -> None:
    found = written(policies, 'permit(principal in Sacbe::LocalGroup::"clerks", action, resource);')
    group = LocalGroup("clerks", "", frozenset({PORTAL}))
    for groups, expected in (((group,), None), ((), "no policy permits it")):
        conf = ServerConf((HostedClient(PERSONS, local_groups=groups),))
        policy = CedarPolicy(found, Groups(lambda: None, partial(ServerConf, conf.clients)))
        assert await policy.judge(FACTS) == expected


async def test_a_policy_that_can_t_be_evaluated_refuses(policies: Path) -> None:
    found = written(
        policies,
        "permit(principal, action, resource);\n"
        "permit(principal, action, resource) when { context.colour == 1 };",
    )
    told = await found.judge(FACTS, GROUPS)
    assert told is not None
    assert told.startswith("a policy can't be evaluated")
    assert "0.cedar:2" in told


async def test_only_the_policies_of_the_asked_service_are_looked_at(policies: Path) -> None:
    other = 'permit(principal, action, resource == Sacbe::Service::"EX/GOV/1/x/s{}") when'
    text = "\n".join(f"{other.format(number)} {{ context.colour == 1 }};" for number in range(300))
    found = written(policies, f"{text}\npermit(principal, action, resource == {SERVICE});")
    assert await found.judge(FACTS, GROUPS) is None
    assert len(found._sets) == 1
    strange = replace(FACTS, service=ServiceId(ClientId("EX", "GOV", "1", "y"), "s"))
    assert await found.judge(strange, GROUPS) == "no policy permits it"


async def test_many_policies_are_asked_beside_the_event_loop(policies: Path) -> None:
    one = 'permit(principal == Sacbe::Client::"EX/{}", action, resource);'
    found = written(policies, "\n".join(one.format(number) for number in range(150)))
    assert await found.judge(FACTS, GROUPS) == "no policy permits it"


async def test_an_engine_that_breaks_permits_nothing(policies: Path) -> None:
    found = written(policies, "permit(principal, action, resource);")
    broken = replace(FACTS, method="\ud800")  # no text that the engine takes
    assert await found.judge(broken, GROUPS) == "the policies can't be asked: UnicodeEncodeError"


def test_all_that_is_wrong_is_told_at_once_with_file_and_line(policies: Path) -> None:
    (policies / "binary.cedar").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError) as raised:
        written(
            policies,
            "permit(principal, action, resource);\n\npermit(principal, action);\n",
            '// ";"\npermit(principal, action, resource) when { context.x == };\npermit(',
            "permit(principal == ?principal, action, resource);",
        )
    problems = [(Path(one.file).name, one.line) for one in raised.value.problems]
    assert problems == [
        ("0.cedar", 3), ("1.cedar", 2), ("1.cedar", 3), ("2.cedar", 1), ("binary.cedar", 0),
    ]  # fmt: skip


def test_a_folder_without_policies_is_refused(policies: Path) -> None:
    with pytest.raises(ConfigurationError, match="0 files"):
        open_policies(policies)
    with pytest.raises(ConfigurationError, match="a folder with"):
        open_policies(policies / "nothing")


def test_too_much_is_refused(policies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cedar, "LARGEST_FILE", 100)
    monkeypatch.setattr(cedar, "MOST_POLICIES", 1)
    text = "permit(principal, action, resource);"
    with pytest.raises(ConfigurationError, match="at most 1 policies"):
        written(policies, text * 2)
    with pytest.raises(ConfigurationError, match="at most 100 bytes"):
        written(policies, text * 3)


def test_without_the_engine_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cedarpy", None)
    with pytest.raises(ConfigurationError, match="pip install"):
        open_policies(tmp_path)


@given(st.text(alphabet='pr();"\\/ \n', max_size=60))
def test_a_file_is_cut_without_losing_anything(text: str) -> None:
    found = list(split_statements(text))
    rest = text
    for statement in found:
        assert rest.startswith(statement.text)
        rest = rest[len(statement.text) :]
        assert 1 <= statement.line <= text.count("\n") + 1
    assert not rest.strip() or rest.lstrip().startswith("//")
