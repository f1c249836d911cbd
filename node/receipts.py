"""Receipts of exchanges, put together from what the log and its archive have.

A receipt holds the containers with their time-stamps, the trust list that counted when the request
was logged, what this node knows about purpose and access, and the proofs that the records are in
the log. What can't be had is left out, and the receipt says so.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, cast

from catalog.access import covering, granted
from catalog.paths import ServicePath
from catalog.services import AccessRight, ServerConf
from catalog.stored.store import ServiceStore
from node.archive.archived import ArchivedContainers, ArchivedMessage
from node.log.containers import StampSource, write_record_container
from node.log.listing import LoggedMessage, Standing
from node.log.messagelog import MessageLog, Place, RecordQuery
from node.log.records import Side
from node.messages.rest import RestRequestHead
from node.transparency.proofs import NotInCheckpoint, ProofReader
from node.transparency.tree import BrokenLog
from trust.configuration.confhistory import FolderFiles, TrustListHistory
from trust.errors import MalformedMessage, StorageError
from trust.evidence.asic import form_encode, parse_container
from trust.evidence.exchange_facts import ExchangeFacts, read_facts
from trust.globalconf import GlobalConf
from trust.ids import ClientId, ServerId
from trust.receipts.receipt_trust import trust_list_files
from trust.receipts.receipt_verdict import facts_as_json
from trust.receipts.receipts import (
    CONFIGURATION,
    EXCHANGE,
    LOG_KEY,
    RECEIPT_SUFFIX,
    REQUEST_PROOF,
    RESPONSE_PROOF,
    SIGNED,
    to_json,
    write_receipt,
)

_IN_MEMORY = 4 << 20  # bytes of a container that is built without a file
_PAGE = 100
_MOST = 1000  # messages of one id that are looked through

StatementOf = Callable[[str], Awaitable[bytes | None]]  # the owner's word for a key of the log


class NoExchange(StorageError):
    """Neither the log nor the archive has the request."""


class SeveralExchanges(StorageError):
    """The message id stands for several exchanges; `ids` are those of the exchanges."""

    def __init__(self, ids: Sequence[str]) -> None:
        super().__init__(f"There are {len(ids)} exchanges with this message id: {', '.join(ids)}")
        self.ids = tuple(ids)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of an exchange, where it is kept.

    Attributes:
        logged: its row, while the log has it; else `archived` is where the archive has it.
    """

    number: int
    time: datetime
    logged: LoggedMessage | None
    archived: ArchivedMessage | None = None

    @property
    def unstamped(self) -> bool:
        return self.logged is not None and self.logged.standing is not Standing.STAMPED


@dataclass(frozen=True, slots=True)
class Exchange:
    """The messages of one exchange that this node has."""

    message_id: str
    local: ClientId
    request: Message
    response: Message | None

    @property
    def messages(self) -> tuple[Message, ...]:
        return (self.request,) if self.response is None else (self.request, self.response)

    @property
    def unstamped(self) -> list[int]:
        """The numbers of the records that have no time-stamp yet."""
        return [message.number for message in self.messages if message.unstamped]

    @property
    def file_name(self) -> str:
        return f"{form_encode(self.message_id)[:200]}{RECEIPT_SUFFIX}"


@dataclass(frozen=True, slots=True)
class ReceiptMaker:
    """Finds exchanges and writes their receipts.

    Attributes:
        archive: where containers are whose records have left the log; None without a store.
        history: the folder of the trust lists that counted.
        conf: the trust list of now, for a time of which the history knows none.
        folder: where large containers are built; the files in it have no names.
    """

    server: ServerId
    log: MessageLog
    stamps: StampSource
    archive: ArchivedContainers | None
    proofs: ProofReader
    statement_of: StatementOf
    services: ServiceStore
    history: Path
    conf: Callable[[], GlobalConf | None]
    clock: Callable[[], datetime]
    folder: Path

    # --- finding ----------------------------------------------------------------------------------

    async def find(self, message_id: str, local: ClientId, exchange_id: str = "") -> Exchange:
        """The exchange of a message id, by one of our own parties.

        Raises NoExchange, SeveralExchanges without an exchange id, StorageError.
        """
        found: dict[str, dict[bool, Message]] = {}
        query = RecordQuery(message_id=message_id, local=local, exchange_id=exchange_id or None)
        async for row in self._rows(query):
            messages = found.setdefault(row.exchange_id, {})
            messages.setdefault(row.response, Message(row.number, row.time, row))
        if not found and not exchange_id:
            found = await self._archived(message_id, local)
        requests = {name: messages for name, messages in found.items() if False in messages}
        if not requests:
            raise NoExchange("There is no such exchange in the log")
        if len(requests) > 1:
            raise SeveralExchanges(sorted(requests))
        ((_, messages),) = requests.items()
        return Exchange(message_id, local, messages[False], messages.get(True))

    async def _rows(self, query: RecordQuery) -> AsyncIterator[LoggedMessage]:
        after: Place | None = None
        for _ in range(_MOST // _PAGE):
            page = await self.log.listing(query, after=after, limit=_PAGE)
            for row in page.messages:
                yield row
            after = page.next
            if after is None:
                return

    async def _archived(self, message_id: str, local: ClientId) -> dict[str, dict[bool, Message]]:
        """What the archive alone has: it keeps no exchange ids, so one exchange must be all."""
        if self.archive is None:
            return {}
        found = await self.archive.find(message_id, local, None, 10)
        by_direction: dict[bool, Message] = {}
        for one in found:
            if one.response in by_direction:
                raise SeveralExchanges([each.name for each in found])
            by_direction[one.response] = Message(one.number, one.time, None, one)
        return {"": by_direction} if by_direction else {}

    # --- writing ----------------------------------------------------------------------------------

    async def write(self, exchange: Exchange, target: BinaryIO) -> None:
        """Write the receipt to a seekable file; raises StorageError, OSError for the file."""
        async with self._built(exchange.request) as request:
            asked = await asyncio.to_thread(_Asked.read, request)
            files = await self._files(exchange, asked)
            without = await self._add_proofs(exchange, files)
            if exchange.response is None:
                await self._write(target, request, None, files, without)
                return
            async with self._built(exchange.response) as response:
                await self._write(target, request, response, files, without)

    async def _write(
        self,
        target: BinaryIO,
        request: BinaryIO,
        response: BinaryIO | None,
        files: dict[str, bytes],
        without_proof: str,
    ) -> None:
        await asyncio.to_thread(
            write_receipt,
            target,
            request,
            response,
            files,
            issuer=self.server.path,
            without_proof=without_proof,
        )

    @asynccontextmanager
    async def _built(self, message: Message) -> AsyncIterator[BinaryIO]:
        """The message's container, in a file without a name."""
        with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(self.folder)) as spool:
            file = cast(BinaryIO, spool)  # which it is in all but name
            await self._write_container(message, file)
            yield file

    async def _write_container(self, message: Message, target: BinaryIO) -> None:
        if message.archived is not None and self.archive is not None:
            await self.archive.write(message.archived, target)
            return
        for record in await self.log.read([Place(message.time, message.number)]):
            stamp = await self.stamps.stamp_of(record.number)
            await write_record_container(self.log, record, target, stamp)
            return
        raise NoExchange("The exchange has left the log meanwhile; ask again")

    async def _files(self, exchange: Exchange, asked: "_Asked") -> dict[str, bytes]:
        """Trust list and statement."""
        at, facts = exchange.request.time, asked.facts
        conf, directory = await asyncio.to_thread(self._trust_list, at)
        parts = trust_list_files(conf, sorted({facts.client[0], facts.service[0]}))
        files = {f"{CONFIGURATION}{name}": raw for name, raw in parts.items()}
        if directory is not None:
            own = next(name for name in parts if name.endswith("/shared-params.xml"))
            files[f"{SIGNED}{own.partition('/')[0]}/directory"] = directory
        files[EXCHANGE] = to_json(await self._statement(exchange, asked, conf))
        return files

    def _trust_list(self, at: datetime) -> tuple[GlobalConf, bytes | None]:
        """The list that counted at a moment, and the directory that announced it."""
        history = TrustListHistory(FolderFiles(self.history))
        conf = history.at(at)
        if conf is not None:
            return conf, history.directory_at(at)
        conf = self.conf()
        if conf is None:
            raise StorageError("There is no global configuration")
        return conf, None

    # --- proofs -----------------------------------------------------------------------------------

    async def _add_proofs(self, exchange: Exchange, files: dict[str, bytes]) -> str:
        """Add what proves that the records are in the log; why there is nothing, if so."""
        proofs = {REQUEST_PROOF: exchange.request, RESPONSE_PROOF: exchange.response}
        key = reason = ""
        for name, message in proofs.items():
            if message is None:
                continue
            try:
                proven = await self.proofs.inclusion(message.number)
            except (NotInCheckpoint, BrokenLog) as error:
                reason = str(error)
                continue
            files[name] = proven.proof.raw
            key = proven.key
        if not key:
            return reason
        statement = await self.statement_of(key)
        if statement is not None:
            files[LOG_KEY] = statement
        return ""

    # --- what the node says -----------------------------------------------------------------------

    async def _statement(
        self, exchange: Exchange, asked: "_Asked", conf: GlobalConf
    ) -> dict[str, object]:
        stated = facts_as_json(asked.facts)
        row = exchange.request.logged
        if row is not None:
            stated["exchange_id"] = row.exchange_id
            stated["side"] = row.side.value
        stated["records"] = [
            {"message": what, "number": message.number, "time": _time(message.time)}
            for what, message in zip(("request", "response"), exchange.messages, strict=False)
        ]
        if row is not None and row.side is Side.PROVIDER:
            access = await self._access(row, asked, conf)
            if access is not None:
                stated["access"] = access
        return stated

    async def _access(
        self, row: LoggedMessage, asked: "_Asked", conf: GlobalConf
    ) -> dict[str, object] | None:
        """By which rights the call is allowed that were given before it; None for our own services.

        Rights that were taken away since are not known any more.
        """
        services = await self.services.load()
        if services.service(row.service) is None:
            return None
        allowing = _covering(services, row, asked, conf)
        rights = [
            {
                "subject": str(right.subject),
                "endpoint": str(right.endpoint),
                "granted_at": _time(given),
            }
            for right, given in await self.services.given_rights(row.service)
            if _named(right) in allowing and given <= row.time
        ]
        return {"rights": rights, "as_of": _time(self.clock())}


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the request says; method and path of a REST request."""

    facts: ExchangeFacts
    method: str = ""
    path: ServicePath | None = None

    @classmethod
    def read(cls, container: BinaryIO) -> "_Asked":
        """Read a request's container; raises StorageError when it holds none."""
        try:
            message = parse_container(container).message
            facts = read_facts(message)
            if not facts.rest:
                return cls(facts)
            head = RestRequestHead.parse(message)
            return cls(facts, head.method, head.normalised_path())
        except MalformedMessage as error:
            raise StorageError(f"The request in the log can't be read: {error.text}") from error


_Named = tuple[object, str, str]  # subject, method and path of a right


def _named(right: AccessRight) -> _Named:
    return right.subject, right.endpoint.method.upper(), right.endpoint.path


def _covering(
    services: ServerConf, row: LoggedMessage, asked: _Asked, conf: GlobalConf
) -> set[_Named]:
    """Every right that covers the call, whose dates include its moment."""
    rules = granted(
        services,
        row.client,
        row.service,
        lambda group: conf.in_group(row.client, group, row.time),
        row.time,
    )
    return {
        (rule.subject, rule.method, rule.glob.pattern)
        for rule in covering(rules, asked.method, asked.path)
    }


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
