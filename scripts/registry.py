"""Run the central operator's registry."""

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from catalog.central.faces.export_settings import ExportSettings
from catalog.central.faces.exports import exports
from catalog.central.faces.site import CatalogSite
from catalog.central.harvest.settings import CentralSettings
from catalog.central.service import CentralCatalog
from config.settings import load_settings
from scripts.arguments import (
    account,
    add_action,
    add_example,
    add_registry_action,
    print_example,
    whole_number,
)
from scripts.cataloguing.export import public_address
from scripts.databases import database_address
from scripts.service import log_to_stderr, run_service, run_until_stopped
from scripts.telling import tell_changes
from scripts.witnesses import add_witness, tell_witnesses
from trust.configuration.confparts import anchor_fingerprint
from trust.configuration.confpublish import build_anchor
from trust.errors import StorageError
from trust.pki.keys import KEY_TYPES
from trust.registry.configuration_keys import ConfigurationKey, anchor_of
from trust.registry.declaration import RegistryDeclaration
from trust.registry.declaration_files import declaration_problems, load_records
from trust.registry.publication import SOURCES, Source
from trust.registry.registry_app import RegistryParts, RegistrySettings, open_registry, run_registry
from trust.registry.registry_witness import RegistryKey
from trust.secrets import read_secret

_START_PATIENCE = timedelta(minutes=1)
_EXAMPLES = {"registry": CentralSettings, "instance": RegistryDeclaration}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add_registry_action(actions, "run", "publish the configuration until stopped")
    apply = add_registry_action(actions, "apply", "take over what an instance's declaration says")
    apply.add_argument("declaration", type=Path, metavar="INSTANCE.TOML", help="everything decided")
    apply.add_argument("--dry-run", action="store_true", help="only say what would change")
    apply.add_argument("--by", default="", metavar="NAME", help="who decided, for the history")
    anchor = add_registry_action(
        actions, "anchor", "write the anchor that nodes are configured with"
    )
    anchor.add_argument("--external", action="store_true", help="the one for other instances")
    anchor.add_argument("--out", type=Path, metavar="FILE", help="instead of standard output")
    history = add_registry_action(actions, "history", "show who changed what")
    history.add_argument(
        "--limit",
        type=whole_number(1, 1_000_000),
        default=20,
        metavar="N",
        help="only the latest (default %(default)d)",
    )
    add_witness(actions, "registry.toml")
    _add_key_arguments(add_action(actions, "key", "the keys that sign the configuration"))
    add_example(actions, _EXAMPLES)


def _add_key_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="key_action", metavar="ACTION", required=True)
    create = add_registry_action(actions, "create", "make a key and announce its certificate")
    create.add_argument(
        "--source", choices=SOURCES, help="whose directory it signs; both when not given"
    )
    create.add_argument("--type", choices=KEY_TYPES, default="p256", help="default %(default)s")
    add_registry_action(actions, "list", "show all keys")
    for name, meaning in (
        ("activate", "sign with this key from now on"),
        ("delete", "withdraw a key that does not sign"),
    ):
        add_registry_action(actions, name, meaning).add_argument(
            "id", metavar="ID", help="the key's id"
        )


def run(arguments: argparse.Namespace) -> int:
    """Do what the arguments say."""
    if arguments.action == "example":
        return print_example(_EXAMPLES, arguments)
    settings = load_settings(
        CentralSettings,
        arguments.config,
        environment=os.environ,
        check=CentralSettings.problems,
    )
    log_to_stderr()
    stopped = 0 if arguments.action == "run" else 130
    return run_service(_act(settings, arguments), stopped=stopped)


async def _act(settings: CentralSettings, arguments: argparse.Namespace) -> int:
    patience = _START_PATIENCE if arguments.action == "run" else timedelta(0)
    async with _opened(settings, patience) as parts:
        if arguments.action == "run":
            await _serve(parts, settings)
        elif arguments.action == "apply":
            await _apply(parts, arguments)
        elif arguments.action == "anchor":
            raw = await _anchor(parts, "external" if arguments.external else "internal")
            _write(raw, arguments.out)
        elif arguments.action == "history":
            await _history(parts, arguments.limit)
        elif arguments.action == "witness":
            return await _witness(parts, arguments)
        else:
            await _key(parts, arguments)
    return 0


@asynccontextmanager
async def _opened(settings: RegistrySettings, patience: timedelta) -> AsyncIterator[RegistryParts]:
    password = read_secret(settings.keys.password_file)
    async with (
        database_address(settings.data, "registry", settings.database.dsn_file) as dsn,
        open_registry(settings, dsn, password, patience) as parts,
    ):
        yield parts


async def _serve(parts: RegistryParts, settings: CentralSettings) -> None:
    central = CentralCatalog(parts.pool, parts.registry, settings.catalog)
    await central.prepare()
    site = CatalogSite(
        lambda: central.current,
        central.describing(asyncio.get_running_loop()),
        exports(public_address(settings), ExportSettings()),
    )
    async with run_registry(parts, central.parts, site.add_to) as running:
        print(f"Registry: http://{running.host}:{running.port}", file=sys.stderr, flush=True)
        looking = asyncio.create_task(central.run(), name="catalog")
        try:
            await run_until_stopped()
        finally:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking


async def _witness(parts: RegistryParts, arguments: argparse.Namespace) -> int:
    records = await parts.registry.records()
    if records is not None and arguments.settle is None:
        instance = records.instance.instance
        print(f"Our key: {RegistryKey.of(parts.witness_key, instance).public.text}")
    return await tell_witnesses(parts.witness, arguments)


async def _apply(parts: RegistryParts, arguments: argparse.Namespace) -> None:
    declaration = load_settings(
        RegistryDeclaration, arguments.declaration, check=declaration_problems
    )
    records = load_records(declaration)
    if arguments.dry_run:
        changes = await parts.registry.plan(records)
    else:
        by = arguments.by or account()
        changes = await parts.registry.apply(records, by=by, at=datetime.now(UTC))
    tell_changes(changes, planned=arguments.dry_run)


async def _anchor(parts: RegistryParts, source: Source) -> bytes:
    records = await parts.registry.records()
    if records is None:
        raise StorageError("No instance has been declared yet (sacbe registry apply)")
    keys = await parts.keys.all()
    return build_anchor(
        anchor_of(records.instance.instance, source, keys, https=parts.settings.https)
    )


def _write(anchor: bytes, out: Path | None) -> None:
    if out is None:
        sys.stdout.buffer.write(anchor)
        sys.stdout.flush()
    else:
        try:
            out.write_bytes(anchor)
        except OSError as error:
            raise StorageError(f"{out} can't be written: {error.strerror}") from error
    print(f"SHA-224 {anchor_fingerprint(anchor)}", file=sys.stderr)


async def _history(parts: RegistryParts, limit: int) -> None:
    for item in await parts.registry.history(limit):
        print(f"{item.number}  {item.at:%Y-%m-%d %H:%M:%S}Z  {item.by}  {item.digest.hex()}")
        for change in item.changes:
            print(f"    {change}")


async def _key(parts: RegistryParts, arguments: argparse.Namespace) -> None:
    action = arguments.key_action
    if action == "create":
        sources: Sequence[Source] = SOURCES if arguments.source is None else [arguments.source]
        now = datetime.now(UTC)
        _print_keys([await parts.keys.create(each, arguments.type, now) for each in sources])
    elif action == "activate":
        _print_keys([await parts.keys.activate(arguments.id)])
    elif action == "delete":
        _print_keys([await parts.keys.delete(arguments.id)])
    else:
        _print_keys(await parts.keys.all())


def _print_keys(keys: Sequence[ConfigurationKey]) -> None:
    for key in keys:
        state = "active" if key.active else "announced"
        print(f"{key.id}  {key.source}  {state}  {key.created_at:%Y-%m-%d %H:%M}Z  {key.address}")
