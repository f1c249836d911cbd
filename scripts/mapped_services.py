"""A declaration against the living descriptions of its services."""

from collections.abc import Sequence
from pathlib import Path

from catalog.declared.declaration import ServicesDeclaration
from catalog.declared.rules import client_problems
from catalog.mapping import NO_MAPPING
from catalog.services import HostedClient
from catalog.stored.description_store import DescriptionStore
from node.settings import NodeSettings
from scripts.cataloguing.mappings import Judgement, Library, judge
from scripts.descriptions import information_systems
from trust.database import Pool


async def judge_declaration(
    settings: NodeSettings,
    pool: Pool,
    declaration: ServicesDeclaration,
    clients: Sequence[HostedClient],
    file: Path,
) -> Judgement:
    """What is wrong beyond the declaration itself; nothing is asked when nothing is to compare.

    Nor is it when a service itself is declared wrong: its address may be no address.
    """
    if not any(_speaks_of_facts(client) for client in clients) or any(client_problems(clients)):
        return Judgement()
    systems = information_systems(settings)
    try:
        library = Library(systems, DescriptionStore(pool), settings.descriptions)
        return await judge(declaration, clients, file, library)
    finally:
        await systems.close()


def _speaks_of_facts(client: HostedClient) -> bool:
    described = [one for one in client.services if one.description is not None]
    return any(one.mapping != NO_MAPPING for one in described) or (
        bool(described) and any(right.terms.fields is not None for right in client.rights)
    )
