"""What becomes of evidence that a citizen confirms first.

The system that asked gets a token and hands it, with the id of the preview, to the citizen's
portal; the portal shows what is there and says what may be handed on; then the system that asked
fetches that, once. Whoever looks has the token in `Once-Preview-Token`: without it there is no
evidence, in the database or anywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from catalog.fields.json_text import build_json
from node.once.resolver.json_values import read_json
from node.once.resolver.problems import Refused
from node.once.resolver.question import Problem, Wrong
from node.once.resolver.waiting.preview_token import PreviewToken
from node.once.resolver.waiting.previews import NoPreview, Preview, Previews
from node.once.resolver.wire import Held, Json, time_as_json
from trust.errors import MalformedMessage
from trust.ids import ClientId

TOKEN_HEADER = "Once-Preview-Token"  # noqa: S105 - the name of a header


@dataclass(frozen=True, slots=True)
class PreviewPages:
    """Answers what is asked about previews.

    Attributes:
        portals: clients that speak with citizens; where there is none, who asked does. Where there
            are, who asked sees nothing before a citizen confirmed it, and confirms nothing.
    """

    previews: Previews
    portals: frozenset[ClientId]

    async def keep(self, client: ClientId, held: Held) -> Json:
        """Keep what was found for a client; what it gets instead of the values."""
        kept, token = await self.previews.keep(client, build_json(held.as_json))
        return {
            "preview": {
                "id": kept.id,
                "token": token.text,
                "expires_at": time_as_json(kept.expires_at),
            },
            "found": list(held.concepts),
            "missing": held.answer["missing"],
            "plan": held.answer["plan"],
        }

    async def answer(
        self, request: web.BaseRequest, caller: ClientId, preview: str, action: str, body: bytes
    ) -> Json:
        """Do what is asked; raises NoPreview, Refused, StorageError."""
        token = _token(request)
        seen = await self.previews.open(preview, token)
        meant = {seen.client} if action == "evidence" else self.portals or {seen.client}
        if caller not in meant:
            raise NoPreview
        held = Held.read(seen.content)
        match action:
            case "":
                return _shown(seen, held)
            case "confirm":
                return await self._confirm(seen, token, held, body)
            case "reject":
                await self.previews.reject(seen)
                return {"rejected": True}
            case "evidence":
                return await self._fetch(seen, held)
        raise Refused(404, "There is nothing at this address; see /once/v1/openapi.json")

    async def _confirm(self, seen: Preview, token: PreviewToken, held: Held, body: bytes) -> Json:
        chosen = _chosen(body, held)
        left = held.only(chosen)
        await self.previews.confirm(seen, token, build_json(left.as_json))
        return {"confirmed": list(left.concepts)}

    async def _fetch(self, seen: Preview, held: Held) -> Json:
        if not seen.confirmed:
            raise Refused(409, "The citizen has not confirmed it yet")
        await self.previews.fetch(seen, held.spared)
        return held.answer


def _token(request: web.BaseRequest) -> PreviewToken:
    said = request.headers.getall(TOKEN_HEADER, [])
    if len(said) != 1:
        raise Refused(401, f"The header {TOKEN_HEADER} must be there once")
    try:
        return PreviewToken.parse(said[0])
    except MalformedMessage as error:
        raise NoPreview from error


def _shown(seen: Preview, held: Held) -> Json:
    """What the citizen sees; the subject is there for the portal to compare."""
    return {
        "preview": {
            "id": seen.id,
            "expires_at": time_as_json(seen.expires_at),
            "confirmed": seen.confirmed,
        },
        "client": seen.client.path,
        "subject": held.subject,
        **held.intent,
        "evidence": held.answer["evidence"],
        "missing": held.answer["missing"],
    }


def _chosen(body: bytes, held: Held) -> list[str]:
    """The concepts that a citizen confirms; all of them must be there."""
    try:
        said = read_json(body, "The request")
    except MalformedMessage as error:
        raise _wrong("", Wrong.INVALID, error.text) from error
    chosen = said.get("concepts") if isinstance(said, Mapping) else None
    if not isinstance(chosen, list) or not all(isinstance(one, str) for one in chosen):
        raise _wrong("concepts", Wrong.INVALID, "must be a list of concepts")
    for place, one in enumerate(chosen):
        if one not in held.concepts:
            raise _wrong(f"concepts/{place}", Wrong.UNKNOWN, "is not in this preview")
    return [str(one) for one in chosen]


def _wrong(place: str, reason: Wrong, text: str) -> Refused:
    return Refused(400, "Every problem is in errors", (Problem(place, reason, text),))
