"""Who we are for the other service: API keys, passwords, and tokens of OAuth 2.

Secrets are read from their files, stand in no text and no representation, and are read again after
the service has refused one, so a rotated secret needs no restart.
"""

import asyncio
import base64
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol
from urllib.parse import quote_plus, urlencode

from adapters.jsontext import parse_json
from adapters.operations import SourceTimeout, SourceUnavailable
from adapters.rest.client import UpstreamClient
from adapters.rest.settings import (
    BasicSettings,
    KeySettings,
    OauthSettings,
    UpstreamSettings,
    UpstreamTls,
)
from adapters.rest.tls import recognise
from trust.errors import ConfigurationError, ConfigurationProblem
from trust.secrets import read_secret

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,16384}")  # RFC 6750 2.1
_MAX_TOKEN_ANSWER = 64 * 1024
_PAUSE = 2.0  # seconds after a failure in which nobody asks the token endpoint again
_MAX_LIFETIME = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Proof:
    """What is added to a request; never shown."""

    headers: tuple[tuple[str, str], ...] = ()
    query: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return "Proof(…)"


class Credentials(Protocol):
    """What proves who we are."""

    async def proof(self) -> Proof:
        """For one request; raises SourceTimeout or SourceUnavailable."""

    def refused(self, proof: Proof) -> None:
        """The service did not take a proof: get another one for the next request."""

    @property
    def counts(self) -> dict[str, int]:
        """How often a token was fetched, by how it ended."""

    async def close(self) -> None: ...


class Fixed:
    """The same proof for every request, made from a secret."""

    counts: dict[str, int] = {}  # noqa: RUF012 - never written

    def __init__(self, settings: KeySettings | BasicSettings | None) -> None:
        self._settings = settings
        self._proof = _fixed_proof(settings)

    async def proof(self) -> Proof:
        return self._proof

    def refused(self, proof: Proof) -> None:
        try:
            self._proof = _fixed_proof(self._settings)
        except ConfigurationError:
            return  # the file is being replaced; the old secret is as good as none

    async def close(self) -> None:
        """Nothing is open."""


def _fixed_proof(settings: KeySettings | BasicSettings | None) -> Proof:
    match settings:
        case KeySettings():
            secret = _text_of(settings.file)
            pair = (settings.name, settings.prefix + secret)
            return Proof((pair,)) if settings.at == "header" else Proof((), (pair,))
        case BasicSettings():
            both = f"{settings.user}:{_text_of(settings.password_file)}".encode()
            return Proof((("Authorization", f"Basic {base64.b64encode(both).decode()}"),))
        case _:
            return Proof()


def _text_of(path: Path) -> str:
    """A secret as text that can stand in a header; raises ConfigurationError."""
    try:
        text = read_secret(path).decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if not text.isprintable() or not text:
        problem = ConfigurationProblem(str(path), 0, "bytes that are no text", "one line of text")
        raise ConfigurationError([problem])
    return text


class ClientCredentials:
    """OAuth 2 client credentials (RFC 6749 4.4): one token for all, fetched once at a time."""

    def __init__(self, settings: OauthSettings, tls: UpstreamTls) -> None:
        """Raises ConfigurationError for files that can't be read."""
        self._settings = settings
        self._secret = _text_of(settings.secret_file)
        self._client = UpstreamClient(
            settings.token_url,
            recognise(tls),
            connect=settings.timeout,
            within=settings.timeout,
            max_answer=_MAX_TOKEN_ANSWER,
        )
        self._loop = asyncio.get_running_loop()
        self._token = ""
        self._ends = 0.0  # time of the loop
        self._fetching: asyncio.Task[None] | None = None
        self._failed_at = float("-inf")
        self._failure = ""
        self.counts = {"fetched": 0, "failed": 0}

    async def proof(self) -> Proof:
        left = self._ends - self._loop.time()
        if left <= self._settings.renew.total_seconds():
            try:
                await self._renew()
            except (SourceUnavailable, SourceTimeout):
                if self._ends <= self._loop.time():
                    raise  # else the old one is good for a while
        return self._proof()

    def _proof(self) -> Proof:
        return Proof((("Authorization", f"Bearer {self._token}"),))

    def refused(self, proof: Proof) -> None:
        if proof == self._proof():  # else another one has taken its place already
            self._ends = 0.0

    async def _renew(self) -> None:
        """Fetch a token, or wait for the one that is being fetched."""
        if self._loop.time() - self._failed_at < _PAUSE:
            raise SourceUnavailable(self._failure)
        if self._fetching is None:
            self._fetching = self._loop.create_task(self._fetch())
            self._fetching.add_done_callback(self._fetched)
        await asyncio.shield(self._fetching)

    def _fetched(self, task: "asyncio.Task[None]") -> None:
        self._fetching = None
        error = None if task.cancelled() else task.exception()
        self.counts["failed" if error or task.cancelled() else "fetched"] += 1
        if error is not None:
            self._failed_at, self._failure = self._loop.time(), str(error)

    async def _fetch(self) -> None:
        settings = self._settings
        self._secret = await asyncio.to_thread(_reread, settings.secret_file, self._secret)
        form = {"grant_type": "client_credentials", **settings.parameters}
        if settings.scope:
            form["scope"] = settings.scope
        headers = [
            ("Accept", "application/json"),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ]
        if settings.send == "body":
            form |= {"client_id": settings.client_id, "client_secret": self._secret}
        else:  # RFC 6749 2.3.1: both are form-encoded before they are joined
            both = f"{quote_plus(settings.client_id)}:{quote_plus(self._secret)}".encode()
            headers.append(("Authorization", f"Basic {base64.b64encode(both).decode()}"))
        try:
            answer = await self._client.ask(
                "POST", "", headers=tuple(headers), body=urlencode(form).encode()
            )
        except SourceTimeout:
            raise SourceUnavailable("the token endpoint did not answer in time") from None
        except SourceUnavailable as error:
            raise SourceUnavailable(f"no token: {error}") from None
        if answer.status != 200:
            raise SourceUnavailable(f"the token endpoint answered with status {answer.status}")
        self._take(answer.body)

    def _take(self, body: bytes) -> None:
        """Read a token answer (RFC 6749 5.1); raises SourceUnavailable."""
        try:
            found = parse_json(body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise SourceUnavailable("the token endpoint answered no JSON object")
        token, kind = found.get("access_token"), found.get("token_type", "")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise SourceUnavailable("the token endpoint answered without a token")
        if not isinstance(kind, str) or kind.lower() != "bearer":
            raise SourceUnavailable("the token endpoint answered a token that is no bearer token")
        self._token = token
        self._ends = self._loop.time() + self._lifetime(found.get("expires_in"))

    def _lifetime(self, given: object) -> float:
        if isinstance(given, str) and given.isascii() and given.isdecimal() and len(given) < 10:
            given = int(given)  # some endpoints write it as a text
        if isinstance(given, bool) or not isinstance(given, int) or given < 0:
            return self._settings.lifetime.total_seconds()
        return min(float(given), _MAX_LIFETIME.total_seconds())

    async def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])
        await self._client.close()


def _reread(path: Path, known: str) -> str:
    try:
        return _text_of(path)
    except ConfigurationError:
        return known  # the file is being replaced


def open_credentials(upstream: UpstreamSettings) -> Credentials:
    """What the settings say; raises ConfigurationError for files that can't be read."""
    if upstream.oauth is not None:
        return ClientCredentials(upstream.oauth, upstream.oauth.tls or upstream.tls)
    return Fixed(upstream.key or upstream.basic)
