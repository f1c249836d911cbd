"""Fetch descriptions of SOAP services, once and by hand; a running adapter never does."""

import argparse
import asyncio
import os
from pathlib import Path

from adapters.soap.fetching import fetch_catalogue
from adapters.xroad.fetching import get_wsdl
from adapters.xroad.settings import XroadAdapterSettings, xroad_problems
from config.settings import load_settings
from scripts.arguments import Actions, add_action, add_config
from trust.errors import StorageError


def add_wsdl_actions(actions: Actions) -> None:
    fetch = add_action(actions, "fetch-wsdl", "fetch a WSDL and all that it imports into a folder")
    fetch.add_argument("url", help="address of the WSDL")
    fetch.add_argument("--folder", type=Path, required=True, help="where the files are put")
    fetch.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="NAME[:PORT]",
        help="a host, besides the WSDL's own, that may be asked for imports; may be repeated",
    )
    fetch.add_argument("--ca", type=Path, metavar="FILE", help="CA certificates, PEM")
    ask = add_action(actions, "get-wsdl", "ask an X-Road provider for a WSDL, through the node")
    add_config(ask, 'adapter.toml with kind = "xroad"; its wsdl.file is written')
    ask.add_argument("--service", required=True, metavar="CODE", help="code of the service")
    ask.add_argument("--version", default="", help="version of the service, when it has one")


def fetch_wsdl(arguments: argparse.Namespace) -> int:
    """Do `fetch-wsdl`."""
    entries = asyncio.run(
        fetch_catalogue(arguments.url, arguments.folder, arguments.host, authority=arguments.ca)
    )
    for entry in entries:
        print(f"{arguments.folder / entry.file}  {entry.url}")
    return 0


def ask_for_wsdl(arguments: argparse.Namespace) -> int:
    """Do `get-wsdl`; 1 when the description imports what has to be brought by hand."""
    settings = load_settings(
        XroadAdapterSettings, arguments.config, environment=os.environ, check=xroad_problems
    )
    path = settings.wsdl.file
    if path.exists():
        raise StorageError(f"{path} exists already")
    found = asyncio.run(get_wsdl(settings, arguments.service, arguments.version))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(found.data)
    print(path)
    for one in found.missing:
        print(f"imported and not here: {one.url} ({one.namespace or 'no namespace'})")
    return 1 if found.missing else 0
