"""The page of one institution, or of one of its systems: what it offers and knows."""

from catalog.central.faces.layout import Desk, heading, html_answer, service_item, steps
from catalog.central.faces.markup import Child, facts, name, tag, worded
from catalog.central.faces.paging import page_of
from catalog.central.faces.question import Answer, Question
from trust.ids import ClientId


def member_page(desk: Desk, question: Question, client: ClientId) -> Answer:
    services = desk.view.services_of.get(client, ())
    page = page_of(services, question)
    kind = "Institution" if client.subsystem_code is None else "System of an institution"
    return html_answer(
        desk,
        desk.view.full_name(client),
        heading(kind, worded(name(desk.view.full_name(client)))),
        facts(
            [
                ("Identifier", tag("code", client.colons, class_="id")),
                ("Institution", client.subsystem_code and desk.client(client.member)),
                ("Systems", _systems(desk, client)),
            ]
        ),
        tag("h2", f"Services ({len(services)})"),
        tag("ul", [service_item(desk, one) for one in page.items], class_="list")
        if page.items
        else tag("p", "It offers nothing in the catalog."),
        steps(page, question, f"{desk.root}/members/{client.path}"),
        tag("h2", "Authority for"),
        _authority_for(desk, client),
    )


def _systems(desk: Desk, client: ClientId) -> Child:
    """The systems of an institution; nothing for one of them."""
    own = [one for one in desk.view.clients.values() if one.member == client and one != client]
    if not own:
        return None
    items = [(desk.client(one), " ", tag("code", name(one.subsystem_code or ""))) for one in own]
    return tag("ul", [tag("li", item) for item in items[:100]])


def _authority_for(desk: Desk, client: ClientId) -> Child:
    concepts = {
        concept: None
        for service in desk.view.services_of.get(client, ())
        for authority in desk.view.authority_of.get(service.id, ())
        if authority.holds(desk.day)
        for concept in authority.concepts
    }
    if not concepts:
        return tag("p", "It is the authority for no fact.")
    items = [tag("li", desk.concept(one)) for one in list(concepts)[:200]]
    return tag("ul", items)
