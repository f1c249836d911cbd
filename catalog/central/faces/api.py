"""The catalog for programs: JSON under `/catalog/v1/`, described by its own OpenAPI document."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

from catalog.about import LifeState
from catalog.central.entries import CatalogService
from catalog.central.faces.openapi import describe_api
from catalog.central.faces.paging import DEFAULT_SIZE, LARGEST_SIZE, page_of
from catalog.central.faces.question import (
    Answer,
    BadQuestion,
    NotFound,
    Question,
    json_answer,
)
from catalog.central.faces.values import (
    Value,
    authority_value,
    catalog_value,
    client_value,
    concept_summary,
    concept_value,
    procedure_value,
    service_value,
    summary_value,
)
from catalog.central.faces.view import CatalogView
from catalog.central.search import CatalogPage, CatalogQuery
from catalog.meaning.vocabulary import Authority
from trust.errors import MalformedMessage

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CatalogApi:
    """Answers questions below `/v1`.

    Attributes:
        root: path by which the catalog is reached (`/catalog`).
    """

    root: str

    def answer(self, view: CatalogView, question: Question, day: date) -> Answer:
        """The answer; raises NotFound and BadQuestion."""
        kind = question.segments[1] if len(question.segments) > 1 else ""
        behind = question.behind(f"/v1/{kind}")
        if kind == "openapi.json" and not behind:
            return json_answer(describe_api(self.root))
        if kind == "search" and not behind:
            return self._found(view, question, day)
        if behind:
            return self._one(view, question, kind, behind, day)
        return self._list(view, question, kind, day)

    def _one(
        self, view: CatalogView, question: Question, kind: str, named: str, day: date
    ) -> Answer:
        vocabulary = view.catalog.vocabulary
        if kind == "services":
            service = view.service_at.get(question.identifier("/v1/services"))
            return json_answer(service_value(view, present(service), self.root, day))
        if kind == "concepts":
            concept = present(vocabulary.concept.get(named))
            return json_answer(concept_value(view, concept, self.root, day))
        if kind == "procedures":
            procedure = present(vocabulary.procedure.get(named))
            return json_answer(procedure_value(view, procedure, day))
        raise NotFound

    def _list(self, view: CatalogView, question: Question, kind: str, day: date) -> Answer:
        vocabulary = view.catalog.vocabulary
        if kind == "services":
            return self._services(view, question, view.catalog.services)
        if kind == "concepts":
            return self._listed(
                view, question, vocabulary.concepts, lambda one: concept_summary(one, self.root)
            )
        if kind == "procedures":
            return self._listed(
                view,
                question,
                vocabulary.procedures,
                lambda one: procedure_value(view, one, day),
            )
        if kind == "authorities":
            return self._listed(view, question, _authorities(view, day), authority_value)
        if kind == "members":
            return self._listed(view, question, view.members, lambda one: client_value(view, one))
        raise NotFound

    def _services(
        self, view: CatalogView, question: Question, services: Sequence[CatalogService]
    ) -> Answer:
        state = question.text("state")
        if state:
            if state not in {one.value for one in LifeState}:
                raise BadQuestion(f"'state' must be one of {', '.join(LifeState)}")
            services = [one for one in services if one.about.life.state == state]
        return self._listed(
            view, question, services, lambda one: summary_value(view, one, self.root)
        )

    def _found(self, view: CatalogView, question: Question, day: date) -> Answer:
        found = search(view, question, day)
        return json_answer(
            {
                "catalog": catalog_value(view.catalog),
                "total": found.total,
                "page": found.page,
                "pages": found.pages,
                "items": [summary_value(view, hit.service, self.root) for hit in found.hits],
            }
        )

    def _listed(
        self,
        view: CatalogView,
        question: Question,
        everything: Sequence[T],
        told: Callable[[T], Value],
    ) -> Answer:
        page = page_of(everything, question)
        return json_answer(
            {
                "catalog": catalog_value(view.catalog),
                "total": page.total,
                "page": page.number,
                "pages": page.last,
                "items": [told(one) for one in page.items],
            }
        )


def search(view: CatalogView, question: Question, day: date) -> CatalogPage:
    """What a search by text, fact, purpose and institution finds; raises BadQuestion."""
    try:
        query = CatalogQuery(
            text=question.text("q"),
            concept=question.text("concept"),
            purpose=question.text("purpose"),
            keyword=question.text("keyword"),
            member=question.text("member"),
            territory=question.text("territory"),
            drafts=question.wish("drafts"),
            withdrawn=question.wish("withdrawn"),
            page=question.number("page", 1),
            size=question.number("size", DEFAULT_SIZE, LARGEST_SIZE),
        )
    except MalformedMessage as error:
        raise BadQuestion(error.text) from error
    return view.index.search(query, day)


def present(found: T | None) -> T:
    """What was looked up; raises NotFound."""
    if found is None:
        raise NotFound
    return found


def _authorities(view: CatalogView, day: date) -> Sequence[Authority]:
    """Those of the day, and those to come."""
    return [
        authority
        for authorities in view.authority_of.values()
        for authority in authorities
        if authority.valid_until is None or day < authority.valid_until
    ]
