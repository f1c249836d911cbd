"""Ask a provider for its WSDL through the node, by `getWsdl`.

Source: metadata.md 4.
"""

from dataclasses import dataclass, field

from lxml import etree

from adapters.operations import Caller, SourceTimeout
from adapters.soap.calling import HttpCaller
from adapters.soap.catalogue import LOCAL
from adapters.soap.envelope import (
    SoapFault,
    body_of,
    envelope_bytes,
    header_of,
    new_envelope,
    open_answer,
    request_headers,
)
from adapters.soap.fetching import Import, imports_of
from adapters.xroad.header import NSMAP, write_header
from adapters.xroad.settings import XroadAdapterSettings
from trust.errors import MalformedMessage, StorageError
from trust.ids import XROAD_NAMESPACE, ServiceId
from trust.xmlbytes import parse_xml


@dataclass(frozen=True, slots=True)
class FetchedWsdl:
    """A description as its provider gave it.

    Attributes:
        missing: what it imports, which the node does not fetch and which is not built in.
    """

    data: bytes = field(repr=False)
    missing: tuple[Import, ...] = ()


async def get_wsdl(
    settings: XroadAdapterSettings, service_code: str, version: str = ""
) -> FetchedWsdl:
    """Fetch the WSDL of a service; raises StorageError with the node's fault, or why not."""
    request = _request(settings, service_code, version)
    caller = HttpCaller(settings.service.node, settings.calling)
    try:
        answer = await caller.post(request, request_headers("", soap12=False))
        opened = open_answer(answer.body, answer.content_type)
    except MalformedMessage as error:
        raise StorageError(f"the node's answer can't be read: {error.text}") from error
    except SourceTimeout as error:
        raise StorageError("the node did not answer in time") from error
    finally:
        await caller.close()
    if isinstance(opened, SoapFault):
        raise StorageError(f"the node refused, {opened.code}: {opened.text}")
    if len(opened.attachments) != 1:
        raise StorageError("the answer does not have one attachment")
    data = opened.attachments[0].data
    try:
        root = parse_xml(data, what="the WSDL")
    except MalformedMessage as error:
        raise StorageError(error.text) from error
    missing = [found for found in imports_of(root, LOCAL) if not found.built_in]
    return FetchedWsdl(data, tuple(missing))


def _request(settings: XroadAdapterSettings, service_code: str, version: str) -> bytes:
    envelope = new_envelope(soap12=False, nsmap=NSMAP)
    service = ServiceId(settings.service.provider, "getWsdl")
    write_header(header_of(envelope), settings.service.client, service, Caller())
    body = etree.SubElement(body_of(envelope), f"{{{XROAD_NAMESPACE}}}getWsdl")
    etree.SubElement(body, f"{{{XROAD_NAMESPACE}}}serviceCode").text = service_code
    if version:
        etree.SubElement(body, f"{{{XROAD_NAMESPACE}}}serviceVersion").text = version
    return envelope_bytes(envelope)
