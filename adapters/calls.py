"""One call, whichever face it came by: read, wait for a turn, run within a time, say what failed.

The texts of a `Refusal` are for callers. What only the operator should know goes into the account,
and even there no value of a caller: of an error that nobody foresaw only its class and place.
"""

import asyncio
import secrets
import traceback
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from adapters.account import Account, AdapterMetrics
from adapters.operations import (
    BadParameter,
    NotThere,
    Operation,
    Source,
    SourceTimeout,
    UpstreamRefused,
)
from adapters.settings import LimitSettings
from adapters.values import read_values
from trust.errors import StorageError


class Refusal(Exception):
    """Why a caller gets no answer.

    Attributes:
        status: as in HTTP.
        parameter: the value that is wrong, when it is one.
        code: the source's own word, when it has one.
        retry: seconds after which the same call may succeed.
    """

    def __init__(
        self, status: int, text: str, *, parameter: str = "", code: str = "", retry: int = 0
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.parameter = parameter
        self.code = code
        self.retry = retry


class Calls:
    """Runs the operations of one source within the limits."""

    def __init__(self, source: Source, limits: LimitSettings, metrics: AdapterMetrics) -> None:
        self.source = source
        self._limits = limits
        self._metrics = metrics
        self._turns = asyncio.Semaphore(limits.running)
        self._waiting = 0

    async def run(
        self, operation: Operation, given: Mapping[str, object], account: Account
    ) -> object:
        """The source's answer, or raise Refusal."""
        try:
            values = read_values(operation, given)
            async with asyncio.timeout(self._limits.timeout.total_seconds()), self._turn():
                return await self.source.run(operation, values, account.caller)
        except BadParameter as error:
            raise Refusal(400, str(error), parameter=error.parameter) from None
        except NotThere as error:
            raise Refusal(404, str(error) or "there is nothing that fits") from None
        except (SourceTimeout, TimeoutError) as error:
            account.failure = str(error) or "the time for one request is over"
            raise Refusal(504, "the source took too long") from None
        except UpstreamRefused as error:
            raise Refusal(error.status, error.text, code=error.code) from None
        except StorageError as error:
            account.failure = str(error)
            raise Refusal(503, "the source does not answer", retry=5) from None
        except Refusal:
            raise
        except Exception as error:  # noqa: BLE001 - told with an id that stands in the log
            raise unforeseen(error, account) from None

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One of the places in which work is done; raises Refusal when too many wait."""
        if self._turns.locked() and self._waiting >= self._limits.waiting:
            raise Refusal(503, "too many requests at a time", retry=1)
        self._waiting += 1
        self._metrics.waiting.set(self._waiting)
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
            self._metrics.waiting.set(self._waiting)
        self._metrics.running.inc()
        try:
            yield
        finally:
            self._metrics.running.dec()
            self._turns.release()


def unforeseen(error: Exception, account: Account) -> Refusal:
    """An answer to an error that nobody foresaw, with an id under which the log tells its place."""
    error_id = secrets.token_hex(6)
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "-"
    account.failure = f"error {error_id}: {type(error).__name__} at {place}"
    return Refusal(500, f"internal error {error_id}")
