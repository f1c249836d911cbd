"""What an adapter in front of another REST service is told: where it is, who we are, what maps."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from adapters.operations import Method
from adapters.parameters import DerivedFact, Parameter, ServiceName, ServicePath, ValueName
from adapters.settings import AdapterSettings, Connections
from adapters.shapes import ValueType
from trust.settings import Bounds, ByteSize, Matching, required, setting

HeaderName = Annotated[
    str, Matching(r"[A-Za-z][A-Za-z0-9-]{0,99}", "a header name: letters, digits and '-'")
]
HeaderValue = Annotated[str, Matching(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?", "ASCII text")]
Url = Annotated[
    str,
    Matching(r"https?://[^\s/?#@\\]+(/[^\s?#\\]*)?", "an address without user, query or fragment"),
]
PassedOn = Annotated[
    str, Matching(r"(?i)(X-Road|Once)-[A-Za-z0-9-]{1,80}", "a header 'X-Road-…' or 'Once-…'")
]
Duration = Annotated[timedelta, Bounds(timedelta(milliseconds=10), timedelta(hours=1))]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamTls:
    """How the service is recognised over HTTPS, and how it recognises us."""

    ca: Path | None = setting(
        None, "certificates of its authorities, PEM; none: those of the system", example="ca.crt"
    )
    pinned: tuple[Path, ...] = setting(
        (), "its own certificates, PEM: it must show one of them", example=("service.crt",)
    )
    certificate: Path | None = setting(
        None, "certificate that we show, with its chain, PEM", example="client.crt"
    )
    key: Path | None = setting(None, "its private key, PEM", example="client.key")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySettings:
    """An API key."""

    file: Path = required("file with the key", example="api.key")
    at: Literal["header", "query"] = setting("header", "where it is sent")
    name: HeaderName = setting("X-API-Key", "name of the header or of the query parameter")
    prefix: Annotated[str, Matching(r"[\x20-\x7e]*", "ASCII text")] = setting(
        "", "what stands before it", example="Bearer "
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicSettings:
    """HTTP basic authentication."""

    user: str = required("name of the user", example="sacbe")
    password_file: Path = required("file with the password", example="password")


@dataclass(frozen=True, slots=True, kw_only=True)
class OauthSettings:
    """OAuth 2 client credentials."""

    token_url: Url = required("the token endpoint", example="https://login.example.org/token")
    client_id: str = required("our name there", example="sacbe")
    secret_file: Path = required("file with our secret", example="client.secret")
    send: Literal["header", "body"] = setting("header", "how name and secret are sent")
    scope: str = setting("", "scopes, with spaces between", example="persons.read")
    parameters: Mapping[str, str] = setting(
        {}, "what else the endpoint wants", example={"audience": "persons"}
    )
    renew: Duration = setting(timedelta(seconds=30), "how long before its end a token is replaced")
    lifetime: Duration = setting(
        timedelta(minutes=5), "how long a token is used that does not say its end"
    )
    timeout: Duration = setting(timedelta(seconds=10), "longest wait for a token")
    tls: UpstreamTls | None = setting(
        None, "how the token endpoint is recognised; none: as the service"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSettings:
    """The service that is asked."""

    url: Url = required("its base address", example="https://api.example.org/v2")
    timeout: Duration = setting(timedelta(seconds=20), "longest wait for a whole answer")
    connect_timeout: Duration = setting(timedelta(seconds=5), "longest wait for a connection")
    connections: Connections = setting(32, "connections at the most")
    retries: Annotated[int, Bounds(0, 5)] = setting(
        1, "further attempts to connect for GET, PUT and DELETE, before anything was sent"
    )
    answer: ByteSize = setting(ByteSize(8 << 20), "longest answer")
    depth: Annotated[int, Bounds(1, 200)] = setting(32, "deepest nesting of an answer")
    health: str = setting(
        "", "path that a GET answers with 2xx while it is well; empty: none", example="/health"
    )
    tls: UpstreamTls = setting(UpstreamTls(), "how it is recognised over HTTPS")
    key: KeySettings | None = setting(None, "an API key")
    basic: BasicSettings | None = setting(None, "HTTP basic authentication")
    oauth: OauthSettings | None = setting(None, "OAuth 2 client credentials")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderSettings:
    """Headers of requests to the service; none of the caller's go on that is not named here."""

    constant: Mapping[str, str] = setting(
        {}, "headers that are always sent", example={"Accept-Language": "en"}
    )
    passed_on: tuple[PassedOn, ...] = setting(
        (), "headers of the caller that go on", example=("X-Road-Id", "X-Road-UserId")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorSettings:
    """What of the service's own words callers may see; nothing unless it is declared."""

    text: str = setting("", "JSON pointer to the sentence in an error answer", example="/message")
    code: str = setting("", "JSON pointer to its code", example="/code")


class Target(StrEnum):
    AUTO = "auto"  # the path if it stands there, else the body where there is one, else the query
    QUERY = "query"
    HEADER = "header"
    BODY = "body"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestParameter(Parameter):
    """What a caller may give, and where it goes."""

    many: bool = setting(False, "whether it may be given more than once")
    to: Target = setting(Target.AUTO, "where it goes in the service's request")
    called: str = setting(
        "", "its name there, or a JSON pointer into the body; empty: the same", example="/id/code"
    )


class FieldType(StrEnum):
    TEXT = ValueType.TEXT.value
    INTEGER = ValueType.INTEGER.value
    NUMBER = ValueType.NUMBER.value
    DECIMAL = ValueType.DECIMAL.value
    BOOLEAN = ValueType.BOOLEAN.value
    DATE = ValueType.DATE.value
    DATETIME = ValueType.DATETIME.value
    UUID = ValueType.UUID.value
    BINARY = ValueType.BINARY.value
    ANY = "any"  # whatever stands there, handed on as it is


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerField:
    """One value of an answer."""

    name: ValueName = required("as callers see it", example="first_name")
    at: str = setting("", "JSON pointer to it; empty: under its name", example="/name/first")
    header: str = setting("", "header of the answer where it stands instead", example="ETag")
    type: FieldType = setting(FieldType.TEXT, "what it is")
    many: bool = setting(False, "whether it is a list")
    required: bool = setting(True, "whether an answer without it is an error")
    description: str = setting("", "for the descriptions")
    concept: str | None = setting(
        None, "URI of the fact that it is", example="http://data.europa.eu/m8g/person/identifier"
    )


class AnswerKind(StrEnum):
    RECORD = "record"  # one object with the declared fields
    LIST = "list"  # a list of them
    ANY = "any"  # the JSON as it comes
    DOCUMENT = "document"  # bytes as they come


@dataclass(frozen=True, slots=True, kw_only=True)
class RestOperation:
    """One service, and the request of the other one that answers it."""

    name: ServiceName = required("stable name of the service", example="person")
    path: ServicePath = required("our address", example="/persons/{id}")
    method: Method = setting(Method.GET, "our method; with POST, PUT, PATCH values come as JSON")
    ask: Annotated[str, Matching(r"/[^\s?#\\]*", "a path with {names}")] = required(
        "path behind the service's base address", example="/people/{id}"
    )
    ask_method: Method | None = setting(None, "the service's method; none: the same", example="GET")
    constant: Mapping[str, str] = setting(
        {}, "query parameters that are always sent", example={"format": "full"}
    )
    parameters: tuple[RestParameter, ...] = setting((), "what callers give")
    answer: AnswerKind = setting(AnswerKind.RECORD, "what is answered")
    rows: str = setting("", "JSON pointer to the record or to the list", example="/data")
    fields: tuple[AnswerField, ...] = setting((), "the values of an answer, or of its rows")
    max_items: Annotated[int, Bounds(1, 1_000_000)] = setting(10_000, "longest list")
    missing: tuple[Annotated[int, Bounds(400, 499)], ...] = setting(
        (404,), "statuses that mean that there is nothing"
    )
    views: tuple[DerivedFact, ...] = setting((), "facts that follow from fields of the answer")
    summary: str = setting("", "for the descriptions")


@dataclass(frozen=True, slots=True, kw_only=True)
class FromOpenApi:
    """Operations taken from the service's own description."""

    file: Path = required("OpenAPI 3 description, JSON or YAML", example="openapi.yaml")
    operations: tuple[str, ...] = required(
        "operationIds that are offered, and no others", example=("getPerson",)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RestSettings(AdapterSettings):
    """What `sacbe adapter run` reads for `kind = "rest"`."""

    kind: Literal["rest"] = required("what stands behind the adapter", example="rest")
    upstream: UpstreamSettings = required("the service that is asked")
    headers: HeaderSettings = setting(HeaderSettings(), "headers of requests to it")
    errors: ErrorSettings = setting(ErrorSettings(), "what callers see of its errors")
    operation: tuple[RestOperation, ...] = setting((), "services, one by one")
    from_openapi: FromOpenApi | None = setting(None, "services from its description")
