"""`listMethods`, `allowedMethods` and `getOpenAPI` for those who call by REST, with GET.

Any registered client may ask. Another method than GET is the call of an ordinary service; what
stands behind the service code, and what is accepted, says nothing.

Source: metadata.md 1, 5, 6; X-Road 7.8 RestMetadataServiceHandlerImpl.java.
"""

import json
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from catalog.services import Service, ServiceType
from node.exchange.builtin import Call, RestAnswer
from node.messages.rest import RestRequestHead
from node.metadata.descriptions import Descriptions, Published
from node.metadata.methods import allowed, allowed_endpoints, rest_entry, rest_services
from trust.errors import ExchangeError
from trust.ids import GlobalGroupId, ServiceId

LIST_METHODS = "listMethods"
ALLOWED_METHODS = "allowedMethods"
GET_OPENAPI = "getOpenAPI"
_CODES = (LIST_METHODS, ALLOWED_METHODS, GET_OPENAPI)
_PARAMETER = "servicecode"
_MAX_PARAMETERS = 100
_FIELD_VALUE = re.compile(r"[\x20-\x7e]{1,200}")


@dataclass(frozen=True, slots=True)
class RestMetadata:
    """The REST metadata services of every hosted client."""

    descriptions: Descriptions

    @property
    def type(self) -> ServiceType:
        return ServiceType.REST

    def takes(self, call: Call) -> bool:
        return call.is_rest("GET", *_CODES)

    def check_access(self, call: Call) -> None:
        """Every client that may call at all may call these."""

    async def answer(self, call: Call) -> RestAnswer:
        """Answer a verified call, or raise an ExchangeError with the texts of metadata.md 6."""
        head = call.head
        if head.service.service_code == GET_OPENAPI:
            published = await self.descriptions.get(_described(call, head))
            return RestAnswer(200, _headers(published), published.content)
        entries = _all(call, head) if _lists_all(head) else _allowed(call, head)
        body = json.dumps({"service": entries}, ensure_ascii=False, separators=(",", ":"))
        return RestAnswer.json(body.encode())


def _lists_all(head: RestRequestHead) -> bool:
    return head.service.service_code == LIST_METHODS


def _all(call: Call, head: RestRequestHead) -> list[dict[str, object]]:
    conf = call.snapshot.services
    return [
        rest_entry(service, conf.endpoints(service))
        for service in rest_services(conf, head.provider)
    ]


def _allowed(call: Call, head: RestRequestHead) -> list[dict[str, object]]:
    snapshot, caller = call.snapshot, head.client
    conf = snapshot.services

    def in_group(group: GlobalGroupId) -> bool:
        return snapshot.conf.in_group(caller, group, snapshot.at)

    services = rest_services(conf, head.provider)
    return [
        rest_entry(service, allowed_endpoints(conf.endpoints(service), rules))
        for service, rules in allowed(conf, services, caller, in_group, snapshot.at)
    ]


def _described(call: Call, head: RestRequestHead) -> Service:
    wanted = ServiceId(head.provider, _service_code(head.query or ""))
    service = call.snapshot.services.service(wanted)
    if service is None:
        raise ExchangeError(f"Service not found: {wanted}")
    if service.type is not ServiceType.OPENAPI:
        raise ExchangeError(f"Invalid service type: {service.type}")
    if not service.description_url:
        raise ExchangeError(
            f"Failed reading service description from {wanted}. It has no description"
        )
    return service


def _service_code(query: str) -> str:
    """The last `serviceCode` of a query, in any case of letters."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        pairs = []
    found = [value for name, value in pairs if name.lower() == _PARAMETER]
    if not found or not found[-1]:
        raise ExchangeError("Missing serviceCode in message body", "invalid_request")
    return found[-1]


def _headers(published: Published) -> tuple[tuple[bytes, bytes], ...]:
    content_type = published.content_type or ""
    if not _FIELD_VALUE.fullmatch(content_type):
        content_type = "text/plain"
    headers = [(b"content-type", content_type.encode())]
    if published.age is not None:
        headers.append((b"age", b"%d" % published.age.total_seconds()))
        headers.append((b"warning", b'110 - "Response is Stale"'))
    return tuple(headers)
