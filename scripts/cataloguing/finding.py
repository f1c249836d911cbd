"""`sacbe catalog search` and `show`: in the registry's newest version, or in what a node keeps."""

import argparse
import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

from catalog.central.entries import Catalog, CatalogService
from catalog.central.search import CatalogHit, CatalogQuery, SearchIndex, state_on
from catalog.mapping import EndpointMapping
from catalog.meaning.words import label_of
from scripts.arguments import Actions, add_action, service_id, whole_number
from scripts.cataloguing.opened import load_central, node_catalog, registry_catalog

_TEXTS = {
    "concept": "URI of a fact, or its label in any language",
    "purpose": "URI or label: what procedures for it need",
    "keyword": "a keyword of the service",
    "member": "GOV:1001, an id, or words of a name",
    "territory": "code of a territory",
}


def add_finding(actions: Actions) -> None:
    """Declare the actions and their options."""
    search = add_action(actions, "search", "find services by what they know and are called")
    search.add_argument("text", nargs="*", metavar="WORD", help="all of them must be met")
    for name, meaning in _TEXTS.items():
        search.add_argument(f"--{name}", default="", metavar="TEXT", help=meaning)
    search.add_argument("--drafts", action="store_true", help="services in the making, too")
    search.add_argument("--withdrawn", action="store_true", help="services of the past, too")
    for name, most, default in (("page", 10_000, 1), ("size", 200, 20)):
        search.add_argument(
            f"--{name}", type=whole_number(1, most), default=default, metavar="N",
            help="default %(default)d",
        )  # fmt: skip
    show = add_action(actions, "show", "show what is known of a service")
    show.add_argument("service", type=service_id, metavar="SERVICE", help="its id")
    for parser in (search, show):
        parser.add_argument("--language", default="en", metavar="TAG", help="default %(default)s")
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("--config", type=Path, metavar="FILE", help="registry.toml")
        source.add_argument(
            "--node-config", type=Path, metavar="FILE", help="node.toml: the catalog at that node"
        )


def tell_finding(arguments: argparse.Namespace) -> int:
    """Do what the arguments say; 1 when nothing is found."""
    if arguments.node_config is not None:
        catalog = node_catalog(arguments.node_config)
    else:
        catalog = asyncio.run(registry_catalog(load_central(arguments.config)))
    today = datetime.now(UTC).date()
    if arguments.action == "show":
        return _show(catalog, arguments, today)
    return _search(catalog, arguments, today)


def _search(catalog: Catalog, arguments: argparse.Namespace, today: date) -> int:
    query = CatalogQuery(
        text=" ".join(arguments.text),
        drafts=arguments.drafts,
        withdrawn=arguments.withdrawn,
        page=arguments.page,
        size=arguments.size,
        **{name: getattr(arguments, name) for name in _TEXTS},
    )
    page = SearchIndex(catalog).search(query, today)
    for hit in page.hits:
        print(_hit_line(hit))
        for uri in hit.concepts:
            print(f"    {_named(catalog, uri, arguments.language)}")
    made = f"catalog version {catalog.version} of {catalog.made_at:%Y-%m-%d %H:%M}Z"
    count = "1 service" if page.total == 1 else f"{page.total} services"
    if query.page > page.pages:
        count += f", none on page {query.page}"
    print(f"{count}, page {page.page} of {page.pages}, {made}")
    return 0 if page.total else 1


def _hit_line(hit: CatalogHit) -> str:
    state = "" if hit.state == "published" else f"  ({hit.state})"
    return f"{hit.service.id.colons}  {hit.service.title}".rstrip() + state


def _named(catalog: Catalog, uri: str, language: str) -> str:
    concept = catalog.vocabulary.concept.get(uri)
    return uri if concept is None else f"{label_of(concept.labels, language)}  <{uri}>"


def _show(catalog: Catalog, arguments: argparse.Namespace, today: date) -> int:
    found = catalog.service.get(arguments.service)
    if found is None:
        print(f"There is no {arguments.service.colons} in version {catalog.version}")
        return 1
    for line in _lines(catalog, found, arguments.language, today):
        print(line)
    return 0


def _lines(catalog: Catalog, found: CatalogService, language: str, today: date) -> Iterator[str]:
    provider, about = found.id.provider, found.about
    life, seen = about.life, found.availability
    names = [catalog.name_of.get(one, "") for one in (provider.member, provider)]
    unheard = found.unheard_since
    told = {
        "title": found.title,
        "type": found.type.value,
        "offered by": ", ".join(dict.fromkeys(filter(None, names))),
        "state": str(state_on(found, today)) + (f" until {life.ends}" if life.ends else ""),
        "followed by": life.successor,
        "about": about.description,
        "contact": str(about.contact),
        "conditions": about.terms,
        "keywords": ", ".join(about.keywords),
        "territory": about.territory,
        "terms": "not known to its node: answers come whole" if found.plain else "",
        "answered": f"{seen.answered} of {seen.calls} calls since {seen.since:%Y-%m-%d}Z"
        if seen
        else "",
        "silent": f"since {unheard:%Y-%m-%d %H:%M}Z" if unheard else "",
    }
    yield found.id.colons
    yield from (f"  {name:<12}{text}" for name, text in told.items() if text)
    yield from (f"  endpoint    {one}" for one in found.endpoints)
    for endpoint in found.mapping.endpoints:
        yield from _facts(catalog, endpoint, language)


def _facts(catalog: Catalog, endpoint: EndpointMapping, language: str) -> Iterator[str]:
    subject = endpoint.subject
    where = f"{endpoint.method} {endpoint.path}".strip() or "answer"
    yield f"  {where}" + (f", by {subject.name}: {subject.scheme}" if subject else "")
    for field in endpoint.fields:
        meaning = _named(catalog, field.concept, language) if field.concept else "no meaning given"
        yield f"    {field.name}  {field.path}  {field.type}  {meaning}"
    for view in endpoint.views:
        meaning = _named(catalog, view.concept, language) if view.concept else "no meaning given"
        yield f"    {view.name}  {view.source} {view.rule} {view.value}".rstrip() + f"  {meaning}"
