"""Messages that wait for a busy key are signed together; nobody suffers for another."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pytest
import pytest_asyncio

from node.exchange import signing
from node.exchange.settings import SigningMode, SigningSettings
from node.exchange.signer import SignatureFiles, SignatureForm
from node.exchange.signing import SigningQueues
from tests.pki import NOON
from tests.signing import Signatory
from trust.errors import CannotSign
from trust.evidence.hashchain import PartDigest
from trust.evidence.hashchain_files import parse_chain
from trust.evidence.signature import SignedMessage, parse_signature
from trust.evidence.signature_verifier import verify_signature
from trust.pki.identities import SignIdentity
from trust.pki.keys import KeyType, SoftwareKey
from trust.report import Outcome

PATIENCE = 20.0


class HeldKey(SoftwareKey):
    """A slow key: it signs when a test lets it go on, and fails at the times a test says."""

    __slots__ = ("failures", "free", "started", "times")

    def __init__(self, key: SoftwareKey) -> None:
        super().__init__(key.private_key)
        self.free = threading.Event()
        self.started = threading.Event()
        self.failures: dict[int, Exception] = {}
        self.times = 0

    def sign(self, data: bytes) -> bytes:
        self.started.set()
        assert self.free.wait(PATIENCE)
        self.times += 1
        if self.times in self.failures:
            raise self.failures[self.times]
        return super().sign(data)


@dataclass
class Scene:
    """One member with a key that is held."""

    signatory: Signatory
    key: HeldKey
    identity: SignIdentity
    queues: SigningQueues
    tasks: list["asyncio.Task[SignatureFiles]"] = field(default_factory=list)

    def ask(
        self,
        *bodies: bytes,
        form: SignatureForm = SignatureForm.REFERENCES,
        identity: SignIdentity | None = None,
    ) -> "asyncio.Task[SignatureFiles]":
        parts = parts_of(*bodies)
        task = asyncio.create_task(self.queues.sign(identity or self.identity, parts, form))
        self.tasks.append(task)
        return task

    async def busy(self) -> "asyncio.Task[SignatureFiles]":
        """Let a first message have the key, so that the next ones wait."""
        first = self.ask(b"the first")
        assert await asyncio.to_thread(self.key.started.wait, PATIENCE)
        return first

    def let_go(self) -> None:
        self.key.free.set()

    def verdict(self, files: SignatureFiles, *bodies: bytes) -> Outcome:
        parts = {part.name: part for part in parts_of(*bodies)}
        message = SignedMessage(
            files.signature,
            parts,
            hash_chain_result=files.hash_chain_result,
            hash_chain=files.hash_chain,
        )
        return verify_signature(message, self.signatory.sender, self.signatory.conf, NOON).verdict


def parts_of(*bodies: bytes) -> list[PartDigest]:
    """A message and its attachments, each with other content."""
    names = ["/message.xml", *(f"/attachment{number}" for number in range(1, len(bodies)))]
    return [PartDigest.of(name, body) for name, body in zip(names, bodies, strict=True)]


def scene_of(settings: SigningSettings | None = None, kind: KeyType = "rsa2048") -> Scene:
    signatory = Signatory()
    subject = signatory.signer.certificate.subject
    certified = signatory.pki.certify(subject, "sign", kind=kind, label="held")
    key = HeldKey(certified.key)
    responses = (signatory.pki.ocsp(certified.certificate),)
    member = signatory.sender.member
    identity = SignIdentity(member, key, certified.certificate, (), responses)
    queues = SigningQueues(settings or SigningSettings(), lambda: NOON)
    return Scene(signatory, key, identity, queues)


async def ended(tasks: Sequence["asyncio.Task[SignatureFiles]"]) -> list[SignatureFiles]:
    async with asyncio.timeout(PATIENCE):
        return list(await asyncio.gather(*tasks))


@pytest_asyncio.fixture
async def scene() -> AsyncIterator[Scene]:
    found = scene_of()
    yield found
    found.let_go()
    await asyncio.gather(*found.tasks, return_exceptions=True)
    found.queues.close()


@pytest.mark.parametrize("mode", list(SigningMode))
@pytest.mark.parametrize("bodies", [(b"m",), (b"m", b"a", b"b")])
@pytest.mark.parametrize("form", list(SignatureForm))
async def test_a_lone_message_is_signed_alone(
    mode: SigningMode, bodies: tuple[bytes, ...], form: SignatureForm
) -> None:
    scene = scene_of(SigningSettings(mode=mode))
    scene.let_go()
    [files] = await ended([scene.ask(*bodies, form=form)])
    assert scene.verdict(files, *bodies) is Outcome.PASSED
    chained = len(bodies) > 1 and form is SignatureForm.HASH_CHAIN
    assert (files.hash_chain is not None) is chained
    names = [reference.name for reference in parse_signature(files.signature).references]
    assert names == (
        ["/sig-hashchainresult.xml"] if chained else [part.name for part in parts_of(*bodies)]
    )
    assert (scene.queues.signatures, scene.queues.messages) == (1, 1)
    scene.queues.close()


async def test_those_who_wait_get_one_signature_and_a_chain_each(scene: Scene) -> None:
    messages = [(b"one",), (b"two", b"a"), (b"three", b"b", b"c"), (b"four",), (b"five",)]
    first = await scene.busy()
    waiting = [scene.ask(*bodies) for bodies in messages]
    await asyncio.sleep(0)
    assert scene.queues.waiting == len(messages)
    scene.let_go()
    alone, *together = await ended([first, *waiting])
    assert alone.hash_chain is None
    assert scene.verdict(alone, b"the first") is Outcome.PASSED
    assert len({files.signature for files in together}) == 1
    assert len({files.hash_chain_result for files in together}) == 1
    for files, bodies in zip(together, messages, strict=True):
        assert scene.verdict(files, *bodies) is Outcome.PASSED
        assert scene.verdict(files, b"another") is Outcome.FAILED
        assert scene.verdict(files, *bodies, b"one more") is Outcome.FAILED
    assert (scene.queues.signatures, scene.queues.messages) == (2, 6)
    assert scene.key.times == 2
    assert scene.queues.waiting == 0


async def test_a_chain_tells_no_more_of_the_others_than_one_digest_on_each_level(
    scene: Scene,
) -> None:
    await scene.busy()
    waiting = [scene.ask(b"message %d" % number, b"secret %d" % number) for number in range(8)]
    await asyncio.sleep(0)
    scene.let_go()
    for number, files in enumerate(await ended(waiting)):
        assert files.hash_chain is not None
        entries = [e for step in parse_chain(files.hash_chain).values() for e in step]
        told = {entry.digest for entry in entries if entry.digest}
        own = {part.digest for part in parts_of(b"message %d" % number, b"secret %d" % number)}
        assert own < told
        assert len(told - own) == 3  # of eight messages
        for other in range(8):
            parts = parts_of(b"message %d" % other, b"secret %d" % other)
            assert other == number or not told & {part.digest for part in parts}


async def test_who_gives_up_while_waiting_harms_nobody(scene: Scene) -> None:
    first = await scene.busy()
    waiting = [scene.ask(b"%d" % number) for number in range(4)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    waiting[3].cancel()
    await asyncio.sleep(0)
    scene.let_go()
    _, zero, two = await ended([first, waiting[0], waiting[2]])
    assert scene.verdict(zero, b"0") is scene.verdict(two, b"2") is Outcome.PASSED
    assert waiting[1].cancelled()
    assert waiting[3].cancelled()
    assert scene.queues.messages == 3


async def test_who_gives_up_while_the_key_signs_harms_nobody(scene: Scene) -> None:
    first = await scene.busy()
    later = scene.ask(b"later")
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    scene.let_go()
    [files] = await ended([later])
    assert scene.verdict(files, b"later") is Outcome.PASSED
    assert first.cancelled()


async def test_when_all_who_wait_give_up_the_key_is_free_again(scene: Scene) -> None:
    first = await scene.busy()
    waiting = [scene.ask(b"%d" % number) for number in range(3)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    scene.let_go()
    await ended([first])
    [files] = await ended([scene.ask(b"next")])
    assert scene.verdict(files, b"next") is Outcome.PASSED
    assert scene.queues.signatures == 2


async def test_an_error_of_the_key_fails_those_of_its_batch_only(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.queues.settings = SigningSettings(batch_limit=2)
    first = await scene.busy()
    waiting = [scene.ask(b"%d" % number) for number in range(4)]
    await asyncio.sleep(0)
    scene.key.failures[1] = ValueError("slot 7, pin 1234")
    scene.let_go()
    outcomes = await asyncio.gather(first, *waiting, return_exceptions=True)
    assert isinstance(outcomes[0], CannotSign)
    assert outcomes[0].code == "cannot_create_signature"
    assert outcomes[0].text == "The signing key failed: ValueError"
    for number, files in enumerate(outcomes[1:]):
        assert isinstance(files, SignatureFiles)
        assert scene.verdict(files, b"%d" % number) is Outcome.PASSED
    assert scene.queues.signatures == 2
    assert "A key can't sign" in caplog.text


async def test_everybody_in_a_failed_batch_has_an_error_of_its_own(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    first = await scene.busy()
    waiting = [scene.ask(b"%d" % number) for number in range(3)]
    await asyncio.sleep(0)
    scene.key.failures[2] = RuntimeError("gone")
    scene.let_go()
    await ended([first])
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in outcomes] == [CannotSign] * 3
    assert len({id(one) for one in outcomes}) == 3
    assert caplog.text.count("A key can't sign") == 1


async def test_no_signature_covers_more_messages_than_the_limit(scene: Scene) -> None:
    scene.queues.settings = SigningSettings(batch_limit=3)
    first = await scene.busy()
    waiting = [scene.ask(b"%d" % number) for number in range(7)]
    await asyncio.sleep(0)
    scene.let_go()
    _, *files = await ended([first, *waiting])
    groups = [[one.signature for one in files].count(s) for s in {f.signature for f in files}]
    assert sorted(groups) == [1, 3, 3]
    alone = files[-1]
    assert alone.hash_chain is None


async def test_direct_signs_each_alone_and_at_once(scene: Scene) -> None:
    scene.queues.settings = SigningSettings(mode=SigningMode.DIRECT)
    scene.let_go()
    for number in range(3):
        parts = parts_of(b"%d" % number, b"x")
        coroutine = scene.queues.sign(scene.identity, parts, SignatureForm.REFERENCES)
        with pytest.raises(StopIteration) as done:  # nothing is waited for
            coroutine.send(None)
        assert done.value.value.hash_chain is None
        assert scene.verdict(done.value.value, b"%d" % number, b"x") is Outcome.PASSED
    assert scene.queues.signatures == scene.queues.messages == 3


async def test_a_quick_key_signs_at_once_unless_batches_are_wanted() -> None:
    scene = scene_of(kind="p256")
    scene.let_go()
    coroutine = scene.queues.sign(scene.identity, parts_of(b"m"), SignatureForm.REFERENCES)
    with pytest.raises(StopIteration):  # nothing is waited for
        coroutine.send(None)
    scene.queues.settings = SigningSettings(mode=SigningMode.BATCH)
    scene.key.free.clear()
    scene.key.started.clear()
    first = await scene.busy()
    waiting = [scene.ask(b"%d" % number) for number in range(3)]
    await asyncio.sleep(0)
    scene.let_go()
    _, *together = await ended([first, *waiting])
    assert len({one.signature for one in together}) == 1
    scene.queues.close()


async def test_a_quick_key_that_fails_says_no_more_either() -> None:
    scene = scene_of(kind="p256")
    scene.let_go()
    scene.key.failures[1] = ValueError("pin 1234")
    with pytest.raises(CannotSign, match=r"^The signing key failed: ValueError$"):
        await scene.ask(b"m")
    scene.queues.close()


async def test_a_renewed_certificate_is_not_mixed_with_the_old_one(scene: Scene) -> None:
    pki = scene.signatory.pki
    subject = scene.identity.certificate.subject
    renewed = pki.certify(subject, "sign", kind="rsa2048", label="held", days=700)
    newer = SignIdentity(
        scene.identity.member,
        scene.key,
        renewed.certificate,
        (),
        (pki.ocsp(renewed.certificate),),
    )
    first = await scene.busy()
    waiting = [
        scene.ask(b"0"),
        scene.ask(b"1"),
        scene.ask(b"2", identity=newer),
        scene.ask(b"3", identity=newer),
    ]
    await asyncio.sleep(0)
    scene.let_go()
    _, *files = await ended([first, *waiting])
    certificates = [parse_signature(one.signature).certificate for one in files]
    assert certificates == [scene.identity.certificate] * 2 + [newer.certificate] * 2
    for number, one in enumerate(files):
        assert scene.verdict(one, b"%d" % number) is Outcome.PASSED


async def test_two_keys_do_not_wait_for_each_other(scene: Scene) -> None:
    other = scene_of()
    other.let_go()
    await scene.busy()
    files = scene.queues.sign(other.identity, parts_of(b"m"), SignatureForm.REFERENCES)
    async with asyncio.timeout(PATIENCE):
        assert other.verdict(await files, b"m") is Outcome.PASSED
    other.queues.close()


async def test_a_key_that_hangs_is_not_waited_for_without_end(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing, "_PATIENCE", 0.05)
    first = await scene.busy()
    second = scene.ask(b"second")
    for task in (first, second):
        with pytest.raises(CannotSign, match="Signature creation timed out"):
            await task


async def test_what_waits_when_the_node_stops_is_told_so(scene: Scene) -> None:
    first = await scene.busy()
    waiting = [scene.ask(b"%d" % number) for number in range(3)]
    await asyncio.sleep(0)
    scene.queues.settings = SigningSettings(batch_limit=2)
    scene.queues.close()
    scene.let_go()
    files = await first
    assert scene.verdict(files, b"the first") is Outcome.PASSED
    for task in (*waiting, scene.ask(b"too late")):
        with pytest.raises(CannotSign, match="The node stops"):
            await task


async def test_the_signing_time_is_that_of_the_signature(scene: Scene) -> None:
    times = iter([NOON, NOON.replace(minute=5)])
    scene.queues.clock = lambda: next(times)
    first = await scene.busy()
    waiting = [scene.ask(b"1"), scene.ask(b"2")]
    await asyncio.sleep(0)
    scene.let_go()
    files = await ended([first, *waiting])
    said: list[datetime | None] = [parse_signature(one.signature).signing_time for one in files]
    assert said == [NOON, NOON.replace(minute=5), NOON.replace(minute=5)]
