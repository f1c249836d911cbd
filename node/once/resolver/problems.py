"""Errors of the API as problem documents (RFC 9457), each with all that is wrong."""

from collections.abc import Iterable

from aiohttp import web

from catalog.fields.json_text import build_json
from node.exchange.respond import respond_bytes
from node.once.resolver.question import Problem

CONTENT_TYPE = "application/problem+json"
_TITLES = {
    400: "The request can't be answered",
    401: "Nobody knows this client",
    403: "This client may not do that",
    404: "There is no such thing",
    405: "There is no such method",
    409: "That is not possible now",
    413: "The request is too large",
    500: "The node failed",
    503: "Not now",
}


class Refused(Exception):
    """Why there is no answer: a status and what to tell.

    Attributes:
        headers: of the answer, beside its content type.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        problems: tuple[Problem, ...] = (),
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail
        self.problems, self.headers = problems, headers


async def tell_refused(request: web.BaseRequest, refused: Refused) -> web.StreamResponse:
    document = {
        "type": "about:blank",
        "title": _TITLES[refused.status],
        "status": refused.status,
        "detail": refused.detail,
        "errors": list(_errors(refused.problems)),
    }
    headers = (("Content-Type", CONTENT_TYPE), *refused.headers)
    return await respond_bytes(request, refused.status, headers, build_json(document))


def _errors(problems: Iterable[Problem]) -> Iterable[object]:
    for one in problems:
        yield {"field": one.field, "reason": one.reason.value, "text": one.text}
