"""Verdicts on certificates are remembered for a minute, and never beyond their time."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.pki import NOON, Pki
from tests.signing import Signatory
from trust.evidence.certificate_verdicts import CertificateVerdict, VerdictCache, judge_certificate
from trust.evidence.signature_verifier import verify_signature
from trust.globalconf import (
    ApprovedCa,
    AuthorityCertificate,
    GlobalConf,
    InstanceConf,
    OcspResponder,
)
from trust.pki.ocsp import CertificateStatus
from trust.report import Outcome


@pytest.fixture(scope="module")
def signatory() -> Signatory:
    return Signatory()


Judge = Callable[..., CertificateVerdict]


def judged(signatory: Signatory, cache: VerdictCache) -> Judge:
    """The verdict of the cache on the signatory's certificate."""

    def judge(
        after: timedelta = timedelta(0),
        conf: GlobalConf | None = None,
        ocsp: bytes | None = None,
        instance: InstanceConf | None = None,
    ) -> CertificateVerdict:
        chosen = conf or signatory.conf
        return cache.judge(
            signatory.signer.certificate,
            signatory.pki.authority.certificate,
            [ocsp or signatory.ocsp],
            chosen,
            NOON + after,
            instance=instance or chosen.own,
        )

    return judge


SECOND = timedelta(seconds=1)


def test_a_good_verdict_is_reused_for_a_minute_and_then_made_again(signatory: Signatory) -> None:
    judge = judged(signatory, VerdictCache())
    first = judge()
    assert first.passed
    assert judge(59 * SECOND) is first
    later = judge(61 * SECOND)
    assert later is not first
    assert later.passed
    assert judge(62 * SECOND) is later


def test_another_trust_list_or_response_or_an_earlier_moment_is_another_question(
    signatory: Signatory,
) -> None:
    judge = judged(signatory, VerdictCache())
    first = judge()
    assert judge(conf=signatory.pki.conf(number=2)) is not first
    other = signatory.pki.ocsp(signatory.signer.certificate, age=2 * SECOND)
    assert judge(ocsp=other) is not first
    assert judge(-SECOND) is not first


@pytest.mark.parametrize(
    ("make", "freshness"),
    [
        (lambda p, c: p.ocsp(c, age=timedelta(seconds=3570)), 3600),
        (lambda p, c: p.ocsp(c, next_update=timedelta(seconds=30)), 3600),
        (lambda p, c: p.ocsp(c, age=timedelta(seconds=12), next_update=None), 42),
    ],
)
def test_freshness_and_next_update_are_judged_each_time(
    make: Callable[[Pki, object], bytes], freshness: int
) -> None:
    signatory = Signatory(Pki(freshness_seconds=freshness))
    response = make(signatory.pki, signatory.signer.certificate)
    judge = judged(signatory, VerdictCache())
    first = judge(ocsp=response)
    assert first.passed
    assert judge(30 * SECOND, ocsp=response) is first
    late = judge(31 * SECOND, ocsp=response)
    assert late.path.outcome is Outcome.PASSED
    assert late.ocsp.code == "invalid_cert_path.incorrect_validation_info"


def test_validity_is_judged_each_time() -> None:
    signatory = Signatory()
    signatory.signer = signatory.pki.sign(signatory.sender, days=30 / 86400)
    response = signatory.pki.ocsp(signatory.signer.certificate)
    judge = judged(signatory, VerdictCache())
    assert judge(ocsp=response).passed
    assert judge(30 * SECOND, ocsp=response).passed
    assert judge(31 * SECOND, ocsp=response).path.code == "cannot_create_cert_path"


def test_a_verdict_by_one_instances_list_is_not_used_for_another(signatory: Signatory) -> None:
    top = AuthorityCertificate(
        signatory.pki.authority.certificate,
        (OcspResponder("http://x/", signatory.pki.stranger.certificate),),
    )
    generous = Pki(instance="OTHER").instance_conf(
        approved_ca=ApprovedCa("CA", False, top, (), signatory.pki.profile)
    )
    conf = replace(signatory.conf, instances={**signatory.conf.instances, "OTHER": generous})
    judge = judged(signatory, VerdictCache())
    response = signatory.pki.ocsp(signatory.signer.certificate, signer=signatory.pki.stranger)
    assert judge(conf=conf, ocsp=response, instance=generous).passed
    assert not judge(conf=conf, ocsp=response).passed


def test_a_bad_verdict_is_never_remembered(signatory: Signatory) -> None:
    cache = VerdictCache()
    revoked = signatory.pki.ocsp(signatory.signer.certificate, status=CertificateStatus.REVOKED)
    judge = judged(signatory, cache)
    first = judge(ocsp=revoked)
    assert first.ocsp.code == "invalid_cert_path.cert_validation"
    assert judge(ocsp=revoked) is not first
    assert judge(ocsp=b"junk").ocsp.code == "invalid_cert_path.cert_validation"


def test_the_oldest_verdicts_make_room(signatory: Signatory) -> None:
    judge = judged(signatory, VerdictCache(capacity=2))
    responses = [
        signatory.pki.ocsp(signatory.signer.certificate, age=number * SECOND) for number in range(3)
    ]
    verdicts = [judge(ocsp=response) for response in responses]
    assert judge(ocsp=responses[1]) is verdicts[1]
    assert judge(ocsp=responses[2]) is verdicts[2]
    assert judge(ocsp=responses[0]) is not verdicts[0]


def test_the_answer_of_the_matching_response_decides_how_long(signatory: Signatory) -> None:
    cache, conf = VerdictCache(), signatory.conf
    foreign = signatory.pki.ocsp(signatory.pki.authority.certificate)
    certificate, anchor = signatory.signer.certificate, signatory.pki.authority.certificate
    responses = [b"junk", foreign, signatory.ocsp]

    def judge(at: datetime) -> CertificateVerdict:
        return cache.judge(certificate, anchor, responses, conf, at, instance=conf.own)

    assert judge(NOON).passed
    assert judge(NOON + SECOND) is judge(NOON + SECOND)
    verdict = judge_certificate(certificate, anchor, responses, conf, NOON, instance=conf.own)
    assert verdict == judge(NOON)


def test_a_whole_report_is_the_same_with_and_without_memory(signatory: Signatory) -> None:
    cache = VerdictCache()
    message = signatory.direct()
    for _ in range(2):
        report = verify_signature(message, signatory.sender, signatory.conf, NOON, cache=cache)
        assert report == signatory.verify(message)
