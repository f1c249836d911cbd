"""Ask other institutions for grants, and decide on what they ask for.

The commands write into the node's database; the running node tells the other one, by a signed
message, and goes on until it is taken.
"""

import argparse
import asyncio
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from catalog.declared.declared_access import quota_of
from catalog.declared.declared_services import endpoint_of
from catalog.declared.term_rules import unknown_fields
from catalog.services import BASE_ENDPOINT
from catalog.stored.store import ServiceStore
from catalog.terms import Terms
from node.log.records import Side
from node.once.granting.asked import AskedGrant, GrantState
from node.once.granting.asking import Asking
from node.once.granting.book import GrantBook
from node.once.granting.deciding import Deciding
from node.once.granting.rows import By
from node.settings import NodeSettings
from scripts.arguments import (
    Actions,
    account,
    add_action,
    add_config,
    client_id,
    moment,
    parsed_by,
    server_id,
    service_id,
    whole_number,
)
from scripts.grant_text import came_of, grant_json, grant_text, list_json, list_text
from scripts.node import load_node_settings
from scripts.node_database import node_database
from scripts.service import log_to_stderr, run_service
from trust.errors import SacbeError

Action = Callable[[NodeSettings, argparse.Namespace], Awaitable[int]]

_POLL = 0.2  # seconds
_PATIENCE = 30.0  # seconds until a running node has tried


class NotDone(SacbeError):
    """What was wanted can't be; nothing was written down."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_request(actions)
    listing = add_action(actions, "list", "where every grant stands, asked for here or of others")
    listing.add_argument("--side", choices=[side.value for side in Side], help="what this node is")
    listing.add_argument(
        "--state",
        action="append",
        choices=[state.value for state in GrantState],
        default=[],
        help="only such ones; may be given several times",
    )
    showing = _add_numbered(actions, "show", "everything that happened to one")
    for action in (listing, showing):
        action.add_argument("--json", action="store_true", help="print JSON")
    approving = _add_numbered(actions, "approve", "give the right, as asked for or narrower")
    _add_terms(approving, "as asked for")
    approving.add_argument("--reason", default="", help="told to the consumer")
    for name, meaning in (
        ("refuse", "give nothing, and tell the consumer why"),
        ("revoke", "take the right away, from the next call on"),
        ("withdraw", "want a grant no more that was asked for here"),
    ):
        _add_numbered(actions, name, meaning).add_argument(
            "--reason",
            type=_words,
            required=name != "withdraw",
            help="told to the other side",
        )
    for name, action in actions.choices.items():
        add_config(action, "node.toml")
        if name not in ("list", "show"):
            action.add_argument("--by", default=account(), help="who does it (%(default)s)")


def _add_request(actions: Actions) -> None:
    parser = add_action(actions, "request", "ask the provider of a service for a grant")
    parser.add_argument(
        "--client",
        type=client_id,
        required=True,
        help="who would get the right",
    )
    parser.add_argument(
        "--service",
        type=service_id,
        required=True,
        help="INSTANCE:CLASS:CODE:SUBSYSTEM:SERVICE",
    )
    parser.add_argument(
        "--endpoint",
        type=parsed_by(endpoint_of),
        default=BASE_ENDPOINT,
        metavar="'METHOD PATH'",
        help='the part meant, as "GET /persons/*"; the whole service without',
    )
    _add_terms(parser, "not limited")
    parser.add_argument(
        "--reason", type=_words, required=True, help="why, for the person who decides"
    )
    parser.add_argument(
        "--server",
        type=server_id,
        help="the provider's node, should it have several",
    )
    parser.add_argument("--no-wait", action="store_true", help="only write it down")


def _add_terms(parser: argparse.ArgumentParser, without: str) -> None:
    add = parser.add_argument_group(f"terms ({without} without)").add_argument
    add("--fields", nargs="+", metavar="FIELD", help="what of an answer")
    add("--purposes", nargs="+", metavar="URI", help="what for")
    add("--legal-basis", metavar="TEXT", help="needed where there are purposes")
    add("--quota", type=parsed_by(quota_of), metavar="'N per TIME'", help='as "100 per 1d"')
    add("--from", dest="begin", type=moment, metavar="MOMENT", help="the first at which it holds")
    add("--until", type=moment, metavar="MOMENT", help="the first at which it holds no more")


def _add_numbered(actions: Actions, name: str, meaning: str) -> argparse.ArgumentParser:
    parser = add_action(actions, name, meaning)
    parser.add_argument(
        "number", type=whole_number(1, 2**63 - 1), metavar="NUMBER", help="as it is listed"
    )
    return parser


def _words(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("some words are needed")
    return text


def run(arguments: argparse.Namespace) -> int:
    """Do what the arguments say: 0 done, 1 the other node did not take it, 2 not done."""
    log_to_stderr()
    settings = load_node_settings(arguments.config)
    return run_service(carry_out(settings, arguments), stopped=130)


async def carry_out(settings: NodeSettings, arguments: argparse.Namespace) -> int:
    """Do it on the node's database."""
    return await _ACTIONS[arguments.action](settings, arguments)


async def _list(settings: NodeSettings, arguments: argparse.Namespace) -> int:
    async with node_database(settings) as pool:
        book = GrantBook(pool)
        side = None if arguments.side is None else Side(arguments.side)
        grants = await book.all(side=side, states=[GrantState(one) for one in arguments.state])
        telling = await book.telling([grant.number for grant in grants])
    now = datetime.now(UTC)
    print(list_json(grants, telling) if arguments.json else list_text(grants, telling, now))
    return 0


async def _show(settings: NodeSettings, arguments: argparse.Namespace) -> int:
    async with node_database(settings) as pool:
        book, number = GrantBook(pool), arguments.number
        grant, steps = await book.find(number), await book.steps(number)
        telling = (await book.telling([number])).get(number)
    told = grant_json if arguments.json else grant_text
    print(told(grant, steps, telling))
    return 0


async def _request(settings: NodeSettings, arguments: argparse.Namespace) -> int:
    asked = AskedGrant(
        uuid.uuid4(),
        arguments.client,
        arguments.service,
        _terms(Terms(), arguments),
        arguments.endpoint,
        arguments.reason,
    )
    _check_end(asked.terms)
    async with node_database(settings) as pool:
        if not (await ServiceStore(pool).load()).hosts(asked.client):
            raise NotDone(f"{asked.client.colons} is no registered client of this node")
        asking = Asking(pool, settings.server)
        number = await asking.ask(asked, _by(arguments), arguments.server)
        print(f"Grant {number}: asked of {asked.service.provider.colons}")
        return 0 if arguments.no_wait else await _until_told(GrantBook(pool), number)


async def _until_told(book: GrantBook, number: int) -> int:
    """Wait until a running node has tried to tell the other one, and say what came of it."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        telling = (await book.telling([number])).get(number)
        if telling is None:
            grant = await book.find(number)  # as that left it
            print(came_of(grant))
            return 1 if grant.state is GrantState.NOT_TAKEN else 0
        if telling.problem or time.monotonic() > deadline:
            print(
                f"Not told yet: {telling.problem or 'no running node has tried'}", file=sys.stderr
            )
            print("A running node goes on; see: sacbe grant list", file=sys.stderr)
            return 0
        await asyncio.sleep(_POLL)


async def _approve(settings: NodeSettings, arguments: argparse.Namespace) -> int:
    async with node_database(settings) as pool:
        grant = await GrantBook(pool).find(arguments.number)
        terms = _terms(grant.asked.terms, arguments)
        if grant.state is GrantState.WAITING:
            _check_end(terms)
        service = grant.asked.service
        hosted = (await ServiceStore(pool).load()).hosted(service.provider)
        services = () if hosted is None else hosted.services
        mappings = [one.mapping for one in services if one.id.service_code == service.service_code]
        if problems := [*unknown_fields(terms, mappings)]:
            raise NotDone("; ".join(f"{one.found}, expected {one.expected}" for one in problems))
        by, reason = _by(arguments), arguments.reason
        given = await Deciding(pool).approve(arguments.number, by, terms, reason)
    print(came_of(given))
    return 0


async def _end(settings: NodeSettings, arguments: argparse.Namespace) -> int:
    number, reason = arguments.number, arguments.reason or ""
    async with node_database(settings) as pool:
        match arguments.action:
            case "refuse":
                await Deciding(pool).refuse(number, _by(arguments), reason)
            case "revoke":
                await Deciding(pool).revoke(number, _by(arguments), reason)
            case _:
                await Asking(pool, settings.server).withdraw(number, _by(arguments), reason)
        print(came_of(await GrantBook(pool).find(number)))
    return 0


_ACTIONS: Mapping[str, Action] = {
    "request": _request,
    "list": _list,
    "show": _show,
    "approve": _approve,
    "refuse": _end,
    "revoke": _end,
    "withdraw": _end,
}


def _check_end(terms: Terms) -> None:
    """No right is over before it is given; raises NotDone."""
    if terms.valid_until is not None and terms.valid_until <= datetime.now(UTC):
        raise NotDone(f"until: {terms.valid_until.isoformat()} is past, the right would never hold")


def _by(arguments: argparse.Namespace) -> By:
    return By(arguments.by, datetime.now(UTC))


def _terms(terms: Terms, arguments: argparse.Namespace) -> Terms:
    """Terms with what the options say in the place of what was there."""
    given = {
        "fields": arguments.fields and tuple(dict.fromkeys(arguments.fields)),
        "purposes": arguments.purposes and tuple(dict.fromkeys(arguments.purposes)),
        "legal_basis": arguments.legal_basis,
        "quota": arguments.quota,
        "valid_from": arguments.begin,
        "valid_until": arguments.until,
    }
    return replace(terms, **{name: value for name, value in given.items() if value is not None})
