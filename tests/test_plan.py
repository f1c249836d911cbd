"""Plans: which services are asked for which facts."""

from dataclasses import replace
from datetime import timedelta
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.about import About, LifeCycle, LifeState
from catalog.mapping import FixedParameter, Rule, View
from catalog.meaning.vocabulary import (
    Authority,
    EvidenceType,
    Procedure,
    Requirement,
    ServiceTemplate,
    TemplateInstance,
)
from node.once.resolver.planning.cover import smallest_cover
from node.once.resolver.planning.index import CatalogIndex, Indexes
from node.once.resolver.planning.plan import MAX_LINKS, Bounds, Plan, Wish, make_plan
from node.once.resolver.planning.reasons import MEANINGS, Fixer, Missing, Reason
from tests.large_catalog import PERSON as LARGE_PERSON
from tests.large_catalog import large_catalog, procedure
from tests.small_catalogs import (
    DAY,
    FACTS,
    LINKS,
    PERSON,
    SCHEMES,
    TERRITORY,
    Chance,
    catalog,
    chances,
    concepts,
    endpoint,
    service,
    service_id,
    withdrawn,
)
from trust.ids import ClientId

A, B, C, *_ = FACTS
ONE, TWO, THREE = service_id(1), service_id(2), service_id(3)


def planned(
    services: object, authorities: object, *facts: str, bounds: Bounds | None = None, **wish: object
) -> Plan:
    made = catalog(services, authorities)  # type: ignore[arg-type]
    asked = replace(Wish(facts, PERSON, DAY), **wish)  # type: ignore[arg-type]
    return make_plan(CatalogIndex(made), asked, bounds or Bounds())


def reasons(plan: Plan) -> dict[str, Reason]:
    return {one.concept: one.reason for one in plan.missing}


def places(plan: Plan) -> list[tuple[int, str, tuple[str, ...]]]:
    return [(one.stage, one.service.id.service_code, one.concepts) for one in plan.exchanges]


# --- whatever the catalog -------------------------------------------------------------------------

wishes = st.lists(st.sampled_from(FACTS), min_size=1, unique=True)


@given(chances(), wishes, st.sampled_from(("", "T1", "T2")))
def test_every_fact_is_planned_or_deferred_or_missing(
    chance: Chance, wanted: list[str], territory: str
) -> None:
    plan = make_plan(
        CatalogIndex(chance.catalog()), Wish(tuple(wanted), PERSON, DAY, "", territory)
    )
    asked = [concept for one in plan.exchanges for concept in one.concepts]
    missing = [one.concept for one in plan.missing]
    assert len(set(asked)) == len(asked), "a field is asked for twice"
    assert len({(one.service.id, one.endpoint.subject) for one in plan.exchanges}) <= len(asked)
    for concept in wanted:
        assert [concept in asked, concept in missing, concept in plan.deferred].count(True) == 1
    assert set(asked) - set(wanted) <= {*LINKS, TERRITORY}, "nothing is asked for without need"


@given(chances(), wishes)
def test_what_an_exchange_needs_is_asked_for_in_an_earlier_stage(
    chance: Chance, wanted: list[str]
) -> None:
    made = chance.catalog()
    plan = make_plan(CatalogIndex(made), Wish(tuple(wanted), PERSON, DAY))
    had = {PERSON}
    for stage in plan.stages:
        assert stage, "no stage is empty"
        assert all(one.scheme in had for one in stage)
        had |= {
            made.vocabulary.concept[concept].identifies for one in stage for concept in one.concepts
        }
    assert len(plan.stages) <= MAX_LINKS + 1


@given(chances(), wishes, st.integers(0, 4), st.sampled_from(FACTS))
def test_another_source_never_makes_fewer_facts(
    chance: Chance, wanted: list[str], which: int, fact: str
) -> None:
    before = make_plan(CatalogIndex(chance.catalog()), Wish(tuple(wanted), PERSON, DAY))
    fresh = service(50, endpoint(PERSON, (fact,)))
    authorities = tuple(
        replace(one, alternates=(*one.alternates, fresh.id)) if fact in one.concepts else one
        for one in chance.authorities
    )
    richer = replace(chance, services=(*chance.services, fresh), authorities=authorities)
    after = make_plan(CatalogIndex(richer.catalog()), Wish(tuple(wanted), PERSON, DAY))
    assert {one.concept for one in after.missing} <= {one.concept for one in before.missing}


@given(chances(), wishes)
def test_the_same_input_gives_the_same_plan(chance: Chance, wanted: list[str]) -> None:
    wish = Wish(tuple(wanted), PERSON, DAY)
    one = make_plan(CatalogIndex(chance.catalog()), wish)
    assert one == make_plan(CatalogIndex(chance.catalog()), wish)


@given(st.lists(st.sets(st.sampled_from("abcdef"), min_size=1), min_size=1, max_size=6), st.data())
def test_the_cover_is_the_cheapest(offers: list[set[str]], data: st.DataObject) -> None:
    wanted = sorted(set().union(*offers))
    weights = {
        place: data.draw(st.integers(0, 3), label=f"weight {place}") for place in range(len(offers))
    }
    found = smallest_cover(wanted, dict(enumerate(offers)), weights)
    assert all(concept in offers[place] for concept, place in found.items())
    cheapest = min(
        sum(weights[one] for one in chosen)
        for size in range(len(offers) + 1)
        for chosen in combinations(range(len(offers)), size)
        if set(wanted) <= set().union(*(offers[one] for one in chosen))
    )
    assert sum(weights[place] for place in set(found.values())) <= cheapest


def test_many_endpoints_are_covered_step_by_step() -> None:
    offers = {place: {f"{place}", "common"} for place in range(30)} | {
        30: {str(place) for place in range(29)}
    }
    wanted = sorted(set().union(*offers.values()))
    found = smallest_cover(wanted, offers, dict.fromkeys(offers, 1))
    assert set(found.values()) == {29, 30}


# --- one rule after another -----------------------------------------------------------------------


def test_facts_of_one_endpoint_are_one_exchange() -> None:
    both = service(1, endpoint(PERSON, (A,)), endpoint(PERSON, (A, B)), endpoint(PERSON, (C,)))
    plan = planned([both], [Authority((A, B, C), ONE)], A, B)
    assert places(plan) == [(0, "s1", (A, B))]
    assert plan.exchanges[0].names == ("ffact0", "ffact1")


def test_a_derived_fact_is_asked_for_as_the_view() -> None:
    plain = endpoint(PERSON, (A,))
    with_view = replace(plain, views=(View("grown", "ffact0", Rule.PRESENT, concept=B),))
    plan = planned([service(1, with_view)], [Authority((A, B), ONE)], B)
    assert plan.exchanges[0].names == ("grown",)


def test_a_link_is_followed_and_merged_with_what_is_asked_anyway() -> None:
    link = LINKS[0]
    services = [
        service(1, endpoint(PERSON, (A, link))),
        service(2, endpoint(SCHEMES[1], (B,))),
    ]
    authorities = [Authority((A, link), ONE), Authority((B,), TWO)]
    plan = planned(services, authorities, A, B)
    assert places(plan) == [(0, "s1", (A, link)), (1, "s2", (B,))]
    alone = planned(services, authorities, B, bounds=Bounds(links=False))
    assert reasons(alone) == {B: Reason.NO_IDENTIFIER}


def test_links_that_lead_in_a_circle_end() -> None:
    services = [
        service(1, endpoint(SCHEMES[1], (LINKS[1],))),
        service(2, endpoint(SCHEMES[2], (LINKS[0], A))),
    ]
    authorities = [Authority((LINKS[1],), ONE), Authority((LINKS[0], A), TWO)]
    plan = planned(services, authorities, A)
    assert reasons(plan) == {A: Reason.NO_IDENTIFIER}


def test_alternates_stand_in_for_an_authority_that_is_no_more() -> None:
    here = endpoint(PERSON, (A,))
    authorities = [Authority((A,), ONE, (TWO, THREE))]
    plan = planned([withdrawn(1, here), service(2, here), service(3, here)], authorities, A)
    assert places(plan) == [(0, "s2", (A,))]
    assert plan.exchanges[0].alternates == (THREE,)
    without = planned(
        [withdrawn(1, here), service(2, here), service(3, here)],
        authorities,
        A,
        bounds=Bounds(without=frozenset({TWO})),
    )
    assert places(without) == [(0, "s3", (A,))]


def test_every_territory_has_its_own_authority() -> None:
    here = endpoint(PERSON, (A,))
    services = [service(1, here), service(2, here), service(3, endpoint(PERSON, (TERRITORY,)))]
    template = ServiceTemplate(
        "urn:t:template",
        {},
        (A,),
        instances=(TemplateInstance(ONE, "T1"), TemplateInstance(TWO, "T2")),
    )
    said = {"templates": (template,), "territory_concept": TERRITORY}
    made = catalog(services, [Authority((TERRITORY,), THREE)], **said)
    index = CatalogIndex(made)
    first = make_plan(index, Wish((A,), PERSON, DAY))
    assert places(first) == [(0, "s3", (TERRITORY,))]
    assert first.deferred == (A,)
    known = make_plan(index, Wish((A,), PERSON, DAY, territory="T2"))
    assert places(known) == [(0, "s2", (A,))]
    nowhere = make_plan(index, Wish((A,), PERSON, DAY, territory="T3"))
    assert reasons(nowhere) == {A: Reason.NO_AUTHORITY}
    unsaid = catalog(services, [], templates=(template,))
    assert reasons(make_plan(CatalogIndex(unsaid), Wish((A,), PERSON, DAY))) == {
        A: Reason.TERRITORY_UNKNOWN
    }


def test_a_territory_that_is_not_to_be_had_is_told() -> None:
    authorities = [Authority((A,), ONE, territory="T1")]
    made = catalog([service(1, endpoint(PERSON, (A,)))], authorities, territory_concept=TERRITORY)
    plan = make_plan(CatalogIndex(made), Wish((A,), PERSON, DAY))
    assert reasons(plan) == {A: Reason.TERRITORY_UNKNOWN}
    assert plan.deferred == ()


def _draft() -> object:
    return service(1, endpoint(PERSON, (A,)), about=About(life=LifeCycle(LifeState.DRAFT)))


def _ended() -> object:
    life = LifeCycle(LifeState.DEPRECATED, ends=DAY)
    return service(1, endpoint(PERSON, (A,)), about=About(life=life))


def _with_parameter() -> object:
    needs = replace(endpoint(PERSON, (A,)), parameters=(FixedParameter("year"),))
    return service(1, needs)


@pytest.mark.parametrize(
    ("offered", "reason", "who"),
    [
        (service(2), Reason.SERVICE_NOT_IN_CATALOG, Fixer.SOURCE),
        (_draft(), Reason.SERVICE_DRAFT, Fixer.SOURCE),
        (withdrawn(1, endpoint(PERSON, (A,))), Reason.SERVICE_WITHDRAWN, Fixer.SOURCE),
        (_ended(), Reason.SERVICE_WITHDRAWN, Fixer.SOURCE),
        (service(1, endpoint(PERSON, (B,))), Reason.NO_FIELD, Fixer.SOURCE),
        (service(1, endpoint(SCHEMES[3], (A,))), Reason.NO_IDENTIFIER, Fixer.CALLER),
        (
            service(1, replace(endpoint(PERSON, (A,)), subject=None)),
            Reason.NO_SUBJECT_PARAMETER,
            Fixer.SOURCE,
        ),
        (_with_parameter(), Reason.PARAMETER_MISSING, Fixer.CALLER),
    ],
)
def test_what_is_missing_has_a_reason(offered: object, reason: Reason, who: Fixer) -> None:
    plan = planned([offered], [Authority((A,), ONE)], A)
    (missing,) = plan.missing
    assert (missing.reason, missing.who_can_fix) == (reason, who)
    assert missing.text


def test_reasons_that_the_vocabulary_has() -> None:
    past = Authority((B,), ONE, valid_until=DAY)
    plan = planned([service(1, endpoint(PERSON, (A, B)))], [past], A, B, "urn:t:nothing")
    assert reasons(plan) == {
        A: Reason.NO_AUTHORITY,
        B: Reason.NO_AUTHORITY,
        "urn:t:nothing": Reason.UNKNOWN_CONCEPT,
    }
    yesterday = planned(
        [service(1, endpoint(PERSON, (B,)))], [past], B, day=DAY - timedelta(days=1)
    )
    assert not yesterday.missing


def test_a_parameter_that_is_given_or_has_a_default_is_enough() -> None:
    given = planned([_with_parameter()], [Authority((A,), ONE)], A, parameters=frozenset({"year"}))
    assert not given.missing
    needs = replace(
        endpoint(PERSON, (A,)), parameters=(FixedParameter("year", default="{last_year}"),)
    )
    assert not planned([service(1, needs)], [Authority((A,), ONE)], A).missing


# --- procedures -----------------------------------------------------------------------------------

MUNI = ClientId("T", "MUN", "1", "benefits")


def _procedure_catalog(**changes: object) -> CatalogIndex:
    services = [service(1, endpoint(PERSON, (A, B))), service(2, endpoint(PERSON, (C,)))]
    procedure = replace(
        Procedure("urn:t:p", {}, ("urn:t:r1", "urn:t:r2"), "urn:t:purpose"),
        **changes,  # type: ignore[arg-type]
    )
    made = catalog(
        services,
        [Authority((A, B), ONE), Authority((C,), TWO)],
        evidence_types=(
            EvidenceType("urn:t:e0", {}, (A, FACTS[5])),
            EvidenceType("urn:t:e1", {}, (A, B)),
            EvidenceType("urn:t:e2", {}, (A, C)),
        ),
        requirements=(
            Requirement("urn:t:r1", {}, (C,)),
            Requirement("urn:t:r2", {}, evidence_types=("urn:t:e0", "urn:t:e1", "urn:t:e2")),
            Requirement("urn:t:r3", {}, evidence_types=("urn:t:e0",)),
            Requirement("urn:t:r4", {}, evidence_types=("urn:t:none",)),
        ),
        procedures=(procedure,),
    )
    return CatalogIndex(made)


def _of_procedure(index: CatalogIndex, client: ClientId | None = MUNI) -> Plan:
    return make_plan(index, Wish((), PERSON, DAY, procedure="urn:t:p", client=client))


def test_the_first_evidence_that_is_to_be_had_whole_is_taken() -> None:
    plan = _of_procedure(_procedure_catalog())
    assert plan.wanted == (C, A, B)
    assert plan.evidence_types == ("urn:t:e1",)
    assert not plan.missing


def test_when_none_is_whole_the_rest_is_asked_for_and_told() -> None:
    plan = _of_procedure(_procedure_catalog(requirements=("urn:t:r3", "urn:t:r4", "urn:t:r5")))
    assert [one.concepts for one in plan.exchanges] == [(A,)]
    assert reasons(plan) == {
        "urn:t:r4": Reason.UNKNOWN_EVIDENCE_TYPE,
        "urn:t:r5": Reason.UNKNOWN_EVIDENCE_TYPE,
        FACTS[5]: Reason.NO_AUTHORITY,
    }


def test_a_procedure_is_for_those_who_offer_it() -> None:
    others = _procedure_catalog(offered_by=(ClientId("T", "MUN", "2"),))
    plan = _of_procedure(others)
    assert not plan.exchanges
    assert set(reasons(plan).values()) == {Reason.PROCEDURE_NOT_OFFERED}
    assert plan.missing[0].who_can_fix is Fixer.CENTRAL_OPERATOR
    assert not _of_procedure(_procedure_catalog(offered_by=(MUNI.member,))).missing
    assert not _of_procedure(others, None).missing


# --- large ----------------------------------------------------------------------------------------


def test_a_large_catalog_is_planned_from_its_index() -> None:
    made = large_catalog(400)
    indexes = Indexes()
    index = indexes.of(made)
    assert indexes.of(made) is index
    index.prepare()
    assert index.prepared
    for number in range(10):
        wish = Wish((), LARGE_PERSON, DAY, procedure=procedure(number))
        plan = make_plan(index, wish)
        assert plan.exchanges
    assert indexes.of(replace(made, version=2)) is not index


def test_every_reason_says_who_can_help() -> None:
    for reason in Reason:
        missing = Missing("urn:t:x", reason, "detail")
        assert missing.who_can_fix in Fixer
        assert missing.text.endswith(": detail")
    assert {one.uri for one in concepts()} >= set(FACTS)


def test_every_reason_stands_in_the_docs() -> None:
    text = (Path(__file__).parent.parent / "docs" / "once-only.md").read_text(encoding="utf-8")
    for reason, (who, meaning) in MEANINGS.items():
        assert f"| `{reason}` | `{who}` | {meaning} |" in text
