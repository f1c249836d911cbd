"""What nodes tell, as it may stand on screens, in pages, lines and exports: nothing in it acts.

Others read these texts on terminals, where control characters do things. Letters stay as they are;
the rest becomes a space, and identifiers that hold any are not taken at all.
"""

from dataclasses import replace

from catalog.about import About, Contact
from catalog.central.entries import CatalogService
from trust.ids import suspicious


def one_line(text: str) -> str:
    """A text on one line."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def some_lines(text: str) -> str:
    """A text that keeps its lines."""
    return "\n".join(map(one_line, text.splitlines()))


def is_clean(service: CatalogService) -> bool:
    """Whether the identifier of a service can be shown."""
    parts = service.id.parts
    return not suspicious(parts) and all(map(str.isprintable, parts))


def cleaned(service: CatalogService) -> CatalogService:
    """A service as it was told, with texts that can be shown."""
    return replace(
        service,
        title=one_line(service.title),
        about=_about(service.about),
        endpoints=tuple(one for one in service.endpoints if one.isprintable()),
    )


def _about(about: About) -> About:
    contact = about.contact
    return About(
        description=some_lines(about.description),
        life=replace(about.life, successor=one_line(about.life.successor)),
        contact=Contact(*map(one_line, (contact.name, contact.email, contact.phone, contact.url))),
        terms=some_lines(about.terms),
        keywords=tuple(map(one_line, about.keywords)),
        territory=one_line(about.territory),
        template=one_line(about.template),
    )
