import pytest

from node.messages.envelope import (
    RequestEnvelope,
    ResponseEnvelope,
    build_bare_fault_headers,
    build_request_headers,
    build_response_headers,
    check_hash_algorithm,
    check_method,
    check_soap_action,
)
from node.messages.mediatype import mixed
from trust.errors import ExchangeError, MalformedMessage


def test_a_rest_request_has_the_headers_of_the_worked_example() -> None:
    headers = build_request_headers(
        mixed("xtopB"), "6b4a7e0a-9d0c-4a55-8f7e-0f6b5f3c1d22", "application/json"
    )
    assert headers == (
        ("x-hash-algorithm", "SHA-512"),
        ("x-proxy-version", "7.8.0"),
        ("x-original-content-type", "application/json"),
        ("x-road-request-id", "6b4a7e0a-9d0c-4a55-8f7e-0f6b5f3c1d22"),
        ("x-road-message-type", "REST"),
        ("Content-Type", "multipart/mixed; charset=UTF-8; boundary=xtopB"),
    )


def test_a_request_is_read_as_it_was_written_whatever_the_case_of_names() -> None:
    headers = build_request_headers(mixed("xtopB"), "id", "text/xml", soap_action='""')
    found = RequestEnvelope.parse((name.upper(), value) for name, value in headers)
    assert found == RequestEnvelope(mixed("xtopB"), "7.8.0", "text/xml", "id", False, '""')
    rest = build_request_headers(mixed("xtopB"), "id", "")
    assert RequestEnvelope.parse(rest).rest


@pytest.mark.parametrize("value", ["rest", "Rest", ""])
def test_only_the_exact_word_makes_a_rest_request(value: str) -> None:
    assert not RequestEnvelope.parse([("x-road-message-type", value)]).rest


def test_response_names_are_in_exact_lower_case() -> None:
    assert build_response_headers(mixed("xtopB"), "text/xml")[1:] == (
        ("x-hash-algorithm", "SHA-512"),
        ("x-original-content-type", "text/xml"),
    )
    assert len(build_response_headers(mixed("xtopB"))) == 2
    assert build_bare_fault_headers() == (
        ("Content-Type", "text/xml; charset=utf-8"),
        ("SOAPAction", ""),
    )


def test_a_response_is_read_as_it_was_written() -> None:
    headers = build_response_headers(mixed("xtopB"), "text/xml")
    assert ResponseEnvelope.parse(headers) == ResponseEnvelope(mixed("xtopB"), "text/xml")
    check_hash_algorithm(headers)


def test_a_response_without_content_type_is_refused() -> None:
    with pytest.raises(MalformedMessage) as refused:
        ResponseEnvelope.parse([("x-hash-algorithm", "SHA-512")])
    assert refused.value.code == "invalid_content_type"


@pytest.mark.parametrize("headers", [[], [("x-hash-algorithm", "")], [("x-hash-algorithm", "MD5")]])
def test_another_digest_than_sha_512_is_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(ExchangeError) as refused:
        check_hash_algorithm(headers)
    assert refused.value.code == "internal_error"


def test_the_name_of_the_digest_is_compared_without_case() -> None:
    check_hash_algorithm([("X-Hash-Algorithm", "sha-512")])


def test_only_post_is_taken() -> None:
    check_method("POST")
    with pytest.raises(MalformedMessage, match="instead of GET") as refused:
        check_method("GET")
    assert refused.value.code == "invalid_http_method"


@pytest.mark.parametrize("value", ["", '""', '"urn:x#y"', '"http://a/b?c=%20"'])
def test_a_soap_action_is_empty_or_a_quoted_uri(value: str) -> None:
    check_soap_action(value)


@pytest.mark.parametrize("value", ["urn:x", '"', '"a b"', '"a"b"', "''"])
def test_another_soap_action_is_refused(value: str) -> None:
    with pytest.raises(MalformedMessage) as refused:
        check_soap_action(value)
    assert refused.value.code == "invalid_soap_action"
