"""`sacbe catalog harvest`, `versions`, `diff`, `map` and others: the catalog at the registry."""

import argparse
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from catalog.central.differences import differences
from catalog.central.entries import Catalog, CatalogService
from catalog.central.harvest.rounds import Asked
from catalog.central.service import CentralCatalog
from catalog.central.versions import CatalogVersion
from catalog.fields.mapping_file import MappingFile, file_problems, service_mapping
from config.settings import load_settings, located
from scripts.arguments import (
    Actions,
    account,
    add_registry_action,
    client_id,
    service_id,
    whole_number,
)
from scripts.cataloguing.attaching import contradictions_kept
from scripts.cataloguing.opened import load_central, open_central
from scripts.service import log_to_stderr, run_service
from trust.errors import ConfigurationError, StorageError

_SERVICE = "INSTANCE:CLASS:CODE:SUBSYSTEM:SERVICE[:VERSION]"
_NUMBER = whole_number(1, 2_000_000_000)
_LIMIT = whole_number(1, 1_000_000)
_TIME = "%Y-%m-%d %H:%M:%SZ"


def add_central(actions: Actions) -> None:
    """Declare the actions and their options."""
    add_registry_action(
        actions, "harvest", "ask everybody for their services now, and renew the catalog"
    )
    harvested = add_registry_action(
        actions, "harvested", "show when what institutions tell changed"
    )
    harvested.add_argument("--provider", type=client_id, metavar="ID", help="only this subsystem's")
    versions = add_registry_action(
        actions, "versions", "show the versions of the catalog and what changed"
    )
    for parser in (harvested, versions):
        parser.add_argument(
            "--limit", type=_LIMIT, default=20, metavar="N", help="only the latest (%(default)d)"
        )
    diff = add_registry_action(actions, "diff", "show what changed between two versions")
    diff.add_argument("before", type=_NUMBER, metavar="N", help="number of the earlier version")
    diff.add_argument("after", type=_NUMBER, nargs="?", metavar="M", help="default: the newest")
    attach = add_registry_action(
        actions, "map", "say where facts stand in the answers of a plain service"
    )
    attach.add_argument("service", type=service_id, metavar="SERVICE", help=_SERVICE)
    attach.add_argument("file", type=Path, metavar="FILE.MAPPING.TOML", help="the mapping file")
    detach = add_registry_action(actions, "unmap", "take such a mapping away")
    detach.add_argument("service", type=service_id, metavar="SERVICE", help=_SERVICE)
    for parser in (attach, detach):
        parser.add_argument("--by", default="", metavar="NAME", help="who decided")
    add_registry_action(actions, "maps", "show the mappings that were attached")


def tell_central(arguments: argparse.Namespace) -> int:
    """Do what the arguments say."""
    log_to_stderr()
    return run_service(_act(arguments), stopped=130)


async def _act(arguments: argparse.Namespace) -> int:
    settings = load_central(arguments.config)
    if arguments.action == "harvest" and not settings.catalog.node:
        raise StorageError(f"{arguments.config} names no node in [catalog]: nobody can be asked")
    async with open_central(settings) as central:
        return await _TELLING[arguments.action](central, arguments)


async def _harvest(central: CentralCatalog, _arguments: argparse.Namespace) -> int:
    asked = await central.ask_everybody()
    if asked is None:
        print("Another process is asking just now", file=sys.stderr)
        return 1
    for one in asked:
        _tell_asked(one)
    await _renew(central)
    return 0 if all(one.answered for one in asked) else 1


def _tell_asked(asked: Asked) -> None:
    provider = asked.provider
    if asked.answered:
        plain = ", plain" if provider.plain else ""
        print(f"{provider.id.colons}  {len(provider.services)} services{plain}")
    else:
        print(f"{provider.id.colons}  no answer")
    if provider.problem:
        print(f"    {provider.problem}")
    _tell_lines(asked.changes)


def _tell_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(f"    {line}")


async def _renew(central: CentralCatalog) -> None:
    version = await central.renew()
    if version is None:
        print("The catalog stays as it is", file=sys.stderr)
    else:
        print(f"Version {version.number}: {len(version.changes)} changes", file=sys.stderr)


async def _harvested(central: CentralCatalog, arguments: argparse.Namespace) -> int:
    found = await central.harvest.changes(arguments.limit, arguments.provider)
    for item in found:
        print(f"{item.number}  {item.at:{_TIME}}  {item.provider.colons}")
        _tell_lines(item.changes)
    if not found:
        whose = arguments.provider.colons if arguments.provider else "Nobody"
        print(f"{whose}: nothing was harvested yet", file=sys.stderr)
    return 0


async def _versions(central: CentralCatalog, arguments: argparse.Namespace) -> int:
    for item in await central.versions.history(arguments.limit):
        print(_version_line(item))
        _tell_lines(item.changes)
    return 0


def _version_line(item: CatalogVersion) -> str:
    size = f"{item.services} services, {item.fields} fields, {item.bytes} bytes"
    kept = "" if item.whole else ", changes only"
    return f"{item.number}  {item.made_at:{_TIME}}  {size}{kept}  {item.digest.hex()}"


async def _diff(central: CentralCatalog, arguments: argparse.Namespace) -> int:
    before = await _whole(central, arguments.before)
    changes = differences(before, await _whole(central, arguments.after))
    for change in changes:
        print(change)
    if not changes:
        print("Nothing but availability differs", file=sys.stderr)
    return 0


async def _whole(central: CentralCatalog, number: int | None) -> Catalog:
    found = await central.versions.catalog(number)
    if found is None:
        named = "There is no version" if number is None else f"Version {number} is not there whole"
        raise StorageError(f"{named}; `sacbe catalog versions` shows what is kept")
    return found


async def _map(central: CentralCatalog, arguments: argparse.Namespace) -> int:
    file = load_settings(MappingFile, arguments.file)
    mapping, catalog = service_mapping(file), await central.versions.catalog()
    found = None if catalog is None else catalog.service.get(arguments.service)
    against = await contradictions_kept(central, found, mapping)
    if problems := located(arguments.file, [*file_problems(file), *against]):
        raise ConfigurationError(sorted(problems, key=lambda problem: problem.line))
    by, at = arguments.by or account(), datetime.now(UTC)
    await central.harvest.attach(arguments.service, mapping, by=by, at=at)
    await _renew(central)
    _warn(found)
    return 0


def _warn(found: CatalogService | None) -> None:
    """Say when a mapping has no effect: nobody offers the service, or its node maps it itself."""
    if found is None:
        print("Note: no such service is in the catalog yet", file=sys.stderr)
    elif not found.plain:
        print("Note: the node of this service tells its own mapping, which counts", file=sys.stderr)


async def _unmap(central: CentralCatalog, arguments: argparse.Namespace) -> int:
    by, at = arguments.by or account(), datetime.now(UTC)
    if not await central.harvest.detach(arguments.service, by=by, at=at):
        print(f"No mapping is attached to {arguments.service.colons}", file=sys.stderr)
        return 1
    await _renew(central)
    return 0


async def _maps(central: CentralCatalog, _arguments: argparse.Namespace) -> int:
    attached = await central.harvest.attached()
    if not attached:
        print("No mapping is attached", file=sys.stderr)
    for one in attached:
        fields = sum(len(endpoint.fields) for endpoint in one.mapping.endpoints)
        print(f"{one.service.colons}  {fields} fields  {one.at:{_TIME}}  {one.by}")
    return 0


_TELLING = {
    "harvest": _harvest,
    "harvested": _harvested,
    "versions": _versions,
    "diff": _diff,
    "map": _map,
    "unmap": _unmap,
    "maps": _maps,
}
