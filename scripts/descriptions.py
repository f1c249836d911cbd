"""Look at descriptions of services: those that a node has, and one that it may get."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from catalog import openapi, wsdl
from catalog.services import (
    RESERVED_CODES,
    DescriptionSource,
    Endpoint,
    ServerConf,
    Service,
    ServiceType,
)
from catalog.stored.store import ServiceStore
from node.internal_tls import open_internal_identity
from node.metadata.descriptions import sources_of
from node.network.information_system import Download, InformationSystem
from node.settings import NodeSettings
from scripts.arguments import Actions, add_action, add_config
from scripts.cataloguing.mappings import Described, facts_told
from scripts.node_database import node_database
from trust.errors import ExchangeError
from trust.ids import ClientId, ServiceId
from trust.pki.keyfiles import open_folder
from trust.secrets import read_secret

_NOBODY = ClientId("none", "none", "none", "none")
_MAX_FULL_CHECK = 2 << 20  # bytes; beyond it the full check takes minutes
_MAX_FINDINGS = 50


def add_services(actions: Actions) -> None:
    """Declare the actions and their options."""
    parser = add_action(actions, "services", "look at the descriptions of services")
    looks = parser.add_subparsers(dest="look", metavar="LOOK", required=True)
    check = add_action(looks, "check", "download every description and tell what is odd about it")
    add_config(check, "node.toml")
    describe = add_action(looks, "describe", "write what a description offers for services.toml")
    describe.add_argument("url", help="address of an OpenAPI description or a WSDL")
    describe.add_argument("--code", help="service code for an OpenAPI description")
    describe.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="node.toml, to show that node's TLS certificate",
    )


# --- check ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Finding:
    """What is said about one description."""

    title: str
    lines: tuple[str, ...]
    had: bool


async def check(settings: NodeSettings) -> int:
    """Tell the oddities of every description; 1 when one can't be had or read, 0 otherwise."""
    async with node_database(settings) as pool:
        conf = await ServiceStore(pool).load_declared()
    systems = information_systems(settings)
    try:
        found = [
            await _finding(systems, settings, conf, source, service)
            for source, service in sources_of(conf).items()
        ]
    finally:
        await systems.close()
    for finding in found:
        print(finding.title)
        for line in finding.lines:
            print(f"  {line}")
    if not found:
        print("No service has a description", file=sys.stderr)
    return 0 if all(finding.had for finding in found) else 1


async def _finding(
    systems: InformationSystem,
    settings: NodeSettings,
    conf: ServerConf,
    source: DescriptionSource,
    service: Service,
) -> Finding:
    title = f"{source.client.colons} {source.type} {source.url}"
    timeout = settings.descriptions.timeout
    try:
        download = await systems.fetch(service, source.url, openapi.MAX_BYTES, timeout)
        if download.status != 200:
            return Finding(title, (f"not to be had: {download.status} {download.reason}",), False)
        users = [
            one for client in conf.clients for one in client.services if one.description == source
        ]
        described = Described(download.body, download.content_types)
        lines = (*_judged(conf, users, download), *facts_told(users, described))
        return Finding(title, lines, True)
    except ExchangeError as error:
        return Finding(title, (f"not to be had: {error.text}",), False)


def _judged(conf: ServerConf, services: list[Service], download: Download) -> Iterator[str]:
    first = services[0]
    if first.type is ServiceType.WSDL:
        described = wsdl.parse_wsdl(download.body)
        yield f"{len(described.operations)} operations"
        yield from (f"warning: {text}" for text in described.warnings)
        offered = {(operation.code, operation.version) for operation in described.operations}
        ours = {(service.id.service_code, service.id.service_version) for service in services}
        yield from (f"warning: {_named(*one)} is no operation" for one in _sorted(ours - offered))
        yield from (f"note: {_named(*one)} is not offered" for one in _sorted(offered - ours))
        return
    notation = _notation(first.description_url, download)
    found = openapi.parse_openapi(download.body, notation)
    yield f"{len(found.endpoints)} endpoints"
    yield from (f"warning: {text}" for text in found.warnings)
    for service in services:
        yield from _rights_beside(conf, service, found.endpoints)
    yield from full_check(download.body, openapi.parse_document(download.body, notation))


def _rights_beside(
    conf: ServerConf, service: Service, endpoints: tuple[Endpoint, ...]
) -> Iterator[str]:
    """Rights to parts that neither the description nor the declaration knows."""
    known = {*endpoints, *service.endpoints}
    for rule in conf.rules(service.id):
        if not rule.is_base and Endpoint(rule.method, rule.glob.pattern) not in known:
            yield (
                f"note: {rule.subject} has a right to '{rule.method} {rule.glob.pattern}'"
                f" of {service.id.service_code}, which is not described"
            )


def full_check(raw: bytes, document: Mapping[str, Any]) -> Iterator[str]:
    """What openapi-spec-validator says, if it is installed; it follows no reference outside."""
    if len(raw) > _MAX_FULL_CHECK:
        yield f"note: larger than {_MAX_FULL_CHECK} bytes, so not checked against the whole schema"
        return
    try:
        from jsonschema_path import SchemaPath
        from openapi_spec_validator import (
            OpenAPIV30SpecValidator,
            OpenAPIV31SpecValidator,
        )
    except ImportError:
        yield "note: not checked against the whole schema; that needs sacbe[openapi]"
        return
    newer = str(document.get("openapi", "")).startswith("3.1")
    validator = OpenAPIV31SpecValidator if newer else OpenAPIV30SpecValidator
    handlers = dict.fromkeys(("<all_urls>", "http", "https", "file"), _not_followed)
    try:
        path = SchemaPath.from_dict(dict(document), handlers=handlers)
        for number, error in enumerate(validator(path).iter_errors()):
            if number == _MAX_FINDINGS:
                yield "warning: and more"
                return
            place = "/".join(str(part) for part in getattr(error, "absolute_path", ()))
            yield f"warning: {_line(place or 'document')}: {_line(str(error.message))}"
    except Exception as error:  # noqa: BLE001 - somebody else's program, for warnings only
        why = _line(f"{type(error).__name__}, {error}")
        yield f"note: the check against the whole schema broke off: {why}"


def _not_followed(uri: str) -> object:
    raise LookupError(f"the reference to {uri} is not followed")


def _line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)[:300]


def _named(code: str, version: str | None) -> str:
    return f"'{code}'" if version is None else f"'{code}' {version}"


def _sorted(pairs: Iterable[tuple[str, str | None]]) -> list[tuple[str, str | None]]:
    return sorted(pairs, key=lambda pair: (pair[0], pair[1] or ""))


# --- describe -------------------------------------------------------------------------------------


async def describe(url: str, code: str | None, settings: NodeSettings | None) -> int:
    """Print services for `services.toml`, and what is odd to standard error."""
    systems = InformationSystem(lambda: None) if settings is None else information_systems(settings)
    asker = Service(
        ServiceId(_NOBODY, "description"), ServiceType.OPENAPI, url, verify_tls=False,
        description_url=url,
    )  # fmt: skip
    try:
        download = await systems.fetch(asker, url, openapi.MAX_BYTES, timedelta(seconds=60))
    finally:
        await systems.close()
    if download.status != 200:
        raise ExchangeError(f"{url} answers {download.status} {download.reason}")
    try:
        text, warnings = declaration_of(url, download, code)
    except openapi.UnreadableDescription as error:
        raise ExchangeError(f"{error.text}: {error.__cause__ or 'it is neither'}") from error
    print(text, end="")
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return 0


def declaration_of(url: str, download: Download, code: str | None) -> tuple[str, tuple[str, ...]]:
    """The services of a description as they are declared, and what is odd about it."""
    if download.body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        found = wsdl.parse_wsdl(download.body)
        blocks = [_operation(url, operation) for operation in found.operations]
        return "\n".join(blocks), found.warnings
    described = openapi.parse_openapi(download.body, _notation(url, download))
    base = openapi.resolve_base(described.base_url, url)
    lines = [
        "[[clients.services]]",
        f"code = {_quoted(code or 'CODE')}",
        'type = "OPENAPI"',
        f"title = {_quoted(_title(described.title))}",
        f"url = {_quoted(_plain(base))}",
        f"description = {_quoted(url)}",
        *(f"# {endpoint}" for endpoint in described.endpoints),
    ]
    return "\n".join(lines) + "\n", described.warnings


def _operation(url: str, operation: wsdl.Operation) -> str:
    lines = ["[[clients.services]]", f"code = {_quoted(operation.code)}"]
    if operation.version is not None:
        lines.append(f"version = {_quoted(operation.version)}")
    lines.append('type = "WSDL"')
    if operation.title:
        lines.append(f"title = {_quoted(_title(operation.title))}")
    lines.append(f"url = {_quoted(_plain(operation.address))}")
    lines.append(f"description = {_quoted(url)}")
    if operation.code in RESERVED_CODES:
        lines = [f"# {line}" for line in ("this code is the node's own:", *lines)]
    return "\n".join(lines) + "\n"


def _plain(address: str) -> str:
    """An address without query and fragment, which a service can't have."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    return parts._replace(query="", fragment="").geturl()


def _title(text: str) -> str:
    return " ".join(text.split())[:1000]


def _quoted(text: str) -> str:
    """A TOML text."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in escaped) + '"'


def _notation(url: str, download: Download) -> openapi.DocumentType:
    return openapi.document_type(download.content_types, url.partition("?")[0])


def information_systems(settings: NodeSettings) -> InformationSystem:
    """What asks systems with the node's own TLS certificate; who opens it closes it."""
    password = read_secret(settings.keys.password_file)
    open_folder(settings.data)  # before anything in it makes it, open to all
    identity = open_internal_identity(settings.data / "tls", password, datetime.now(UTC))
    return InformationSystem(lambda: identity)
