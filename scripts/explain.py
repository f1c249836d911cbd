"""Answer whether a client may call a service of this node for a purpose, and why; now or then."""

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime

from node.once.explaining.explainer import Explainer, Policies
from node.once.explaining.page import explanation_json
from node.once.explaining.question import Explanation, Question, RightTold
from node.once.policy.cedar import open_policies
from node.settings import NodeSettings
from scripts.arguments import add_config, client_id, moment, service_id
from scripts.node import load_node_settings
from scripts.node_database import node_database
from scripts.service import log_to_stderr, run_service


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = "Exit code 0: it may; 1: it may not; 2: bad usage, or it can't be told."
    add_config(parser, "node.toml")
    add = parser.add_argument
    add("--client", type=client_id, required=True, help="who would call")
    add("--service", type=service_id, required=True,
        help="INSTANCE:CLASS:CODE:SUBSYSTEM:SERVICE[:VERSION]")  # fmt: skip
    add("--method", default="", help="of a REST call (GET)")
    add("--path", default="", help='of a REST call, behind the service code, as "/persons/1"')
    add("--purpose", default="", metavar="URI", help="that the request would state")
    add("--fields", nargs="+", default=[], metavar="FIELD", help="that it would ask for")
    add("--at", type=moment, metavar="MOMENT", help="a past moment; now without")
    add("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """0: it may; 1: it may not."""
    log_to_stderr()
    settings = load_node_settings(arguments.config)
    return run_service(tell(settings, arguments), stopped=130)


async def tell(settings: NodeSettings, arguments: argparse.Namespace) -> int:
    """Print the answer from the node's database; the node may run or not."""
    question = Question(
        client=arguments.client,
        service=arguments.service,
        at=arguments.at,
        method=arguments.method,
        path=arguments.path,
        purpose=arguments.purpose,
        fields=tuple(arguments.fields),
    )
    async with node_database(settings) as pool:
        lists = settings.data / "trust-lists"
        explainer = Explainer(pool, lists, lambda: datetime.now(UTC), _policies(settings))
        answer = await explainer.explain(question)
    print(explanation_json(answer).decode() if arguments.json else "\n".join(lines_of(answer)))
    return 0 if answer.allowed else 1


def _policies(settings: NodeSettings) -> Policies | None:
    folder = settings.once.policies.folder
    return None if folder is None else open_policies(folder).judge


def lines_of(answer: Explanation) -> Iterator[str]:
    """The answer for people."""
    may = "may" if answer.allowed else f"may not ({answer.refusal})"
    yield f"{answer.client.colons} {may} call {answer.service.colons}, at {_moment(answer.at)}:"
    yield f"  {answer.said}"
    if answer.fields is not None:
        yield "  what goes out: " + (", ".join(answer.fields) or "nothing")
    elif answer.allowed:
        yield "  what goes out: the whole answer"
    if answer.not_granted:
        yield "  not granted: " + ", ".join(answer.not_granted)
    yield "Rights to the service:" if answer.rights else "There is no right to the service."
    for right in answer.rights:
        yield from _right(right)
    if answer.help:
        yield "What would help:"
    yield from (f"  {one}" for one in answer.help)
    yield from (f"({one})" for one in answer.notes)


def _right(right: RightTold) -> Iterator[str]:
    mark = "✓" if right.decides else "·"
    terms = f" ({right.terms})" if right.terms else ""
    origin, endpoint = right.origin, right.endpoint
    yield f"  {mark} {right.number} {origin}: {right.subject}, {endpoint}{terms}"
    yield from (f"      {one}" for one in right.fails)


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
