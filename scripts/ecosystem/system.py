"""The Municipality's own information system: calls through its node, fetches containers."""

import json
from dataclasses import dataclass
from urllib.parse import urlencode

import aiohttp

from scripts.ecosystem import soap
from scripts.ecosystem.institutions import BENEFITS, PEOPLE
from trust.errors import MalformedMessage, NetworkFailure
from trust.ids import ClientId, ServerId, ServiceId

_SIDES = ("server.clientproxy.", "server.serverproxy.")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a node answered to a call.

    Attributes:
        fault: the fault code without the side that raised it; empty for a service's own answer.
    """

    status: int
    fault: str
    body: bytes

    def json(self) -> object:
        """The body as JSON; None when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


def fault_key(code: str) -> str:
    """A full fault code without the side that raised it."""
    for side in _SIDES:
        if code.lower().startswith(side):
            return code[len(side) :]
    return code


@dataclass(frozen=True, slots=True)
class InformationSystem:
    """Calls one node.

    Attributes:
        node: URL of the node's port for information systems.
    """

    session: aiohttp.ClientSession
    node: str

    async def call(
        self,
        path: str,
        message_id: str,
        *,
        service: ServiceId = PEOPLE,
        client: ClientId = BENEFITS,
        body: dict[str, str] | None = None,
    ) -> Reply:
        """Call a REST service: GET, or POST with a JSON body.

        Raises NetworkFailure when the own node does not answer.
        """
        headers = {"X-Road-Client": client.path, "X-Road-Id": message_id}
        method = "GET" if body is None else "POST"
        url = f"{self.node}/r1/{service.path}{path}"
        try:
            async with self.session.request(method, url, headers=headers, json=body) as response:
                code = response.headers.get("X-Road-Error", "")
                return Reply(response.status, fault_key(code), await response.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NetworkFailure(f"{self.node} gave no answer: {type(error).__name__}") from error

    async def call_soap(
        self,
        service: ServiceId,
        message_id: str,
        content: str,
        *,
        client: ClientId = BENEFITS,
        server: ServerId | None = None,
    ) -> soap.SoapAnswer:
        """Call a SOAP service; the answer is one to these very bytes.

        Raises NetworkFailure when the own node does not answer, and MalformedMessage.
        """
        raw = soap.request(client, service, message_id, content, server)
        headers = {"Content-Type": soap.CONTENT_TYPE, "SOAPAction": '""'}
        try:
            async with self.session.post(self.node, data=raw, headers=headers) as response:
                kind, body = response.headers.get("Content-Type", ""), await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NetworkFailure(f"{self.node} gave no answer: {type(error).__name__}") from error
        answer = soap.read_answer(kind, body)
        if not answer.fault and answer.request_hash != soap.hash_of(raw):
            raise MalformedMessage("The answer is one to another request", "inconsistent_response")
        return answer

    async def container(self, message_id: str, client: ClientId, direction: str) -> bytes | None:
        """The one signed container of a message id; None when the node has none.

        Args:
            direction: `request` or `response`.
        """
        async with self.session.get(self.node + container_path(message_id, client, direction)) as r:
            answer = await r.read()
            if r.status == 404:
                return None
            if r.status != 200:
                text = answer.decode(errors="replace")
                raise NetworkFailure(f"{direction} container of {message_id}: {r.status} {text}")
            return answer

    async def receipt(self, message_id: str, client: ClientId) -> bytes:
        """The receipt of an exchange; raises NetworkFailure when there is none."""
        async with self.session.get(self.node + receipt_path(message_id, client)) as r:
            answer = await r.read()
            if r.status != 200:
                text = answer.decode(errors="replace")
                raise NetworkFailure(f"receipt of {message_id}: {r.status} {text}")
            return answer


def container_path(message_id: str, client: ClientId, direction: str) -> str:
    """Path and query of `GET /asic` for exactly one container, time-stamped first if need be."""
    return f"/asic?{_query(message_id, client)}&unique&force&{direction}Only"


def receipt_path(message_id: str, client: ClientId) -> str:
    """Path and query of `GET /receipt`, with time-stamps and a proof that the log has it."""
    return f"/receipt?{_query(message_id, client)}&force"


def _query(message_id: str, client: ClientId) -> str:
    query = {
        "queryId": message_id,
        "xRoadInstance": client.instance,
        "memberClass": client.member_class,
        "memberCode": client.member_code,
    }
    if client.subsystem_code is not None:
        query["subsystemCode"] = client.subsystem_code
    return urlencode(query)
