"""What a citizen sees: who used his data, in the portal's own words."""

from collections.abc import Iterable

from catalog.central.faces.markup import Markup, link, tag, worded
from node.once.citizen.page import render_body
from scripts.ecosystem.case_page.case_view import citizen_address, full_name
from scripts.ecosystem.case_page.frame import Frame, heading
from scripts.ecosystem.case_page.used import Used
from scripts.people import Person


def citizens_page(frame: Frame, people: Iterable[Person]) -> str:
    items = [
        tag(
            "li",
            tag("p", link(citizen_address(one), worded(full_name(one)))),
            tag("p", one.national_id, class_="quiet"),
        )
        for one in people
    ]
    return frame.page(
        "Citizen",
        heading("The citizens' portal", "Whose data?"),
        tag(
            "p",
            "A citizen signs in to the portal of the Civil Registry. In this sandbox you choose who"
            " you are. The portal asks every node, by ordinary exchanges, what its own log says.",
            class_="lead",
        ),
        tag("ul", items, class_="list"),
        here="/citizens",
    )


def citizen_page(frame: Frame, person: Person, used: Used) -> str:
    """The uses of a person's data, as `node.once.citizen.page` renders them."""
    body = Markup(render_body(used.found, used.reading))  # which escapes what others said
    return frame.page(
        "Who used your data",
        tag("p", "The citizens' portal, signed in as ", worded(full_name(person)), class_="kind"),
        tag("div", body, class_="uses"),
        tag("p", link("/citizens", "Somebody else")),
        here="/citizens",
    )
