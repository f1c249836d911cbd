"""See to a node's archive: what is in it, whether it is still there, and what is to go into it."""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from node.archive.archiver import Archiver, open_archive_store
from node.archive.book import ArchiveFile
from node.archive.check import check_archive
from node.archive.recipients import ENDING, decrypt
from node.archive.store import ArchiveStore
from node.log.messagelog import MessageLog
from node.settings import NodeSettings
from node.stamping.stamps import StampReader
from scripts.arguments import add_action, add_config
from scripts.node import load_node_settings
from scripts.node_database import node_database
from scripts.service import log_to_stderr, run_service
from trust.errors import StorageError

_PAGE = 500
_TURN = 0.5  # seconds between two attempts to be the one who archives
_HEAD = ("MADE", "RECORDS", "BYTES", "STORED", "GROUP", "FILE")
_WIDTHS = (20, 7, 11, 20, 0, 0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Exit code 0: all is well; 1: something is missing, damaged or could not be archived;"
        " 2: bad usage, or the archive can't be reached."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = add_action(actions, "list", "list the files, and records that can't be archived")
    listing.add_argument("--json", action="store_true", help="one JSON object per line and file")
    run_now = add_action(actions, "run", "archive every time-stamped record now")
    check = add_action(
        actions, "restore-check", "read every file back and compare it with what was archived"
    )
    check.add_argument(
        "--identity", type=Path, metavar="FILE", help="opens encrypted files, from age-keygen"
    )
    for action in (listing, run_now, check):
        add_config(action, "node.toml")
    opened = add_action(actions, "decrypt", "decrypt a file of the archive")
    opened.add_argument("file", type=Path, metavar=f"FILE.zip{ENDING}", help="of the archive")
    opened.add_argument("--identity", type=Path, required=True, metavar="FILE",
                        help="from age-keygen")  # fmt: skip
    opened.add_argument("--to", type=Path, metavar="FILE", help=f"default: without {ENDING}")


def run(arguments: argparse.Namespace) -> int:
    """Do what the arguments say."""
    log_to_stderr()
    if arguments.action == "decrypt":
        return _decrypt(arguments.file, arguments.to, arguments.identity)
    settings = load_node_settings(arguments.config)
    work = {"list": _list, "run": _run, "restore-check": _check}[arguments.action]
    return run_service(work(settings, arguments), stopped=130)


@asynccontextmanager
async def _opened(settings: NodeSettings) -> AsyncIterator[tuple[Archiver, ArchiveStore]]:
    """The node's archive; the node may run or not."""
    store = open_archive_store(settings.archive)
    if store is None:
        raise StorageError("The settings name no archive.store")
    async with node_database(settings) as pool:
        yield (
            Archiver(
                pool,
                MessageLog(pool, settings.log),
                StampReader(pool),
                store,
                settings.archive,
                settings.data / "archive",
            ),
            store,
        )


# --- list -----------------------------------------------------------------------------------------


async def _list(settings: NodeSettings, arguments: argparse.Namespace) -> int:
    async with _opened(settings) as (archiver, _):
        if not arguments.json:
            print(_line(_HEAD))
        after = 0
        while files := await archiver.book.files(after=after, limit=_PAGE):
            after = files[-1].id
            for file in files:
                print(_as_json(file) if arguments.json else _row(file))
        state = await archiver.book.state()
        troubles = await archiver.book.troubles()
    _tell(f"{state.backlog} time-stamped records wait for a file")
    if state.failing_since is not None:
        _tell(f"Archiving fails since {_time(state.failing_since)}: {state.failure}")
    for leaf, reason in troubles:
        _tell(f"leaf {leaf} is not archived: {reason}")
    if state.troubles > len(troubles):
        _tell(f"and {state.troubles - len(troubles)} more")
    return 1 if state.troubles or state.failing_since is not None else 0


def _row(file: ArchiveFile) -> str:
    return _line((
        _time(file.made),
        str(file.containers),
        str(file.size),
        "-" if file.stored is None else _time(file.stored),
        file.party or "-",
        file.name,
    ))  # fmt: skip


def _as_json(file: ArchiveFile) -> str:
    return json.dumps(
        {
            "file": file.name,
            "group": file.party or None,
            "records": file.containers,
            "bytes": file.size,
            "sha256": file.bytes.hex(),
            "last_digest": file.digest,
            "first_leaf": file.first_leaf,
            "last_leaf": file.last_leaf,
            "first_time": _time(file.first_time),
            "last_time": _time(file.last_time),
            "made": _time(file.made),
            "stored": file.stored and _time(file.stored),
        },
        ensure_ascii=False,
    )


def _line(cells: tuple[str, ...]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()


def _time(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr)


# --- run, check, decrypt --------------------------------------------------------------------------


async def _run(settings: NodeSettings, _: argparse.Namespace) -> int:
    async with _opened(settings) as (archiver, _store):
        files = await archiver.archive(everything=True)
        if files is None:
            _tell("Another process is archiving; waiting for it")
        while files is None:
            await asyncio.sleep(_TURN)
            files = await archiver.archive(everything=True)
        state = await archiver.book.state()
    _tell("1 file" if files == 1 else f"{files} files")
    if state.troubles:
        _tell(f"{state.troubles} records can't be archived; see `sacbe archive list`")
    return 1 if state.troubles else 0


async def _check(settings: NodeSettings, arguments: argparse.Namespace) -> int:
    files = containers = bad = 0
    async with _opened(settings) as (archiver, store):
        with tempfile.TemporaryDirectory(prefix="sacbe-archive-") as folder:
            async for found in check_archive(
                archiver.book, store, Path(folder), arguments.identity
            ):
                files += 1
                containers += found.containers
                if found.problem:
                    bad += 1
                    print(f"{found.name}: {found.problem}")
    _tell(f"{files} files, {containers} containers followed, {bad} problems")
    return 1 if bad else 0


def _decrypt(file: Path, to: Path | None, identity: Path) -> int:
    target = to or file.with_name(file.name.removesuffix(ENDING))
    if target == file or target.exists():
        raise StorageError(f"{target} is there already")
    decrypt(file, target, identity)
    _tell(str(target))
    return 0
