"""The mappings that descriptions bring: for services whose declaration names no mapping file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from catalog.encoding import MAX_BYTES, encode_mapping
from catalog.fields.descriptions.derived import derive_mapping
from catalog.fields.descriptions.described import MAX_WARNINGS, DescribedEndpoint
from catalog.fields.descriptions.openapi_fields import describe_openapi
from catalog.fields.descriptions.wsdl_fields import describe_wsdl
from catalog.mapping import NO_MAPPING, ServiceMapping
from catalog.openapi import DocumentType, parse_document
from catalog.services import DescriptionSource, HostedClient, ServerConf, Service, ServiceType

ANY_SERVICE = ("", "")  # an OpenAPI description does not say for which service code it is

# By code and version; a version is empty where there is none.
DescribedMappings = Mapping[tuple[str, str], ServiceMapping]


def described_endpoints(
    service: Service, content: bytes, notation: DocumentType
) -> tuple[DescribedEndpoint, ...]:
    """What a description says of one service; raises ExchangeError for what can't be read.

    Nothing where a WSDL does not have the operation.
    """
    if service.type is not ServiceType.WSDL:
        return describe_openapi(parse_document(content, notation)).endpoints
    operations = describe_wsdl(content).operations
    key = (service.id.service_code, service.id.service_version or "")
    return (operations[key],) if key in operations else ()


@dataclass(frozen=True, slots=True)
class FoundMappings:
    """What a document says of facts, and what of it does not hold together."""

    mappings: DescribedMappings
    warnings: tuple[str, ...]


def find_mappings(kind: ServiceType, content: bytes, notation: DocumentType) -> FoundMappings:
    """Read the mappings of a description; raises ExchangeError for what can't be read.

    Args:
        notation: of an OpenAPI description.
    """
    if kind is ServiceType.WSDL:
        return wsdl_mappings(content)
    return openapi_mappings(parse_document(content, notation))


def openapi_mappings(document: Mapping[str, Any]) -> FoundMappings:
    """What an OpenAPI document says of facts, for whatever service it describes."""
    described = describe_openapi(document)
    return _found({ANY_SERVICE: described.endpoints}, described.warnings)


def wsdl_mappings(content: bytes) -> FoundMappings:
    """What a WSDL says of facts; raises MalformedMessage."""
    described = describe_wsdl(content)
    operations = {key: (endpoint,) for key, endpoint in described.operations.items()}
    return _found(operations, described.warnings)


def _found(
    described: Mapping[tuple[str, str], tuple[DescribedEndpoint, ...]], warnings: tuple[str, ...]
) -> FoundMappings:
    found: dict[tuple[str, str], ServiceMapping] = {}
    told = list(warnings)
    for key, endpoints in described.items():
        mapping, odd = derive_mapping(endpoints)
        told += (f"{key[0]}: {text}" if key[0] else text for text in odd)
        if mapping == NO_MAPPING:
            continue
        if len(encode_mapping(mapping)) > MAX_BYTES:
            told.append(f"{key[0]} has too many fields: none of them counts".strip())
            continue
        found[key] = mapping
    return FoundMappings(found, tuple(told[:MAX_WARNINGS]))


def mapping_for(service: Service, found: DescribedMappings) -> ServiceMapping:
    """What a description says of one of the services that it is for."""
    if service.type is not ServiceType.WSDL:
        return found.get(ANY_SERVICE, NO_MAPPING)
    return found.get((service.id.service_code, service.id.service_version or ""), NO_MAPPING)


def with_described(
    conf: ServerConf, found: Mapping[DescriptionSource, DescribedMappings]
) -> ServerConf:
    """The snapshot with the mappings of descriptions where none is declared."""
    if not found:
        return conf
    return replace(conf, clients=tuple(_client(client, found) for client in conf.clients))


def _client(
    client: HostedClient, found: Mapping[DescriptionSource, DescribedMappings]
) -> HostedClient:
    return replace(client, services=tuple(_services(client, found)))


def _services(
    client: HostedClient, found: Mapping[DescriptionSource, DescribedMappings]
) -> Iterator[Service]:
    for service in client.services:
        source = service.description
        if service.mapping != NO_MAPPING or source is None or source not in found:
            yield service
        else:
            yield replace(service, mapping=mapping_for(service, found[source]))
