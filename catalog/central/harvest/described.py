"""What the description of a plain service says for the catalog: its title, and where facts are."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from catalog.fields.descriptions.derived import derive_mapping
from catalog.fields.descriptions.openapi_fields import describe_openapi
from catalog.fields.descriptions.wsdl_fields import describe_wsdl
from catalog.mapping import NO_MAPPING, ServiceMapping
from catalog.openapi import document_type, parse_document
from catalog.services import ServiceType
from catalog.wsdl import parse_wsdl
from trust.ids import ServiceId

_MAX_TITLE = 1000  # characters
Operations = Mapping[tuple[str, str], "Told"]  # by code, and version or nothing


@dataclass(frozen=True, slots=True)
class Told:
    """What a description says of one service."""

    title: str
    mapping: ServiceMapping
    digest: str


@dataclass(slots=True)
class DescriptionReader:
    """Reads descriptions; a WSDL that many services share is read once."""

    _wsdls: dict[str, Operations] = field(default_factory=dict)

    def read(self, service: ServiceId, kind: ServiceType, raw: bytes, content_type: str) -> Told:
        """What is said of a service; raises ExchangeError for what can't be read."""
        digest = hashlib.sha256(raw).hexdigest()
        if kind is not ServiceType.WSDL:
            return _openapi(raw, content_type, digest)
        if digest not in self._wsdls:
            self._wsdls[digest] = _operations(raw, digest)
        return self._wsdls[digest].get(_key(service), Told("", NO_MAPPING, digest))

    def operation(self, service: ServiceId) -> Told | None:
        """What a WSDL that was read says of a service; None when none has it."""
        found = (operations.get(_key(service)) for operations in self._wsdls.values())
        return next((told for told in found if told is not None), None)


def _key(service: ServiceId) -> tuple[str, str]:
    return service.service_code, service.service_version or ""


def _openapi(raw: bytes, content_type: str, digest: str) -> Told:
    document = parse_document(raw, document_type((content_type,), _path(raw)))
    info = document.get("info")
    title = info.get("title") if isinstance(info, dict) else None
    mapping, _ = derive_mapping(describe_openapi(document).endpoints)
    return Told(_line(title if isinstance(title, str) else ""), mapping, digest)


def _path(raw: bytes) -> str:
    """A name for a document whose content type says nothing."""
    return "openapi.json" if raw.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") else "openapi.yaml"


def _operations(raw: bytes, digest: str) -> Operations:
    titles = {(one.code, one.version or ""): one.title for one in parse_wsdl(raw).operations}
    described = describe_wsdl(raw).operations
    return {
        key: Told(
            _line(title),
            derive_mapping((described[key],))[0] if key in described else NO_MAPPING,
            digest,
        )
        for key, title in titles.items()
    }


def _line(text: str) -> str:
    return " ".join(text.split())[:_MAX_TITLE]
