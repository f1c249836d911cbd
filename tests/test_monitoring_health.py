"""How services did lately: exact numbers, a sliding time, and room that peers can't use up."""

import asyncio
import statistics
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from node.exchange.builtin import SoapAnswer
from node.monitoring import health_statistics
from node.monitoring.health_data import HealthDataService
from node.monitoring.health_statistics import HealthStatistics, ServiceHealth, Tally
from node.monitoring.record import OperationalRecord
from tests.monitoring_stage import (
    POPULATION,
    PORTAL,
    SERVER,
    call_of,
    collector_request,
    identifier,
    sample_record,
)
from trust.errors import ExchangeError
from trust.ids import ClientId, ServiceId

SERVICE = "getSecurityServerHealthData"
STARTED = datetime.fromtimestamp(1759990000.123, UTC)
BODY = "<om:getSecurityServerHealthData>{}</om:getSecurityServerHealthData>"
OM = "{http://x-road.eu/xsd/op-monitoring.xsd}"


def took(
    milliseconds: int, request: int = 1, response: int = 1, **more: object
) -> OperationalRecord:
    return sample_record(
        request_in_ts=1760000101250 - milliseconds, request_size=request, response_size=response,
        **more,
    )  # fmt: skip


def only(found: list[ServiceHealth]) -> ServiceHealth:
    (health,) = found
    return health


@given(st.lists(st.lists(st.integers(0, 10**12), max_size=20), min_size=1, max_size=5))
def test_a_tally_knows_what_all_its_numbers_would_tell(slices: list[list[int]]) -> None:
    tallies = []
    for numbers in slices:
        tally = Tally()
        for number in numbers:
            tally.add(number)
        tallies.append(tally)
    whole = [number for numbers in slices for number in numbers]
    found = Tally.sum(tallies)
    assert found.count == len(whole)
    if whole:
        assert (found.least, found.most) == (min(whole), max(whole))
        assert found.mean == pytest.approx(statistics.mean(whole))
        deviation = statistics.stdev(whole) if len(whole) > 1 else 0.0
        assert found.deviation == pytest.approx(deviation, rel=1e-9, abs=1e-6)


def test_the_time_slides_and_what_was_last_stays() -> None:
    kept = HealthStatistics(600)
    for second, duration in ((0, 100), (300, 200), (599, 400)):
        kept.add(took(duration, response_out_ts=1760000101250), second)
    kept.add(sample_record(succeeded=False, response_out_ts=7), 300)
    now = only(kept.services(599))
    assert (now.durations.count, now.durations.total, now.failures) == (3, 700, 1)
    later = only(kept.services(700))
    assert (later.durations.count, later.durations.least, later.failures) == (2, 200, 1)
    long_after = only(kept.services(10_000))
    assert (long_after.durations.count, long_after.failures) == (0, 0)
    assert (long_after.last_success, long_after.last_failure) == (1760000101250, 7)


def test_any_number_of_requests_takes_the_same_room() -> None:
    kept = HealthStatistics(600)
    for number in range(20_000):
        kept.add(took(number % 7), number / 10)
    (service,) = kept._proven.values()
    assert len(service.slices) <= health_statistics._SLICES
    assert only(kept.services(2000)).durations.count <= 6000


def test_only_this_node_s_services_count() -> None:
    kept = HealthStatistics(600)
    kept.add(sample_record(server_type="Client"), 0)
    kept.add(sample_record(provider=None, service_code=None), 0)
    assert kept.services(0) == []


def test_services_that_peers_invent_push_no_real_one_out() -> None:
    kept = HealthStatistics(600)
    kept.add(sample_record(service_code="real"), 0)
    for number in range(3 * health_statistics.MAX_FAILING):
        kept.add(sample_record(service_code=f"x{number}", succeeded=False, service_type=None), 1)
    kept.add(sample_record(service_code="x1", succeeded=True), 2)
    names = [health.service.service_code for health in kept.services(2)]
    assert {"real", "x1", f"x{3 * health_statistics.MAX_FAILING - 1}"} <= set(names)
    assert "x0" not in names
    assert len(names) == health_statistics.MAX_FAILING + 2


def test_even_services_that_work_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_statistics, "MAX_SERVICES", 3)
    kept = HealthStatistics(600)
    for name in ("a", "b", "c", "a", "d"):
        kept.add(sample_record(service_code=name), 0)
    assert [health.service.service_code for health in kept.services(0)] == ["a", "c", "d"]


def test_a_type_once_known_is_kept_when_a_request_is_refused_early() -> None:
    kept = HealthStatistics(600)
    kept.add(sample_record(), 0)
    kept.add(sample_record(succeeded=False, service_type=None), 0)
    assert only(kept.services(0)).type == "WSDL"


# --- the service ----------------------------------------------------------------------------------


def asked(kept: HealthStatistics, body: str = "", client: ClientId = PORTAL) -> SoapAnswer:
    service = HealthDataService(SERVER, kept, STARTED, lambda: 100.0)
    call = call_of(collector_request(BODY.format(body), SERVICE, client))
    assert service.takes(call)
    service.check_access(call)
    answer = asyncio.run(service.answer(call))
    assert isinstance(answer, SoapAnswer)
    assert answer.attachments == ()
    return answer


EXPECTED = """<om:getSecurityServerHealthDataResponse>
      <om:monitoringStartupTimestamp>1759990000123</om:monitoringStartupTimestamp>
      <om:statisticsPeriodSeconds>600</om:statisticsPeriodSeconds>
      <om:servicesEvents>
        <om:serviceEvents>
          <om:service id:objectType="SERVICE">
            <id:xRoadInstance>EX</id:xRoadInstance>
            <id:memberClass>GOV</id:memberClass>
            <id:memberCode>7654321</id:memberCode>
            <id:subsystemCode>population</id:subsystemCode>
            <id:serviceCode>personApi</id:serviceCode>
          </om:service>
          <om:lastUnsuccessfulRequestTimestamp>1759999000000</om:lastUnsuccessfulRequestTimestamp>
          <om:serviceType>OPENAPI3</om:serviceType>
          <om:lastPeriodStatistics>
            <om:successfulRequestCount>0</om:successfulRequestCount>
            <om:unsuccessfulRequestCount>1</om:unsuccessfulRequestCount>
          </om:lastPeriodStatistics>
        </om:serviceEvents>
        <om:serviceEvents>
          <om:service id:objectType="SERVICE">
            <id:xRoadInstance>EX</id:xRoadInstance>
            <id:memberClass>GOV</id:memberClass>
            <id:memberCode>7654321</id:memberCode>
            <id:subsystemCode>population</id:subsystemCode>
            <id:serviceCode>personData</id:serviceCode>
            <id:serviceVersion>v1</id:serviceVersion>
          </om:service>
          <om:lastSuccessfulRequestTimestamp>1760000101250</om:lastSuccessfulRequestTimestamp>
          <om:lastUnsuccessfulRequestTimestamp>1760000099871</om:lastUnsuccessfulRequestTimestamp>
          <om:serviceType>WSDL</om:serviceType>
          <om:lastPeriodStatistics>
            <om:successfulRequestCount>2</om:successfulRequestCount>
            <om:unsuccessfulRequestCount>1</om:unsuccessfulRequestCount>
            <om:requestMinDuration>120</om:requestMinDuration>
            <om:requestAverageDuration>135.0</om:requestAverageDuration>
            <om:requestMaxDuration>150</om:requestMaxDuration>
            <om:requestDurationStdDev>21.213203435596427</om:requestDurationStdDev>
            <om:requestMinSize>1450</om:requestMinSize>
            <om:requestAverageSize>1460.0</om:requestAverageSize>
            <om:requestMaxSize>1470</om:requestMaxSize>
            <om:requestSizeStdDev>14.142135623730951</om:requestSizeStdDev>
            <om:responseMinSize>1600</om:responseMinSize>
            <om:responseAverageSize>1650.0</om:responseAverageSize>
            <om:responseMaxSize>1700</om:responseMaxSize>
            <om:responseSizeStdDev>70.71067811865476</om:responseSizeStdDev>
          </om:lastPeriodStatistics>
        </om:serviceEvents>
      </om:servicesEvents>
    </om:getSecurityServerHealthDataResponse>"""


def test_the_answer_has_the_form_of_the_reference_s_example() -> None:
    """Source: monitoring.md 5; deviations are those of a sample, as the reference reckons them."""
    kept = HealthStatistics(600)
    kept.add(took(120, 1450, 1600), 50)
    kept.add(took(150, 1470, 1700), 60)
    kept.add(sample_record(succeeded=False, response_out_ts=1760000099871), 60)
    api = sample_record(
        service_code="personApi", service_version=None, service_type="OPENAPI3", succeeded=False,
        response_out_ts=1759999000000,
    )  # fmt: skip
    kept.add(api, 0)
    text = asked(kept).envelope.decode()
    start = text.index("<om:getSecurityServerHealthDataResponse>")
    end = text.index("</SOAP-ENV:Body>")
    expected = "".join(line.strip() for line in EXPECTED.splitlines())
    assert text[start:end].strip() == expected


def services_in(answer: SoapAnswer) -> list[str]:
    root = etree.fromstring(answer.envelope)
    return [element.text or "" for element in root.iter("{*}serviceCode")][1:]  # not the header's


def test_one_provider_s_services_can_be_asked_for() -> None:
    kept = HealthStatistics(600)
    kept.add(sample_record(), 100)
    kept.add(sample_record(provider="EX/GOV/7654321/other", service_code="there"), 100)
    assert services_in(asked(kept)) == ["there", "personData"]
    assert services_in(asked(kept, "<om:filterCriteria/>")) == ["there", "personData"]
    of_population = identifier("om:client", POPULATION)
    filtered = f"<om:filterCriteria>{of_population}</om:filterCriteria>"
    assert services_in(asked(kept, filtered)) == ["personData"]
    of_owner = identifier("om:client", POPULATION.member)
    assert services_in(asked(kept, f"<om:filterCriteria>{of_owner}</om:filterCriteria>")) == []


def test_a_service_that_a_peer_invented_does_not_silence_the_others() -> None:
    """A REST call may name any character, also those that XML does not have."""
    kept = HealthStatistics(600)
    kept.add(sample_record(), 100)
    kept.add(sample_record(service_code="a\x01b\ufffe", succeeded=False), 100)
    assert services_in(asked(kept)) == ["a\ufffdb\ufffd", "personData"]


def test_an_answer_without_services_is_complete() -> None:
    root = etree.fromstring(asked(HealthStatistics(600)).envelope)
    events = root.find(f".//{OM}servicesEvents")
    assert events is not None
    assert len(events) == 0


def test_a_query_of_another_form_is_refused() -> None:
    with pytest.raises(ExchangeError) as caught:
        asked(HealthStatistics(600), "<om:client/>")
    assert caught.value.code == "opmonitor.client.invalid_request"


def test_a_request_that_names_identifiers_in_its_header_alone_is_answered() -> None:
    """Its body knows no prefix for them."""
    kept = HealthStatistics(600)
    kept.add(sample_record(), 100)
    raw = collector_request(BODY.format(""), SERVICE).decode()
    declared = ' xmlns:id="http://x-road.eu/xsd/identifiers"'
    raw = raw.replace(f"\n      {declared}", "")
    for element in ("client", "service", "securityServer"):
        raw = raw.replace(f"<xrd:{element} ", f"<xrd:{element}{declared} ")
    service = HealthDataService(SERVER, kept, STARTED, lambda: 100.0)
    answer = asyncio.run(service.answer(call_of(raw.encode())))
    assert isinstance(answer, SoapAnswer)
    assert f"<om:service{declared} id:objectType" in answer.envelope.decode()
    assert services_in(answer) == ["personData"]


def test_it_is_the_owner_s_service_in_any_version() -> None:
    service = HealthDataService(SERVER, HealthStatistics(600), STARTED, lambda: 0.0)
    raw = collector_request(BODY.format(""), SERVICE)
    assert service.takes(call_of(raw))
    other = raw.replace(b"<id:memberCode>7654321", b"<id:memberCode>1")
    assert not service.takes(call_of(other))
    assert ServiceId(SERVER.owner, SERVICE).provider == SERVER.owner
