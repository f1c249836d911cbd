"""What is kept of an exchange, and never more."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from catalog.services import ServiceType
from node.exchange.account import Account, MessageSize
from node.messages.envelope import PROXY_VERSION
from node.messages.represented_party import RepresentedParty
from node.monitoring.record import COLUMNS, OUTPUT_FIELDS, columns_of, record_of, row_values, told
from node.operate.metrics import NodeMetrics
from tests.monitoring_stage import PORTAL, sample_record
from trust.ids import ClientId, ServiceId

PROVIDER = ClientId("EX", "GOV", "7654321", "population")
METRICS = NodeMetrics(frozenset())


@dataclass
class Failed:
    code: str
    text: str
    error_id: str = "id"


def account(role: str = "provider", /, **changes: object) -> Account:
    found = Account(role, METRICS, request_in=1000, response_out=1250)
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def full(**changes: object) -> Account:
    return account(
        **{
            "client": PORTAL,
            "service_id": ServiceId(PROVIDER, "personApi"),
            "exchange_id": "b5d1f7c2-3b0a-4e0f-8a57-2f3c9a7d5e10",
            "message_id": "m1",
            "user_id": "EX60001019906",
            "issue": "case-2025/17",
            "represented_party": RepresentedParty("COM", "99"),
            "protocol_version": "1",
            "client_server": "ss1.portal.example",
            "service_server": "ss2.registry.example",
            "request_out": 1020,
            "response_in": 1240,
            "request_size": MessageSize(200, 64),
            "response_size": MessageSize(100, 440),
            "rest_method": "GET",
            "rest_path": "/persons/*",
            "service_type": ServiceType.OPENAPI,
            "status": 200,
            **changes,
        }
    )


def test_a_rest_exchange_at_the_provider() -> None:
    row = dict(zip(COLUMNS, row_values(record_of(full(), "10.0.0.12")), strict=True))
    assert told({"monitoring_data_ts": 7, **row}, OUTPUT_FIELDS) == {
        "monitoringDataTs": 7,
        "securityServerInternalIp": "10.0.0.12",
        "securityServerType": "Producer",
        "requestInTs": 1000,
        "requestOutTs": 1020,
        "responseInTs": 1240,
        "responseOutTs": 1250,
        "clientXRoadInstance": "EX",
        "clientMemberClass": "GOV",
        "clientMemberCode": "1234567",
        "clientSubsystemCode": "portal",
        "serviceXRoadInstance": "EX",
        "serviceMemberClass": "GOV",
        "serviceMemberCode": "7654321",
        "serviceSubsystemCode": "population",
        "serviceCode": "personApi",
        "restMethod": "GET",
        "restPath": "/persons/*",
        "messageId": "m1",
        "messageUserId": "EX60001019906",
        "messageIssue": "case-2025/17",
        "representedPartyClass": "COM",
        "representedPartyCode": "99",
        "messageProtocolVersion": "1",
        "clientSecurityServerAddress": "ss1.portal.example",
        "serviceSecurityServerAddress": "ss2.registry.example",
        "requestSize": 264,
        "responseSize": 540,
        "requestAttachmentCount": 0,
        "responseAttachmentCount": 0,
        "succeeded": True,
        "statusCode": 200,
        "serviceType": "OPENAPI3",
        "xRequestId": "b5d1f7c2-3b0a-4e0f-8a57-2f3c9a7d5e10",
        "xRoadVersion": PROXY_VERSION,
    }


def test_the_version_is_one_that_collectors_understand() -> None:
    """X-Road-Metrics drops paths of records whose version is no row of numbers."""
    numbers = [int(part) for part in record_of(full(), "").x_road_version.split(".")]
    assert numbers >= [7, 6, 2]


def test_sizes_of_soap_messages_count_attachments_apart() -> None:
    record = record_of(
        full(rest_method=None, rest_path=None, status=200, request_size=MessageSize(1000, 30, 2),
             response_size=MessageSize(1500), service_type=ServiceType.WSDL), "",
    )  # fmt: skip
    assert (record.request_size, record.request_mime_size) == (1000, 1030)
    assert (record.response_size, record.response_mime_size) == (1500, None)
    assert (record.request_attachment_count, record.response_attachment_count) == (2, 0)
    assert (record.status_code, record.service_type) == (None, "WSDL")


def test_an_exchange_that_failed_at_once_has_what_is_known() -> None:
    early = account("consumer", failure=Failed("client.invalid_soap", "What is this?"))
    early.response_out = None
    record = record_of(early, "10.0.0.1")
    assert (record.server_type, record.succeeded) == ("Client", False)
    assert (record.fault_code, record.fault_string) == ("client.invalid_soap", "What is this?")
    assert record.response_out_ts == record.request_in_ts == 1000
    known = {"internal_ip", "server_type", "request_in_ts", "response_out_ts", "succeeded",
             "fault_code", "fault_string", "x_road_version"}  # fmt: skip
    for name in set(COLUMNS) - known:
        assert getattr(record, name) is None, name


@pytest.mark.parametrize(
    ("changes", "succeeded"),
    [
        ({}, True),
        ({"status": 399}, True),
        ({"status": 404}, False),
        ({"status": 599}, False),
        ({"failure": Failed("x", "y")}, False),
        ({"abandoned": True}, False),
        ({"status": 500, "rest_method": None}, True),
    ],
)
def test_success_is_judged_as_x_road_does(changes: dict[str, object], succeeded: bool) -> None:
    assert record_of(full(**changes), "").succeeded is succeeded


def test_long_and_strange_texts_are_cut_to_what_the_database_takes() -> None:
    record = record_of(
        full(user_id="u" * 300, issue="a\0b\udc80", failure=Failed("c" * 300, "é" * 3000)), ""
    )
    assert record.message_user_id == "u" * 255
    assert record.message_issue == "a\ufffdb?"
    assert record.fault_code == "c" * 255
    assert record.fault_string == "é" * 2048


@given(st.text(max_size=300))
def test_any_text_is_one_that_can_be_written(text: str) -> None:
    record = record_of(full(issue=text, rest_path=text), "")
    for found in (record.message_issue, record.rest_path):
        assert found is not None
        assert len(found.encode()) <= 4 * 255
        assert "\0" not in found


def test_fields_that_are_asked_for_are_read_and_no_others() -> None:
    assert columns_of(["clientMemberCode", "clientMemberClass", "messageId"]) == (
        "client", "message_id",
    )  # fmt: skip
    row = dict(zip(COLUMNS, row_values(sample_record(client="EX/GOV/1%2F2")), strict=True))
    wanted = frozenset({"clientMemberCode", "clientSubsystemCode", "restMethod"})
    assert told(row, wanted) == {"clientMemberCode": "1/2"}
    assert len(OUTPUT_FIELDS) == 40


def test_the_table_has_a_column_for_everything() -> None:
    assert {"monitoring_data_ts", *COLUMNS} == set(columns_of(OUTPUT_FIELDS))
    assert isinstance(METRICS.registry, CollectorRegistry)
