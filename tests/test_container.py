"""Whole containers: the reference's verdicts, ours, and that no byte changes unnoticed."""

import io
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from types import MappingProxyType

import pytest

from tests.containers import (
    BODIES,
    attached,
    batch_stamped,
    chained,
    parts_of,
    plain,
    stamped,
    with_bodies,
)
from tests.pki import NOON, Pki
from tests.signing import MESSAGE, SENDER, Signatory
from tests.vector_files import vector_path
from trust.configuration.confstore import load_configuration
from trust.digests import SHA256_URI, digest
from trust.errors import MalformedMessage
from trust.evidence.asic import Container, build_container, parse_container
from trust.evidence.container import ContainerVerdict, unreadable, verify_container
from trust.evidence.hashchain import PartDigest, build_hash_chains
from trust.evidence.signature import build_signature
from trust.globalconf import GlobalConf
from trust.ids import ClientId
from trust.report import Outcome

_CONTAINERS = "asic/src/tool/asic-verifier-cli/src/test/resources"
_CONF = "asic/src/lib/globalconf-core/src/test/resources/globalconf_good2_v3"
_ARCHIVES = "asic/src/addons/messagelog/messagelog-archive-verifier/src/test/resources"
PASSING = (
    "valid-signed-message",
    "valid-signed-hashchain",
    "valid-batch-ts",
    "valid-non-batch-soap-attachments",
    "invalid-not-signed-hashchain",
)


@cache
def _reference_conf() -> GlobalConf:
    return load_configuration(vector_path(_CONF))


@pytest.fixture(scope="module")
def signatory() -> Signatory:
    return Signatory()


def _judge(raw: bytes, conf: GlobalConf, at: datetime = NOON) -> ContainerVerdict:
    try:
        container = parse_container(raw)
    except MalformedMessage as error:
        return unreadable(error)
    return verify_container(container, conf, at)


def _verify(signatory: Signatory, container: Container, at: datetime = NOON) -> ContainerVerdict:
    """Write, read and judge: what is judged has gone through a file."""
    return _judge(build_container(container), signatory.conf, at)


def _outcomes(verdict: ContainerVerdict) -> dict[str, Outcome]:
    return {check.name: check.outcome for check in verdict.report.checks}


# --- the reference's containers -------------------------------------------------------------------


def _reference(name: str) -> bytes:
    return vector_path(f"{_CONTAINERS}/{name}.asice").read_bytes()


@pytest.mark.interop
@pytest.mark.parametrize(
    ("name", "time", "parts"),
    [
        ("valid-signed-message", "2024-12-05T13:16:35", {"/message.xml": True}),
        (
            "valid-signed-hashchain",
            "2024-12-05T12:37:50",
            {"/message.xml": True, "/attachment1": False},
        ),
        ("valid-batch-ts", "2024-12-05T07:34:14", {"/message.xml": True}),
        (
            "valid-non-batch-soap-attachments",
            "2024-12-03T13:45:33",
            {"/message.xml": True, "/attachment1": True, "/attachment2": True},
        ),
    ],
)
def test_reference_containers_pass(name: str, time: str, parts: dict[str, bool]) -> None:
    verdict = _judge(_reference(name), _reference_conf())
    assert verdict.verdict is Outcome.PASSED, verdict.reason
    assert (verdict.code, verdict.reason) == ("", "")
    assert verdict.signer == ClientId("DEV", "COM", "4321")
    assert verdict.timestamp == datetime.fromisoformat(time).replace(tzinfo=UTC)
    assert verdict.signed_at is not None
    assert verdict.signed_at < verdict.timestamp
    assert {part.name: part.covered for part in verdict.parts} == parts


@pytest.mark.interop
def test_a_reference_container_with_an_unused_chain_passes_with_a_warning() -> None:
    verdict = _judge(_reference("invalid-not-signed-hashchain"), _reference_conf())
    assert verdict.verdict is Outcome.PASSED
    assert _outcomes(verdict)["hash_chain"] is Outcome.WARNING
    covered = {part.name: part.covered for part in verdict.parts}
    assert covered.pop("/message.xml") is True
    assert covered == dict.fromkeys(
        ("/sig-hashchain.xml", "/sig-hashchainresult.xml", "/hashchain.xml",
         "/hashchainresult.xml"), False,
    )  # fmt: skip


@pytest.mark.interop
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("wrong-message", "invalid_signature_value"),
        ("invalid-digest", "invalid_signature_value"),
        ("invalid-signed-hashchain", "malformed_signature.invalid_hash_chain_ref"),
    ],
)
def test_reference_containers_fail_with_their_code(name: str, code: str) -> None:
    verdict = _judge(_reference(name), _reference_conf())
    assert (verdict.verdict, verdict.code) == (Outcome.FAILED, code)
    assert not any(part.covered for part in verdict.parts)
    assert verdict.signer is None


@pytest.mark.interop
def test_a_reference_container_of_the_old_message_format_is_not_judged_in_full() -> None:
    path = "asic/src/lib/asic-core/src/test/resources/valid-signed-message.asice"
    verdict = _judge(vector_path(path).read_bytes(), _reference_conf())
    assert (verdict.verdict, verdict.code) == (Outcome.FAILED, "missing_header_field")


def _archived(name: str) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(vector_path(f"{_ARCHIVES}/{name}")) as archive:
        for entry in archive.namelist():
            if entry.endswith(".asice"):
                yield entry, archive.read(entry)


@pytest.mark.interop
@pytest.mark.parametrize(
    ("archive", "count"), [("message-archive-0.zip", 1), ("message-archive-1.zip", 20)]
)
def test_archived_containers_hold_as_far_as_they_can_be_judged(archive: str, count: int) -> None:
    """Values, references, both kinds of chain and imprints; the trust list of CS is not at hand."""
    judged = {name: _judge(raw, _reference_conf()) for name, raw in _archived(archive)}
    assert len(judged) == count
    for name, verdict in judged.items():
        assert verdict.verdict is Outcome.INDETERMINATE, (name, verdict.reason)
        assert (verdict.code, verdict.reason) == (
            "unknown_instance",
            "There is no trust list for instance CS",
        )
        outcomes = _outcomes(verdict)
        assert outcomes.pop("timestamp") is outcomes.pop("signer") is Outcome.INDETERMINATE
        assert outcomes.pop("certificate_path") is Outcome.SKIPPED
        assert outcomes.pop("ocsp_response") is Outcome.SKIPPED
        assert outcomes.pop("absent_part", Outcome.WARNING) is Outcome.WARNING
        assert set(outcomes.values()) == {Outcome.PASSED}, name


# --- ours -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [plain, with_bodies, chained])
def test_a_container_without_time_stamp_is_judged_for_the_moment_given(
    signatory: Signatory, make: Callable[[Signatory], Container]
) -> None:
    container = make(signatory)
    verdict = _verify(signatory, container)
    assert verdict.verdict is Outcome.PASSED, verdict.reason
    assert _outcomes(verdict)["timestamp"] is Outcome.WARNING
    assert (verdict.signer, verdict.signed_at, verdict.timestamp) == (SENDER.member, NOON, None)
    assert {part.name for part in verdict.parts if part.covered} == {
        "/message.xml",
        *(f"/{body.name}" for body in container.attachments),
    }
    late = _verify(signatory, container, NOON + timedelta(days=400))
    assert (late.verdict, late.code) == (Outcome.FAILED, "cannot_create_cert_path")


@pytest.mark.parametrize("make", [plain, with_bodies, chained])
@pytest.mark.parametrize("stamp", [stamped, batch_stamped])
def test_a_time_stamped_container_is_judged_for_the_time_that_it_proves(
    signatory: Signatory,
    make: Callable[[Signatory], Container],
    stamp: Callable[[Signatory, Container], Container],
) -> None:
    verdict = _verify(signatory, stamp(signatory, make(signatory)), NOON + timedelta(days=4000))
    assert verdict.verdict is Outcome.PASSED, verdict.reason
    assert verdict.timestamp == NOON


def test_rsa_signed_containers_pass() -> None:
    signatory = Signatory(Pki(kind="rsa2048", intermediate=True))
    assert _verify(signatory, chained(signatory)).verdict is Outcome.PASSED


def test_a_time_stamp_when_the_ocsp_response_was_stale_fails(signatory: Signatory) -> None:
    container = stamped(signatory, plain(signatory), NOON + timedelta(hours=5))
    verdict = _verify(signatory, container)
    assert verdict.code == "invalid_cert_path.incorrect_validation_info"
    assert verdict.verdict is Outcome.FAILED


def test_another_message_under_the_signature_fails(signatory: Signatory) -> None:
    container = replace(plain(signatory), message=MESSAGE.replace(b"people", b"persons"))
    verdict = _verify(signatory, container)
    assert (verdict.verdict, verdict.code) == (Outcome.FAILED, "invalid_signature_value")


def test_a_signature_by_another_member_fails(signatory: Signatory) -> None:
    other = Signatory(signatory.pki, ClientId("TEST", "GOV", "9", "portal"))
    verdict = _verify(signatory, plain(other))
    assert (verdict.verdict, verdict.code) == (Outcome.FAILED, "incorrect_certificate")


def test_a_time_stamp_of_another_signature_fails(signatory: Signatory) -> None:
    first = batch_stamped(signatory, plain(signatory))
    second = plain(signatory, MESSAGE + b"Note:2\r\n")
    mixed = replace(first, message=second.message, signature=second.signature)
    verdict = _verify(signatory, mixed)
    assert (verdict.verdict, verdict.code) == (Outcome.FAILED, "malformed_signature")
    assert _outcomes(verdict)["timestamp_chain"] is Outcome.FAILED
    assert verdict.timestamp is None


def test_a_stamped_chain_without_time_stamp_fails(signatory: Signatory) -> None:
    container = replace(batch_stamped(signatory, plain(signatory)), timestamp=None)
    verdict = _verify(signatory, container)
    assert (verdict.verdict, verdict.code) == (Outcome.FAILED, "malformed_signature")


def test_a_time_stamp_by_an_unlisted_service_fails(signatory: Signatory) -> None:
    container = stamped(Signatory(Pki(instance="OTHER")), plain(signatory))
    stranger = replace(signatory.pki.stranger)
    token = signatory.pki.timestamp(b"", tsa=stranger)
    verdict = _verify(signatory, replace(container, timestamp=token))
    assert verdict.verdict is Outcome.FAILED
    assert verdict.timestamp is None


# --- closures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [with_bodies, chained])
def test_an_attachment_that_does_not_fit_fails(
    signatory: Signatory, make: Callable[[Signatory], Container]
) -> None:
    """The reference verifier prints `(unverified)` for a chain, and passes."""
    container = replace(make(signatory), attachments=attached((BODIES[0] + b"!", BODIES[1])))
    verdict = _verify(signatory, container)
    assert verdict.verdict is Outcome.FAILED
    assert verdict.code in ("invalid_signature_value", "malformed_signature.invalid_hash_chain")
    assert not any(part.covered for part in verdict.parts)


def test_absent_attachments_of_a_chain_are_told_as_not_proven(signatory: Signatory) -> None:
    verdict = _verify(signatory, replace(chained(signatory), attachments=()))
    assert verdict.verdict is Outcome.PASSED
    assert {part.name: part.covered for part in verdict.parts} == {
        "/message.xml": True,
        "/attachment1": False,
        "/attachment2": False,
    }
    notes = [check for check in verdict.report.checks if check.name == "absent_part"]
    assert [note.outcome for note in notes] == [Outcome.WARNING] * 2


def test_absent_attachments_of_direct_references_fail(signatory: Signatory) -> None:
    verdict = _verify(signatory, replace(with_bodies(signatory), attachments=()))
    assert (verdict.verdict, verdict.code) == (
        Outcome.FAILED,
        "malformed_signature.invalid_reference",
    )


@pytest.mark.parametrize("make", [plain, chained])
def test_an_attachment_that_nothing_covers_fails(
    signatory: Signatory, make: Callable[[Signatory], Container]
) -> None:
    container = make(signatory)
    more = attached((*BODIES, b"smuggled"))[len(container.attachments) :]
    verdict = _verify(
        signatory, replace(container, attachments=(*container.attachments, *more[:1]))
    )
    assert (verdict.verdict, verdict.code) == (
        Outcome.FAILED,
        "malformed_signature.hashchain_unused_inputs",
    )


def test_an_unused_chain_is_a_warning_and_covers_nothing(signatory: Signatory) -> None:
    chain = chained(signatory)
    unused = {
        "signature_chain": chain.signature_chain,
        "signature_chain_result": chain.signature_chain_result,
    }
    container = plain(signatory)
    passing = replace(
        container,
        signature_chain=unused["signature_chain"],
        signature_chain_result=unused["signature_chain_result"],
    )
    verdict = _verify(signatory, passing)
    assert verdict.verdict is Outcome.PASSED
    assert _outcomes(verdict)["hash_chain"] is Outcome.WARNING
    failing = replace(passing, attachments=chain.attachments)
    assert _verify(signatory, failing).verdict is Outcome.FAILED


def test_what_only_has_the_name_of_a_chain_is_no_unused_chain(signatory: Signatory) -> None:
    chain = chained(signatory)
    assert chain.signature_chain_result is not None
    container = replace(
        plain(signatory),
        signature_chain=b"<contract>a hundred thousand</contract>",
        signature_chain_result=chain.signature_chain_result,
    )
    verdict = _verify(signatory, container)
    assert (verdict.verdict, verdict.code) == (Outcome.FAILED, "asic_invalid_container")
    assert verdict.reason == "The signature does not cover sig-hashchain.xml"
    raw = build_container(plain(signatory))
    for name, good in (
        ("hashchain.xml", chain.signature_chain),
        ("hashchainresult.xml", chain.signature_chain_result),
    ):
        assert good is not None
        verdict = _judge(_with_entry(raw, name, good), signatory.conf)
        assert verdict.verdict is Outcome.PASSED
        assert {part.name: part.covered for part in verdict.parts}[f"/{name}"] is False
        verdict = _judge(_with_entry(raw, name, b"<smuggled/>"), signatory.conf)
        assert verdict.reason == f"The signature does not cover {name}"
        assert _judge(_with_entry(raw, name, b" "), signatory.conf).verdict is Outcome.FAILED


def test_digests_of_another_length_are_compared_as_well(signatory: Signatory) -> None:
    """A peer may sign with SHA-256; ours digests attachments while reading, in all of them."""
    parts = parts_of(MESSAGE, BODIES)
    digests = [
        PartDigest(name, digest(SHA256_URI, data), SHA256_URI) for name, data in parts.items()
    ]
    identity = signatory.signer
    signature = build_signature(
        digests,
        certificate=identity.certificate,
        intermediates=(),
        ocsp_responses=[signatory.ocsp],
        key=identity.key,
        at=NOON,
    )
    container = Container(MESSAGE, signature, attachments=attached(BODIES), time=NOON)
    assert _verify(signatory, container).verdict is Outcome.PASSED
    wrong = replace(container, attachments=attached((BODIES[1], BODIES[0])))
    assert _verify(signatory, wrong).code == "invalid_signature_value"
    chains = build_hash_chains([digests], algorithm=SHA256_URI)
    result = PartDigest.of("/sig-hashchainresult.xml", chains.result)
    by_chain = replace(
        container,
        signature=build_signature(
            [result],
            certificate=identity.certificate,
            intermediates=(),
            ocsp_responses=[signatory.ocsp],
            key=identity.key,
            at=NOON,
        ),
        signature_chain=chains.chains[0],
        signature_chain_result=chains.result,
    )
    assert _verify(signatory, by_chain).verdict is Outcome.PASSED


def _with_entry(raw: bytes, name: str, data: bytes) -> bytes:
    """The container with one more entry, or with another content for an entry that it has."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(target, "w") as new:
        new.comment = old.comment
        for info in old.infolist():
            if info.filename != name:
                new.writestr(info, old.read(info.filename))
        added = zipfile.ZipInfo(name, old.infolist()[0].date_time)
        added.external_attr = old.infolist()[0].external_attr
        new.writestr(added, data)
    return target.getvalue()


def test_an_entry_that_no_container_has_fails(signatory: Signatory) -> None:
    raw = _with_entry(build_container(plain(signatory)), "notes.txt", b"signed, honestly")
    verdict = _judge(raw, signatory.conf)
    assert (verdict.verdict, verdict.code) == (Outcome.FAILED, "asic_invalid_container")
    assert "notes.txt" in verdict.reason


def test_a_manifest_that_tells_something_else_fails(signatory: Signatory) -> None:
    raw = build_container(with_bodies(signatory))
    manifest = parse_container(raw).packing.manifest or b""
    for old, new in ((b"attachment1", b"attachment3"), (b"octet-stream", b"xml")):
        changed = _with_entry(raw, "META-INF/manifest.xml", manifest.replace(old, new))
        verdict = _judge(changed, signatory.conf)
        assert (verdict.verdict, verdict.code) == (Outcome.FAILED, "asic_invalid_container")
        assert "manifest" in verdict.reason


# --- trust lists ----------------------------------------------------------------------------------


def test_without_the_instances_trust_list_nothing_is_decided(signatory: Signatory) -> None:
    foreign = Signatory(Pki(instance="OTHER"), ClientId("OTHER", "GOV", "1", "portal"))
    message = MESSAGE.replace(b"TEST/GOV/1001", b"OTHER/GOV/1")
    verdict = _judge(build_container(stamped(foreign, plain(foreign, message))), signatory.conf)
    assert (verdict.verdict, verdict.code) == (Outcome.INDETERMINATE, "unknown_instance")
    assert "OTHER" in verdict.reason
    assert verdict.signer is None


def test_a_wrong_message_fails_also_without_a_trust_list(signatory: Signatory) -> None:
    foreign = Signatory(Pki(instance="OTHER"), ClientId("OTHER", "GOV", "1", "portal"))
    message = MESSAGE.replace(b"TEST/GOV/1001", b"OTHER/GOV/1")
    container = replace(plain(foreign, message), message=message + b"Note:1\r\n")
    assert _judge(build_container(container), signatory.conf).verdict is Outcome.FAILED


def test_an_expired_trust_list_is_used_and_told(signatory: Signatory) -> None:
    instance = signatory.conf.own
    expired = replace(instance, valid_until=NOON - timedelta(days=1))
    conf = replace(signatory.conf, instances=MappingProxyType({"TEST": expired}))
    verdict = _judge(build_container(plain(signatory)), conf)
    assert verdict.verdict is Outcome.PASSED
    assert _outcomes(verdict)["trust_list"] is Outcome.WARNING


# --- single bytes ---------------------------------------------------------------------------------
#
# Every byte of a file counts. By default one container is tried at every position, the others at
# every few; SACBE_EXHAUSTIVE=1 tries every position of all with seven changes: a quarter of an
# hour, so give pytest `--timeout 0` with it.

_EXHAUSTIVE = bool(os.environ.get("SACBE_EXHAUSTIVE"))
_CHANGES = (0x01, 0xFF, 0x20, 0x80, 0x10, 0x04, 0x40)


def _changed_bytes(raw: bytes, stride: int) -> Iterator[tuple[int, int, bytes]]:
    positions = range(0, len(raw), 1 if _EXHAUSTIVE else stride)
    for number, position in enumerate(positions):
        for change in _CHANGES if _EXHAUSTIVE else (_CHANGES[number % len(_CHANGES)],):
            damaged = bytearray(raw)
            damaged[position] ^= change
            yield position, change, bytes(damaged)


def _check_every_change(raw: bytes, conf: GlobalConf, stride: int) -> None:
    assert _judge(raw, conf).verdict is Outcome.PASSED
    if parse_container(raw).packing.incomparable:
        pytest.skip("this Python's zlib packs differently; packed forms can't be compared")
    for position, change, damaged in _changed_bytes(raw, stride):
        verdict = _judge(damaged, conf)
        assert verdict.verdict is Outcome.FAILED, f"byte {position} ^ {change:#04x}"
        assert verdict.code
        assert verdict.reason


@pytest.mark.interop
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize(
    ("name", "stride"), [(name, 3 if name == "valid-signed-message" else 11) for name in PASSING]
)
def test_no_byte_of_a_reference_container_changes_unnoticed(name: str, stride: int) -> None:
    _check_every_change(_reference(name), _reference_conf(), stride)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize(("make", "stride"), [(plain, 1), (with_bodies, 11), (chained, 11)])
def test_no_byte_of_our_containers_changes_unnoticed(
    signatory: Signatory, make: Callable[[Signatory], Container], stride: int
) -> None:
    _check_every_change(build_container(make(signatory)), signatory.conf, stride)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_no_byte_of_a_batch_stamped_container_changes_unnoticed(signatory: Signatory) -> None:
    container = batch_stamped(signatory, with_bodies(signatory))
    _check_every_change(build_container(container), signatory.conf, 11)
