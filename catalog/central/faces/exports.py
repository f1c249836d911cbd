"""Exports where they can be made: linked data needs rdflib, which is an extra."""

from importlib.util import find_spec

from catalog.central.faces.export_settings import ExportSettings
from catalog.central.faces.site import Export, no_export


def can_export() -> bool:
    return find_spec("rdflib") is not None


def exports(base: str, settings: ExportSettings) -> Export:
    """The files of a catalog that is reached by an address; none where rdflib is not there."""
    if not can_export():
        return no_export
    from catalog.central.faces.dcat import ExportFiles

    return ExportFiles(base, settings)
