"""Whether a mapping that the central operator attaches fits what the plain service describes."""

import asyncio

from catalog.central.entries import CatalogService
from catalog.central.service import CentralCatalog
from catalog.mapping import ServiceMapping
from catalog.services import Service
from scripts.cataloguing.mappings import Described, mapping_contradictions
from trust.errors import ExchangeError
from trust.settings import SettingProblem


async def contradictions_kept(
    central: CentralCatalog, found: CatalogService | None, mapping: ServiceMapping
) -> tuple[SettingProblem, ...]:
    """What the description that was harvested says against a mapping; raises StorageError.

    Nothing where none was, where it was too large to be kept, or where it can't be read.
    """
    if found is None or not found.description_digest:
        return ()
    content = await central.library.get(found.id.provider, found.description_digest)
    if content is None:
        return ()
    return await asyncio.to_thread(_contradictions, found, mapping, content)


def _contradictions(
    found: CatalogService, mapping: ServiceMapping, content: bytes
) -> tuple[SettingProblem, ...]:
    is_json = content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
    described = Described(content, ("application/json" if is_json else "application/x-yaml",))
    service = Service(found.id, found.type, "", verify_tls=False, mapping=mapping)
    try:
        return tuple(mapping_contradictions(service, described))
    except ExchangeError:
        return ()
