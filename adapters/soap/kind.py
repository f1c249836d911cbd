"""`kind = "soap"`: any service that has a WSDL."""

import asyncio
import logging

from adapters.kinds import Kind
from adapters.operations import Source
from adapters.soap.calling import HttpCaller
from adapters.soap.catalogue import Catalogue, CatalogueError
from adapters.soap.description import DescriptionError, read_description
from adapters.soap.offering import Offer, offer
from adapters.soap.port import Description
from adapters.soap.security import Security
from adapters.soap.settings import (
    FROM_WSDL,
    CallingSettings,
    DescriptionSettings,
    EndpointSettings,
    SoapAdapterSettings,
    is_address,
    soap_problems,
)
from adapters.soap.source import PlainManner, SoapSource

log = logging.getLogger("sacbe.adapter")


async def open_soap(settings: SoapAdapterSettings) -> Source:
    """Read the description and the secrets; the service itself need not answer yet."""
    description = await asyncio.to_thread(load_description, settings.wsdl)
    offered = offered_of(description, settings.wsdl, settings.calling)
    address = _address(settings.endpoint, description)
    manner = PlainManner(Security.load(settings.security), settings.calling.fault_texts)
    caller = HttpCaller(address, settings.calling)
    return SoapSource(description, offered, caller, manner, settings.calling)


def load_description(settings: DescriptionSettings) -> Description:
    """Read a WSDL with all that it imports from its catalogue; raises StorageError."""
    catalogue = Catalogue.load(settings.catalogue or settings.file.parent)
    try:
        location = catalogue.address_of(settings.file)
    except ValueError:
        raise CatalogueError(
            f"{settings.file} lies outside of the catalogue's folder {catalogue.folder}"
        ) from None
    return read_description(catalogue, location, service=settings.service, port=settings.port)


def offered_of(
    description: Description, settings: DescriptionSettings, calling: CallingSettings
) -> Offer:
    """What is offered; raises DescriptionError when one that was asked for can't be."""
    offered = offer(
        description,
        only=settings.operations,
        get=settings.get,
        attachments=calling.attachments,
    )
    named = {*settings.operations, *settings.get}
    wrong = [f"operation '{name}': {why}" for name, why in offered.refused if name in named]
    if wrong:
        raise DescriptionError("\n".join(wrong))
    if not offered.operations:
        raise DescriptionError("the description has no operation that can be offered")
    for name, why in offered.refused:
        log.warning("operation %r is not offered: %s", name, why)
    return offered


def _address(settings: EndpointSettings, description: Description) -> str:
    if settings.address != FROM_WSDL:
        return settings.address
    if not is_address(description.address):
        raise DescriptionError("the WSDL has no address with http or https")
    return description.address


KIND = Kind(settings=SoapAdapterSettings, problems=soap_problems, open=open_soap)
