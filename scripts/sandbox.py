"""Run a whole ecosystem on this machine: institutions with their nodes, and all they need."""

import argparse
import asyncio
import contextlib
import importlib.util
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scripts.ecosystem.concepts import NATIONAL_ID, SCHOOL_BENEFIT
from scripts.ecosystem.institutions import (
    BENEFITS,
    CASES,
    CIVIL,
    CONTRIBUTIONS_NAMESPACE,
    INSTANCE,
    INSTITUTIONS,
    MUNI,
    PEOPLE,
    SOCIAL,
    STATUS,
    Institution,
)
from scripts.ecosystem.places import opened, own_command
from scripts.ecosystem.processes import ProcessFailed
from scripts.ecosystem.report import Outcome, table
from scripts.ecosystem.running import Ecosystem, Site
from scripts.ecosystem.soap import CONTENT_TYPE, request, wrapped
from scripts.ecosystem.story import Story
from scripts.ecosystem.system import container_path, receipt_path
from scripts.people import people
from scripts.service import run_service


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--dir",
        type=Path,
        metavar="DIR",
        help="keep everything there and continue from it; without, a temporary folder is used",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="run a scripted story instead of waiting; exit code 0 only when all is as it must be",
    )
    parser.add_argument("--json", action="store_true", help="with --check: print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Bring the sandbox up, and stop all of it at the end, however that comes."""
    if arguments.json and not arguments.check:
        print("sacbe sandbox: --json is for --check", file=sys.stderr)
        return 2
    began = time.monotonic()
    try:
        with _folder(arguments.dir) as folder:
            work = _work(folder, arguments, began)
            return run_service(work, stopped=130 if arguments.check else 0)
    except ProcessFailed as error:
        print(f"sacbe sandbox: {error}", file=sys.stderr)
        return 1


@contextlib.contextmanager
def _folder(chosen: Path | None) -> Iterator[Path]:
    if chosen is not None:
        yield chosen.absolute()
        return
    folder = Path(tempfile.mkdtemp(prefix="sacbe-sandbox-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _work(folder: Path, arguments: argparse.Namespace, began: float) -> int:
    with opened(folder) as ports:
        site = Site(folder, ports, available_institutions())
        async with Ecosystem(site, _tell) as ecosystem:
            ready_s = time.monotonic() - began
            _tell(f"everything is ready after {ready_s:.1f} s")
            broken = asyncio.create_task(ecosystem.broken())
            if arguments.check:
                used = asyncio.create_task(_check(ecosystem, ready_s, arguments.json))
            else:
                print(_guide(site), flush=True)
                used = asyncio.create_task(_wait())
            try:
                await asyncio.wait((broken, used), return_when=asyncio.FIRST_COMPLETED)
                if not used.done():
                    raise await broken
                return int(not await used)
            finally:
                await _cancel(broken, used)


def available_institutions() -> tuple[Institution, ...]:
    """Everybody whose system can run here."""
    if sys.version_info < (3, 12) and importlib.util.find_spec("spyne") is not None:
        return INSTITUTIONS
    _tell(f"without the {SOCIAL.name}: its old SOAP service needs spyne and Python 3.11")
    return tuple(one for one in INSTITUTIONS if one != SOCIAL)


async def _wait() -> bool:
    """Wait for a signal, which cancels."""
    return await asyncio.Event().wait()


async def _cancel(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _check(ecosystem: Ecosystem, ready_s: float, as_json: bool) -> bool:
    outcome = await Story(ecosystem, Outcome(ready_s), _tell).run()
    print(outcome.as_json() if as_json else f"\n{outcome.as_table()}", flush=True)
    return outcome.ok


def _tell(line: str) -> None:
    print(f"sandbox: {line}", file=sys.stderr, flush=True)


# --- what a person reads --------------------------------------------------------------------------


def _guide(site: Site) -> str:
    """What runs where, and the commands to copy."""
    where = "\n".join(f"  {line}" for line in table(_places(site)))
    message_id = f"try-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    call, download, verify = commands(site, message_id)
    receipt, judge = receipt_commands(site, message_id)
    log, audit, reconcile = proof_commands(site)
    return f"""
{where}

{_cases_guide(site)}A call: the municipality asks the Civil Registry for a person. (Give each call
an id of its own.)

  {call}

Its proof: the answer as the Civil Registry signed it, from the municipality's own node.

  {download}

The judgement of it, offline.

  {verify}

A receipt: both messages and all that is needed to judge them, in one file.

  {receipt}
  {judge}

What the municipality's node has in its log, and whether it is time-stamped; all of it, judged; and
whether the Civil Registry's node holds the same of today (of all that is older than seconds).

  {log}
  {audit}
  {reconcile}
{_soap_guide(site, message_id)}
Ctrl-C stops everything.
"""


def _cases_guide(site: Site) -> str:
    """Where a case is clicked through, and the same question as a command."""
    if not site.has_cases:
        return ""
    question = [
        *own_command(), "once", "evidence", "--node", site.url(f"{MUNI.key}-http"),
        "--client", CASES.colons, "--procedure", SCHOOL_BENEFIT,
        "--subject", f"{NATIONAL_ID}={next(people(1)).national_id}",
        "--case", "C-1", "--official", "clerk-7",
    ]  # fmt: skip
    return f"""\
A clerk's case to click through, with its proofs and what the citizen sees of it:

  {site.url("cases")}

The same question as a command (the catalog that it needs is there some seconds after the start):

  {shlex.join(question)}

"""


def _soap_guide(site: Site, message_id: str) -> str:
    """One SOAP call to copy, with its envelope in a file beside the logs."""
    if SOCIAL not in site.institutions:
        return ""
    envelope = site.folder / "contribution-status.xml"
    person = next(people(1)).national_id
    content = wrapped(STATUS.service_code, CONTRIBUTIONS_NAMESPACE, {"nationalId": person})
    envelope.write_bytes(request(BENEFITS, STATUS, f"{message_id}-soap", content))
    call = [
        "curl", "-sS", site.url(f"{MUNI.key}-http"), "-H", f"Content-Type: {CONTENT_TYPE}",
        "--data-binary", f"@{envelope}",
    ]  # fmt: skip
    return f"""
The same by SOAP: whether the Social Security Office knows the person as insured.

  {shlex.join(call)}
"""


def _places(site: Site) -> list[tuple[str, str]]:
    ports = site.ports
    rows = [
        ("instance", INSTANCE),
        ("folder, logs", f"{site.folder}, {site.folder / 'logs'}"),
        ("these addresses", f"{site.addresses} (shell variables)"),
        ("test CA, OCSP, TSA", f"{site.url('ca')} (/ocsp, /tsa)"),
        ("registry", site.url("registry", "/internalconf")),
        ("people's adapter", site.url("adapter", "/openapi.json")),
        ("taxes, REST", site.url("tax-authority", "/openapi.json")),
        ("  the same by SOAP", site.url("tax-adapter", "/soap?wsdl")),
    ]
    if site.has_cases:
        rows.append(("a clerk's cases", site.url("cases")))
        rows.append(("the catalog", site.url("registry", "/catalog")))
    if SOCIAL in site.institutions:
        rows.append(("contributions, SOAP", site.url("social-security", "/soap?wsdl")))
        rows.append(("  through nodes, REST", site.url("bridge", "/openapi.json")))
    for one in site.institutions:
        rows += _node_places(site, one)
    peers = f"port {ports['peers']}, OCSP responses {ports['peers-ocsp']}"
    addresses = ", ".join(one.address for one in site.institutions)
    return [*rows, ("between nodes", f"{addresses}, {peers}")]


def _node_places(site: Site, one: Institution) -> list[tuple[str, str]]:
    https = site.url(f"{one.key}-https").replace("http:", "https:")
    name = f"node {one.server.server_code}, {one.name}"
    return [
        (name, ", ".join(client.path for client in one.clients)),
        ("  for its systems", f"{site.url(f'{one.key}-http')}, {https}"),
        ("  for its operator", site.url(f"{one.key}-admin", "/metrics, /health/ready")),
    ]


def commands(site: Site, message_id: str) -> tuple[str, str, str]:
    """A call, the download of its container, its verification: lines for a shell."""
    node = site.url(f"{MUNI.key}-http")
    person = next(people(1)).national_id
    container = site.folder / f"{message_id}.asice"
    url = node + container_path(message_id, BENEFITS, "response")
    call = [
        "curl", "-sS", f"{node}/r1/{PEOPLE.path}/persons/{person}",
        "-H", f"X-Road-Client: {BENEFITS.path}", "-H", f"X-Road-Id: {message_id}", "-w", r"\n",
    ]  # fmt: skip
    download = ["curl", "-sS", "-f", "-o", str(container), url]
    verify = [*own_command(), "verify", str(container), "--conf", str(site.configuration(MUNI))]
    return shlex.join(call), shlex.join(download), shlex.join(verify)


def receipt_commands(site: Site, message_id: str) -> tuple[str, str]:
    """The download of a receipt and its verification: lines for a shell."""
    file = site.folder / f"{message_id}.receipt"
    url = site.url(f"{MUNI.key}-http") + receipt_path(message_id, BENEFITS)
    download = ["curl", "-sS", "-f", "-o", str(file), url]
    verify = [*own_command(), "verify", str(file), "--anchor", str(site.anchor)]
    return shlex.join(download), shlex.join(verify)


def proof_commands(site: Site) -> tuple[str, str, str]:
    """Lines for a shell about the whole log of the Municipality's node."""
    config = ["--config", str(site.of(MUNI) / "node.toml")]
    peer = ["--peer", CIVIL.server.colons, "--day", f"{datetime.now(UTC):%Y-%m-%d}"]
    log, audit = [*own_command(), "log", "search", *config], [*own_command(), "audit", *config]
    return (
        shlex.join(log),
        shlex.join(audit),
        shlex.join([*own_command(), "reconcile", *config, *peer]),
    )
