"""Judge a receipt: is this what was asked and answered, and is it in the node's log?

Everything that is needed comes out of the receipt; nothing is fetched and nobody is asked. What a
receipt does not hold is said, and so is what rests on the word of the node that made it.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from trust.errors import MalformedMessage
from trust.evidence.asic import Container, parse_container
from trust.evidence.container import ContainerVerdict, unreadable, verify_container
from trust.evidence.exchange_facts import ExchangeFacts, check_pair, read_facts
from trust.globalconf import Anchor, GlobalConf
from trust.receipts.receipt_log import (
    Announced,
    LogVerdict,
    announcement_in,
    check_log,
    unannounced,
    without_proof,
)
from trust.receipts.receipt_trust import check_trust_list, read_trust_list
from trust.receipts.receipts import (
    CONFIGURATION,
    EXCHANGE,
    INCONSISTENT,
    INVALID_RECEIPT,
    LOG_KEY,
    REQUEST,
    REQUEST_PROOF,
    RESPONSE,
    RESPONSE_PROOF,
    SIGNED,
    Receipt,
    from_json,
)
from trust.report import (
    Check,
    Outcome,
    Verdict,
    VerificationReport,
    failed,
    passed,
    warning,
)

_STATED = ("message_id", "client", "service", "user", "issue", "represented_party")


@dataclass(frozen=True, slots=True)
class ReceiptVerdict(Verdict):
    """What a receipt proves.

    Attributes:
        facts: what the request says of itself; None when it can't be read.
        containers: the verdict on each, by its name in the receipt.
        logged: where the messages stand in the node's log, in words; empty without proof.
    """

    report: VerificationReport
    facts: ExchangeFacts | None
    containers: Mapping[str, ContainerVerdict]
    logged: tuple[str, ...] = ()


def unreadable_receipt(error: MalformedMessage) -> ReceiptVerdict:
    """The verdict on a file that could not be read as a receipt."""
    report = VerificationReport((failed("receipt", error.code, error.text),))
    return ReceiptVerdict(report, None, {})


def verify_receipt(
    receipt: Receipt,
    at: datetime,
    *,
    anchors: Sequence[Anchor] = (),
    conf: GlobalConf | None = None,
) -> ReceiptVerdict:
    """Judge a receipt by the trust list that it holds, or by one that the reader has.

    Args:
        at: the moment (aware, UTC) for which containers without time-stamp are judged.
        anchors: of operators whom the reader trusts; the receipt's list is compared with them.
        conf: the reader's own trust list, in place of the receipt's.
    """
    try:
        believed = conf or read_trust_list(receipt.below(CONFIGURATION))
    except MalformedMessage as error:
        return unreadable_receipt(error)
    judging = _Judging(receipt, believed, at)
    request = judging.container(REQUEST, receipt.request)
    response = None
    if receipt.response is not None:
        response = judging.container(RESPONSE, receipt.response)
    facts, facts_check = _facts(request)
    proofs = {REQUEST_PROOF: request}
    if receipt.response is not None:
        proofs[RESPONSE_PROOF] = response
    log = judging.log(proofs)
    checks = [passed("receipt", f"made by the node {receipt.issuer}, as it says")]
    checks += _damage(receipt)
    if conf is None:
        needed = [name for name in judging.instances if name in believed.instances]
        checks += check_trust_list(believed, needed, receipt.below(SIGNED), anchors)
    checks += [
        _summary(name, judging.verdicts[name])
        for name in (REQUEST, RESPONSE)
        if name in judging.verdicts
    ]
    checks.append(facts_check)
    checks += _pairing(request, response, receipt.response is not None)
    if facts is not None:
        checks += _statement(receipt, facts)
    checks += log.checks
    return ReceiptVerdict(
        VerificationReport(tuple(checks)), facts, judging.verdicts, tuple(log.places)
    )


def _damage(receipt: Receipt) -> Iterator[Check]:
    if receipt.damage:
        yield failed("packing", INVALID_RECEIPT, "; ".join(receipt.damage))
    else:
        yield passed("packing", "whole")


def _facts(request: Container | None) -> tuple[ExchangeFacts | None, Check]:
    if request is None:
        return None, Check("exchange", Outcome.SKIPPED, "An earlier check failed")
    try:
        facts = read_facts(request.message)
    except MalformedMessage as error:
        return None, failed("exchange", error.code, error.text)
    if facts.response:
        return None, failed("exchange", INCONSISTENT, f"{REQUEST} holds a response")
    return facts, passed("exchange", f"{'/'.join(facts.client)} asked {'/'.join(facts.service)}")


def _pairing(request: Container | None, response: Container | None, there: bool) -> Iterator[Check]:
    if not there:
        yield warning("pairing", "The receipt holds no response; it proves the request alone")
    elif request is None or response is None:
        yield Check("pairing", Outcome.SKIPPED, "An earlier check failed")
    else:
        yield check_pair(request, response)


class _Judging:
    """The containers of one receipt, judged; remembers each verdict."""

    def __init__(self, receipt: Receipt, conf: GlobalConf, at: datetime) -> None:
        self._receipt = receipt
        self._conf = conf
        self._at = at
        self.verdicts: dict[str, ContainerVerdict] = {}

    @property
    def instances(self) -> list[str]:
        """Those whose lists were used: the own one, and those of the signers."""
        signers = [verdict.signer for verdict in self.verdicts.values()]
        named = [signer.instance for signer in signers if signer is not None]
        return list(dict.fromkeys([self._conf.own_instance, *named]))

    def container(self, name: str, file: BinaryIO) -> Container | None:
        """Judge a container; None when it could not be read."""
        try:
            container = parse_container(file)
        except MalformedMessage as error:
            self.verdicts[name] = unreadable(error)
            return None
        self.verdicts[name] = verify_container(container, self._conf, self._at)
        return container

    def log(self, proofs: Mapping[str, Container | None]) -> LogVerdict:
        """Judge whether the containers' records are in the log of the receipt's node."""
        if not self._receipt.files.keys() & proofs.keys():
            return without_proof(self._receipt)
        raw = self._receipt.files.get(LOG_KEY)
        announced: Announced = unannounced()
        if raw is not None:
            container = self.container(LOG_KEY, io.BytesIO(raw))
            announced = announcement_in(container, self.verdicts[LOG_KEY], self._receipt.issuer)
        return check_log(self._receipt, proofs, announced)


def _summary(name: str, verdict: ContainerVerdict) -> Check:
    """A container's verdict as one check of the receipt."""
    name = name.removesuffix(".asice")
    if verdict.verdict is not Outcome.PASSED:
        return Check(name, verdict.verdict, verdict.reason, verdict.code)
    seen = verdict.timestamp
    when = "" if seen is None else f", and that was seen at {seen:%Y-%m-%d %H:%M:%S}Z"
    return passed(name, f"signed by {verdict.signer}{when}")


# --- what the node says ---------------------------------------------------------------------------


def _statement(receipt: Receipt, facts: ExchangeFacts) -> Iterator[Check]:
    """Compare what the node says with the signed request; what only the node says is told so."""
    raw = receipt.files.get(EXCHANGE)
    if raw is None:
        yield warning("statement", "The node says nothing about purpose and access")
        return
    try:
        stated = from_json(raw, EXCHANGE)
    except MalformedMessage as error:
        yield failed("statement", error.code, error.text)
        return
    signed = facts_as_json(facts)
    wrong = [name for name in _STATED if stated.get(name) != signed.get(name)]
    if wrong:
        text = f"{EXCHANGE} says another {wrong[0].replace('_', ' ')} than the signed request"
        yield failed("statement", INCONSISTENT, text)
        return
    yield passed("statement", "says what the signed request says")
    if "access" in stated:
        yield warning("access", f"As the node says, and no signature: {_access(stated['access'])}")


def facts_as_json(facts: ExchangeFacts) -> dict[str, object]:
    """The fields of `exchange.json` that the signed request proves; what is not said is absent."""
    fields: dict[str, object] = {
        "message_id": facts.message_id,
        "client": "/".join(facts.client),
        "service": "/".join(facts.service),
        "user": facts.user,
        "issue": facts.issue,
        "represented_party": facts.represented_party and "/".join(facts.represented_party),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _access(access: object) -> str:
    """An access decision in words; a form that is not known is only said to be there."""
    if isinstance(access, dict) and isinstance(rights := access.get("rights"), list):
        if not rights:
            return "the right by which it was allowed does not stand any more"
        told = [_right(right) for right in rights]
        if all(told):
            return f"allowed by the right of {'; '.join(told)}"
    return "a decision in a form that this verifier does not know"


def _right(right: object) -> str:
    names = ("subject", "endpoint", "granted_at")
    if not isinstance(right, dict):
        return ""
    values = [right.get(name) for name in names]
    if not all(isinstance(value, str) for value in values):
        return ""
    return f"{values[0]} to call {values[1]}, given at {values[2]}"
