"""`listMethods`, `allowedMethods` and `getWsdl` for those who call by SOAP.

Any registered client may ask; the version in the service's identifier says nothing.

Source: metadata.md 1, 3, 4; X-Road 7.8 MetadataServiceHandlerImpl.java.
"""

import copy
import uuid
from dataclasses import dataclass

from lxml import etree

from catalog.services import Service, ServiceType
from node.exchange.builtin import AnswerPart, Call, SoapAnswer
from node.messages.soap import SoapMessage, check_strict
from node.messages.soap_answer import build_answer, request_body
from node.metadata.descriptions import Descriptions
from node.metadata.methods import add_services, allowed, soap_services
from trust.errors import ExchangeError, UnknownService, WrongServiceType
from trust.ids import XROAD_NAMESPACE, GlobalGroupId, ServiceId

LIST_METHODS = "listMethods"
ALLOWED_METHODS = "allowedMethods"
GET_WSDL = "getWsdl"
_CODES = frozenset({LIST_METHODS, ALLOWED_METHODS, GET_WSDL})


@dataclass(frozen=True, slots=True)
class SoapMetadata:
    """The SOAP metadata services of every hosted client."""

    descriptions: Descriptions

    @property
    def type(self) -> ServiceType:
        return ServiceType.WSDL

    def takes(self, call: Call) -> bool:
        request = call.request
        return isinstance(request, SoapMessage) and request.service.service_code in _CODES

    def check_access(self, call: Call) -> None:
        """Every client that may call at all may call these."""

    async def answer(self, call: Call) -> SoapAnswer:
        """Answer a verified call, or raise an ExchangeError with the texts of metadata.md 4."""
        request = call.request
        if not isinstance(request, SoapMessage):
            raise AssertionError("only SOAP calls are taken")
        check_strict(request)
        if request.service.service_code == GET_WSDL:
            return await self._wsdl(call, request)
        services = _listed(call, request)
        return SoapAnswer(
            build_answer(
                request, lambda wrapper: add_services(wrapper, services), namespace=XROAD_NAMESPACE
            )
        )

    async def _wsdl(self, call: Call, request: SoapMessage) -> SoapAnswer:
        asked = request_body(request)
        service = _described(call, _wanted(request, asked))
        published = await self.descriptions.get(service)
        part = AnswerPart(
            "text/xml",
            (
                ("Content-ID", f"<wsdl={uuid.uuid4()}@x-road.eu>"),
                ("Content-Transfer-Encoding", "binary"),
            ),
            published.content,
        )
        return SoapAnswer(build_answer(request, lambda wrapper: _copy(asked, wrapper)), (part,))


def _listed(call: Call, request: SoapMessage) -> tuple[Service, ...]:
    snapshot = call.snapshot
    services = soap_services(snapshot.services, request.provider)
    if request.service.service_code == LIST_METHODS:
        return services
    caller = request.client

    def in_group(group: GlobalGroupId) -> bool:
        return snapshot.conf.in_group(caller, group, snapshot.at)

    found = allowed(snapshot.services, services, caller, in_group, snapshot.at)
    return tuple(service for service, _ in found)


def _wanted(request: SoapMessage, asked: etree._Element) -> ServiceId:
    code = asked.findtext(f"{{{XROAD_NAMESPACE}}}serviceCode")
    if code is None or not code.strip():
        raise ExchangeError("Missing serviceCode in message body", "invalid_request")
    version = asked.findtext(f"{{{XROAD_NAMESPACE}}}serviceVersion")
    return ServiceId(request.provider, code, version or None)


def _described(call: Call, wanted: ServiceId) -> Service:
    service = call.snapshot.services.service(wanted)
    if service is not None and service.type.is_rest:
        raise WrongServiceType("Service is a REST service and does not have a WSDL")
    if service is None or not service.description_url:
        raise UnknownService(f"Could not find wsdl URL for service {wanted}")
    return service


def _copy(asked: etree._Element, wrapper: etree._Element) -> None:
    wrapper.text = asked.text
    for child in asked:
        wrapper.append(copy.deepcopy(child))
