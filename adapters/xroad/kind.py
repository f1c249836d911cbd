"""`kind = "xroad"`: an X-Road SOAP service as REST, asked through the institution's own node."""

import asyncio

from adapters.kinds import Kind
from adapters.operations import Source
from adapters.soap.calling import HttpCaller
from adapters.soap.description import DescriptionError
from adapters.soap.kind import load_description, offered_of
from adapters.soap.source import SoapSource
from adapters.xroad.header import NSMAP, XroadManner
from adapters.xroad.settings import XroadAdapterSettings, xroad_problems


async def open_xroad(settings: XroadAdapterSettings) -> Source:
    """Read the description; node and service need not answer yet."""
    description = await asyncio.to_thread(load_description, settings.wsdl)
    if description.soap12:
        raise DescriptionError("the port is for SOAP 1.2, and X-Road speaks 1.1")
    offered = offered_of(description, settings.wsdl, settings.calling)
    service = settings.service
    manner = XroadManner(
        service.client, service.provider, service.version, settings.calling.fault_texts
    )
    caller = HttpCaller(service.node, settings.calling)
    return SoapSource(description, offered, caller, manner, settings.calling, nsmap=NSMAP)


KIND = Kind(settings=XroadAdapterSettings, problems=xroad_problems, open=open_xroad)
