"""Look into a node's message log: what is there, why it is not time-stamped, and take it out.

Receipts of single exchanges: `log_receipt`.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from node.archive.archived import archive_files_of
from node.log.containers import Document, stamped_documents
from node.log.export import export_folder, export_zip
from node.log.listing import LoggedMessage, Standing
from node.log.messagelog import MessageLog, Place, RecordQuery
from node.log.records import Side
from node.settings import NodeSettings
from node.stamping.stamps import StampReader
from scripts.arguments import (
    add_action,
    add_config,
    client_id,
    moment,
    server_id,
    service_id,
    whole_number,
)
from scripts.log_receipt import add_receipt, write_receipt_file
from scripts.node import load_node_settings
from scripts.node_database import node_database
from scripts.service import log_to_stderr, run_service
from trust.database import Pool

_PAGE = 200
_USUAL = 50  # rows that are listed
_HEAD = ("TIME", "RECORD", "ROLE", "WHAT", "BYTES", "TIME-STAMP", "CLIENT", "SERVICE", "MESSAGE ID")
_WIDTHS = (24, 9, 8, 8, 11, 20, 0, 0, 0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Exit code 0: something was found, and taken out with its time-stamp; 1: nothing was found,"
        " or something has no time-stamp yet and was left; 2: bad usage, or the log can't be read."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    search = add_action(actions, "search", "list what the log has, the newest first")
    search.add_argument(
        "--limit",
        type=whole_number(1, 1_000_000_000),
        default=_USUAL,
        metavar="N",
        help="default: %(default)s",
    )
    search.add_argument("--oldest", action="store_true", help="the oldest first")
    search.add_argument("--json", action="store_true", help="one JSON object per line and record")
    export = add_action(actions, "export", "write containers into a folder or a ZIP file")
    export.add_argument(
        "--to", type=Path, required=True, metavar="FOLDER|FILE.zip", help="where they are written"
    )
    for action in (search, export):
        _add_filters(action)
    add_receipt(actions, client_id)


def _add_filters(action: argparse.ArgumentParser) -> None:
    add_config(action, "node.toml")
    action.add_argument("--from", dest="since", type=moment, metavar="TIME", help="from then on")
    action.add_argument("--until", type=moment, metavar="TIME",
                        help="before then")  # fmt: skip
    action.add_argument("--peer", type=server_id, metavar="SERVER",
                        help="INSTANCE:CLASS:CODE:SERVER of the other node")  # fmt: skip
    action.add_argument("--client", type=client_id, metavar="CLIENT",
                        help="INSTANCE:CLASS:CODE[:SUBSYSTEM] that asked")  # fmt: skip
    action.add_argument("--service", type=service_id, metavar="SERVICE",
                        help="INSTANCE:CLASS:CODE:SUBSYSTEM:SERVICE[:VERSION]")  # fmt: skip
    action.add_argument("--message-id", metavar="ID", help="the X-Road-Id that the client gave")
    action.add_argument("--exchange-id", metavar="ID", help="the id in every fault and log line")
    action.add_argument("--role", choices=[side.value for side in Side],
                        help="whose node this was in the exchange")  # fmt: skip
    kind = action.add_mutually_exclusive_group()
    kind.add_argument("--requests", dest="response", action="store_const", const=False,
                      help="requests alone")  # fmt: skip
    kind.add_argument("--responses", dest="response", action="store_const", const=True,
                      help="responses alone")  # fmt: skip
    action.add_argument("--unstamped", action="store_true",
                        help="those without time-stamp alone")  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Do what the arguments say."""
    log_to_stderr()
    settings = load_node_settings(arguments.config)
    work = {"search": _search, "export": _export, "receipt": _receipt}[arguments.action]
    return run_service(work(settings, arguments), stopped=130)


@asynccontextmanager
async def _opened(settings: NodeSettings) -> AsyncIterator[tuple[MessageLog, Pool]]:
    """The node's log, to be read, and its database; the node may run or not."""
    async with node_database(settings) as pool:
        yield MessageLog(pool, settings.log), pool


def _query(arguments: argparse.Namespace) -> RecordQuery:
    return RecordQuery(
        message_id=arguments.message_id,
        exchange_id=arguments.exchange_id,
        side=arguments.role and Side(arguments.role),
        response=arguments.response,
        client=arguments.client,
        service=arguments.service,
        peer=arguments.peer and str(arguments.peer),
        since=arguments.since,
        until=arguments.until,
    )


async def _messages(
    log: MessageLog, arguments: argparse.Namespace, most: int | None, *, newest_first: bool
) -> AsyncIterator[LoggedMessage]:
    """What the arguments describe, page by page."""
    after: Place | None = None
    left = most
    while left is None or left > 0:
        page = await log.listing(
            _query(arguments),
            after=after,
            limit=_PAGE if left is None else min(left, _PAGE),
            newest_first=newest_first,
            unstamped=arguments.unstamped,
        )
        for message in page.messages:
            yield message
        after = page.next
        if after is None:
            return
        left = None if left is None else left - len(page.messages)


async def _receipt(settings: NodeSettings, arguments: argparse.Namespace) -> int:
    async with _opened(settings) as (log, pool):
        return await write_receipt_file(settings, arguments, log, pool)


# --- search ---------------------------------------------------------------------------------------


async def _search(settings: NodeSettings, arguments: argparse.Namespace) -> int:
    waiting = _Waiting()
    count = 0
    async with _opened(settings) as (log, pool):
        if not arguments.json:
            print(_line(_HEAD))
        async for message in _messages(
            log, arguments, arguments.limit, newest_first=not arguments.oldest
        ):
            count += 1
            waiting.add(message)
            print(_as_json(message) if arguments.json else _row(message))
        archived = await _archive_files(pool, arguments)
    _tell(f"{_counted(count)}{' listed' if count == arguments.limit else ''}")
    waiting.tell()
    for name in archived:
        _tell(f"{arguments.message_id} is in the archive file {name}")
    return 0 if count or archived else 1


async def _archive_files(pool: Pool, arguments: argparse.Namespace) -> list[str]:
    """Where a message is that may have left the database, when one is asked for by its id."""
    if arguments.message_id is None:
        return []
    return await archive_files_of(pool, arguments.message_id)


@dataclass(slots=True)
class _Waiting:
    """Records without time-stamp: how many, by the reason."""

    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, message: LoggedMessage) -> None:
        if message.reason:
            self.reasons[message.reason] += 1

    def tell(self) -> None:
        for reason, count in self.reasons.items():
            _tell(f"{count} without time-stamp: {reason}")


def _tell(sentence: str) -> None:
    print(_plain(sentence), file=sys.stderr)


def _counted(count: int) -> str:
    return "1 record" if count == 1 else f"{count} records"


def _row(message: LoggedMessage) -> str:
    stamped = message.stamped
    return _line((
        _time(message.time, milliseconds=True),
        str(message.number),
        message.side.value,
        "response" if message.response else "request",
        str(message.size),
        message.standing.value if stamped is None else _time(stamped),
        message.client.colons,
        message.service.colons,
        message.message_id,
    ))  # fmt: skip


def _line(cells: Sequence[str]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True))
    return _plain("  ".join(padded).rstrip())


def _as_json(message: LoggedMessage) -> str:
    return json.dumps(
        {
            "record": message.number,
            "time": _time(message.time, milliseconds=True),
            "role": message.side.value,
            "response": message.response,
            "message_id": message.message_id,
            "exchange_id": message.exchange_id,
            "client": message.client.colons,
            "service": message.service.colons,
            "local": message.local.colons,
            "peer": message.peer or None,
            "bytes": message.size,
            "leaf": message.leaf,
            "standing": message.standing.value,
            "timestamp": message.stamped and _time(message.stamped),
            "tsa": message.tsa or None,
            "reason": message.reason or None,
            "archive": message.archive or None,
        },
        ensure_ascii=False,
    )


def _time(time: datetime, *, milliseconds: bool = False) -> str:
    precision = "milliseconds" if milliseconds else "seconds"
    return time.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def _plain(text: str) -> str:
    """Text that others chose, without what would move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


# --- export ---------------------------------------------------------------------------------------


async def _export(settings: NodeSettings, arguments: argparse.Namespace) -> int:
    waiting = _Waiting()
    to: Path = arguments.to
    async with _opened(settings) as (log, pool):
        export = export_zip if to.suffix == ".zip" else export_folder
        count = await export(_documents(log, StampReader(pool), arguments, waiting), to)
    _tell(f"{_counted(count)} in {to}")
    left = 0 if arguments.unstamped else sum(waiting.reasons.values())
    if left:
        _tell(f"{_counted(left)} without time-stamp left out; --unstamped takes them out, too")
    waiting.tell()
    return 0 if count and not left else 1


async def _documents(
    log: MessageLog, stamps: StampReader, arguments: argparse.Namespace, waiting: _Waiting
) -> AsyncIterator[Document]:
    async for message in _messages(log, arguments, None, newest_first=False):
        waiting.add(message)
        if message.standing is not Standing.STAMPED and not arguments.unstamped:
            continue
        async for document in stamped_documents(log, stamps, [Place(message.time, message.number)]):
            yield document
