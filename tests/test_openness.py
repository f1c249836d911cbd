"""Classes of use: the first rule that covers a use decides, and nothing is hidden without a law."""

from datetime import timedelta

import pytest

from node.log.records import Side
from node.log.uses import DataUse, Openness
from node.messages.intent import Intent
from node.once.citizen.settings import CitizenSettings, TrackerSettings
from node.once.openness import Classes, OpennessRule, rule_problems
from node.once.pseudonyms import SchemeAlias
from tests.pki import NOON
from trust.ids import ClientId, GlobalGroupId, ServiceId

CIVIL = ServiceId(ClientId("EX", "GOV", "2", "civil"), "person")
POLICE = ClientId("EX", "GOV", "7", "cases")
POLICE_GROUP = GlobalGroupId("EX", "police")
SEALED = Openness.SEALED
YEAR = timedelta(days=365)


def used(client: ClientId = POLICE, purpose: str = "urn:p:crime") -> DataUse:
    return DataUse(
        time=NOON, side=Side.PROVIDER, exchange_id="e", message_id="m", client=client,
        service=CIVIL, intent=Intent(purpose=purpose), openness=SEALED, visible_from=NOON,
    )  # fmt: skip


def class_of(use: DataUse, *rules: OpennessRule) -> Openness:
    def in_group(client: ClientId, group: GlobalGroupId) -> bool:
        return (client, group) == (POLICE, POLICE_GROUP)

    return Classes(rules, in_group).classify(use).openness


def sealed(**conditions: object) -> OpennessRule:
    return OpennessRule(openness=SEALED, legal_basis="Act 1", **conditions)  # type: ignore[arg-type] # of many types


def test_what_no_rule_covers_is_open() -> None:
    use = Classes((), lambda *_: False).classify(used())
    assert use.openness is Openness.OPEN
    assert use.visible_from is None


@pytest.mark.parametrize(
    "conditions",
    [
        {},
        {"clients": ("EX:GOV:7",)},
        {"clients": ("EX:GOV:7:cases",)},
        {"clients": ("EX:*:*:cases",)},
        {"clients": ("other", "EX")},
        {"groups": (POLICE_GROUP,)},
        {"clients": ("EX:GOV:8",), "groups": (POLICE_GROUP,)},  # either names who asked
        {"services": ("EX:GOV:2:civil:person",)},
        {"services": ("EX:GOV:2",), "purposes": ("urn:p:crime", "urn:p:other")},
    ],
)
def test_a_rule_covers_what_meets_all_its_conditions(conditions: dict[str, object]) -> None:
    assert class_of(used(), sealed(**conditions)) is SEALED


@pytest.mark.parametrize(
    "conditions",
    [
        {"clients": ("EX:GOV:70",)},
        {"clients": ("EX:GOV:7:case",)},
        {"clients": ("EX:GOV:7:cases:more",)},
        {"groups": (GlobalGroupId("EX", "tax"),)},
        {"services": ("EX:GOV:2:civil:persons",)},
        {"services": ("EX:GOV:2:civil:person:v1",)},
        {"purposes": ("urn:p:CRIME",)},
        {"clients": ("EX:GOV:7",), "purposes": ("urn:p:tax",)},
    ],
)
def test_a_rule_leaves_the_rest_alone(conditions: dict[str, object]) -> None:
    assert class_of(used(), sealed(**conditions)) is Openness.OPEN


def test_the_first_rule_that_covers_a_use_decides() -> None:
    open_one = OpennessRule(openness=Openness.OPEN, clients=("EX:GOV:7:cases",))
    assert class_of(used(), open_one, sealed()) is Openness.OPEN
    assert class_of(used(), sealed(), open_one) is SEALED


def test_a_delayed_use_tells_from_when_it_is_seen() -> None:
    rule = OpennessRule(openness=Openness.DELAYED, legal_basis="Act 1", after=YEAR)
    use = Classes((rule,), lambda *_: False).classify(used())
    assert (use.openness, use.visible_from) == (Openness.DELAYED, NOON + YEAR)


def test_nothing_is_hidden_without_a_law() -> None:
    rules = (
        OpennessRule(openness=Openness.OPEN),
        OpennessRule(openness=SEALED),
        OpennessRule(openness=Openness.DELAYED, legal_basis=" "),
        OpennessRule(openness=SEALED, legal_basis="Act 1", after=YEAR),
        sealed(clients=("EX:GOV:7:cases:service",), services=("EX::x",)),
        sealed(purposes=("urn:p:crime",), services=("EX:GOV:2",)),
        sealed(purposes=("urn:p:crime",), groups=(POLICE_GROUP,)),
    )
    assert [problem.path for problem in rule_problems(rules)] == [
        (1, "legal_basis"),
        (2, "legal_basis"),
        (2, "after"),
        (3, "after"),
        (4, "clients", 0),
        (4, "services", 0),
        (5, "purposes"),
    ]


def test_settings_that_contradict_each_other_are_told_with_their_place() -> None:
    twice = (SchemeAlias(scheme="id", prefix="EE"), SchemeAlias(scheme="id"))
    settings = CitizenSettings(
        openness=(OpennessRule(openness=SEALED),),
        aliases=twice,
        tracker=TrackerSettings(clients=(POLICE,)),
    )
    assert [problem.path for problem in settings.problems()] == [
        ("openness", 0, "legal_basis"),
        ("aliases", 1, "scheme"),
        ("tracker", "scheme"),
    ]
    assert CitizenSettings().problems() == []
