"""`GET /explain` on the operator's port: the same answer as JSON."""

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from node.once.explaining.explainer import Explainer, NothingKnown
from node.once.explaining.question import Explanation, Question
from trust.errors import MalformedMessage, StorageError
from trust.ids import ClientId, ServiceId

_MOST = 600  # parameters: 500 fields among them
_HEADERS = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class ExplainPage:
    """Answers `/explain?client=…&service=…[&method=…&path=…&purpose=…&field=…&at=…]`."""

    explainer: Explainer

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """200 with the answer, 400 for no question, 404 for a moment of which nothing is known."""
        try:
            question = parse_question(request.query_string)
            return _answer(200, explanation_json(await self.explainer.explain(question)))
        except MalformedMessage as error:
            return _problem(400, error.text)
        except NothingKnown as error:
            return _problem(404, str(error))
        except StorageError as error:
            return _problem(503, str(error))


def parse_question(query: str) -> Question:
    """Read a question from a query, or raise MalformedMessage; identifiers in colon form."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST)
        fields = tuple(value for name, value in pairs if name == "field")
        named = {name: value for name, value in pairs if name != "field"}
        at = named.pop("at", None)
        moment = None if at is None else datetime.fromisoformat(at)
        question = Question(
            client=ClientId.from_colons(named.pop("client")),
            service=ServiceId.from_colons(named.pop("service")),
            at=moment and (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment),
            method=named.pop("method", ""),
            path=named.pop("path", ""),
            purpose=named.pop("purpose", ""),
            fields=fields,
        )
    except KeyError as error:
        raise MalformedMessage(f"A parameter is missing: {error}") from error
    except ValueError as error:
        raise MalformedMessage(f"This is no question: {error}") from error
    if named:
        raise MalformedMessage(f"Unknown parameter: {next(iter(named))[:100]}")
    return question


def explanation_json(answer: Explanation) -> bytes:
    """An answer as JSON, identifiers in colon form."""
    told = msgspec.to_builtins(answer)
    told |= {"client": answer.client.colons, "service": answer.service.colons}
    return msgspec.json.format(msgspec.json.encode(told))


def _answer(status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, headers=_HEADERS)


def _problem(status: int, text: str) -> web.Response:
    return _answer(status, msgspec.json.encode({"problem": text}))
