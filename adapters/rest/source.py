"""Another REST service, asked for every call; what it answers becomes what was declared."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from adapters.jsontext import parse_json, parse_pointer, told, value_at
from adapters.operations import (
    BadParameter,
    Caller,
    Content,
    NotThere,
    Operation,
    SourceTimeout,
    SourceUnavailable,
    UpstreamRefused,
)
from adapters.rest.answer import UnfitAnswer, read_answer
from adapters.rest.client import AnswerTooLong, Response, UpstreamClient
from adapters.rest.credentials import Credentials, open_credentials
from adapters.rest.description import routes_of
from adapters.rest.request import build_request
from adapters.rest.route import Route, route_of
from adapters.rest.settings import ErrorSettings, RestSettings
from adapters.rest.tls import recognise
from adapters.shapes import Document
from adapters.values import read_values
from trust.errors import SacbeError

log = logging.getLogger("sacbe.adapter")

_UNFIT = "the source answered something else than it should"
_MAX_TOLD = 500  # characters of a service's own sentence
_KEPT_HEADERS = ("content-disposition", "etag", "last-modified")
_PROBE_SECONDS = 2.0  # between two requests for the health path
_REMEMBERED = 30.0  # seconds for which a failure counts as the state of the service


class RestSource:
    """The operations of one other service; `open_rest` makes it."""

    def __init__(
        self,
        settings: RestSettings,
        routes: Sequence[Route],
        client: UpstreamClient,
        credentials: Credentials,
    ) -> None:
        self.operations = tuple(route.operation for route in routes)
        self._settings = settings
        self._routes = {route.operation.name: route for route in routes}
        self._client = client
        self._credentials = credentials
        self._errors = _Errors(settings.errors)
        self._answers: Counter[tuple[str, str]] = Counter()
        self._failure = ""
        self._failed_at = 0.0
        self._probed: str | None = None
        self._probed_at = float("-inf")

    async def run(
        self, operation: Operation, values: Mapping[str, object], caller: Caller
    ) -> object:
        route = self._routes[operation.name]
        asked = build_request(route, values)
        try:
            proof = await self._credentials.proof()
            answer = await self._client.ask(
                asked.method,
                asked.path,
                query=asked.query + proof.query,
                headers=(
                    *_constant(asked.body is not None, isinstance(operation.answer, Document)),
                    *self._settings.headers.constant.items(),
                    *self._passed_on(caller),
                    *asked.headers,
                    *proof.headers,
                ),
                body=asked.body,
            )
        except AnswerTooLong as error:
            self._count(route, "unfit")
            log.warning("operation '%s': %s", operation.name, error)
            raise UpstreamRefused(502, _UNFIT) from None
        except (SourceUnavailable, SourceTimeout) as error:
            self._count(route, "timeout" if isinstance(error, SourceTimeout) else "unreachable")
            self._failure, self._failed_at = str(error), asyncio.get_running_loop().time()
            raise
        self._failure = ""
        self._count(route, f"{answer.status // 100}xx")
        if answer.status == 401:
            self._credentials.refused(proof)
        if not 200 <= answer.status < 300:
            self._errors.refuse(route, answer)
        return self._read(route, answer)

    def _passed_on(self, caller: Caller) -> Iterator[tuple[str, str]]:
        wanted = {name.lower() for name in self._settings.headers.passed_on}
        return ((name, value) for name, value in caller.headers if name.lower() in wanted)

    def _read(self, route: Route, answer: Response) -> object:
        """What callers get; raises UpstreamRefused for an answer that is not as declared."""
        operation = route.operation
        try:
            if "content-encoding" in answer.headers:
                raise UnfitAnswer("header Content-Encoding", "an encoding", "none")
            if isinstance(operation.answer, Document):
                return _content(answer)
            return read_answer(route, self._document(answer), answer.headers)
        except UnfitAnswer as error:
            self._count(route, "unfit")
            log.warning("operation '%s': the answer is not as declared: %s", operation.name, error)
            raise UpstreamRefused(502, _UNFIT) from None

    def _document(self, answer: Response) -> object:
        if not answer.body:
            return None
        if not (answer.media_type == "application/json" or answer.media_type.endswith("+json")):
            raise UnfitAnswer("header Content-Type", "another media type", "application/json")
        try:
            return parse_json(answer.body, self._settings.upstream.depth)
        except (ValueError, RecursionError) as error:
            raise UnfitAnswer("", f"no JSON: {told(error)}", "JSON") from None

    def _count(self, route: Route, outcome: str) -> None:
        self._answers[route.operation.name, outcome] += 1

    async def problem(self) -> str | None:
        """What the health path says, else what the last call met with."""
        path = self._settings.upstream.health
        if path:
            return await self._health(path)
        if self._failure:
            recent = asyncio.get_running_loop().time() - self._failed_at < _REMEMBERED
            return self._failure if recent else None
        return None

    async def _health(self, path: str) -> str | None:
        """What the health path says, asked once in a while however often we are."""
        now = asyncio.get_running_loop().time()
        if now - self._probed_at >= _PROBE_SECONDS:
            self._probed = await self._probe(path)
            self._probed_at = asyncio.get_running_loop().time()
        return self._probed

    async def _probe(self, path: str) -> str | None:
        try:
            proof = await self._credentials.proof()
            answer = await self._client.ask(
                "GET", path, query=proof.query, headers=(*_constant(False, False), *proof.headers)
            )
        except (SourceUnavailable, SourceTimeout) as error:
            return str(error)
        if not 200 <= answer.status < 300:
            return f"the service answered its health path with status {answer.status}"
        return None

    async def check(self) -> Sequence[str]:
        """Ask every GET operation whose parameters all have examples, and tell what fails."""
        found = [problem for problem in [await self.problem()] if problem is not None]
        for operation in self.operations:
            if self._routes[operation.name].method != "GET":
                continue
            needed = [one for one in operation.inputs if one.required]
            missing = [one.name for one in needed if one.example is None]
            if missing:
                names = ", ".join(missing)
                log.info("operation '%s' was not tried: no example of %s", operation.name, names)
                continue
            given = {one.name: one.example for one in needed}
            try:
                await self.run(operation, read_values(operation, given), Caller())
            except NotThere:
                continue
            except (BadParameter, SourceTimeout, SacbeError) as error:
                found.append(f"operation '{operation.name}': {error}")
        return found

    def metrics(self) -> Iterator[Metric]:
        """Answers by operation and outcome, connections, tokens."""
        answers = CounterMetricFamily(
            "sacbe_adapter_upstream_answers",
            "Answers of the service by operation and outcome",
            labels=["operation", "outcome"],
        )
        for (operation, outcome), count in sorted(self._answers.items()):
            answers.add_metric([operation, outcome], count)
        yield answers
        yield GaugeMetricFamily(
            "sacbe_adapter_upstream_connections",
            "Connections to the service that are in use",
            value=self._client.in_use,
        )
        tokens = CounterMetricFamily(
            "sacbe_adapter_tokens", "Tokens that were asked for, by outcome", labels=["outcome"]
        )
        for outcome, count in self._credentials.counts.items():
            tokens.add_metric([outcome], count)
        yield tokens

    async def close(self) -> None:
        await self._credentials.close()
        await self._client.close()


def _constant(has_body: bool, any_type: bool) -> list[tuple[str, str]]:
    headers = [
        ("Accept", "*/*" if any_type else "application/json"),
        ("Accept-Encoding", "identity"),
        ("User-Agent", "sacbe-adapter"),
    ]
    return [*headers, ("Content-Type", "application/json")] if has_body else headers


def _content(answer: Response) -> Content:
    kept = tuple((name, answer.headers[name]) for name in _KEPT_HEADERS if name in answer.headers)
    media_type = answer.media_type or "application/octet-stream"
    return Content(media_type, answer.body, len(answer.body), kept)


class _Errors:
    """What callers are told of a status that is no success."""

    def __init__(self, settings: ErrorSettings) -> None:
        self._text = parse_pointer(settings.text) if settings.text else None
        self._code = parse_pointer(settings.code) if settings.code else None

    def refuse(self, route: Route, answer: Response) -> None:
        """Raise what the status means."""
        status = answer.status
        if status in route.missing:
            raise NotThere("there is nothing that fits")
        text, code = self._words(answer)
        if status in (408, 504):
            raise SourceTimeout(f"the service answered with status {status}")
        if status in (429, 503):
            raise SourceUnavailable(f"the service answered with status {status}")
        if status in (400, 422):
            raise UpstreamRefused(400, text or "the source does not take these values", code)
        if status == 409:
            raise UpstreamRefused(409, text or "the source says that this conflicts", code)
        log.warning(
            "operation '%s': the service answered with status %d", route.operation.name, status
        )
        if status in (401, 403, 407):
            raise UpstreamRefused(502, "the source does not let this adapter in")
        if status < 400:
            raise UpstreamRefused(502, "the source answered with a redirect")
        raise UpstreamRefused(502, text or "the source could not do it", code)

    def _words(self, answer: Response) -> tuple[str, str]:
        """The service's own sentence and code, where they were declared and are there."""
        if self._text is None and self._code is None:
            return "", ""
        try:
            document = parse_json(answer.body)
        except (ValueError, RecursionError):
            return "", ""
        return _word(document, self._text), _word(document, self._code)


def _word(document: object, steps: tuple[str, ...] | None) -> str:
    found = value_at(document, steps) if steps is not None else None
    text = str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""
    return "".join(letter for letter in text[:_MAX_TOLD] if letter.isprintable())


async def open_rest(settings: RestSettings) -> RestSource:
    """Read descriptions and secrets; the service itself is asked by the first call.

    Raises ConfigurationError for files that can't be used.
    """
    routes = [route_of(one) for one in settings.operation]
    if settings.from_openapi is not None:
        routes += routes_of(settings.from_openapi.file, settings.from_openapi.operations)
    upstream = settings.upstream
    client = UpstreamClient(
        upstream.url,
        recognise(upstream.tls),
        connect=upstream.connect_timeout,
        within=upstream.timeout,
        connections=upstream.connections,
        retries=upstream.retries,
        max_answer=int(upstream.answer),
    )
    return RestSource(settings, routes, client, open_credentials(upstream))
