"""Which servers are asked, with the texts of errors.md 5, and in which order."""

from dataclasses import replace

import pytest

from node.network.candidates import Reputation, find_candidates
from tests.pki import NOON, Pki
from trust.errors import ExchangeError
from trust.globalconf import GlobalConf, Server
from trust.ids import ClientId, ServerId, ServiceId

OWNER = ClientId("TEST", "GOV", "1")
REGISTRY = ClientId("TEST", "GOV", "1", "registry")
SERVICE = ServiceId(REGISTRY, "people")
PKI = Pki()


def named(code: str, *, hosting: bool = True, maintenance: str | None = None) -> Server:
    clients = [REGISTRY] if hosting else []
    found = PKI.server(ServerId(OWNER, code), clients=clients, address=f"{code}.example")
    return replace(found, maintenance=maintenance)


def conf(*servers: Server) -> GlobalConf:
    return PKI.conf({OWNER: ("registry",)}, servers)


def refusal(configuration: GlobalConf, target: str | None = None) -> tuple[str, str]:
    server = None if target is None else ServerId(OWNER, target)
    with pytest.raises(ExchangeError) as caught:
        find_candidates(SERVICE, server, configuration, NOON)
    return caught.value.code, caught.value.text


def test_every_server_that_hosts_exactly_the_provider_is_a_candidate() -> None:
    configuration = conf(named("A"), named("B", hosting=False), named("C"))
    found = find_candidates(SERVICE, None, configuration, NOON)
    assert {server.id.server_code for server in found} == {"A", "C"}


def test_a_named_server_is_the_only_candidate() -> None:
    (found,) = find_candidates(SERVICE, ServerId(OWNER, "C"), conf(named("A"), named("C")), NOON)
    assert found.id.server_code == "C"


def test_servers_in_maintenance_are_left_out() -> None:
    configuration = conf(named("A", maintenance=""), named("C"))
    (found,) = find_candidates(SERVICE, None, configuration, NOON)
    assert found.id.server_code == "C"


def test_refusals_have_the_codes_and_texts_of_the_protocol() -> None:
    nowhere = 'Could not find addresses for service provider "SERVICE:TEST/GOV/1/registry/people"'
    assert refusal(conf(named("A", hosting=False))) == ("unknown_member", nowhere)
    assert refusal(conf(replace(named("A"), address=None))) == ("unknown_member", nowhere)
    assert refusal(conf(named("A")), "X") == (
        "invalid_security_server",
        'Could not find security server "SERVER:TEST/GOV/1/X"',
    )
    assert refusal(conf(named("A"), named("B", hosting=False)), "B") == (
        "invalid_security_server",
        'Invalid security server "SERVER:TEST/GOV/1/B"',
    )


@pytest.mark.parametrize(
    ("notice", "tail"),
    [("", ""), ("Back at 8", '. Message from "SERVER:TEST/GOV/1/A" administrator: Back at 8')],
)
@pytest.mark.parametrize("target", [None, "A"])
def test_maintenance_says_which_server_and_why(notice: str, tail: str, target: str | None) -> None:
    text = 'Security server "SERVER:TEST/GOV/1/A" with address "A.example" is in maintenance mode'
    configuration = conf(named("A", maintenance=notice))
    assert refusal(configuration, target) == ("maintenance_mode", text + tail)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def order(reputation: Reputation, *servers: Server) -> list[str]:
    return [server.id.server_code for server in reputation.ordered(servers)]


def test_quick_servers_come_before_slow_ones_and_unknown_ones_first() -> None:
    reputation = Reputation(Clock())
    a, b, c = named("A"), named("B"), named("C")
    reputation.connected(a.id, 0.5)
    reputation.connected(b.id, 0.1)
    assert order(reputation, a, b, c) == ["C", "B", "A"]
    for _ in range(20):
        reputation.connected(a.id, 0.01)
    assert order(reputation, a, b) == ["A", "B"]


def test_a_server_that_failed_comes_last_for_a_while_that_grows() -> None:
    clock = Clock()
    reputation = Reputation(clock)
    a, b = named("A"), named("B")
    reputation.connected(a.id, 0.1)
    reputation.connected(b.id, 0.2)
    reputation.failed(a.id)
    assert reputation.avoids(a.id)
    assert order(reputation, a, b) == ["B", "A"]
    clock.now = 5.1
    assert order(reputation, a, b) == ["A", "B"]
    reputation.failed(a.id)
    clock.now = 5.1 + 5.1
    assert reputation.avoids(a.id)
    clock.now = 5.1 + 10.1
    assert not reputation.avoids(a.id)
    for _ in range(50):
        reputation.failed(a.id)
    clock.now += 301
    assert not reputation.avoids(a.id)


def test_an_answer_restores_the_reputation() -> None:
    reputation = Reputation(Clock())
    a = named("A")
    reputation.failed(a.id)
    reputation.answered(a.id)
    assert not reputation.avoids(a.id)


def test_servers_that_left_the_trust_list_are_forgotten() -> None:
    reputation = Reputation(Clock())
    a = named("A")
    reputation.failed(a.id)
    reputation.forget_all_but([])
    assert not reputation.avoids(a.id)
