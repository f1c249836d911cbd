"""`sacbe catalog export`: the catalog as linked data, for the catalogs of others."""

import argparse
import asyncio
import sys
from pathlib import Path

from catalog.central.encoding import decode_catalog
from catalog.central.entries import Catalog
from catalog.central.faces.export_settings import ExportSettings
from catalog.central.faces.exports import can_export
from catalog.central.faces.site import ROOT
from catalog.central.harvest.settings import CentralSettings
from scripts.arguments import Actions, add_action, web_address, whole_number
from scripts.cataloguing.opened import load_central, node_catalog, open_central
from scripts.service import log_to_stderr, run_service
from trust.errors import StorageError
from trust.registry.registry_app import RegistrySettings

PROFILES = ("dcat-ap", "breg", "cpsv")
FORMS = ("turtle", "jsonld", "xml")


def add_export(actions: Actions) -> None:
    """Declare the action `export` and its options."""
    parser = add_action(actions, "export", "write the catalog as linked data")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--config", type=Path, metavar="FILE", help="registry.toml: the catalog in its database"
    )
    source.add_argument(
        "--node-config", type=Path, metavar="FILE", help="node.toml: the catalog at that node"
    )
    source.add_argument(
        "--snapshot", type=Path, metavar="FILE", help="the catalog as it came with the trust list"
    )
    parser.add_argument(
        "--version",
        type=whole_number(1, 2_000_000_000),
        metavar="N",
        help="a past one of the database",
    )
    parser.add_argument(
        "--format",
        choices=PROFILES,
        default="breg",
        help="DCAT-AP; that with registries as public services (default); procedures as CPSV-AP",
    )
    parser.add_argument(
        "--as", dest="form", choices=FORMS, default="turtle", help="default: %(default)s"
    )
    parser.add_argument(
        "--address",
        type=web_address,
        metavar="URL",
        help="where the catalog is read: names all in it; the registry's own by default",
    )
    _add_settings(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="instead of standard output")


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--publisher", default="", metavar="NAME", help="who publishes the catalog")
    parser.add_argument(
        "--place",
        type=web_address,
        metavar="URI",
        help="the country or region of the instance",
    )
    parser.add_argument(
        "--language", default="en", metavar="TAG", help="of titles (default %(default)s)"
    )


def tell_export(arguments: argparse.Namespace) -> int:
    """Do what `add_export` declared; 1 when there is no such version."""
    if not can_export():
        print("sacbe catalog: exports need sacbe[catalog]", file=sys.stderr)
        return 2
    if arguments.config is not None:
        settings = load_central(arguments.config)
        log_to_stderr()
        return run_service(_export(settings, arguments), stopped=130)
    if arguments.address is None:
        print(
            "sacbe catalog: --address must be given where --config is not; it names all",
            file=sys.stderr,
        )
        return 2
    if arguments.node_config is not None:
        catalog = node_catalog(arguments.node_config)
    else:
        catalog = decode_catalog(arguments.snapshot.read_bytes())
    return _write(catalog, arguments.address, arguments)


async def _export(settings: CentralSettings, arguments: argparse.Namespace) -> int:
    async with open_central(settings) as central:
        catalog = await central.versions.catalog(arguments.version)
    if catalog is None:
        print("sacbe catalog: there is no such version of the catalog", file=sys.stderr)
        return 1
    address = arguments.address or public_address(settings)
    return await asyncio.to_thread(_write, catalog, address, arguments)


def public_address(settings: RegistrySettings) -> str:
    """Where the registry lets the catalog be read."""
    return f"{'https' if settings.https else 'http'}://{settings.address}{ROOT}"


def _write(catalog: Catalog, base: str, arguments: argparse.Namespace) -> int:
    from catalog.central.faces.dcat import Form, Profile, export_catalog

    settings = ExportSettings(
        publisher=arguments.publisher, place=arguments.place or "", language=arguments.language
    )
    document = export_catalog(
        catalog, Profile(arguments.format), Form(arguments.form), base, settings
    )
    if arguments.out is None:
        sys.stdout.buffer.write(document)
        return 0
    try:
        arguments.out.write_bytes(document)
    except OSError as error:
        raise StorageError(f"{arguments.out} can't be written: {error.strerror}") from error
    return 0
