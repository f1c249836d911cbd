"""What is told of the machine under a node, and to whom."""

import asyncio
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psutil
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

from catalog.services import HostedClient, ServerConf
from node.exchange.builtin import Call, SoapAnswer
from node.messages.envelope import PROXY_VERSION
from node.monitoring import host as host_module
from node.monitoring.environment import EnvironmentService, OwnCertificate
from node.monitoring.host import Host, _start_time, internal_address
from node.monitoring.settings import MonitoringSettings
from tests.monitoring_stage import (
    CENTRAL,
    OWNER,
    POPULATION,
    PORTAL,
    SERVER,
    call_of,
    collector_request,
    output_spec,
)
from tests.pki import Pki
from trust.errors import AccessDenied, ExchangeError
from trust.ids import ClientId

SERVICE = "getSecurityServerMetrics"
NAMESPACE = "http://x-road.eu/xsd/monitoring"
M = f"{{{NAMESPACE}}}"
SETTINGS = MonitoringSettings()
PKI = Pki()
AT = datetime(2026, 3, 2, 9, 15, tzinfo=UTC)


def request(*names: str, client: ClientId = OWNER, prefix: str = "m") -> Call:
    body = f'<m:{SERVICE} xmlns:m="{NAMESPACE}">{output_spec(*names, prefix="m")}</m:{SERVICE}>'
    der = PKI.stranger.certificate.public_bytes(Encoding.DER)
    hosted = HostedClient(POPULATION, certificates=(der, b"no certificate", der))
    raw = collector_request(body, SERVICE, client).replace(b"m:", prefix.encode() + b":")
    return call_of(raw.replace(b"xmlns:m=", f"xmlns:{prefix}=".encode()),
                   services=ServerConf((hosted,)))  # fmt: skip


def own() -> Iterable[OwnCertificate]:
    yield OwnCertificate(PKI.authority.certificate, "SECURITY_SERVER_TLS", active=True)
    yield OwnCertificate(PKI.tsa.certificate, "AUTH_OR_SIGN", active=False)


def service(
    host: Host | None = None, settings: MonitoringSettings = SETTINGS
) -> EnvironmentService:
    return EnvironmentService(SERVER, settings, host or Host(lambda: AT), own)


def asked(*names: str, client: ClientId = OWNER, **how: object) -> etree._Element:
    """The set of all metrics in an answer."""
    call = request(*names, client=client)
    found = service(**how)  # type: ignore[arg-type]
    assert found.takes(call)
    found.check_access(call)
    return system_metrics(asyncio.run(found.answer(call)))


def system_metrics(answer: object) -> etree._Element:
    assert isinstance(answer, SoapAnswer)
    root = etree.fromstring(answer.envelope).find(f".//{M}{SERVICE}Response")
    assert root is not None
    (server,) = root
    name, version, metrics = server
    assert (server.tag, name.text) == (f"{M}metricSet", "SERVER:EX/GOV/7654321/ss2")
    assert (version.tag, [child.text for child in version]) == (
        f"{M}stringMetric", ["proxyVersion", PROXY_VERSION],
    )  # fmt: skip
    assert (metrics.tag, metrics[0].text) == (f"{M}metricSet", "systemMetrics")
    return metrics


def members(metrics: etree._Element) -> dict[str, etree._Element]:
    """The metrics of a set by name, in order."""
    found = list(metrics)
    assert found[0].tag == f"{M}name"
    return {str(one[0].text): one for one in found[1:]}


ALL = [
    "Certificates", "DiskSpaceFree_/", "DiskSpaceTotal_/", "MaxFileDescriptorCount",
    "OperatingSystem", "TotalPhysicalMemory", "TotalSwapSpace", "CommittedVirtualMemory",
    "FreePhysicalMemory", "FreeSwapSpace", "OpenFileDescriptorCount", "SystemCpuLoad",
    "Processes", "Xroad Processes", "Packages",
]  # fmt: skip


def test_everything_is_told_in_the_reference_s_order() -> None:
    """Source: monitoring.md 6."""
    found = members(asked())
    assert list(found) == ALL
    kinds = {name: etree.QName(one).localname for name, one in found.items()}
    assert kinds == {
        **dict.fromkeys(ALL, "metricSet"),
        **dict.fromkeys(ALL[1:7], "numericMetric"),
        "OperatingSystem": "stringMetric",
        **dict.fromkeys(ALL[7:12], "histogramMetric"),
    }
    assert int(found["TotalPhysicalMemory"][1].text or "") == psutil.virtual_memory().total
    assert found["OperatingSystem"][1].text


def test_only_what_is_asked_for_is_told() -> None:
    found = members(asked("OperatingSystem", "TotalPhysicalMemory", "Certificates"))
    assert list(found) == ["Certificates", "OperatingSystem", "TotalPhysicalMemory"]
    assert members(asked("nothing of that name")) == {}


def test_certificates_are_told_once_with_their_times() -> None:
    found = members(members(asked("Certificates"))["Certificates"])
    kinds = []
    for name, one in found.items():
        facts = {key: metric[1].text for key, metric in members(one).items()}
        assert name == f"certificate-{facts['sha1Hash']}"
        assert re.fullmatch(r"(?:[0-9A-F]{2}:){31}[0-9A-F]{2}", facts["sha1Hash"] or "")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", facts["notBefore"] or "")
        assert (facts["notAfter"] or "") > (facts["notBefore"] or "")
        kinds.append((facts["certificateType"], facts["active"]))
    assert kinds == [
        ("SECURITY_SERVER_TLS", "true"), ("AUTH_OR_SIGN", "false"),
        ("INTERNAL_IS_CLIENT_TLS", "true"),
    ]  # fmt: skip


def test_histograms_are_of_the_last_samples() -> None:
    host = Host(lambda: AT)
    for value in (1, 2, 3, 10):
        host.sample()
        host._samples[-1].values["OpenFileDescriptorCount"] = value
    metric = members(asked("OpenFileDescriptorCount", host=host))["OpenFileDescriptorCount"]
    found = {etree.QName(child).localname: child.text for child in metric}
    assert found == {
        "name": "OpenFileDescriptorCount", "updated": "2026-03-02T09:15:00Z", "min": "1",
        "max": "10", "mean": "4", "median": "2.5", "stddev": "4.082",
    }  # fmt: skip
    alone = members(asked("FreeSwapSpace"))["FreeSwapSpace"]
    assert [Decimal(child.text or "") for child in alone[2:]][-1] == 0


def test_samples_are_taken_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_module, "_SAMPLE_EVERY", 0.0001)
    monkeypatch.setattr(host_module, "_SAMPLES", 10)
    host = Host()

    async def for_a_while() -> None:
        task = asyncio.create_task(host.run())
        await asyncio.sleep(0.2)
        task.cancel()

    asyncio.run(for_a_while())
    assert len(host._samples) == host_module._SAMPLES


def test_processes_are_told_as_ps_tells_them() -> None:
    metrics = members(asked("Processes", "Xroad Processes", host=Host()))
    mine = str(psutil.Process().pid)
    for name in ("Processes", "Xroad Processes"):
        facts = {key: one[1].text for key, one in members(members(metrics[name])[mine]).items()}
        assert list(facts) == ["processId", "command", "cpuLoad", "memUsed", "startTime", "userId"]
        assert facts["processId"] == mine
        assert facts["userId"] == psutil.Process().username()
        assert re.fullmatch(r"\d+\.\d", facts["cpuLoad"] or "")
        assert re.fullmatch(r"\d\d:\d\d|[A-Z][a-z]{2}\d\d|\d{4}", facts["startTime"] or "")


def test_no_number_of_processes_is_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_module, "_MAX_PROCESSES", 3)
    found = asyncio.run(Host().facts(lambda _: True))
    assert len(found.processes) == 3


def test_processes_and_packages_are_looked_up_once_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [AT]
    host = Host(lambda: now[0])
    first = asyncio.run(host.facts(lambda _: True))
    monkeypatch.setattr(host_module, "_list_processes", lambda *_, **__: ())
    monkeypatch.setattr(host_module, "_list_packages", lambda: ())
    again = asyncio.run(Host.facts(host, lambda _: True))
    assert again.processes == first.processes
    assert again.packages == first.packages
    now[0] += timedelta(days=1)
    later = asyncio.run(Host.facts(host, lambda _: True))
    assert (later.processes, later.packages) == ((), ())


def test_packages_are_the_system_s_and_python_s() -> None:
    found = members(members(asked("Packages"))["Packages"])
    assert found["python:psutil"][1].text == psutil.__version__
    assert len(found) > 20


def test_a_package_manager_that_fails_leaves_python_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_module, "_PACKAGE_LISTS", (("false",), ("no-such-program",)))
    names = [name for name, _ in host_module._list_packages()]
    assert "python:psutil" in names
    assert all(name.startswith("python:") for name in names)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("1", "numericMetric"), ("-1", "numericMetric"), ("1.5", "numericMetric"),
        ("0", "numericMetric"), ("1.5.2", "stringMetric"), ("08", "stringMetric"),
        ("1e5", "stringMetric"), ("", "stringMetric"), ("\u0661", "stringMetric"),
        ("1\n", "stringMetric"),
    ],
)  # fmt: skip
def test_what_looks_like_a_number_is_told_as_one(
    value: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_module, "_list_packages", lambda: (("some", value),))
    found = members(members(asked("Packages"))["Packages"])["some"]
    assert etree.QName(found).localname == kind


def test_names_that_xml_can_not_hold_are_told_without_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host_module, "_list_packages", lambda: (("a\0b\x1b", "\ufffe"),))
    (name,) = members(members(asked("Packages"))["Packages"])
    assert name == "a\ufffdb\ufffd"


# --- who may ask ----------------------------------------------------------------------------------


@pytest.mark.parametrize("client", [PORTAL, POPULATION, CENTRAL.member])
def test_nobody_else_may_ask(client: ClientId) -> None:
    call = request(client=client)
    assert service().takes(call)
    with pytest.raises(AccessDenied) as caught:
        service().check_access(call)
    assert caught.value.code == "access_denied"
    assert caught.value.text == (
        "Request is not allowed: SERVICE:EX/GOV/7654321/getSecurityServerMetrics"
    )


def test_without_a_central_client_only_the_owner_may_ask() -> None:
    raw = collector_request(f'<m:{SERVICE} xmlns:m="{NAMESPACE}"/>', SERVICE, CENTRAL)
    service().check_access(call_of(raw))
    with pytest.raises(AccessDenied):
        service().check_access(call_of(raw, monitoring_client=None))


def test_the_central_client_may_be_told_less() -> None:
    limited = MonitoringSettings(limit_remote_data=True)
    assert list(members(asked(client=CENTRAL))) == ALL
    assert list(members(asked(client=CENTRAL, settings=limited))) == [
        "Certificates", "OperatingSystem",
    ]  # fmt: skip
    assert list(members(asked("Processes", client=CENTRAL, settings=limited))) == []
    assert list(members(asked(client=OWNER, settings=limited))) == ALL


def test_a_version_or_another_provider_is_not_taken() -> None:
    raw = collector_request(f'<m:{SERVICE} xmlns:m="{NAMESPACE}"/>', SERVICE, OWNER)
    assert service().takes(call_of(raw))
    version = b"</id:serviceCode><id:serviceVersion>v1</id:serviceVersion>"
    assert not service().takes(call_of(raw.replace(b"</id:serviceCode>", version)))
    subsystem = b"<id:subsystemCode>population</id:subsystemCode><id:serviceCode>"
    assert not service().takes(call_of(raw.replace(b"<id:serviceCode>", subsystem)))


def test_the_answer_is_in_its_namespace_whatever_the_request_is_in() -> None:
    raw = collector_request(f'<{SERVICE} xmlns="urn:other"/>', SERVICE, OWNER)
    answer = asyncio.run(service().answer(call_of(raw)))
    assert list(members(system_metrics(answer))) == ALL


def test_a_machine_that_does_not_tell_is_an_error() -> None:
    class Silent(Host):
        def sample(self) -> None:
            raise psutil.AccessDenied

    with pytest.raises(ExchangeError, match=r"^Unable to read metrics$") as caught:
        asked(host=Silent())
    assert caught.value.code == "internal_error"


# --- this machine ---------------------------------------------------------------------------------


def test_the_internal_address_is_one_that_others_may_reach() -> None:
    assert not internal_address().startswith(("127.", "169.254.", "::1"))


@pytest.mark.parametrize(
    ("born", "text"),
    [
        (AT - timedelta(hours=1), "08:15"),
        (AT - timedelta(days=1), "Mar01"),
        (AT - timedelta(days=365), "2025"),
    ],
)
def test_start_times_are_as_short_as_ps_has_them(born: datetime, text: str) -> None:
    assert _start_time(born, AT) == text
