"""What the resolver answers, as JSON; `openapi` describes it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import urlencode

from catalog.central.entries import Catalog
from node.once.resolver.json_values import read_json
from node.once.resolver.planning.plan import Plan, PlannedExchange
from node.once.resolver.planning.reasons import Missing, Reason
from node.once.resolver.question import Question
from node.once.resolver.sources.asking import Evidence
from node.once.resolver.sources.gathering import Outcome
from node.once.resolver.spared import Papers, SparedCount
from trust.errors import StorageError
from trust.ids import ClientId, ServiceId

_PARTS = ("xRoadInstance", "memberClass", "memberCode", "subsystemCode")
Json = dict[str, object]


def plan_as_json(plan: Plan, catalog: Catalog) -> list[object]:
    """The exchanges of a plan, those at the end that the subject's territory decides."""
    found: list[object] = [_exchange(one, catalog) for one in plan.exchanges]
    if plan.deferred:
        found.append(
            {
                "stage": len(plan.stages) + 1,
                "depends_on": catalog.vocabulary.territory_concept,
                "concepts": list(plan.deferred),
            }
        )
    return found


def _exchange(exchange: PlannedExchange, catalog: Catalog) -> Json:
    service, endpoint = exchange.service, exchange.endpoint
    return {
        "stage": exchange.stage + 1,
        "service": service.id.path,
        "name": _name(service.id, catalog),
        "endpoint": f"{endpoint.method} {endpoint.path}".strip(),
        "scheme": exchange.scheme,
        "concepts": list(exchange.concepts),
        "fields": list(exchange.names),
        "alternates": [one.path for one in exchange.alternates],
        "plain": service.plain,
    }


def _name(service: ServiceId, catalog: Catalog) -> str:
    names = catalog.name_of
    return names.get(service.provider) or names.get(service.provider.member) or ""


def missing_as_json(missing: Iterable[Missing]) -> list[object]:
    return [
        {
            "concept": one.concept,
            "reason": one.reason.value,
            "who_can_fix": one.who_can_fix.value,
            "text": one.text,
            **({} if one.service is None else {"source": one.service.path}),
        }
        for one in missing
    ]


def evidence_as_json(evidence: Evidence, client: ClientId, catalog: Catalog) -> Json:
    return {
        "concept": evidence.concept,
        "value": evidence.value,
        "source": evidence.service.path,
        "source_name": _name(evidence.service, catalog),
        "valid_at": time_as_json(evidence.valid_at),
        "exchange_id": evidence.exchange_id,
        "receipt": _receipt(evidence, client),
        "reduced_here": evidence.reduced_here,
    }


def _receipt(evidence: Evidence, client: ClientId) -> str:
    """Where on this port the receipt of the exchange is had (`node.receipts_page`)."""
    named = {"queryId": evidence.message_id, "exchangeId": evidence.exchange_id}
    return f"/receipt?{urlencode(dict(zip(_PARTS, client.parts, strict=False)) | named)}"


def time_as_json(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def outcome_as_json(outcome: Outcome, client: ClientId, catalog: Catalog) -> Json:
    return {
        "evidence": [evidence_as_json(one, client, catalog) for one in outcome.evidence],
        "missing": missing_as_json(outcome.missing),
        "plan": plan_as_json(outcome.plan, catalog),
        "spared": outcome.spared,
        "catalog_version": catalog.version,
    }


# --- previews -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Held:
    """What a preview keeps: an answer, with what it is about and what counts as one submission."""

    subject: Json
    intent: Json
    answer: Json
    papers: Papers

    @classmethod
    def of(cls, question: Question, answer: Json, papers: Papers) -> "Held":
        intent = question.intent
        return cls(
            {"scheme": question.scheme, "value": question.value},
            {
                "procedure": intent.procedure,
                "purpose": intent.purpose,
                "legal_basis": intent.legal_basis,
                "case": intent.case,
            },
            answer,
            papers,
        )

    @classmethod
    def read(cls, raw: bytes) -> "Held":
        """What `as_json` gave; raises StorageError for anything else."""
        found = read_json(raw, "A preview")
        match found:
            case {
                "subject": dict(subject),
                "intent": dict(intent),
                "answer": dict(answer),
                "papers": dict(papers),
            }:
                return cls(
                    subject, intent, answer, {uri: frozenset(each) for uri, each in papers.items()}
                )
        raise StorageError("A preview does not hold what it should")

    @property
    def as_json(self) -> Json:
        return {
            "subject": self.subject,
            "intent": self.intent,
            "answer": self.answer,
            "papers": {uri: sorted(facts) for uri, facts in self.papers.items()},
        }

    @property
    def evidence(self) -> list[Json]:
        found = self.answer.get("evidence")
        if not isinstance(found, list):
            raise StorageError("A preview does not hold what it should")
        return found

    @property
    def concepts(self) -> tuple[str, ...]:
        return tuple(str(one["concept"]) for one in self.evidence)

    def only(self, confirmed: Iterable[str]) -> "Held":
        """What is left when the citizen has confirmed these facts alone."""
        chosen = frozenset(confirmed)
        kept = [one for one in self.evidence if one["concept"] in chosen]
        refused = [
            Missing(concept, Reason.NOT_CONFIRMED)
            for concept in self.concepts
            if concept not in chosen
        ]
        missing = self.answer.get("missing")
        others = missing if isinstance(missing, list) else []
        said = {"evidence": kept, "missing": [*others, *missing_as_json(refused)]}
        left = replace(self, answer=self.answer | said)
        return replace(left, answer=left.answer | {"spared": sum(left.spared.values())})

    @property
    def spared(self) -> Mapping[str, int]:
        """Submissions that were spared, by exchange id."""
        count = SparedCount(self.papers)
        found: dict[str, int] = {}
        for one in self.evidence:
            more = count.delivered(str(one["source"]), (str(one["concept"]),))
            exchange = str(one["exchange_id"])
            found[exchange] = found.get(exchange, 0) + more
        return found
