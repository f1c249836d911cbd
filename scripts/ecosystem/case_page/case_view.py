"""What a clerk sees: where a case is opened, and what came of it."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from catalog.central.faces.markup import Child, Markup, facts, join, link, table, tag, worded
from scripts.ecosystem.case_page.cases import Case
from scripts.ecosystem.case_page.frame import Frame, cards, commands, heading, notice
from scripts.ecosystem.case_page.words import Procedure, Words
from scripts.ecosystem.case_system import Fact, Missing, Planned
from scripts.people import Person

_FIXERS = {
    "central_operator": "the central operator, who keeps the vocabulary",
    "source": "the institution that has the fact",
    "caller": "the case system, which asks",
    "own_operator": "the operator of the Municipality's node",
}
_NOT_YET = frozenset(
    {"no_authority", "no_field", "procedure_not_offered", "service_not_in_catalog"}
)  # what the catalog lacks while it is made
_LONGEST_VALUE = 300  # characters
_SHORT = 24  # characters of a value that stands in one line
_LOOKS = (
    "The case: facts of three registries, each with its source, its time and its proof. The tax"
    " debt is missing: nobody has granted it. The page says who can, and how.",
    "A proof: the receipt of an exchange, judged step by step by the anchor alone, and a download.",
    "The reduced library fee: two answers, yes or no. The birth date and the income that they come"
    " from do not leave their registries.",
    "The citizen: who asked for which facts, for what, under which case number and law.",
    "The auditor: every exchange judged, and what each node counted.",
)


def case_address(case: Case) -> str:
    return f"/cases/{quote(case.number, safe='')}"


def proof_address(case: Case, exchange_id: str) -> str:
    return f"{case_address(case)}/proofs/{quote(exchange_id, safe='')}"


def citizen_address(person: Person) -> str:
    return f"/citizens/{quote(person.national_id, safe='')}"


def full_name(person: Person) -> str:
    return f"{person.given_name} {person.family_name}"


# --- opening a case -------------------------------------------------------------------------------


def start_page(frame: Frame, people: Iterable[Person], procedures: Iterable[Procedure]) -> str:
    choices = [
        _choice("person", one.national_id, full_name(one), one.national_id, first=number == 0)
        for number, one in enumerate(people)
    ]
    wanted = [
        _choice("procedure", one.uri, one.name, one.legal_basis, first=number == 0)
        for number, one in enumerate(procedures)
    ]
    form = tag(
        "form",
        tag("fieldset", tag("legend", "Who is at the counter?"),
            tag("div", choices, class_="people")),
        tag("fieldset", tag("legend", "What for?"), tag("div", wanted, class_="people")),
        tag("button", "Open the case", type="submit"),
        method="post", action="/cases",
    )  # fmt: skip
    return frame.page(
        "New case",
        heading("The Municipality's clerk", "Open a case with a national id and nothing else"),
        tag(
            "p",
            "The person brings no papers. The Municipality's node looks up in the catalog which"
            " registry is the authority for each fact that the procedure needs, and asks them side"
            " by side. Each registry's own node cuts its answer down to what was granted, before"
            " it signs it.",
            class_="lead",
        ),
        form,
        tag("h2", "What there is to see"),
        tag("ol", [tag("li", look) for look in _LOOKS]),
        here="/",
    )


def _choice(name: str, value: str, text: str, more: str, *, first: bool) -> Markup:
    shown = tag("span", worded(text), tag("small", worded(more)) if more else None)
    return tag(
        "label",
        tag("input", type="radio", name=name, value=value, required=True, checked=first),
        shown,
        class_="choice",
    )


def cases_page(frame: Frame, cases: Sequence[Case], words: Words) -> str:
    rows = [
        (
            link(case_address(one), one.number),
            worded(full_name(one.person)),
            worded(words.procedure(one.procedure)),
            moment(one.opened),
            f"{len(one.answer.evidence)} had, {len(one.answer.missing)} missing",
        )
        for one in cases
    ]
    head = ("Case", "Person", "Procedure", "Asked", "Facts")
    none = tag("p", "No case was opened yet. ", link("/", "Open one."))
    return frame.page(
        "Cases",
        heading("The Municipality's clerk", "Cases"),
        table(head, rows, "The latest first") if rows else none,
        here="/cases",
    )


# --- a case ---------------------------------------------------------------------------------------


def case_page(frame: Frame, case: Case, words: Words, grant_commands: Sequence[str]) -> str:
    answer = case.answer
    return frame.page(
        case.number,
        heading(
            f"Case {case.number}",
            join(worded(words.procedure(case.procedure)), " for ", worded(full_name(case.person))),
        ),
        _outcome(case),
        cards(
            (
                (len(answer.evidence), "fact", "facts"),
                (len(answer.missing), "fact missing", "facts missing"),
                (len(answer.exchanges), "registry gave them", "registries gave them"),
                (answer.spared, "paper spared", "papers spared"),
            )
        ),
        tag("h2", "Facts"),
        _facts(frame, case, words) if answer.evidence else tag("p", "None."),
        _missing(case, words, grant_commands) if answer.missing else None,
        _withheld(case),
        tag("h2", "Plan"),
        tag("p", "Made from the catalog before anybody was asked: the fewest exchanges that bring"
            f" all facts. The catalog was version {answer.catalog_version}."),
        _plan(answer.plan, words),
        tag("h2", "Go on"),
        tag("form", tag("button", "Ask again", type="submit"), method="post",
            action=case_address(case), class_="inline"),
        tag("p", link(citizen_address(case.person), "What the citizen sees of this")),
        tag("p", link("/audit", "What an auditor sees of this")),
        here="/cases",
    )  # fmt: skip


def _outcome(case: Case) -> Markup:
    about = tag("span", "National id ", tag("code", case.person.national_id),
                ", asked at ", moment(case.opened), ".")  # fmt: skip
    if not case.answer.missing:
        return notice("good", tag("strong", "Everything is there."), about)
    text = tag("strong", "Something is missing; what is there stands.")
    if not any(one.reason in _NOT_YET for one in case.answer.missing):
        return notice("warn", text, about)
    later = "The registry still asks the institutions what they have, if the sandbox was started a"
    return notice("warn", text, about, f"{later} moment ago: ask again in some seconds.")


def _facts(frame: Frame, case: Case, words: Words) -> Markup:
    rows = [
        (
            frame.fact(one.concept, words.fact(one.concept)),
            _value(one.value),
            join(frame.source(one.source, one.source_name), _reduced(one)),
            moment(one.valid_at),
            link(proof_address(case, one.exchange_id), "Proof"),
        )
        for one in case.answer.evidence
    ]
    return table(("Fact", "Value", "From", "As of", "Proof"), rows, "Each from its authority")


def _reduced(fact: Fact) -> Markup | None:
    if not fact.reduced_here:
        return None
    return tag("small", " (the whole answer came; the Municipality's node took the fact)")


def _value(value: object) -> Markup:
    text = value_text(value)
    return tag("span", worded(text), class_="value" if len(text) > _SHORT else "value short")


def value_text(value: object) -> str:
    """A value for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"


def _missing(case: Case, words: Words, grant_commands: Sequence[str]) -> Markup:
    items = [_missing_item(one, words) for one in case.answer.missing]
    how: Child = None
    if grant_commands:
        how = join(
            tag("p", "The two institutions can change that: the Municipality asks for the right,"
                " the Tax Authority approves it by the number that the list shows, and the case is"
                " asked again. With revoke in the place of approve it is refused again."),
            commands(*grant_commands),
        )  # fmt: skip
    return join(tag("h2", "Missing"), tag("ul", items, class_="list"), how)


def _missing_item(one: Missing, words: Words) -> Markup:
    fixer = _FIXERS.get(one.who_can_fix, one.who_can_fix)
    return tag(
        "li",
        tag("p", tag("strong", worded(words.fact(one.concept)), class_="missing")),
        facts(
            (
                ("Why", worded(one.text)),
                ("Reason", tag("code", one.reason)),
                ("Source", tag("code", one.source) if one.source else None),
                ("Who can fix it", worded(fixer)),
            )
        ),
    )


def _withheld(case: Case) -> Markup | None:
    rows = []
    for fact in case.answer.exchanges:
        told = case.told.get(fact.exchange_id)
        if told is None:
            continue
        kept = [[tag("code", path), " "] for path in told.withheld]
        rows.append(
            (
                worded(fact.source_name or fact.source),
                _names(told.given) if told.given else "not said",
                worded(told.problem) if told.problem else kept or "nothing",
            )
        )
    if not rows:
        return None
    return join(
        tag("h2", "What did not leave the registries"),
        tag("p", "Read from the signed answers themselves: their headers name what the registry's"
            " system had answered and its node kept back."),
        table(("Registry", "Given", "Withheld"), rows, "By exchange"),
    )  # fmt: skip


def _names(given: Iterable[str]) -> Markup:
    return join([[tag("code", one.rpartition("/")[2]), " "] for one in given])


def _plan(plan: Sequence[Planned], words: Words) -> Markup:
    return tag("ol", [tag("li", _step(one, words)) for one in plan])


def _step(one: Planned, words: Words) -> Markup:
    wanted = ", ".join(words.fact(concept) for concept in one.concepts)
    if not one.service:
        return tag("span", "Where the person lives decides who is asked for: ", worded(wanted))
    return tag(
        "span", tag("strong", worded(one.name or one.service)), ": ", worded(wanted), " (",
        tag("code", one.endpoint or service_name(one.service)), ")",
    )  # fmt: skip


def service_name(service: str) -> str:
    """Code and version out of a service's path form."""
    return "/".join(service.split("/")[4:])


def moment(at: datetime) -> Markup:
    utc = at.astimezone(UTC)
    return tag("time", f"{utc:%Y-%m-%d %H:%M:%S} UTC", datetime=f"{utc:%Y-%m-%dT%H:%M:%SZ}")
