"""`getSecurityServerHealthData`: how this node's services did lately, for everybody who asks.

Source: monitoring.md 5; X-Road 7.8 HealthDataRequestHandler.java.
"""

from collections.abc import Callable
from datetime import datetime

from lxml import etree

from catalog.services import ServiceType
from node.exchange.builtin import Call, SoapAnswer
from node.messages.soap_answer import build_answer
from node.monitoring.calls import add_child, is_for, read_soap, xml_text
from node.monitoring.health_statistics import HealthStatistics, ServiceHealth, Tally
from node.monitoring.queries import HEALTH_DATA, health_data_provider
from trust.ids import IDENTIFIERS_NAMESPACE, ServerId, ServiceId

_OBJECT_TYPE = f"{{{IDENTIFIERS_NAMESPACE}}}objectType"
_MEMBER_PARTS = ("xRoadInstance", "memberClass", "memberCode", "subsystemCode")


class HealthDataService:
    """Answers from the statistics of this process.

    Args:
        started: since when they are kept.
        now: the clock that the statistics were kept by.
    """

    type = ServiceType.WSDL

    def __init__(
        self,
        server: ServerId,
        statistics: HealthStatistics,
        started: datetime,
        now: Callable[[], float],
    ) -> None:
        self._server = server
        self._statistics = statistics
        self._started = started
        self._now = now

    def takes(self, call: Call) -> bool:
        return is_for(call, self._server, HEALTH_DATA)

    def check_access(self, call: Call) -> None:
        """Everybody may ask."""

    async def answer(self, call: Call) -> SoapAnswer:
        """The services that were called since the start; raises ExchangeError for a bad query."""
        request = read_soap(call)
        provider = health_data_provider(request)
        services = self._statistics.services(self._now(), provider)

        def fill(body: etree._Element) -> None:
            started = int(self._started.timestamp() * 1000)
            add_child(body, "monitoringStartupTimestamp", str(started))
            add_child(body, "statisticsPeriodSeconds", str(self._statistics.period))
            events = add_child(body, "servicesEvents")
            for health in services:
                _add_events(events, health)

        return SoapAnswer(build_answer(request, fill))


def _add_events(parent: etree._Element, health: ServiceHealth) -> None:
    events = add_child(parent, "serviceEvents")
    _add_service(events, health.service)
    known = {
        "lastSuccessfulRequestTimestamp": health.last_success,
        "lastUnsuccessfulRequestTimestamp": health.last_failure,
        "serviceType": health.type,
    }
    for name, value in known.items():
        if value is not None:
            add_child(events, name, str(value))
    statistics = add_child(events, "lastPeriodStatistics")
    add_child(statistics, "successfulRequestCount", str(health.durations.count))
    add_child(statistics, "unsuccessfulRequestCount", str(health.failures))
    for what, kind, tally in (
        ("request", "Duration", health.durations),
        ("request", "Size", health.requests),
        ("response", "Size", health.responses),
    ):
        if tally.count:
            _add_tally(statistics, what, kind, tally)


def _add_tally(parent: etree._Element, what: str, kind: str, tally: Tally) -> None:
    add_child(parent, f"{what}Min{kind}", str(tally.least))
    add_child(parent, f"{what}Average{kind}", str(tally.mean))
    add_child(parent, f"{what}Max{kind}", str(tally.most))
    add_child(parent, f"{what}{kind}StdDev", str(tally.deviation))


def _add_service(parent: etree._Element, service: ServiceId) -> None:
    """The identifier, with the prefix that the request has for identifiers."""
    known = IDENTIFIERS_NAMESPACE in parent.nsmap.values()
    nsmap = None if known else {"id": IDENTIFIERS_NAMESPACE}
    name = etree.QName(etree.QName(parent).namespace, "service")
    element = etree.SubElement(parent, name, nsmap=nsmap)
    element.set(_OBJECT_TYPE, "SERVICE")
    parts = [*zip(_MEMBER_PARTS, service.provider.parts, strict=False)]
    parts.append(("serviceCode", service.service_code))
    if service.service_version is not None:
        parts.append(("serviceVersion", service.service_version))
    for tag, part in parts:
        etree.SubElement(element, etree.QName(IDENTIFIERS_NAMESPACE, tag)).text = xml_text(part)
