"""The page of one service: how it stands, whose it is, what it answers, how it is called."""

from catalog.central.entries import Availability, CatalogService
from catalog.central.faces.concept_page import territory
from catalog.central.faces.curl import example_call
from catalog.central.faces.layout import (
    Desk,
    and_more,
    heading,
    html_answer,
    life_mark,
    life_notice,
)
from catalog.central.faces.markup import (
    Child,
    Markup,
    address,
    email,
    facts,
    join,
    link,
    name,
    phone,
    table,
    tag,
    worded,
)
from catalog.central.faces.question import Answer
from catalog.central.faces.view import title_of
from catalog.mapping import EndpointMapping, FixedParameter, Rule, View
from catalog.meaning.vocabulary import EVERYWHERE
from catalog.services import ServiceType

_TYPES = {
    ServiceType.REST: "REST, not described",
    ServiceType.OPENAPI: "REST, described by OpenAPI",
    ServiceType.WSDL: "SOAP, described by WSDL",
}
_MOST_ENDPOINTS = 100
_MOST_FIELDS = 500  # rows of one endpoint


def service_page(desk: Desk, service: CatalogService) -> Answer:
    about = service.about
    return html_answer(
        desk,
        title_of(service),
        heading("Service", [worded(name(title_of(service))), " ", life_mark(about.life)]),
        life_notice(about.life, desk.day),
        _unheard_notice(service),
        about.description and tag("p", worded(about.description), class_="lead"),
        _who_and_how(desk, service),
        _plain_notice(service),
        _authority(desk, service),
        tag("h2", "What it answers"),
        _answers(desk, service),
        tag("p", link(description_address(desk, service), "Description of its operations")),
        tag("h2", "How it is called"),
        _call(service),
    )


def description_address(desk: Desk, service: CatalogService) -> str:
    return f"{desk.root}/descriptions/{service.id.path}"


def _who_and_how(desk: Desk, service: CatalogService) -> Markup:
    about = service.about
    return facts(
        [
            ("Identifier", tag("code", service.id.colons, class_="id")),
            ("Offered by", desk.client(service.id.provider)),
            ("Kind", _TYPES[service.type]),
            ("Contact", _contact(service)),
            ("Terms of use", about.terms and address(about.terms)),
            ("About", about.territory and worded(name(about.territory))),
            ("Keywords", about.keywords and worded(name(", ".join(about.keywords[:50])))),
            ("Made after", _template(desk, service)),
            ("Availability", _availability(service.availability)),
        ]
    )


def _contact(service: CatalogService) -> Markup | None:
    contact = service.about.contact
    ways = [
        contact.name and worded(name(contact.name)),
        contact.email and email(contact.email),
        contact.phone and phone(contact.phone),
        contact.url and address(contact.url),
    ]
    known = [way for way in ways if way]
    return join([(tag("br") if at else None, way) for at, way in enumerate(known)]) or None


def _template(desk: Desk, service: CatalogService) -> Markup | None:
    uri = service.about.template
    if not uri:
        return None
    known = [one for one in desk.view.catalog.vocabulary.templates if one.uri == uri]
    if not known:
        return tag("code", name(uri))
    described = known[0].description
    return join(desk.words(known[0].labels, uri), " ", described and address(described))


def _availability(known: Availability | None) -> str | None:
    if known is None:
        return None
    if not known.calls:
        return f"no calls since {known.since:%Y-%m-%d}"
    share = 100 * known.answered / known.calls
    told = f"{share:.1f} %" if known.answered < known.calls else "all"
    return f"{told} of {known.calls} calls were answered since {known.since:%Y-%m-%d}"


def _unheard_notice(service: CatalogService) -> Markup | None:
    if service.unheard_since is None:
        return None
    told = f"Its node has not told of it since {service.unheard_since:%Y-%m-%d %H:%M} UTC."
    more = "What stands here may be out of date."
    return tag("div", tag("p", tag("strong", told), " ", more), class_="notice warn")


def _plain_notice(service: CatalogService) -> Markup | None:
    if not service.plain:
        return None
    return tag(
        "p",
        "Its node gives whole answers only: what an asking institution must not see is taken out"
        " by that institution's own node.",
        class_="quiet",
    )


def _authority(desk: Desk, service: CatalogService) -> Child:
    authorities = [one for one in desk.view.authority_of.get(service.id, ()) if one.holds(desk.day)]
    if not authorities:
        return None
    rows = [
        (desk.concept(concept), territory(one.territory), _since(one.valid_from))
        for one in authorities
        for concept in one.concepts
    ]
    places = {one.territory for one in authorities}
    where = "" if places == {EVERYWHERE} else " in its territory"
    head = ("Fact", "Where", "Since")
    return [tag("h2", f"Authority{where} for"), table(head, rows[:_MOST_FIELDS])]


def _since(day: object) -> str:
    return str(day) if day else "the beginning"


# --- answers --------------------------------------------------------------------------------------


def _answers(desk: Desk, service: CatalogService) -> Child:
    endpoints = service.mapping.endpoints
    if not endpoints:
        told = "Nobody has said which facts stand in its answers."
        listed = [tag("code", name(one)) for one in service.endpoints]
        shown = [tag("li", one) for one in and_more(listed, len(listed))]
        return [tag("p", told), tag("ul", shown) if shown else None]
    return [_endpoint(desk, service, one) for one in endpoints[:_MOST_ENDPOINTS]]


def _endpoint(desk: Desk, service: CatalogService, endpoint: EndpointMapping) -> Markup:
    return join(
        tag("h3", endpoint_name(service, endpoint)),
        facts(
            [
                ("Asked about", _subject(endpoint)),
                ("Other parameters", _parameters(endpoint.parameters)),
            ]
        ),
        _fields(desk, endpoint),
        _views(desk, endpoint),
    )


def endpoint_name(service: CatalogService, endpoint: EndpointMapping) -> Markup:
    named = f"{endpoint.method} {endpoint.path}".strip() or service.id.service_code
    return tag("code", name(named))


def _subject(endpoint: EndpointMapping) -> Markup | None:
    subject = endpoint.subject
    if subject is None:
        return None
    return join(
        tag("code", name(subject.name)),
        f" in the {subject.place.value}: ",
        tag("code", name(subject.scheme)),
    )


def _parameters(parameters: tuple[FixedParameter, ...]) -> Markup | None:
    told = [
        join(
            tag("code", name(one.name)),
            f" in the {one.place.value}, ",
            "must be given" if one.default is None else ["otherwise ", name(one.default)],
        )
        for one in parameters
    ]
    return tag("ul", [tag("li", one) for one in and_more(told, len(told))]) if told else None


def _fields(desk: Desk, endpoint: EndpointMapping) -> Markup | None:
    rows = [
        (
            tag("code", name(one.name)),
            desk.concept(one.concept) if one.concept else None,
            one.type.value,
            tag("code", name(one.path)),
        )
        for one in endpoint.fields[:_MOST_FIELDS]
    ]
    head = ("Field", "Fact", "Value", "Where it stands")
    return table(head, rows, "Fields of the answer") if rows else None


_RULES = {
    Rule.YEARS_AT_LEAST: ("source", " lies at least ", "value", " years back"),
    Rule.BELOW: ("source", " is below ", "value"),
    Rule.AT_LEAST: ("source", " is at least ", "value"),
    Rule.EQUALS: ("source", " is ", "value"),
    Rule.ONE_OF: ("source", " is one of ", "value"),
    Rule.PRESENT: ("source", " has a value"),
    Rule.YEAR: ("the year of ", "source"),
}


def _views(desk: Desk, endpoint: EndpointMapping) -> Markup | None:
    rows = [
        (
            tag("code", name(one.name)),
            desk.concept(one.concept) if one.concept else None,
            _rule(one),
        )
        for one in endpoint.views[:_MOST_FIELDS]
    ]
    head = ("Derived fact", "Fact", "What it says")
    caption = "Derived facts, which can be had without the field that they follow from"
    return table(head, rows, caption) if rows else None


def _rule(view: View) -> str:
    value = ", ".join(view.value.split("|"))
    words = {"source": view.source, "value": value}
    return name("".join(words.get(part, part) for part in _RULES[view.rule]))


def _call(service: CatalogService) -> Child:
    endpoint = next(iter(service.mapping.endpoints), None)
    example = example_call(service, endpoint)
    return [
        tag(
            "p",
            "Through the node of the institution that asks. Its access has to be granted by the"
            " institution that offers the service.",
        ),
        tag("pre", tag("code", example)) if example else None,
    ]
