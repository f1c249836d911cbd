"""The catalog for people: which address shows which page."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from catalog.central.faces.api import present, search
from catalog.central.faces.concept_page import concept_page
from catalog.central.faces.description_page import Describe, description_page, outline_of
from catalog.central.faces.layout import Desk
from catalog.central.faces.member_page import member_page
from catalog.central.faces.procedure_page import procedure_page
from catalog.central.faces.question import Answer, NotFound, Question
from catalog.central.faces.service_page import service_page
from catalog.central.faces.start_page import (
    concepts_page,
    found_page,
    members_page,
    procedures_page,
    services_page,
    start_page,
)

_LISTS: Mapping[str, Callable[[Desk, Question], Answer]] = {
    "services": services_page,
    "concepts": concepts_page,
    "procedures": procedures_page,
    "members": members_page,
}


@dataclass(frozen=True, slots=True)
class CatalogPages:
    """Answers questions of people.

    Attributes:
        describe: a service's description as bytes, where there is one.
    """

    describe: Describe

    def answer(self, desk: Desk, question: Question) -> Answer:
        """The page; raises NotFound and BadQuestion."""
        if not question.path:
            return start_page(desk)
        kind = question.segments[0]
        if len(question.segments) > 1:
            return self._one(desk, question, kind)
        if kind == "search":
            return found_page(desk, question, search(desk.view, question, desk.day))
        if kind in _LISTS:
            return _LISTS[kind](desk, question)
        raise NotFound

    def _one(self, desk: Desk, question: Question, kind: str) -> Answer:
        view, vocabulary = desk.view, desk.view.catalog.vocabulary
        behind = question.identifier(f"/{kind}")
        if kind == "services":
            return service_page(desk, present(view.service_at.get(behind)))
        if kind == "descriptions":
            service = present(view.service_at.get(behind))
            return description_page(desk, service, outline_of(service, self.describe))
        if kind == "members":
            return member_page(desk, question, present(view.clients.get(behind)))
        named = question.behind(f"/{kind}")
        if kind == "concepts":
            return concept_page(desk, present(vocabulary.concept.get(named)))
        if kind == "procedures":
            return procedure_page(desk, present(vocabulary.procedure.get(named)))
        raise NotFound
