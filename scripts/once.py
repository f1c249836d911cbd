"""Ask a node for facts about a subject, or what it would ask; report what once-only came to."""

import argparse
import asyncio
import json
import ssl
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp

from scripts.arguments import Actions, add_action, client_id, web_address
from scripts.node import load_node_settings
from scripts.once_report import add_report, tell_report
from scripts.once_text import tell_answer, tell_plan
from scripts.service import log_to_stderr, run_service
from trust.errors import SacbeError

_PATIENCE = aiohttp.ClientTimeout(total=600, sock_connect=10)
_LARGEST = 64 << 20  # bytes of an answer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_question(actions, "plan", "show which services would be asked for which facts")
    evidence = _add_question(actions, "evidence", "ask for facts about a subject")
    evidence.add_argument("--case", required=True, help="number of the case")
    evidence.add_argument("--official", required=True, help="who handles it")
    evidence.add_argument("--mandate", metavar="[CLASS/]CODE", help="whom the caller represents")
    evidence.add_argument(
        "--deadline", type=float, metavar="SECONDS", help="default: the longest of the node"
    )
    evidence.add_argument(
        "--preview", action="store_true", help="hold the facts until the citizen confirms them"
    )
    evidence.add_argument(
        "--receipts", type=Path, metavar="FOLDER", help="put the receipt of every exchange there"
    )
    add_report(actions)


def _add_question(actions: Actions, name: str, meaning: str) -> argparse.ArgumentParser:
    action = add_action(actions, name, meaning)
    action.add_argument(
        "--node",
        type=web_address,
        required=True,
        metavar="URL",
        help="the node's port for information systems",
    )
    action.add_argument(
        "--client",
        type=client_id,
        required=True,
        metavar="INSTANCE:CLASS:CODE[:SUBSYSTEM]",
        help="in whose name",
    )
    what = action.add_mutually_exclusive_group(required=True)
    what.add_argument("--procedure", metavar="URI", help="what the facts are needed for")
    what.add_argument("--concept", action="append", metavar="URI", help="a fact; may be repeated")
    action.add_argument(
        "--subject",
        type=_pair,
        required=True,
        metavar="SCHEME=VALUE",
        help="whom it is about; a plan needs no value",
    )
    action.add_argument("--purpose", metavar="URI", help="needed without a procedure")
    action.add_argument("--legal-basis", metavar="TEXT", help="of a purpose of one's own")
    action.add_argument("--territory", metavar="CODE", help="where the subject is at home")
    action.add_argument(
        "--parameter",
        type=_pair,
        action="append",
        metavar="NAME=VALUE",
        help="what services need besides; may be repeated",
    )
    action.add_argument("--ca", type=Path, metavar="FILE", help="certificate that the node shows")
    action.add_argument("--certificate", type=Path, metavar="FILE", help="what we show, PEM")
    action.add_argument("--key", type=Path, metavar="FILE", help="its key, PEM without password")
    action.add_argument("--json", action="store_true", help="the answer as it came")
    return action


def run(arguments: argparse.Namespace) -> int:
    """Do what the arguments say."""
    if arguments.action == "report":
        log_to_stderr()
        settings = load_node_settings(arguments.config)
        return run_service(tell_report(settings, arguments), stopped=130)
    return asyncio.run(_ask(arguments))


async def _ask(arguments: argparse.Namespace) -> int:
    if (folder := getattr(arguments, "receipts", None)) is not None:
        folder.mkdir(parents=True, exist_ok=True)  # before anybody is asked
    connector = aiohttp.TCPConnector(ssl=_tls(arguments))
    headers = {"X-Road-Client": arguments.client.path}
    async with aiohttp.ClientSession(
        connector=connector, timeout=_PATIENCE, headers=headers
    ) as session:
        try:
            return await _tell(session, arguments)
        except aiohttp.ClientConnectorCertificateError as error:
            raise SacbeError(
                f"{arguments.node} shows a certificate that is not trusted;"
                " --ca names the file with the one that it should show"
            ) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise SacbeError(f"{arguments.node} does not answer: {error}") from error


async def _tell(session: aiohttp.ClientSession, arguments: argparse.Namespace) -> int:
    node = arguments.node
    url = f"{node}/once/v1/{arguments.action}"
    async with session.post(url, json=_question(arguments)) as response:
        raw = await _read(response)
        if response.status >= 400:
            return _tell_refusal(response.status, raw)
    answer = json.loads(raw)
    if arguments.json:
        print(raw.decode())
    elif arguments.action == "plan":
        tell_plan(answer)
    else:
        tell_answer(answer)
    if arguments.action == "evidence" and arguments.receipts is not None:
        await _fetch_receipts(session, node, answer, arguments.receipts)
    return 1 if answer["missing"] else 0


def _question(arguments: argparse.Namespace) -> dict[str, object]:
    scheme, value = arguments.subject
    subject = {"scheme": scheme, "value": value} if value else {"scheme": scheme}
    said: dict[str, object] = {"subject": subject}
    if arguments.concept:
        said["concepts"] = arguments.concept
    for name in (
        "procedure", "purpose", "legal_basis", "territory", "case", "official", "mandate",
        "deadline",
    ):  # fmt: skip
        if (given := getattr(arguments, name, None)) is not None:
            said[name] = given
    if arguments.parameter:
        said["parameters"] = dict(arguments.parameter)
    if getattr(arguments, "preview", False):
        said["preview"] = True
    return said


def _tell_refusal(status: int, raw: bytes) -> int:
    """Every problem on a line of its own."""
    try:
        told = json.loads(raw)
        lines = [f"{one['field'] or 'request'}: {one['text']}" for one in told["errors"]]
        lines = lines or [told["detail"]]
    except (ValueError, KeyError, TypeError):
        lines = ["the node has no resolver, or this is no node"]
    for line in lines:
        print(f"sacbe once: HTTP status {status}: {line}", file=sys.stderr)
    return 2


async def _fetch_receipts(
    session: aiohttp.ClientSession, node: str, answer: dict[str, object], folder: Path
) -> None:
    """One file for each exchange, named after it."""
    evidence = answer.get("evidence", [])
    paths = [one["receipt"] for one in evidence] if isinstance(evidence, list) else []
    for path in dict.fromkeys(paths):
        (exchange,) = parse_qs(urlsplit(path).query)["exchangeId"]
        async with session.get(f"{node}{path}&force") as response:
            raw = await _read(response)
            if response.status != 200:
                raise SacbeError(f"There is no receipt of {exchange}: {raw[:200].decode()}")
        target = folder / f"{exchange}.receipt"
        await asyncio.to_thread(target.write_bytes, raw)
        print(f"receipt {target}", file=sys.stderr)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    found = bytearray()
    async for piece in response.content.iter_chunked(1 << 16):
        found += piece
        if len(found) > _LARGEST:
            raise SacbeError(f"The answer has more than {_LARGEST} bytes")
    return bytes(found)


def _tls(arguments: argparse.Namespace) -> ssl.SSLContext:
    """Trust the node's own certificate, whose name nobody looks at."""
    try:
        context = ssl.create_default_context(cafile=arguments.ca)
    except OSError as error:
        raise SacbeError(f"--ca {arguments.ca} can't be used: {_why(error)}") from error
    if arguments.ca is not None:
        context.check_hostname = False
    if arguments.certificate is not None:
        try:
            context.load_cert_chain(arguments.certificate, arguments.key)
        except OSError as error:
            files = f"--certificate {arguments.certificate}, --key {arguments.key or 'not given'}"
            raise SacbeError(f"{files}: can't be used: {_why(error)}") from error
    return context


def _why(error: OSError) -> str:
    """What the person can act on: TLS errors speak of lines of their source."""
    if isinstance(error, ssl.SSLError):
        return "not what is needed, in PEM and without password"
    return error.strerror or "unreadable"


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE")
    return name, value
