"""SOAP requests that the node writes itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.messages.fault import parse_envelope
from node.messages.intent import Intent, intent_of
from node.messages.soap import BODY, SoapMessage, parse_soap
from node.messages.soap_request import RequestHeader, build_body, build_soap_request
from tests.instance import CONSUMER, PROVIDER
from trust.errors import MalformedMessage
from trust.ids import ServiceId

SERVICE = ServiceId(PROVIDER, "get", "v&1")
_texts = st.text(alphabet="aé<&\"'>]ш", max_size=8)


@given(_texts, _texts, _texts, st.sampled_from(["", "9", "C%2FD/9"]))
def test_what_is_written_is_read_again(
    purpose: str, case: str, official: str, mandate: str
) -> None:
    intent = Intent(purpose, "basis", "", ("a", "b"), case, official, mandate)
    header = RequestHeader(CONSUMER, SERVICE, "id<1", intent)
    message = parse_soap(build_soap_request(header, "<get/>"), "text/xml")
    assert isinstance(message, SoapMessage)
    assert (message.client, message.service, message.message_id) == (CONSUMER, SERVICE, "id<1")
    read = intent_of(message)
    assert (read.purpose, read.case, read.official) == (purpose, case, official)
    assert read.fields == ("a", "b")
    assert read.mandate == mandate.replace("%2F", "/")


@pytest.mark.parametrize("qualified", [True, False])
def test_the_body_has_the_values_at_their_paths(qualified: bool) -> None:
    values = {"/get/person/id": "a<&\"'b", "/get/year": "2025", "/get/person/kind": "x"}
    body = build_body(values, "urn:n&s", qualified=qualified)
    raw = build_soap_request(RequestHeader(CONSUMER, ServiceId(PROVIDER, "get"), "1"), body)
    found = parse_envelope(raw).find(BODY)
    assert found is not None
    inner = "{urn:n&s}" if qualified else ""
    texts = {
        path: found.findtext(
            "/".join(("{urn:n&s}get", *(inner + one for one in path.split("/")[2:])))
        )
        for path in values
    }
    assert texts == values


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"/get/a": "1", "/put/a": "1"},
        {"/get/a": "1", "/get/a/b": "2"},
        {"/get/a/b": "1", "/get/a": "2"},
        {"/get/a b": "1"},
        {"/get/<a>": "1"},
        {"/" + "/".join("a" * 21): "1"},
        {"/get/a": "\x00"},
    ],
)
def test_what_makes_no_body_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(MalformedMessage):
        build_body(values, "", qualified=True)
