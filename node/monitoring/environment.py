"""`getSecurityServerMetrics`: certificates, machine, processes and packages of this node.

For the owner and the central monitoring client alone.
Source: monitoring.md 6; X-Road 7.8 ProxyMonitorServiceHandlerImpl.java, MetricsRpcService.java,
MetricTypes.java, CertificateInfoSensor.java.
"""

import hashlib
import logging
import re
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import psutil
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

from catalog.services import ServiceType
from node.exchange.builtin import Call, SoapAnswer
from node.messages.envelope import PROXY_VERSION
from node.messages.soap_answer import build_answer
from node.monitoring.calls import add_child, is_for, soap_of
from node.monitoring.host import Host, HostFacts, ProcessInfo
from node.monitoring.queries import ENVIRONMENT_NAMESPACE, METRICS, metric_names
from node.monitoring.settings import MonitoringSettings
from trust.errors import AccessDenied, ExchangeError
from trust.ids import ServerId
from trust.pki.keystore import KeyEntry

_LOG = logging.getLogger(__name__)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_FOR_EVERYBODY = frozenset({"Certificates", "OperatingSystem"})


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """A certificate that this node has; `kind` in X-Road's words."""

    certificate: x509.Certificate
    kind: str  # AUTH_OR_SIGN, INTERNAL_IS_CLIENT_TLS, SECURITY_SERVER_TLS
    active: bool


def node_certificates(
    entries: Iterable[KeyEntry], internal: x509.Certificate
) -> Iterator[OwnCertificate]:
    """The certificates of a node's keys, and the one that its information systems see."""
    yield OwnCertificate(internal, "SECURITY_SERVER_TLS", active=True)
    for entry in entries:
        if entry.certificate is not None:
            yield OwnCertificate(entry.certificate, "AUTH_OR_SIGN", entry.active)


class EnvironmentService:
    """Answers with what is asked for, as far as the asker may know it.

    Args:
        certificates: the keys' and the internal one; those of information systems are hosted.
    """

    type = ServiceType.WSDL

    def __init__(
        self,
        server: ServerId,
        settings: MonitoringSettings,
        host: Host,
        certificates: Callable[[], Iterable[OwnCertificate]],
    ) -> None:
        self._server = server
        self._settings = settings
        self._host = host
        self._certificates = certificates

    def takes(self, call: Call) -> bool:
        versioned = call.request.service.service_version is not None
        return not versioned and is_for(call, self._server, METRICS)

    def check_access(self, call: Call) -> None:
        """The owner and the central monitoring client may ask."""
        client = call.request.client
        if client not in (self._server.owner, call.snapshot.conf.monitoring_client):
            raise AccessDenied(f"Request is not allowed: {call.request.service}")

    async def answer(self, call: Call) -> SoapAnswer:
        """The metrics that were asked for; raises ExchangeError when the machine tells none."""
        request = soap_of(call)
        names = metric_names(request)
        limited = self._settings.limit_remote_data and request.client != self._server.owner

        def wanted(name: str) -> bool:
            return (not names or name in names) and (not limited or name in _FOR_EVERYBODY)

        try:
            facts = await self._host.facts(wanted)
        except (OSError, psutil.Error) as error:
            _LOG.warning("The machine's metrics can't be read: %s", type(error).__name__)
            raise ExchangeError("Unable to read metrics") from error
        certificates = [*self._certificates(), *_of_systems(call)]

        def fill(body: etree._Element) -> None:
            root = _add_set(body, str(self._server))
            _add_single(root, "proxyVersion", PROXY_VERSION, is_text=True)
            _add_metrics(_add_set(root, "systemMetrics"), certificates, facts, wanted)

        return SoapAnswer(build_answer(request, fill, namespace=ENVIRONMENT_NAMESPACE))


def _of_systems(call: Call) -> Iterator[OwnCertificate]:
    for client in call.snapshot.services.clients:
        for der in client.certificates:
            try:
                certificate = x509.load_der_x509_certificate(der)
            except ValueError:  # any certificate may be declared, also an odd one
                continue
            yield OwnCertificate(certificate, "INTERNAL_IS_CLIENT_TLS", active=True)


# --- the answer -----------------------------------------------------------------------------------


def _add_metrics(
    parent: etree._Element,
    certificates: Sequence[OwnCertificate],
    facts: HostFacts,
    wanted: Callable[[str], bool],
) -> None:
    """All metrics in the order in which X-Road tells them."""
    if wanted("Certificates"):
        _add_certificates(parent, certificates)
    for name, value in sorted(facts.simple.items()):
        if wanted(name):
            _add_single(parent, name, value)
    for name in sorted(facts.samples[-1].values):
        if wanted(name):
            _add_histogram(parent, name, facts)
    lists = (("Processes", facts.processes), ("Xroad Processes", facts.own_processes))
    for name, processes in lists:
        if wanted(name):
            _add_processes(parent, name, processes)
    if wanted("Packages"):
        packages = _add_set(parent, "Packages")
        for name, version in facts.packages:
            _add_single(packages, name, version)


def _add_certificates(parent: etree._Element, certificates: Iterable[OwnCertificate]) -> None:
    """Each once. The hash is one of SHA-256 since X-Road 7, whatever its name says."""
    group = _add_set(parent, "Certificates")
    seen = set()
    for own in certificates:
        found = own.certificate
        digest = hashlib.sha256(found.public_bytes(Encoding.DER)).hexdigest().upper()
        spelled = ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))
        if (spelled, own.kind) in seen:
            continue
        seen.add((spelled, own.kind))
        one = _add_set(group, f"certificate-{spelled}")
        _add_single(one, "sha1Hash", spelled)
        _add_single(one, "notBefore", f"{found.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}")
        _add_single(one, "notAfter", f"{found.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}")
        _add_single(one, "certificateType", own.kind)
        _add_single(one, "active", "true" if own.active else "false")


def _add_processes(parent: etree._Element, name: str, processes: Iterable[ProcessInfo]) -> None:
    group = _add_set(parent, name)
    for process in processes:
        one = _add_set(group, str(process.pid))
        _add_single(one, "processId", str(process.pid))
        _add_single(one, "command", process.command)
        _add_single(one, "cpuLoad", process.cpu_load)
        _add_single(one, "memUsed", process.memory)
        _add_single(one, "startTime", process.started)
        _add_single(one, "userId", process.user)


def _add_histogram(parent: etree._Element, name: str, facts: HostFacts) -> None:
    values = [sample.values[name] for sample in facts.samples]
    metric = add_child(parent, "histogramMetric")
    add_child(metric, "name", name)
    add_child(metric, "updated", f"{facts.samples[-1].taken:%Y-%m-%dT%H:%M:%SZ}")
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    for what, value in (
        ("min", min(values)),
        ("max", max(values)),
        ("mean", statistics.fmean(values)),
        ("median", statistics.median(values)),
        ("stddev", deviation),
    ):
        add_child(metric, what, f"{value:.3f}".rstrip("0").rstrip("."))


def _add_set(parent: etree._Element, name: str) -> etree._Element:
    found = add_child(parent, "metricSet")
    add_child(found, "name", name)
    return found


def _add_single(parent: etree._Element, name: str, value: str, *, is_text: bool = False) -> None:
    """A metric of its own; what looks like a number is told as one, whatever it means."""
    numeric = not is_text and _NUMBER.fullmatch(value) is not None
    metric = add_child(parent, "numericMetric" if numeric else "stringMetric")
    add_child(metric, "name", name)
    add_child(metric, "value", value)
