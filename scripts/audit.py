"""Audit a whole log, or a folder of archive files."""

import argparse
import asyncio
import importlib.metadata
import json
import os
import sys
import tempfile
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from node.archive.store import ArchiveStore, StoreAddress, open_store
from node.settings import NodeSettings
from scripts.arguments import moment, whole_number
from scripts.auditing.archive import ArchiveAudit
from scripts.auditing.log import LogAudit
from scripts.auditing.trust_source import HISTORY, TrustSource, fetch_history
from scripts.auditing.worker import WorkerSettings
from scripts.databases import database_address
from scripts.node import load_node_settings
from trust.audit.findings import AuditReport
from trust.audit.log_records import OneTrustList, TrustLists
from trust.audit.rendering import Heading, as_html, as_json, as_text, overall
from trust.audit.revocations import MAX_BYTES, Revocations, parse_revocations
from trust.configuration.confhistory import TrustListHistory
from trust.errors import MalformedMessage, SacbeError, StorageError
from trust.evidence.notes import NoteKey
from trust.report import Outcome

_FORMATS = {"text": as_text, "json": as_json, "html": as_html}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Audit a node's log in its database (--config), archive files (--archive), or both: every"
        " record, every link, the tree and its checkpoints, gaps. Nothing is written but the"
        " report. Exit code 0: all passed; 1: something failed or could not be judged; 2: bad"
        " usage, or something that can't be read."
    )
    what = parser.add_argument_group("what is audited")
    what.add_argument("--config", type=Path, metavar="FILE", help="node.toml: the node's database")
    what.add_argument(
        "--archive", metavar="DIR|URL", help="folder or s3://bucket/prefix of archive files"
    )
    what.add_argument(
        "--identity",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="opens encrypted archive files; may be repeated",
    )
    what.add_argument("--s3-endpoint", default="", metavar="URL", help="an S3 service not Amazon's")
    what.add_argument("--s3-credentials", type=Path, metavar="FILE", help="its credentials")
    trust = parser.add_argument_group("by what it is judged")
    trust.add_argument(
        "--conf",
        default="",
        metavar="DIR|ANCHOR|URL",
        help="one trust list for all moments, as for sacbe verify; default: the history that the"
        " node keeps",
    )
    trust.add_argument(
        "--trust-lists",
        type=Path,
        metavar="DIR",
        help="the history; default: that of the node, or of the archive",
    )
    trust.add_argument(
        "--anchor",
        action="append",
        default=[],
        metavar="ANCHOR",
        help="the instance's anchor: a list of the history counts only if it was signed by it;"
        " once for each generation of its keys",
    )
    trust.add_argument(
        "--revocations",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="a revocation list of today (CRL): what was signed after a revocation fails",
    )
    trust.add_argument(
        "--ask-ocsp",
        action="store_true",
        help="ask the authorities' OCSP responders of today about every certificate in the log",
    )
    trust.add_argument(
        "--log-key", action="append", type=_note_key, default=[], metavar="KEY",
        help="the key that signs the log's checkpoints; default: the one that the owner stated",
    )  # fmt: skip
    trust.add_argument(
        "--witness", action="append", type=_note_key, default=[], metavar="KEY",
        help="the key of a witness whose signature below a checkpoint counts",
    )  # fmt: skip
    trust.add_argument(
        "--at", type=moment, metavar="TIME", help="the moment for what is not time-stamped;"
        " default: now",
    )  # fmt: skip
    trust.add_argument(
        "--unstamped-hours", type=whole_number(0, 24 * 365), default=24, metavar="HOURS",
        help="how long a record may wait for its time-stamp; default: %(default)s",
    )  # fmt: skip
    trust.add_argument(
        "--silence-hours", type=whole_number(1, 24 * 365), metavar="HOURS",
        help="tell times without any record that are longer",
    )  # fmt: skip
    report = parser.add_argument_group("the report")
    report.add_argument(
        "--format", choices=tuple(_FORMATS), default="text", help="default: %(default)s"
    )
    report.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    report.add_argument("--quiet", action="store_true", help="no progress on standard error")
    report.add_argument(
        "--jobs", type=whole_number(0, 256), default=os.cpu_count() or 1, metavar="N",
        help="processes; 0 does all in one; default: %(default)s",
    )  # fmt: skip


def _note_key(text: str) -> NoteKey:
    try:
        return NoteKey.parse(text)
    except MalformedMessage as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run(arguments: argparse.Namespace) -> int:
    """Audit and write the report."""
    if arguments.config is None and arguments.archive is None:
        print("sacbe audit: give --config, --archive or both", file=sys.stderr)
        return 2
    began = datetime.now(UTC)
    reports = asyncio.run(_audit(arguments, began))
    named = [str(each) for each in (arguments.config, arguments.archive) if each is not None]
    version = importlib.metadata.version("sacbe")
    heading = Heading(" and ".join(named), f"sacbe {version}", began, datetime.now(UTC))
    _write(arguments, heading, reports)
    return 0 if overall(reports) is Outcome.PASSED else 1


def _write(arguments: argparse.Namespace, heading: Heading, reports: list[AuditReport]) -> None:
    if arguments.format == "json":
        text = json.dumps(as_json(heading, reports), indent=1) + "\n"
    else:
        text = (as_html if arguments.format == "html" else as_text)(heading, reports)
    if arguments.output is None:
        print(text, end="", flush=True)
    else:
        arguments.output.write_text(text, encoding="utf-8")


async def _audit(arguments: argparse.Namespace, at: datetime) -> list[AuditReport]:
    reports: list[AuditReport] = []
    async with AsyncExitStack() as stack:
        settings = None if arguments.config is None else load_node_settings(arguments.config)
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sacbe-audit-")))
        store = _open_store(arguments)
        trust = await _trust(arguments, settings, store, scratch)
        lists = trust.open()
        _check_known(lists, trust)
        revocations = _load_revocations(arguments.revocations, lists, at)
        found = None
        if store is not None:
            archive = ArchiveAudit(
                store,
                lists,
                revocations,
                arguments.at or at,
                scratch,
                arguments.identity,
                quiet=arguments.quiet,
                log_keys=arguments.log_key,
                witnesses=arguments.witness,
            )
            found = await archive.run()
            reports.append(found.report)
        if settings is not None:
            dsn = await stack.enter_async_context(
                database_address(settings.data, "node", settings.database.dsn_file)
            )
            silence = arguments.silence_hours
            worker = WorkerSettings(
                dsn,
                settings.log.body_folder,
                settings.log.key_ring,
                trust,
                revocations,
                arguments.at or at,
                timedelta(hours=arguments.unstamped_hours),
                None if silence is None else timedelta(hours=silence),
                None if found is None else found.records,
            )
            audit = LogAudit(
                worker,
                arguments.jobs,
                arguments.log_key,
                arguments.witness,
                arguments.quiet,
                found,
                arguments.ask_ocsp,
            )
            reports.append(await audit.run())
    return reports


def _open_store(arguments: argparse.Namespace) -> ArchiveStore | None:
    if arguments.archive is None:
        return None
    url = arguments.archive
    if "://" not in url:
        if not Path(url).is_dir():
            raise StorageError(f"{url} is no folder")
        url = f"file://{Path(url).resolve()}"
    return open_store(
        StoreAddress(url, endpoint=arguments.s3_endpoint, credentials=arguments.s3_credentials)
    )


async def _trust(
    arguments: argparse.Namespace,
    settings: NodeSettings | None,
    store: ArchiveStore | None,
    scratch: Path,
) -> TrustSource:
    anchors = tuple(arguments.anchor)
    if arguments.conf or arguments.trust_lists is not None:
        return TrustSource(arguments.trust_lists or scratch, arguments.conf, anchors)
    if settings is not None:
        return TrustSource(settings.data / HISTORY, "", anchors)
    folder = scratch / HISTORY
    if store is not None:
        await fetch_history(store, folder)
    return TrustSource(folder, "", anchors)


def _check_known(lists: TrustLists, source: TrustSource) -> None:
    """An audit without any trust list can't judge a single signer: say so at once."""
    if isinstance(lists, TrustListHistory) and not lists.versions:
        raise StorageError(
            f"There is no history of trust lists in {source.history}: give --conf or --trust-lists"
        )


def _load_revocations(files: list[Path], lists: TrustLists, at: datetime) -> Revocations:
    found = Revocations()
    for path in files:
        try:
            with path.open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise StorageError(f"{path} can't be read: {error.strerror}") from error
        if len(raw) > MAX_BYTES:
            raise StorageError(f"{path} is larger than {MAX_BYTES} bytes")
        try:
            found = found.joined(parse_revocations(raw, _authorities(lists, at)))
        except MalformedMessage as error:
            raise SacbeError(f"{path}: {error}") from error
    return found


def _authorities(lists: TrustLists, at: datetime) -> list[x509.Certificate]:
    """The certification authorities of every trust list that is at hand."""
    if isinstance(lists, OneTrustList):
        confs = [lists.conf]
    elif isinstance(lists, TrustListHistory):
        confs = [conf for each in lists.versions if (conf := lists.at(each.since)) is not None]
    else:
        confs = [conf] if (conf := lists.at(at)) is not None else []
    found = {
        authority.certificate
        for conf in confs
        for instance in conf.instances.values()
        for ca in instance.shared.approved_cas
        for authority in ca.authorities
    }
    return list(found)
