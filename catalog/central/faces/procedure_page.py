"""The page of one procedure: what must be known, from where, and what can't be had."""

from collections.abc import Sequence

from catalog.central.faces.coverage import FactSources, Need, Source, needs_of
from catalog.central.faces.layout import Desk, and_more, heading, html_answer
from catalog.central.faces.markup import Child, Markup, address, facts, join, name, table, tag
from catalog.central.faces.question import Answer
from catalog.meaning.vocabulary import EVERYWHERE, Procedure

_HEAD = ("Fact", "From", "Can be had")


def procedure_page(desk: Desk, procedure: Procedure) -> Answer:
    needs = needs_of(desk.view, procedure, desk.day)
    return html_answer(
        desk,
        desk.plain_words(procedure.labels, procedure.uri),
        heading("Procedure", desk.words(procedure.labels, procedure.uri)),
        _verdict(desk, needs),
        facts(
            [
                ("Identifier", tag("code", procedure.uri, class_="id")),
                ("Purpose", _purpose(desk, procedure)),
                ("Legal basis", _legal_basis(desk, procedure)),
                ("Offered by", _offered_by(desk, procedure)),
            ]
        ),
        tag("h2", "What it must know"),
        [_need(desk, need) for need in needs] or tag("p", "No requirement has been declared."),
    )


def _verdict(desk: Desk, needs: Sequence[Need]) -> Markup | None:
    """Whether everything can be had, and what can't."""
    missing = {fact.concept: fact for need in needs for fact in need.missing}
    if not needs:
        return None
    if not missing:
        told = tag(
            "p",
            "There is an authority for everything that it must know. Whether it has given a right"
            " to ask is for each institution to say.",
        )
        return tag("div", told, class_="notice good")
    items = [
        tag("li", desk.concept(fact.concept), ": ", "; ".join(_reasons(fact)))
        for fact in missing.values()
    ]
    return tag(
        "div",
        tag("p", tag("strong", "Not everything can be had. The applicant has to tell:")),
        tag("ul", items),
        class_="notice warn",
    )


def _reasons(fact: FactSources) -> list[str]:
    if not fact.sources:
        return ["no service is the authority for it"]
    return list(dict.fromkeys(source.lack.value for source in fact.sources if source.lack))


def _purpose(desk: Desk, procedure: Procedure) -> Markup:
    known = desk.view.catalog.vocabulary.purpose.get(procedure.purpose)
    uri = tag("code", procedure.purpose, class_="id")
    return join(desk.words(known.labels, known.uri), tag("br"), uri) if known else uri


def _legal_basis(desk: Desk, procedure: Procedure) -> Markup | None:
    known = desk.view.catalog.vocabulary.purpose.get(procedure.purpose)
    return address(known.legal_basis) if known else None


def _offered_by(desk: Desk, procedure: Procedure) -> Child:
    if not procedure.offered_by:
        return "everybody"
    links = [desk.client(one) for one in procedure.offered_by]
    return [(tag("br") if at else None, one) for at, one in enumerate(and_more(links, len(links)))]


def _need(desk: Desk, need: Need) -> Markup:
    requirement = need.requirement
    parts: list[Child] = [tag("h3", desk.words(requirement.labels, requirement.uri))]
    if need.facts:
        parts.append(_fact_table(desk, need.facts, "All of these facts"))
    if need.proofs:
        several = len(need.proofs) > 1
        parts.append(tag("p", "One of these, whichever is whole:" if several else "This evidence:"))
    for proof in need.proofs:
        kind = desk.plain_words(proof.evidence_type.labels, proof.evidence_type.uri)
        parts.append(_fact_table(desk, proof.facts, kind))
    return join(parts)


def _fact_table(desk: Desk, known: Sequence[FactSources], caption: str) -> Markup:
    rows = [(desk.concept(fact.concept), _sources(desk, fact), _mark(fact)) for fact in known]
    return table(_HEAD, rows, caption)


def _mark(fact: FactSources) -> Markup:
    if fact.can_be_had:
        return tag("span", "yes", class_="mark good")
    return tag("span", "no", class_="mark bad")


def _sources(desk: Desk, fact: FactSources) -> Child:
    if not fact.sources:
        return "no service is the authority for it"
    told = [_source(desk, source) for source in fact.sources]
    return [(tag("br") if at else None, one) for at, one in enumerate(and_more(told, len(told)))]


def _source(desk: Desk, source: Source) -> Markup:
    alternate = source.id != source.authority.service
    where = source.authority.territory
    return join(
        desk.service(source.id),
        f" (in {name(where)})" if where != EVERYWHERE else None,
        ", when the one before does not answer" if alternate else None,
        f" (can't be asked: {source.lack.value})" if source.lack else None,
    )
