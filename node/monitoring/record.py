"""The operational record: what monitoring keeps of one exchange, and how it is told.

Source: monitoring.md 2; X-Road 7.8 OpMonitoringData.java, OperationalDataRecord.java.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Protocol

from catalog.services import ServiceType
from node.exchange.account import Account, MessageSize
from node.messages.envelope import PROXY_VERSION
from trust.ids import ClientId

CLIENT, PRODUCER = "Client", "Producer"
INTERNAL_IP = "securityServerInternalIp"
STORED_AT = "monitoringDataTs"
_LONGEST, _LONGEST_FAULT = 255, 2048  # characters; what is longer is cut
_SERVER_TYPES = {"consumer": CLIENT, "provider": PRODUCER}
_SERVICE_TYPES = {
    ServiceType.WSDL: "WSDL",
    ServiceType.REST: "REST",
    ServiceType.OPENAPI: "OPENAPI3",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationalRecord:
    """One row of `operational_record`, without the moment at which it is stored.

    Attributes:
        client, provider: in path form.
        request_in_ts: in milliseconds of the epoch, as the other three.
        rest_path: the pattern of an endpoint, never the path that was called.
        request_size: bytes of the SOAP part, or of a whole REST message.
        request_mime_size: bytes of the SOAP part with its attachments, if it has any.
        x_request_id: joins the records of both nodes.
    """

    internal_ip: str
    server_type: str
    request_in_ts: int
    request_out_ts: int | None
    response_in_ts: int | None
    response_out_ts: int
    client: str | None
    provider: str | None
    service_code: str | None
    service_version: str | None
    rest_method: str | None
    rest_path: str | None
    message_id: str | None
    message_user_id: str | None
    message_issue: str | None
    represented_party_class: str | None
    represented_party_code: str | None
    message_protocol_version: str | None
    client_server_address: str | None
    service_server_address: str | None
    request_size: int | None
    response_size: int | None
    request_mime_size: int | None
    response_mime_size: int | None
    request_attachment_count: int | None
    response_attachment_count: int | None
    succeeded: bool
    status_code: int | None
    fault_code: str | None
    fault_string: str | None
    service_type: str | None
    x_request_id: str | None
    x_road_version: str

    @property
    def duration(self) -> int:
        """Milliseconds from the request's arrival to the answer's departure."""
        return self.response_out_ts - self.request_in_ts


COLUMNS = tuple(OperationalRecord.__dataclass_fields__)
row_values: Callable[[OperationalRecord], tuple[object, ...]] = attrgetter(*COLUMNS)


def record_of(account: Account, internal_ip: str) -> OperationalRecord:
    """What is kept of an exchange that has ended."""
    service, party, failure = account.service_id, account.represented_party, account.failure
    request, response = account.request_size, account.response_size
    rest = account.rest_method is not None
    out = account.request_in if account.response_out is None else account.response_out
    return OperationalRecord(
        internal_ip=internal_ip,
        server_type=_SERVER_TYPES[account.role],
        request_in_ts=account.request_in,
        request_out_ts=account.request_out,
        response_in_ts=account.response_in,
        response_out_ts=out,
        client=None if account.client is None else _path_of(account.client),
        provider=None if service is None else _path_of(service.provider),
        service_code=None if service is None else _cut(service.service_code),
        service_version=None if service is None else _cut(service.service_version),
        rest_method=_cut(account.rest_method),
        rest_path=_cut(account.rest_path),
        message_id=_cut(_known(account.message_id)),
        message_user_id=_cut(account.user_id),
        message_issue=_cut(account.issue),
        represented_party_class=None if party is None else _cut(party.party_class),
        represented_party_code=None if party is None else _cut(party.party_code),
        message_protocol_version=_cut(account.protocol_version),
        client_server_address=_cut(account.client_server),
        service_server_address=_cut(account.service_server),
        request_size=_size(request, rest=rest),
        response_size=_size(response, rest=rest),
        request_mime_size=_mime_size(request),
        response_mime_size=_mime_size(response),
        request_attachment_count=None if request is None else request.attachments,
        response_attachment_count=None if response is None else response.attachments,
        succeeded=account.succeeded,
        status_code=account.status_code,
        fault_code=None if failure is None else _cut(failure.code),
        fault_string=None if failure is None else _cut(failure.text, _LONGEST_FAULT),
        service_type=None if account.service_type is None else _SERVICE_TYPES[account.service_type],
        x_request_id=_cut(_known(account.exchange_id)),
        x_road_version=PROXY_VERSION,
    )


def _known(text: str) -> str | None:
    """What an account has of an id; a dash while it has none."""
    return None if text == "-" else text


def _size(size: MessageSize | None, *, rest: bool) -> int | None:
    if size is None:
        return None
    return size.total if rest else size.message


def _mime_size(size: MessageSize | None) -> int | None:
    return None if size is None or not size.attachments else size.total


def _cut(text: str | None, longest: int = _LONGEST) -> str | None:
    """A text that the database takes: of bounded length, without NUL and half characters."""
    if text is None:
        return None
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text.replace("\0", "\ufffd")[:longest]


@lru_cache(4096)
def _path_of(client: ClientId) -> str:
    return client.path


@lru_cache(4096)
def _parts_of(path: str) -> tuple[str | None, ...]:
    parts = ClientId.from_header(path).parts
    return (*parts, *([None] * (4 - len(parts))))


# --- what a query is answered with ----------------------------------------------------------------

_PARTS = ("XRoadInstance", "MemberClass", "MemberCode", "SubsystemCode")
_PLAIN_FIELDS = {
    STORED_AT: "monitoring_data_ts",
    INTERNAL_IP: "internal_ip",
    "securityServerType": "server_type",
    "requestInTs": "request_in_ts",
    "requestOutTs": "request_out_ts",
    "responseInTs": "response_in_ts",
    "responseOutTs": "response_out_ts",
    "serviceCode": "service_code",
    "serviceVersion": "service_version",
    "restMethod": "rest_method",
    "restPath": "rest_path",
    "messageId": "message_id",
    "messageUserId": "message_user_id",
    "messageIssue": "message_issue",
    "representedPartyClass": "represented_party_class",
    "representedPartyCode": "represented_party_code",
    "messageProtocolVersion": "message_protocol_version",
    "clientSecurityServerAddress": "client_server_address",
    "serviceSecurityServerAddress": "service_server_address",
    "requestSize": "request_size",
    "responseSize": "response_size",
    "requestMimeSize": "request_mime_size",
    "responseMimeSize": "response_mime_size",
    "requestAttachmentCount": "request_attachment_count",
    "responseAttachmentCount": "response_attachment_count",
    "succeeded": "succeeded",
    "statusCode": "status_code",
    "faultCode": "fault_code",
    "faultString": "fault_string",
    "serviceType": "service_type",
    "xRequestId": "x_request_id",
    "xRoadVersion": "x_road_version",
}
_PARTY_FIELDS = {
    f"{wire}{part}": (column, place)
    for wire, column in (("client", "client"), ("service", "provider"))
    for place, part in enumerate(_PARTS)
}


class Row(Protocol):
    """A row by its columns."""

    def __getitem__(self, column: str, /) -> object: ...


OUTPUT_FIELDS = frozenset(_PLAIN_FIELDS) | frozenset(_PARTY_FIELDS)


def columns_of(fields: Iterable[str]) -> tuple[str, ...]:
    """The columns that some output fields are made of, each once."""
    found: dict[str, None] = {}
    for name in fields:
        plain = _PLAIN_FIELDS.get(name)
        found[plain if plain is not None else _PARTY_FIELDS[name][0]] = None
    return tuple(found)


def told(row: Row, fields: frozenset[str]) -> dict[str, object]:
    """A row as JSON: the fields that were asked for and are known."""
    found: dict[str, object] = {}
    for name, column in _PLAIN_FIELDS.items():
        if name in fields and (value := row[column]) is not None:
            found[name] = value
    for name, (column, place) in _PARTY_FIELDS.items():
        if name in fields and (path := row[column]) is not None:
            part = _parts_of(str(path))[place]
            if part is not None:
                found[name] = part
    return found
