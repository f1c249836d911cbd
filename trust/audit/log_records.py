"""Judge a record of a message log as it lies in the database, without its container.

The steps are those of a container (`trust.evidence.container`), on the parts themselves: digests
and signature, the sender, the certificate at the moment of the time-stamp by the trust list of
that moment. What a container has around its evidence, a row has not; what a row has beside the
message (who asked whom, under which id) is compared with the message.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from cryptography import x509

from trust.audit.indications import Indication, Level, indication_of, is_dated
from trust.digests import sha512
from trust.errors import EvidenceRejected, MalformedMessage
from trust.evidence.certificate_verdicts import VerdictCache
from trust.evidence.evidence_leaf import leaf_data, leaf_hash
from trust.evidence.exchange_facts import read_facts
from trust.evidence.hashchain import PartDigest
from trust.evidence.sender import sender_of
from trust.evidence.signature import Signature, SignedMessage
from trust.evidence.signature_verifier import (
    MESSAGE_NAME,
    ContentVerdict,
    judge_signer,
    verify_content,
)
from trust.evidence.timestamps import check_timestamp
from trust.evidence.xades_form import Form
from trust.globalconf import GlobalConf
from trust.ids import ClientId, encode_segment
from trust.report import (
    Check,
    Outcome,
    VerificationReport,
    failed,
    indeterminate,
    passed,
    warning,
)

_SKEW = timedelta(minutes=5)  # between two servers' clocks, and the service's


class TrustLists(Protocol):
    """Which trust list counted when."""

    def at(self, moment: datetime) -> GlobalConf | None: ...

    def why_none(self, moment: datetime) -> str: ...


@dataclass(frozen=True, slots=True)
class OneTrustList:
    """The same list for every moment, as an auditor may give it."""

    conf: GlobalConf

    def at(self, moment: datetime) -> GlobalConf | None:
        return self.conf

    def why_none(self, moment: datetime) -> str:
        return "There is one"


@dataclass(frozen=True, slots=True)
class LoggedPart:
    """An attachment or body: the digest that the log states, and what its bytes gave.

    Attributes:
        stated: SHA-512, in the row.
        found: SHA-512 of the bytes that are kept; None when they are not.
        kept: where the bytes are, in words; empty when only the digest was kept.
        problem: why bytes that should be there could not be read.
    """

    stated: bytes
    found: bytes | None
    kept: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRecord:
    """A row of the log with its place; nothing of it is believed."""

    number: int
    leaf: int
    time: datetime
    response: bool
    message_id: str
    client: str  # in path form
    provider: str
    service_code: str
    service_version: str | None
    message: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    hash_chain_result: bytes | None = field(default=None, repr=False)
    hash_chain: bytes | None = field(default=None, repr=False)
    parts: Sequence[LoggedPart] = ()

    @property
    def place(self) -> str:
        return f"record {self.number} (leaf {self.leaf})"


@dataclass(frozen=True, slots=True)
class StampedAt:
    """The time-stamp over a record.

    Attributes:
        time: as the token says. The token over a hash tree was judged before.
        token: of the single form, which this record's signature value must fit.
    """

    time: datetime
    token: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RecordVerdict:
    """What a record proves.

    Attributes:
        leaf_hash, signature_digest: computed from the record's own bytes.
        certificate: the signer's, when the signature holds.
    """

    report: VerificationReport
    indication: Indication
    level: Level
    leaf_hash: bytes
    signature_digest: bytes
    certificate: x509.Certificate | None = None
    signature: Signature | None = None


def leaf_of(record: LoggedRecord) -> tuple[bytes, bytes]:
    """The record's leaf hash and the digest of its signature file, from its own bytes."""
    signature_digest = sha512(record.signature)
    result, chain = record.hash_chain_result, record.hash_chain
    data = leaf_data(
        sha512(record.message),
        signature_digest,
        None if result is None else sha512(result),
        None if chain is None else sha512(chain),
        [part.stated for part in record.parts],
    )
    return leaf_hash(data), signature_digest


@dataclass
class RecordJudge:
    """Judges records; remembers what was found of certificates.

    Attributes:
        trust: which list counts when.
        at: for records without time-stamp that are older than `patience`; the time of a younger
            record is taken as it stands in the log.
    """

    trust: TrustLists
    at: datetime
    patience: timedelta
    _caches: dict[int, VerdictCache] = field(default_factory=dict)

    def judge(self, record: LoggedRecord, stamp: StampedAt | None) -> RecordVerdict:
        """All checks of one record; never raises for bad evidence."""
        found_leaf, signature_digest = leaf_of(record)
        content = verify_content(_signed_message(record), Form.CONTAINER)
        checks = [*_bodies(record)]
        moment = record.time if stamp is None else stamp.time
        conf = self.trust.at(moment)
        try:
            sender = sender_of(record.message)
        except MalformedMessage as error:
            checks += (failed("message", error.code, error.text), *content.report.checks)
        else:
            checks.append(passed("message", f"must be signed by {sender.member}"))
            checks += self._signer(content, sender, conf, moment)
        checks += _columns(record)
        if content.signature is not None:
            checks += self._time(record, content.signature, stamp, conf)
        report = VerificationReport(tuple(checks))
        dated = is_dated(checks)
        holds = content.report.verdict is Outcome.PASSED
        return RecordVerdict(
            report,
            indication_of(report, dated=dated),
            Level.TIME if dated else Level.SIGNATURE,
            found_leaf,
            signature_digest,
            content.signature.certificate if holds and content.signature else None,
            content.signature,
        )

    def _signer(
        self,
        content: ContentVerdict,
        sender: ClientId,
        conf: GlobalConf | None,
        moment: datetime,
    ) -> Iterator[Check]:
        if conf is None:
            yield from content.report.checks
            yield indeterminate("trust_list", "no_trust_list", self.trust.why_none(moment))
            return
        if conf.instance(sender.instance, moment) is None:
            yield from content.report.checks
            text = f"There is no trust list for instance {sender.instance}"
            yield indeterminate("signer", "unknown_instance", text)
            return
        cache = self._caches.setdefault(conf.number, VerdictCache(timedelta(days=1)))
        yield from judge_signer(content, sender, conf, moment, cache).checks
        while len(self._caches) > 4:
            del self._caches[next(iter(self._caches))]

    def _time(
        self,
        record: LoggedRecord,
        signature: Signature,
        stamp: StampedAt | None,
        conf: GlobalConf | None,
    ) -> Iterator[Check]:
        if stamp is None:
            waited = self.at - record.time
            text = f"It is not time-stamped, and judged for {record.time:%Y-%m-%d %H:%M:%S}Z"
            if waited <= self.patience:
                yield warning("timestamp", text)
            else:
                yield indeterminate("timestamp", "no_timestamp", text)
            return
        if stamp.token is None:
            yield passed("timestamp", f"seen at {stamp.time:%Y-%m-%d %H:%M:%S}Z")
        elif conf is not None:
            tsas = conf.tsa_certificates(stamp.time)
            yield check_timestamp(stamp.token, signature.value, tsas).check
        if record.time > stamp.time + _SKEW:
            text = (
                f"It was logged at {record.time:%Y-%m-%d %H:%M:%S}Z,"
                f" and time-stamped before, at {stamp.time:%Y-%m-%d %H:%M:%S}Z"
            )
            yield failed("timestamp_order", "wrong_time", text)


def _path(parts: Sequence[str]) -> str:
    return "/".join(encode_segment(part) for part in parts)


def _signed_message(record: LoggedRecord) -> SignedMessage:
    parts = {MESSAGE_NAME: PartDigest.of(MESSAGE_NAME, record.message)}
    for position, part in enumerate(record.parts, 1):
        name = f"/attachment{position}"
        parts[name] = PartDigest(name, part.stated)
    return SignedMessage(
        signature=record.signature,
        parts=parts,
        data={MESSAGE_NAME: record.message},
        hash_chain_result=record.hash_chain_result,
        hash_chain=record.hash_chain,
    )


def _bodies(record: LoggedRecord) -> Iterator[Check]:
    """Check that the bytes that are kept are those that were signed."""
    for position, part in enumerate(record.parts, 1):
        name = f"attachment {position}"
        if part.problem:
            yield indeterminate("body", "body_unreadable", f"{name}: {part.problem}")
        elif part.found is not None and part.found != part.stated:
            yield failed("body", "body_altered", f"{name} is not what was signed")


def _columns(record: LoggedRecord) -> Iterator[Check]:
    """Check that the row is found under what its message says."""
    try:
        facts = read_facts(record.message)
    except (MalformedMessage, EvidenceRejected) as error:
        yield failed("columns", error.code, f"The message can't be read: {error.text}")
        return
    wrong = []
    if facts.response != record.response:
        wrong.append("request or response")
    if facts.message_id != record.message_id:
        wrong.append("message id")
    if _path(facts.client) != record.client:
        wrong.append("client")
    version = () if record.service_version is None else (record.service_version,)
    service = (record.service_code, *version)
    if (_path(facts.service[: -len(service)]), facts.service[-len(service) :]) != (
        record.provider,
        service,
    ):
        wrong.append("service")
    if wrong:
        text = f"The row says something else than its message: {', '.join(wrong)}"
        yield failed("columns", "columns_altered", text)
    else:
        yield passed("columns", "say what the message says")
