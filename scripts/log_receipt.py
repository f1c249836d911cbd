"""Take the receipt of one exchange out of a node's log; the node may run or not."""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from catalog.stored.store import ServiceStore
from node.archive.archived import ArchivedContainers
from node.archive.archiver import open_archive_store
from node.log.messagelog import MessageLog
from node.receipts import Exchange, NoExchange, ReceiptMaker
from node.settings import NodeSettings
from node.stamping.stamps import StampReader
from node.transparency.proofs import ProofReader
from node.witness.statements import newest_statement
from scripts.arguments import Actions, add_action, add_config
from trust.configuration.confstore import load_configuration
from trust.database import Pool
from trust.errors import MalformedMessage, StorageError
from trust.globalconf import GlobalConf
from trust.ids import ClientId

MEANING = "write everything that proves one exchange into a file"


def add_receipt(actions: Actions, client: Callable[[str], ClientId]) -> None:
    """Declare the action; `client` reads the colon form of an identifier."""
    receipt = add_action(actions, "receipt", MEANING)
    add_config(receipt, "node.toml")
    receipt.add_argument("--message-id", required=True, metavar="ID",
                         help="the X-Road-Id that the client gave")  # fmt: skip
    receipt.add_argument("--local", type=client, required=True, metavar="CLIENT",
                         help="INSTANCE:CLASS:CODE[:SUBSYSTEM] of this node whose exchange it"
                         " is: who asked, or who was asked")  # fmt: skip
    receipt.add_argument("--exchange-id", default="", metavar="ID",
                         help="where several exchanges have the message id")  # fmt: skip
    receipt.add_argument("--to", type=Path, metavar="FILE.receipt",
                         help="default: the message id, in this folder")  # fmt: skip
    receipt.add_argument("--unstamped", action="store_true",
                         help="also when a record has no time-stamp yet")  # fmt: skip


async def write_receipt_file(
    settings: NodeSettings, arguments: argparse.Namespace, log: MessageLog, pool: Pool
) -> int:
    """Do what the arguments say; 0 when the file was written, 1 when there was nothing to."""
    with tempfile.TemporaryDirectory(prefix="sacbe-") as folder:
        maker = _maker(settings, log, pool, Path(folder))
        try:
            exchange = await maker.find(
                arguments.message_id, arguments.local, arguments.exchange_id
            )
        except NoExchange as error:
            return _told(str(error))
        if exchange.unstamped and not arguments.unstamped:
            return _told(
                "It has no time-stamp yet; a running node gives it one with its next round,"
                " and --unstamped takes it out as it is"
            )
        target: Path = arguments.to or Path(exchange.file_name)
        await _write(maker, exchange, target)
    print(target)
    return 0


def _maker(settings: NodeSettings, log: MessageLog, pool: Pool, folder: Path) -> ReceiptMaker:
    store = open_archive_store(settings.archive)
    archive = None
    if store is not None:
        archive = ArchivedContainers(pool, store, folder, settings.limits.body)
    return ReceiptMaker(
        settings.server,
        log,
        StampReader(pool),
        archive,
        ProofReader(pool, store),
        partial(newest_statement, pool),
        ServiceStore(pool),
        settings.data / "trust-lists",
        partial(_kept_configuration, settings.data / "globalconf"),
        lambda: datetime.now(UTC),
        folder,
    )


def _kept_configuration(folder: Path) -> GlobalConf | None:
    """The trust list that the node keeps; None when there is none to be read."""
    with suppress(MalformedMessage, StorageError):
        return load_configuration(folder)
    return None


async def _write(maker: ReceiptMaker, exchange: Exchange, target: Path) -> None:
    """Write the file under another name first: one of its own name is complete."""
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with await asyncio.to_thread(unfinished.open, "w+b") as file:
            await maker.write(exchange, file)
        unfinished.replace(target)
    except OSError as error:
        raise StorageError(f"{target} can't be written: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _told(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1
