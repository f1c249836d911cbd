"""What the catalog says as plain values for JSON. The schemas are in `openapi`."""

from collections.abc import Mapping
from datetime import date

from catalog.about import About
from catalog.central.entries import Catalog, CatalogService
from catalog.central.faces.coverage import FactSources, Need, Source, needs_of, sources_of
from catalog.central.faces.view import CatalogView, title_of, uri_segment
from catalog.mapping import EndpointMapping
from catalog.meaning.vocabulary import Authority, Concept, Procedure
from trust.ids import ClientId

Value = Mapping[str, object]


def catalog_value(catalog: Catalog) -> Value:
    """Which version an answer is from."""
    return {
        "instance": catalog.instance,
        "version": catalog.version,
        "made_at": catalog.made_at.isoformat(),
    }


def client_value(view: CatalogView, client: ClientId) -> Value:
    return {"id": client.path, "name": view.full_name(client)}


def summary_value(view: CatalogView, service: CatalogService, root: str) -> Value:
    """A service in a list."""
    return {
        "id": service.id.path,
        "href": f"{root}/v1/services/{service.id.path}",
        "title": title_of(service),
        "description": service.about.description,
        "type": service.type.value,
        "provider": client_value(view, service.id.provider),
        "state": service.about.life.state.value,
        "keywords": list(service.about.keywords),
        "territory": service.about.territory,
    }


def service_value(view: CatalogView, service: CatalogService, root: str, day: date) -> Value:
    """All that is known of a service."""
    used = service.availability
    return {
        **summary_value(view, service, root),
        "service_code": service.id.service_code,
        "service_version": service.id.service_version,
        **_about_value(service.about, day),
        "plain": service.plain,
        "endpoints": list(service.endpoints),
        "answers": [_endpoint_value(one) for one in service.mapping.endpoints],
        "authority_for": [
            authority_value(authority) for authority in view.authority_of.get(service.id, ())
        ],
        "description_digest": service.description_digest or None,
        "availability": used
        and {"since": used.since.isoformat(), "calls": used.calls, "answered": used.answered},
        "unheard_since": service.unheard_since and service.unheard_since.isoformat(),
        "page": f"{root}/services/{service.id.path}",
    }


def _about_value(about: About, day: date) -> Value:
    life, contact = about.life, about.contact
    return {
        "life": {
            "state": life.state.value,
            "ends": life.ends and life.ends.isoformat(),
            "successor": life.successor,
            "usable": life.usable(day),
        },
        "contact": {
            "name": contact.name,
            "email": contact.email,
            "phone": contact.phone,
            "url": contact.url,
        },
        "terms": about.terms,
        "template": about.template or None,
    }


def _endpoint_value(endpoint: EndpointMapping) -> Value:
    subject = endpoint.subject
    return {
        "method": endpoint.method,
        "path": endpoint.path,
        "subject": subject
        and {"name": subject.name, "scheme": subject.scheme, "place": subject.place.value},
        "parameters": [
            {"name": one.name, "place": one.place.value, "default": one.default}
            for one in endpoint.parameters
        ],
        "fields": [
            {"name": one.name, "path": one.path, "concept": one.concept, "type": one.type.value}
            for one in endpoint.fields
        ],
        "derived": [
            {
                "name": one.name,
                "source": one.source,
                "rule": one.rule.value,
                "value": one.value,
                "concept": one.concept,
            }
            for one in endpoint.views
        ],
    }


def authority_value(authority: Authority) -> Value:
    return {
        "concepts": list(authority.concepts),
        "service": authority.service.path,
        "alternates": [one.path for one in authority.alternates],
        "territory": authority.territory,
        "valid_from": authority.valid_from and authority.valid_from.isoformat(),
        "valid_until": authority.valid_until and authority.valid_until.isoformat(),
    }


def concept_summary(concept: Concept, root: str) -> Value:
    """A concept in a list."""
    return {
        "uri": concept.uri,
        "href": f"{root}/v1/concepts/{uri_segment(concept.uri)}",
        "labels": dict(concept.labels),
        "type": concept.type.value,
        "definition": concept.definition,
        "sensitivity": concept.sensitivity.value,
        "identifies": concept.identifies or None,
    }


def concept_value(view: CatalogView, concept: Concept, root: str, day: date) -> Value:
    """A concept, who counts for it and who has it."""
    authorities = view.catalog.vocabulary.authorities_of.get(concept.uri, ())
    return {
        **concept_summary(concept, root),
        "authorities": [authority_value(one) for one in authorities],
        "sources": [_source_value(one) for one in sources_of(view, concept.uri, day)],
        "services": [
            {
                "service": one.service.id.path,
                "method": one.endpoint.method,
                "endpoint": one.endpoint.path,
                "name": one.name,
                "path": one.path or None,
                "rule": one.rule or None,
            }
            for one in view.holdings(concept.uri)
        ],
        "procedures": [one.uri for one in view.procedures_with.get(concept.uri, ())],
    }


def _source_value(source: Source) -> Value:
    return {
        "service": source.id.path,
        "territory": source.authority.territory,
        "lack": source.lack and source.lack.value,
    }


def procedure_value(view: CatalogView, procedure: Procedure, day: date) -> Value:
    """A procedure with its requirements, and where their facts are had."""
    purpose = view.catalog.vocabulary.purpose.get(procedure.purpose)
    needs = needs_of(view, procedure, day)
    return {
        "uri": procedure.uri,
        "labels": dict(procedure.labels),
        "purpose": procedure.purpose,
        "legal_basis": purpose.legal_basis if purpose else "",
        "offered_by": [client_value(view, one) for one in procedure.offered_by],
        "can_be_met": all(need.can_be_met for need in needs),
        "requirements": [_need_value(need) for need in needs],
    }


def _need_value(need: Need) -> Value:
    return {
        "uri": need.requirement.uri,
        "labels": dict(need.requirement.labels),
        "can_be_met": need.can_be_met,
        "facts": [_fact_value(fact) for fact in need.facts],
        "alternatives": [
            {
                "evidence_type": proof.evidence_type.uri,
                "labels": dict(proof.evidence_type.labels),
                "can_be_had": proof.can_be_had,
                "facts": [_fact_value(fact) for fact in proof.facts],
            }
            for proof in need.proofs
        ],
        "missing": [fact.concept for fact in need.missing],
    }


def _fact_value(fact: FactSources) -> Value:
    return {
        "concept": fact.concept,
        "can_be_had": fact.can_be_had,
        "sources": [_source_value(source) for source in fact.sources],
    }
