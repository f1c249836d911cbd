"""Messages wait for their signing key here, and those that wait together are signed together.

A quick key signs at once. A slow one (RSA) signs in a thread, one signature at a time; what arrives
meanwhile gathers and gets one signature through a hash tree. There is no timer and no company to
wait for: a message that finds the key idle is signed alone. Without batches nothing is gained by a
thread: its way there and back costs more than the event loop waits (decisions/0100).

Source: signatures.md 4.4, 4.5, 5; X-Road 7.8 BatchSigner.java.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from node.exchange.settings import SigningMode, SigningSettings
from node.exchange.signer import SignatureFiles, SignatureForm, sign_parts, sign_together
from trust.errors import CannotSign, ExchangeError
from trust.evidence.hashchain import PartDigest
from trust.pki.identities import SignIdentity
from trust.pki.keys import SoftwareKey

_LOG = logging.getLogger(__name__)
_THREADS = 4  # keys that sign at the same time
_PATIENCE = 60.0  # seconds


@dataclass(slots=True, eq=False)
class _Waiting:
    """A message that wants a signature."""

    identity: SignIdentity
    parts: Sequence[PartDigest]
    form: SignatureForm
    done: "asyncio.Future[SignatureFiles]"


@dataclass(slots=True)
class SigningQueues:
    """Makes all signatures of one node process: one queue for each key.

    Attributes:
        clock: gives the signing time, which is that of the signature and not of the message.
        signatures, messages: made so far, and the messages that they cover.
    """

    settings: SigningSettings
    clock: Callable[[], datetime]
    signatures: int = 0
    messages: int = 0
    _queues: dict[SoftwareKey, deque[_Waiting]] = field(default_factory=dict)
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(_THREADS, "signing")
    )

    @property
    def waiting(self) -> int:
        """Messages whose key is busy with others."""
        return sum(map(len, self._queues.values()))

    async def sign(
        self, identity: SignIdentity, parts: Sequence[PartDigest], form: SignatureForm
    ) -> SignatureFiles:
        """Sign the parts of one message; raises CannotSign.

        Args:
            form: how several parts are covered when the message is signed alone. In a batch a hash
                chain covers them, which every server reads.
        """
        key = identity.key
        if not self._gathers(key):
            return self._sign_here(identity, parts, form)
        done: asyncio.Future[SignatureFiles] = asyncio.get_running_loop().create_future()
        message = _Waiting(identity, parts, form, done)
        queue = self._queues.get(key)
        if queue is None:
            self._begin(key, [message])
        else:
            queue.append(message)
        try:
            async with asyncio.timeout(_PATIENCE):
                return await done
        except TimeoutError:
            raise CannotSign("Signature creation timed out") from None

    def _gathers(self, key: SoftwareKey) -> bool:
        """Whether messages may be signed together by this key."""
        if self.settings.mode is SigningMode.AUTO:
            return not key.quick
        return self.settings.mode is SigningMode.BATCH

    def close(self) -> None:
        """Sign nothing more through a thread."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _sign_here(
        self, identity: SignIdentity, parts: Sequence[PartDigest], form: SignatureForm
    ) -> SignatureFiles:
        try:
            files = sign_parts(identity, parts, self.clock(), form)
        except Exception as error:
            raise _failure(error) from error
        self.signatures += 1
        self.messages += 1
        return files

    def _begin(self, key: SoftwareKey, batch: Sequence[_Waiting]) -> None:
        """Let a thread sign; the key is busy until `_settle`. Raises CannotSign when closed."""
        loop = asyncio.get_running_loop()
        try:
            work = loop.run_in_executor(self._threads, _sign, batch, self.clock())
        except RuntimeError as error:
            raise CannotSign("The node stops and signs nothing more") from error
        self._queues.setdefault(key, deque())
        work.add_done_callback(partial(self._settle, key, batch))

    def _settle(
        self,
        key: SoftwareKey,
        batch: Sequence[_Waiting],
        work: "asyncio.Future[list[SignatureFiles]]",
    ) -> None:
        """Answer everybody in the batch, and begin the next one."""
        if work.cancelled():
            _fail(batch, "The node stops and signs nothing more")
        elif (error := work.exception()) is not None:
            _fail(batch, _failure(error).text)
        else:
            self.signatures += 1
            self.messages += len(batch)
            for message, files in zip(batch, work.result(), strict=True):
                if not message.done.done():
                    message.done.set_result(files)
        queue = self._queues[key]
        following = self._next_batch(queue)
        if not following:
            del self._queues[key]
            return
        try:
            self._begin(key, following)
        except CannotSign as stopped:
            del self._queues[key]
            _fail([*following, *queue], stopped.text)

    def _next_batch(self, queue: deque[_Waiting]) -> list[_Waiting]:
        """The first who wait and have one certificate; those who gave up are left out."""
        batch: list[_Waiting] = []
        while queue and len(batch) < self.settings.batch_limit:
            if queue[0].done.done():
                queue.popleft()
            elif not batch or _same_certificate(batch[0].identity, queue[0].identity):
                batch.append(queue.popleft())
            else:
                break
        return batch


def _same_certificate(one: SignIdentity, other: SignIdentity) -> bool:
    return one is other or one.certificate == other.certificate


def _sign(batch: Sequence[_Waiting], at: datetime) -> list[SignatureFiles]:
    """One signature, with the newest OCSP responses among those that the messages brought."""
    newest = batch[-1]
    if len(batch) == 1:
        return [sign_parts(newest.identity, newest.parts, at, newest.form)]
    return sign_together(newest.identity, [message.parts for message in batch], at)


def _fail(messages: Iterable[_Waiting], reason: str) -> None:
    for message in messages:
        if not message.done.done():
            message.done.set_exception(CannotSign(reason))  # one each: they carry tracebacks


def _failure(error: BaseException) -> CannotSign:
    """What those who asked are told; of a key's inner life the operator's log alone."""
    if isinstance(error, ExchangeError):
        return CannotSign(error.text)
    _LOG.error("A key can't sign", exc_info=error)
    return CannotSign(f"The signing key failed: {type(error).__name__}")
