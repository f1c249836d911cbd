"""The common part of a batch is verified once; everything else for each message."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.pki import NOON
from tests.signing import SENDER, Signatory, digests
from trust.evidence import signature_verifier
from trust.evidence.certificate_verdicts import VerdictCache
from trust.evidence.hashchain import SIGNATURE_CHAIN_RESULT_NAME, build_hash_chains
from trust.evidence.signature import Signature, SignedMessage
from trust.evidence.signature_verifier import judge_signer, verify_content
from trust.evidence.verified_batches import MAX_REMEMBERED_BYTES, VerifiedBatches
from trust.evidence.xades_form import Form
from trust.globalconf import GlobalConf
from trust.ids import ClientId
from trust.pki.ocsp import CertificateStatus
from trust.report import Outcome, VerificationReport

MESSAGES = (
    {"/message.xml": b"one"},
    {"/message.xml": b"two", "/attachment1": b"a"},
    {"/message.xml": b"three", "/attachment1": b"b", "/attachment2": b"c"},
)


@pytest.fixture(scope="module")
def signatory() -> Signatory:
    return Signatory()


def batch_of(signatory: Signatory, messages: Sequence[dict[str, bytes]]) -> list[SignedMessage]:
    chains = build_hash_chains([list(digests(one).values()) for one in messages])
    document = signatory.document({SIGNATURE_CHAIN_RESULT_NAME: chains.result})
    return [
        SignedMessage(
            document, digests(one), hash_chain_result=chains.result, hash_chain=chains.chains[i]
        )
        for i, one in enumerate(messages)
    ]


@pytest.fixture(scope="module")
def batch(signatory: Signatory) -> list[SignedMessage]:
    return batch_of(signatory, MESSAGES)


class Judge:
    """A node's way to judge: two memories, and a moment."""

    def __init__(self, signatory: Signatory, **how: int) -> None:
        self.signatory = signatory
        self.batches = VerifiedBatches(**how)
        self.verdicts = VerdictCache()

    def __call__(
        self,
        message: SignedMessage,
        *,
        sender: ClientId = SENDER,
        conf: GlobalConf | None = None,
        at: datetime = NOON,
    ) -> VerificationReport:
        """What the node finds; it must be what it would find without its memories."""
        chosen = conf or self.signatory.conf
        content = verify_content(message, batches=self.batches)
        found = judge_signer(content, sender, chosen, at, self.verdicts)
        assert found == judge_signer(verify_content(message), sender, chosen, at)
        return found


def test_a_batch_costs_one_check_of_the_signature(
    signatory: Signatory, batch: list[SignedMessage], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = []
    verify = signature_verifier._verify_value

    def counted(signature: Signature) -> None:
        values.append(signature.value)
        verify(signature)

    monkeypatch.setattr(signature_verifier, "_verify_value", counted)
    batches = VerifiedBatches()
    for message in (*batch, *reversed(batch)):
        assert verify_content(message, batches=batches).report.verdict is Outcome.PASSED
    assert len(values) == 1
    assert batches.hits == 5


def test_reports_are_the_same_with_and_without_memory(
    signatory: Signatory, batch: list[SignedMessage]
) -> None:
    judge = Judge(signatory)
    for message in (*batch, signatory.direct(), signatory.chained(), *batch):
        assert judge(message).verdict is Outcome.PASSED
    assert judge.batches.hits == 5


def test_a_known_root_does_not_vouch_for_what_no_chain_leads_to(
    signatory: Signatory, batch: list[SignedMessage]
) -> None:
    judge = Judge(signatory)
    first, second, third = batch
    assert judge(first).verdict is Outcome.PASSED
    elsewhere = batch_of(signatory, [{"/message.xml": b"forged"}, {"/message.xml": b"x"}])
    forged = {
        "another message": replace(second, parts=digests({"/message.xml": b"forged"})),
        "a chain that leads elsewhere": replace(
            second, parts=elsewhere[0].parts, hash_chain=elsewhere[0].hash_chain
        ),
        "another message's chain": replace(second, hash_chain=third.hash_chain),
        "no chain": replace(second, hash_chain=None),
        "one part more": replace(
            second, parts={**second.parts, **digests({"/attachment2": b"more"})}
        ),
        "one part less": replace(second, parts=dict(list(second.parts.items())[:1])),
        "a changed part": replace(second, parts=digests({**MESSAGES[1], "/attachment1": b"A"})),
        "another root": replace(second, hash_chain_result=elsewhere[0].hash_chain_result),
        "no root": replace(second, hash_chain_result=None),
        "another batch under this signature": replace(elsewhere[0], signature=second.signature),
    }
    hits = judge.batches.hits
    for what, message in forged.items():
        assert judge(message).verdict is Outcome.FAILED, what
    assert judge.batches.hits == hits + 7  # all but those with another root or none
    assert judge(second).verdict is Outcome.PASSED


def test_no_changed_byte_of_signature_or_root_is_taken_for_what_is_known(
    signatory: Signatory, batch: list[SignedMessage]
) -> None:
    judge = Judge(signatory)
    message = batch[0]
    assert message.hash_chain_result is not None
    assert judge(message).verdict is Outcome.PASSED
    for at in range(0, len(message.signature), 97):
        judge(replace(message, signature=_flipped(message.signature, at)))
    for at in range(0, len(message.hash_chain_result), 7):
        judge(replace(message, hash_chain_result=_flipped(message.hash_chain_result, at)))
    assert judge.batches.hits == 0  # and each verdict was that without memory


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_what_did_not_hold_is_never_remembered(
    signatory: Signatory, batch: list[SignedMessage]
) -> None:
    judge = Judge(signatory)
    value = b'Id="signature-value">'
    at = batch[0].signature.index(value) + len(value) + 5
    bad = batch[0].signature[:at] + b"AAAA" + batch[0].signature[at + 4 :]
    for _ in range(2):
        report = judge(replace(batch[0], signature=bad))
        assert report.verdict is Outcome.FAILED
    assert judge.batches.hits == 0


def test_a_remembered_batch_of_a_wrong_sender_is_refused(
    signatory: Signatory, batch: list[SignedMessage]
) -> None:
    judge = Judge(signatory)
    assert judge(batch[0]).verdict is Outcome.PASSED
    other = ClientId("TEST", "GOV", "6666")
    assert judge(batch[1], sender=other).verdict is Outcome.FAILED
    assert judge.batches.hits == 1


def test_the_trust_list_of_now_counts_for_a_batch_of_before(
    signatory: Signatory, batch: list[SignedMessage]
) -> None:
    judge = Judge(signatory)
    assert judge(batch[0]).verdict is Outcome.PASSED
    without = replace(signatory.pki.approved_ca(), authentication_only=True)
    members = {SENDER.member: ("portal",)}
    changed = signatory.pki.conf(members, approved_ca=without, number=2)
    assert judge(batch[1], conf=changed).verdict is Outcome.FAILED
    assert judge(batch[1]).verdict is Outcome.PASSED


def test_a_batch_of_before_gets_too_old(signatory: Signatory, batch: list[SignedMessage]) -> None:
    judge = Judge(signatory)
    assert judge(batch[0]).verdict is Outcome.PASSED
    freshness = timedelta(seconds=signatory.conf.ocsp_freshness_seconds)
    assert judge(batch[1], at=NOON + freshness - timedelta(minutes=2)).verdict is Outcome.PASSED
    late = judge(batch[1], at=NOON + freshness + timedelta(minutes=2))
    assert late.verdict is Outcome.FAILED
    assert judge.batches.hits == 2


def test_a_batch_by_a_revoked_certificate_is_refused_every_time() -> None:
    signatory = Signatory()
    signatory.ocsp = signatory.pki.ocsp(
        signatory.signer.certificate, status=CertificateStatus.REVOKED
    )
    judge = Judge(signatory)
    for message in batch_of(signatory, MESSAGES):
        assert judge(message).verdict is Outcome.FAILED


def test_only_signatures_over_one_root_alone_are_remembered(signatory: Signatory) -> None:
    batches = VerifiedBatches()
    for _ in range(2):
        assert verify_content(signatory.direct(), batches=batches).signature is not None
    chains = build_hash_chains([list(digests(MESSAGES[1]).values())])
    both = signatory.document({**MESSAGES[1], SIGNATURE_CHAIN_RESULT_NAME: chains.result})
    message = SignedMessage(
        both,
        digests(MESSAGES[1]),
        hash_chain_result=chains.result,
        hash_chain=chains.chains[0],
    )
    changed = replace(message, parts=digests({**MESSAGES[1], "/attachment1": b"A"}))
    assert verify_content(message, batches=batches).report.verdict is Outcome.PASSED
    assert verify_content(changed, batches=batches).report.verdict is Outcome.FAILED
    assert batches.hits == 0


def test_containers_are_judged_without_memory(
    signatory: Signatory, batch: list[SignedMessage]
) -> None:
    batches = VerifiedBatches()
    for message in batch:
        verify_content(message, Form.CONTAINER, batches=batches)
        verify_content(message, batches=batches)
    assert batches.hits == 2


def test_the_memory_is_bounded_in_number_and_size(signatory: Signatory) -> None:
    judge = Judge(signatory, capacity=2)
    some = [
        batch_of(signatory, [{"/message.xml": b"%d" % number}, {"/message.xml": b"x"}])
        for number in range(3)
    ]
    for one in some:
        judge(one[0])
    judge(some[1][1])
    judge(some[2][1])
    assert judge.batches.hits == 2
    judge(some[0][1])
    assert judge.batches.hits == 2
    signatory = Signatory()
    signatory.ocsp = signatory.ocsp + bytes(MAX_REMEMBERED_BYTES)
    batches = VerifiedBatches()
    for message in batch_of(signatory, MESSAGES):
        assert verify_content(message, batches=batches).report.verdict is Outcome.PASSED
    assert batches.hits == 0
