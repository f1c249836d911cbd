"""What must hold for what a node hosts, found before a call meets it.

Source: messages.md 2.1, 8.1, 8.3; X-Road 7.8 checks most of it in its admin service.
"""

from collections.abc import Iterable, Sequence
from urllib.parse import SplitResult, urlsplit

from catalog.about import LifeState
from catalog.encoding import MAX_BYTES, encode_mapping
from catalog.services import RESERVED_CODES, HostedClient, Service, ServiceType
from trust.ids import suspicious
from trust.settings import Place, Problems, SettingProblem


def client_problems(clients: Sequence[HostedClient]) -> Problems:
    """Everything that is wrong; a path names the place as in the declaration file."""
    yield from _repeated([client.id.colons for client in clients], ("clients",), "id")
    for index, client in enumerate(clients):
        yield from _client(client, ("clients", index))


def _client(client: HostedClient, place: Place) -> Problems:
    if suspicious(client.id.parts):
        yield SettingProblem((*place, "id"), f"'{client.id.colons}'", _PLAIN)
    groups = [group.code for group in client.local_groups]
    yield from _repeated(groups, (*place, "local_groups"), "code")
    services = [
        (service.id.service_code, service.id.service_version or "") for service in client.services
    ]
    yield from _repeated(services, (*place, "services"), "code")
    for index, service in enumerate(client.services):
        yield from _service(service, (*place, "services", index))


_PLAIN = "an identifier without control characters and without any of % : ; / \\"


def _service(service: Service, place: Place) -> Problems:
    code, version = service.id.service_code, service.id.service_version
    if code in RESERVED_CODES:
        yield SettingProblem((*place, "code"), f"'{code}'", "a code that the node does not answer")
    if suspicious((code, version or "")):
        yield SettingProblem((*place, "code"), f"'{code}'", _PLAIN)
    if version is not None and service.type.is_rest:
        yield SettingProblem(
            (*place, "version"),
            f"'{version}'",
            "no version: a REST service has it in its path",
        )
    if version is not None and not version.strip():
        yield SettingProblem((*place, "version"), f"'{version}'", "a version, or no such key")
    yield from _url(service, place)
    yield from _description(service, place)
    if service.repair_headers and service.type is not ServiceType.WSDL:
        yield SettingProblem(
            (*place, "repair_headers"), "true", "false: only SOAP messages have such headers"
        )
    if service.endpoints and service.type is ServiceType.WSDL:
        yield SettingProblem(
            (*place, "endpoints"), "endpoints", "none: a SOAP service is called as a whole"
        )
    yield from _mapping(service, place)
    yield from _life(service, place)


def _mapping(service: Service, place: Place) -> Problems:
    """A mapping speaks of methods and paths where the service has them, and only there."""
    here = (*place, "mapping")
    endpoints = service.mapping.endpoints
    if len(encode_mapping(service.mapping)) > MAX_BYTES:
        yield SettingProblem(here, "a mapping that is too large", f"{MAX_BYTES} bytes of JSON")
    if service.type.is_rest:
        if any(not endpoint.method or not endpoint.path for endpoint in endpoints):
            found = "an endpoint without method and path"
            yield SettingProblem(here, found, "both: the service is a REST service")
    elif any(endpoint.method or endpoint.path for endpoint in endpoints):
        found = "an endpoint with a method and a path"
        yield SettingProblem(here, found, "neither: the service is a SOAP service")
    elif len(endpoints) > 1:
        found = f"{len(endpoints)} endpoints"
        yield SettingProblem(here, found, "one: the service is a SOAP service")


def _life(service: Service, place: Place) -> Problems:
    life = service.about.life
    if life.ends is not None and life.state is not LifeState.DEPRECATED:
        yield SettingProblem(
            (*place, "life_cycle", "ends"), life.ends.isoformat(), 'state = "deprecated" beside it'
        )


def _description(service: Service, place: Place) -> Problems:
    url = service.description_url
    if not url:
        return
    here = (*place, "description")
    if service.type is ServiceType.REST:
        yield SettingProblem(here, f"'{url}'", 'type = "OPENAPI" or "WSDL", or no description')
    parts = _split(url)
    if parts is None or any(mark in url for mark in "# \\") or "@" in parts.netloc:
        yield SettingProblem(
            here, f"'{url}'", "an address that begins with http or https, without user or fragment"
        )
    elif parts.scheme == "https" and service.verify_tls and not service.certificates:
        yield SettingProblem(here, f"'{url}' and a client without certificates", _CERTIFICATE)


_CERTIFICATE = (
    "certificate_files of the client with that system's certificate, or verify_tls = false"
)


def _url(service: Service, place: Place) -> Problems:
    """The path and query of a call are put behind the address, so it can't have a query itself."""
    here = (*place, "url")
    parts = _split(service.url)
    if parts is None:
        yield SettingProblem(here, f"'{service.url}'", "an address that begins with http or https")
        return
    if any(mark in service.url for mark in "?# \\"):
        yield SettingProblem(here, f"'{service.url}'", "an address without query and fragment")
    if "@" in parts.netloc:
        yield SettingProblem(here, "an address with a password", "an address without user name")
    if parts.scheme == "https" and service.verify_tls and not service.certificates:
        yield SettingProblem(
            here,
            f"'{service.url}' and a client without certificates",
            _CERTIFICATE,
        )


def _split(url: str) -> SplitResult | None:
    """The parts of an http(s) address that can be called, None for anything else."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if usable and url.isascii() and url.isprintable() else None


def _repeated(keys: Iterable[object], place: Place, name: str) -> Problems:
    seen = set()
    for index, key in enumerate(keys):
        if key in seen:
            said = " ".join(part for part in key if part) if isinstance(key, tuple) else key
            yield SettingProblem((*place, index, name), f"'{said}' a second time", "each once")
        seen.add(key)
