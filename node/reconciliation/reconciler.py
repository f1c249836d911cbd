"""Does what operators want to be compared, and answers the nodes that compare with this one."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from node.exchange.own_call import OwnAnswer, OwnRequest
from node.log.messagelog import MessageLog
from node.reconciliation.comparing import Compared, Comparer, NoComparison
from node.reconciliation.counts import Counts
from node.reconciliation.differences import Difference
from node.reconciliation.service import ReconciliationService
from node.reconciliation.wire import LARGEST_ANSWER, SERVICE_CODE, Comparison
from node.reconciliation.wishes import FoundDifference, Outcome, Wish, Wishes
from trust.database import DATABASE_ERRORS, Pool, describe
from trust.errors import ExchangeError, MalformedMessage, PeerFault, SacbeError, StorageError
from trust.globalconf import GlobalConf, Server
from trust.ids import ClientId, ServerId, ServiceId

_LOG = logging.getLogger("sacbe.reconciliation")
_LOOK = 1.0  # seconds between two looks at what is wanted
_BEAT = 10.0  # seconds
_ANSWER = 120.0  # seconds, for an answer
_MOST_TRIED = 5  # clients of the other node by which it is asked
_UNKNOWN_CLIENT = "unknown_member"
_UNKNOWN_SERVICE = "unknown_service"

Ask = Callable[[OwnRequest], Awaitable[OwnAnswer]]


@dataclass(slots=True)
class _Asking:
    """Asks one node by whichever of its clients it answers for."""

    by: Ask
    owner: ClientId
    peer: ServerId
    providers: list[ClientId]

    async def ask(self, query: str) -> OwnAnswer:
        while True:
            request = OwnRequest(
                self.owner,
                ServiceId(self.providers[0], SERVICE_CODE),
                self.peer,
                rest=f"?{query}",
                largest=LARGEST_ANSWER,
            )
            try:
                async with asyncio.timeout(_ANSWER):
                    return await self.by(request)
            except PeerFault as error:
                if len(self.providers) == 1 or not _has_code(error, _UNKNOWN_CLIENT):
                    raise
                del self.providers[0]


class Reconciler:
    """The comparisons of one process.

    Args:
        server: this node.
        conf: the trust list; None while there is none.
        ask: asks another node in the owner's name.
        keep: how long archived records stay in the database at least; None: for ever.
    """

    def __init__(
        self,
        server: ServerId,
        pool: Pool,
        log: MessageLog,
        clock: Callable[[], datetime],
        conf: Callable[[], GlobalConf | None],
        ask: Ask,
        keep: timedelta | None = None,
    ) -> None:
        self._server = server
        self._pool = pool
        self._log = log
        self._clock = clock
        self._conf = conf
        self._ask = ask
        self._counts = Counts(pool, log, server, clock, keep)
        self._wishes = Wishes(pool)
        self.service = ReconciliationService(server, self._counts, log)

    async def run(self) -> None:
        """Do what is wanted, one after the other, until cancelled."""
        try:
            while True:
                wish = await self._next()
                if wish is None:
                    await asyncio.sleep(_LOOK)
                else:
                    await self._do(wish)
        finally:
            await self.service.close()

    async def _next(self) -> Wish | None:
        try:
            return await self._wishes.take(self._clock())
        except SacbeError:  # the log's own probes tell of a database that is gone
            return None

    async def _do(self, wish: Wish) -> None:
        beating = asyncio.create_task(self._beat(wish), name="comparison")
        try:
            outcome = await self._outcome(wish)
            _LOG.info(
                "compared peer=%s day=%s equal=%s %s",
                wish.peer.colons, wish.day, outcome.equal, outcome.problem,
            )  # fmt: skip
            await self._wishes.finish(wish.id, outcome, self._clock())
        except StorageError as error:
            _LOG.warning("%s", error)
        finally:
            beating.cancel()

    async def _beat(self, wish: Wish) -> None:
        while True:
            await asyncio.sleep(_BEAT)
            await self._wishes.beat(wish.id, self._clock())

    async def _outcome(self, wish: Wish) -> Outcome:
        try:
            return _outcome_of(wish, await self._compare(wish))
        except MalformedMessage as error:
            return Outcome(problem=f"{wish.peer} does not answer as it must. {error.text}")
        except PeerFault as error:
            return Outcome(problem=_refusal(wish.peer, error))
        except ExchangeError as error:
            return Outcome(problem=error.text)
        except TimeoutError:
            return Outcome(problem=f"{wish.peer} gave no answer within {_ANSWER:.0f} s")
        except (NoComparison, StorageError) as error:
            return Outcome(problem=str(error))
        except DATABASE_ERRORS as error:
            return Outcome(problem=f"The log can't be counted: {describe(error)}")

    async def _compare(self, wish: Wish) -> Compared:
        conf = self._conf()
        if conf is None:
            raise NoComparison("There is no trust list to find the other node by")
        if wish.peer == self._server:
            raise NoComparison(f"{wish.peer} is this node itself")
        server = conf.server(wish.peer, self._clock())
        if server is None:
            raise NoComparison(f"{wish.peer} is not registered")
        providers = await self._providers(server)
        asking = _Asking(self._ask, self._server.owner, wish.peer, list(providers))
        comparer = Comparer(
            self._server,
            wish.peer,
            Comparison(self._server, str(uuid.uuid4()), wish.day, wish.until),
            self._counts,
            self._log,
            asking.ask,
            lambda text: self._wishes.beat(wish.id, self._clock(), text),
        )
        return await comparer.run()

    async def _providers(self, server: Server) -> Sequence[ClientId]:
        """Clients of the other node by which it can be asked, those that we know first.

        A REST call names a subsystem; that a registered one is also declared at its node is for
        the node to say.
        """
        registered = [one for one in server.clients if one.subsystem_code is not None]
        if not registered:
            raise NoComparison(f"{server.id} has no subsystem that could be asked")
        rows = await self._pool.fetch(
            "SELECT client, provider, side FROM message_record WHERE peer = $1"
            " ORDER BY time DESC LIMIT 100",
            str(server.id),
        )
        met = {row["provider" if row["side"] == "consumer" else "client"] for row in rows}
        return sorted(registered, key=lambda one: one.path not in met)[:_MOST_TRIED]


def _refusal(peer: ServerId, error: PeerFault) -> str:
    """A fault in words: mostly the other node has no such service, for it is another software."""
    if _has_code(error, _UNKNOWN_SERVICE):
        return (
            f"{peer} does not know how to compare ({error.code}): it is no Sacbe node, or an"
            " older one"
        )
    return f"{peer} refused: {error.code} {error.text}"


def _has_code(error: PeerFault, code: str) -> bool:
    """Whether a fault of either spelling has this code."""
    return error.code.lower().replace("_", "").endswith(f".{code.replace('_', '')}")


def _outcome_of(wish: Wish, compared: Compared) -> Outcome:
    def told(difference: Difference) -> FoundDifference:
        since = datetime.combine(wish.day, time(), UTC)
        return FoundDifference(
            difference.kind.value,
            difference.exchange_id,
            difference.consumer,
            since + timedelta(seconds=difference.second),
            difference.text,
        )

    mine, theirs = compared.mine, compared.theirs
    equal = (mine.count, mine.hash) == (theirs.count, theirs.hash)
    if not equal and compared.difference is None:
        return Outcome(problem="What was counted differed, and is the same by now; compare again")
    return Outcome(
        equal=equal,
        exchanges=mine.count,
        root=mine.hash.hex(),
        peer_exchanges=theirs.count,
        peer_root=theirs.hash.hex(),
        difference=None if compared.difference is None else told(compared.difference),
        lost=tuple(told(one) for one in compared.lost),
        questions=compared.questions,
    )
