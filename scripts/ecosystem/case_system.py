"""The clerks' case system: asks its node for the facts of a case, and for what proves them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import aiohttp
import msgspec

from scripts.ecosystem.concepts import NATIONAL_ID
from scripts.ecosystem.institutions import CASES
from scripts.ecosystem.on_the_wire import Wire, read_wire
from scripts.ecosystem.system import InformationSystem
from trust.errors import MalformedMessage, NetworkFailure, SacbeError
from trust.ids import ClientId

EVIDENCE, PLAN = "/once/v1/evidence", "/once/v1/plan"
_LARGEST = 4 << 20  # bytes of an answer
_SAID = 300  # characters of a refusal that are told
T = TypeVar("T")


class NotAnswered(SacbeError):
    """The node refused, or said that it can't now.

    Attributes:
        status: as the node gave it.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Fact(msgspec.Struct, frozen=True):
    """A fact with what proves it.

    Attributes:
        receipt: path and query, on the node's port, of the exchange's receipt.
    """

    concept: str
    value: object
    source: str
    source_name: str
    valid_at: datetime
    exchange_id: str
    receipt: str
    reduced_here: bool = False

    @property
    def message_id(self) -> str:
        return next(iter(parse_qs(urlsplit(self.receipt).query).get("queryId", [""])))


class Missing(msgspec.Struct, frozen=True):
    """A fact that is not to be had, why, and who can do something about it."""

    concept: str
    reason: str
    who_can_fix: str
    text: str
    source: str = ""


class Planned(msgspec.Struct, frozen=True):
    """An exchange of the plan; without a service it depends on where the person lives."""

    stage: int
    concepts: tuple[str, ...]
    service: str = ""
    name: str = ""
    endpoint: str = ""
    fields: tuple[str, ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """What came of a case."""

    evidence: tuple[Fact, ...]
    missing: tuple[Missing, ...]
    plan: tuple[Planned, ...]
    spared: int
    catalog_version: int

    @property
    def value(self) -> Mapping[str, object]:
        """Values by concept."""
        return {fact.concept: fact.value for fact in self.evidence}

    @property
    def exchanges(self) -> tuple[Fact, ...]:
        """One fact of each exchange."""
        return tuple({fact.exchange_id: fact for fact in self.evidence}.values())


class Plan(msgspec.Struct, frozen=True):
    """What would be asked."""

    plan: tuple[Planned, ...]
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """What a clerk asks: a procedure, about whom, under which number."""

    procedure: str
    national_id: str
    case: str
    official: str

    @property
    def as_json(self) -> Mapping[str, object]:
        return {
            "procedure": self.procedure,
            "subject": {"scheme": NATIONAL_ID, "value": self.national_id},
            "case": self.case,
            "official": self.official,
        }


@dataclass(frozen=True, slots=True)
class CaseSystem:
    """Asks one node, and needs to know no other.

    Attributes:
        node: URL of the node's port for information systems.
        client: in whose name.
    """

    session: aiohttp.ClientSession
    node: str
    client: ClientId = CASES

    async def gather(self, question: Question) -> Answer:
        """The facts of a case; raises NotAnswered, NetworkFailure and MalformedMessage."""
        return decoded(await self._post(EVIDENCE, question.as_json), Answer)

    async def plan(self, question: Question) -> Plan:
        """What would be asked, without asking anybody; raises as `gather`."""
        return decoded(await self._post(PLAN, question.as_json), Plan)

    async def receipt(self, fact: Fact) -> bytes:
        """The receipt of a fact's exchange, time-stamped first if need be; raises as `gather`."""
        return await self.fetch(f"{fact.receipt}&force")

    async def response(self, fact: Fact) -> Wire:
        """The answer that the fact was taken from, as the source's node signed it."""
        system = InformationSystem(self.session, self.node)
        raw = await system.container(fact.message_id, self.client, "response")
        if raw is None:
            raise NotAnswered(404, "The node holds no container of the exchange")
        return read_wire(raw)

    async def fetch(self, target: str, headers: Mapping[str, str] | None = None) -> bytes:
        """GET from the node; raises NotAnswered and NetworkFailure."""
        return await self._ask("GET", target, headers or {})

    async def _post(self, path: str, body: Mapping[str, object]) -> bytes:
        return await self._ask("POST", path, {"X-Road-Client": self.client.path}, body)

    async def _ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Mapping[str, object] | None = None,
    ) -> bytes:
        url = self.node + target
        try:
            async with self.session.request(method, url, headers=headers, json=body) as response:
                found = await response.content.read(_LARGEST + 1)
                while len(found) <= _LARGEST and (more := await response.content.read(_LARGEST)):
                    found += more
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NetworkFailure(f"The node gave no answer: {type(error).__name__}") from error
        if len(found) > _LARGEST:
            raise MalformedMessage(f"The node's answer has more than {_LARGEST} bytes")
        if response.status != 200:
            raise NotAnswered(response.status, said(found) or f"Status {response.status}")
        return found


def decoded(raw: bytes, kind: type[T]) -> T:
    """Read JSON of a form, or raise MalformedMessage."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.MsgspecError as error:
        raise MalformedMessage(f"The node's answer is of another form: {error}") from error


def said(raw: bytes) -> str:
    """What a refusal says in words: its own text, or that of a problem document."""
    text = raw[: 16 * 1024].decode(errors="replace")
    try:
        found = msgspec.json.decode(text)
    except msgspec.MsgspecError:
        found = None
    if isinstance(found, dict):
        text = "; ".join(_words(found)) or text
    return " ".join(text.split())[:_SAID]


def _words(problem: Mapping[str, object]) -> Iterable[str]:
    for name in ("title", "detail", "message", "text"):
        value = problem.get(name)
        if isinstance(value, str) and value:
            yield value
    for each in ("problems", "errors"):
        listed = problem.get(each)
        for one in listed if isinstance(listed, list) else ():
            if isinstance(one, dict):
                yield ": ".join(str(one[name]) for name in ("field", "text") if one.get(name))
