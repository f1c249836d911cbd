"""`GET /once/v1/usage`: a citizen's portal asks its own node who used somebody's data, anywhere.

    /once/v1/usage?scheme=…&value=…[&since=…][&until=…][&as=page]
    /once/v1/usage/openapi.json

The portal names itself in `X-Road-Client`, who sits at it in `X-Road-UserId`, and in
`X-Road-Represented-Party` in whose name that is, as it does in every exchange. The answer is JSON,
or with `as=page` a page for people. It is 200 whatever the other nodes did: who did not answer
stands in it.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from aiohttp import web

from catalog.central.entries import CatalogNow
from node.exchange.clients import SpeakingClient
from node.exchange.own_call import OwnAnswer, OwnCall, OwnRequest
from node.exchange.snapshot import Snapshots
from node.messages.represented_party import RepresentedParty
from node.once.citizen.collected import Asked, Collected
from node.once.citizen.everywhere import Everywhere, Question
from node.once.citizen.names import MemberNames, Words
from node.once.citizen.page import PAGE_HEADERS, Reading, render_usage
from node.once.citizen.portal_description import build_portal_description
from node.once.citizen.questions import BEGINNING, END, BadQuestion, code, moment, parameters
from node.once.citizen.settings import CitizenSettings
from node.once.citizen.told import Usage
from trust.errors import MalformedMessage, SacbeError, UnknownMember, UntrustedPeer
from trust.ids import ClientId

USAGE_PATH = "/once/v1/usage"
DESCRIPTION_PATH = f"{USAGE_PATH}/openapi.json"
USAGE_PATHS = frozenset({USAGE_PATH, DESCRIPTION_PATH})
_LOG = logging.getLogger(__name__)
_KNOWN = frozenset({"scheme", "value", "since", "until", "as"})
_HEADERS = (("Content-Type", "application/json"), ("Cache-Control", "no-store"))


class Refused(Exception):
    """Why there is no answer: a status and what to tell."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Asker(Protocol):
    """The consumer's side of this node."""

    def speaking(self, http: web.BaseRequest, client: ClientId) -> SpeakingClient:
        """The client that a system speaks for; raises UnknownMember, UntrustedPeer."""

    async def ask_for(self, client: SpeakingClient, call: OwnCall) -> OwnAnswer:
        """Ask another node for it; raises PeerFault."""


@dataclass(frozen=True, slots=True)
class CitizenPortal:
    """Answers the portals of this node."""

    settings: CitizenSettings
    everywhere: Everywhere
    snapshots: Snapshots
    catalog: CatalogNow
    consumer: Asker

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; every failure has its status and a line of text."""
        try:
            if request.method != "GET":
                raise Refused(405, "Only GET is answered")
            if request.path == DESCRIPTION_PATH:
                return _json(msgspec.json.encode(build_portal_description(USAGE_PATH)))
            speaking = self._portal(request)
            question, as_page = self._question(request, speaking.id)

            async def ask(own: OwnRequest) -> OwnAnswer:
                return await self.consumer.ask_for(speaking, OwnCall(own))

            found = await self.everywhere.find(question, ask)
            reading = self._reading(found)
        except Refused as error:
            return web.Response(status=error.status, text=str(error))
        except BadQuestion as error:
            return web.Response(status=400, text=str(error))
        except SacbeError as error:
            _LOG.warning("GET %s: %s", USAGE_PATH, error)
            return web.Response(status=503, text=str(error), headers={"Retry-After": "5"})
        if as_page:
            return web.Response(body=render_usage(found, reading).encode(), headers=PAGE_HEADERS)
        return _json(build_answer(found, reading))

    def _question(self, request: web.BaseRequest, portal: ClientId) -> tuple[Question, bool]:
        asked = parameters(request.rel_url.raw_query_string)
        if unknown := asked.keys() - _KNOWN:
            raise BadQuestion(f"There is no parameter {min(unknown)[:50]!r}")
        if asked.get("as", "") not in ("", "page"):
            raise BadQuestion("as can only be page")
        self._check_scheme(asked.get("scheme", ""))
        question = Question(
            portal,
            code("value", asked.get("value", "")),
            code("X-Road-UserId", _header(request, "X-Road-UserId")),
            _party(_header(request, "X-Road-Represented-Party")),
            moment("since", asked.get("since", ""), BEGINNING),
            moment("until", asked.get("until", ""), END),
        )
        return question, asked.get("as") == "page"

    def _portal(self, request: web.BaseRequest) -> SpeakingClient:
        """Which client asks, if it is one that may; raises Refused, GlobalConfOutdated."""
        try:
            client = ClientId.from_header(_header(request, "X-Road-Client"))
        except MalformedMessage:
            raise Refused(401, "The header X-Road-Client must say who asks") from None
        try:
            speaking = self.consumer.speaking(request, client)
        except (UnknownMember, UntrustedPeer) as error:
            raise Refused(401, error.text) from error
        if client not in self.settings.portal.clients:
            raise Refused(403, f"Client '{client}' is no citizens' portal")
        return speaking

    def _check_scheme(self, scheme: str) -> None:
        """The protocol sends identifiers of one scheme without naming it."""
        ours = self.settings.tracker.scheme
        same = {one.scheme for one in self.settings.aliases if one.same_as == ours}
        if scheme not in {ours, *same}:
            raise BadQuestion(f"scheme must be {ours}")

    def _reading(self, found: Collected) -> Reading:
        snapshot = self.snapshots.take()
        clients = {one.source.client for one in found.asked} | set(_givers(found))
        names = MemberNames.among(snapshot.conf, clients, snapshot.at)
        return Reading(Words.of(self.catalog(), self.settings.language), names)


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, headers=_HEADERS)


def _givers(found: Collected) -> Iterable[ClientId]:
    """The clients behind the services that uses name, where these can be read."""
    for _, usage in found.usages:
        try:
            yield ClientId.from_header(usage.source.rpartition("/")[0])
        except MalformedMessage:
            continue


def _header(request: web.BaseRequest, name: str) -> str:
    """What a header says; empty without one. Raises BadQuestion when it is there twice."""
    said = request.headers.getall(name, [])
    if len(said) > 1:
        raise BadQuestion(f"The header {name} is there twice")
    return said[0] if said else ""


def _party(value: str) -> str:
    """The header as it came, if others can read it."""
    try:
        if value:
            RepresentedParty.from_header(value)
    except MalformedMessage as error:
        raise BadQuestion("X-Road-Represented-Party must be a code, or class/code") from error
    return value if value.isprintable() else code("X-Road-Represented-Party", value)


def build_answer(found: Collected, reading: Reading) -> bytes:
    """The answer as JSON."""
    return msgspec.json.encode(
        {
            "usages": [_usage(source, usage, reading) for source, usage in found.usages],
            "moreUsages": found.more,
            "sealedUsages": found.sealed,
            "complete": found.complete,
            "sources": [_source(one, reading.names) for one in found.asked],
        }
    )


def _usage(source: ClientId, usage: Usage, reading: Reading) -> dict[str, Any]:
    words = reading.words
    told: dict[str, Any] = msgspec.to_builtins(usage)
    told["toldBy"] = source.path
    told["purposeName"] = words.purpose(usage.purpose)
    told["procedureName"] = words.procedure(usage.procedure)
    told["factNames"] = [words.fact(fact) for fact in usage.facts]
    return told


def _source(asked: Asked, names: MemberNames) -> dict[str, Any]:
    client = asked.source.client
    return {
        "client": client.path,
        "server": asked.source.server.path,
        "memberName": names.member(client),
        "standing": asked.standing.value,
        "reason": asked.reason,
        "totalUsages": 0 if asked.told is None else asked.told.total,
    }
