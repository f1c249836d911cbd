"""Serve a database as an information system."""

import argparse
import os
import sys

from aiohttp import web

from adapters.app import AdapterSettings, build_app, open_source
from adapters.queries import problems_of
from config.settings import load_settings
from scripts.arguments import add_action, add_config, add_example, print_example
from scripts.databases import read_dsn
from scripts.service import log_to_stderr, run_service, run_until_stopped

_EXAMPLES = {"adapter": AdapterSettings}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_config(add_action(actions, "run", "serve the named queries of a file"), "adapter.toml")
    add_example(actions, _EXAMPLES)


def run(arguments: argparse.Namespace) -> int:
    if arguments.action == "example":
        return print_example(_EXAMPLES, arguments)
    settings = load_settings(
        AdapterSettings,
        arguments.config,
        environment=os.environ,
        check=lambda read: problems_of(read.query),
    )
    log_to_stderr()
    return run_service(_serve(settings))


async def _serve(settings: AdapterSettings) -> int:
    source = await open_source(settings, read_dsn(settings.database.dsn_file))
    app = await build_app(settings, source)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
        print(f"{settings.title}: http://{settings.host}:{settings.port}", file=sys.stderr)
        await run_until_stopped()
    finally:
        await runner.cleanup()
        await source.close()
    return 0
