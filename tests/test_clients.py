"""How an information system must connect: every text of messages.md 7."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from catalog.services import ConnectionType, HostedClient
from node.exchange.clients import TlsFacts, authenticate, tls_facts
from node.network.tls import system_client, systems_listener
from tests.tls_certificates import identity, issue
from trust.errors import UntrustedPeer
from trust.ids import ClientId

PORTAL = ClientId("TEST", "GOV", "1", "portal")
KNOWN = issue("known system")
OTHER = issue("other system")
PLAIN = TlsFacts()
NAMELESS = TlsFacts(encrypted=True)
NOW = datetime.now(UTC)


def showing(der: bytes) -> TlsFacts:
    return TlsFacts(encrypted=True, certificate=der)


def portal(connection: ConnectionType, *certificates: bytes) -> HostedClient:
    return HostedClient(PORTAL, connection=connection, certificates=certificates)


@pytest.mark.parametrize("facts", [PLAIN, NAMELESS, showing(OTHER.der)])
def test_http_takes_every_connection(facts: TlsFacts) -> None:
    authenticate(portal(ConnectionType.HTTP), facts, NOW)


@pytest.mark.parametrize("facts", [NAMELESS, showing(OTHER.der)])
def test_https_without_authentication_takes_every_tls_connection(facts: TlsFacts) -> None:
    authenticate(portal(ConnectionType.HTTPS_NO_AUTH), facts, NOW)


def test_https_takes_a_registered_certificate() -> None:
    client = portal(ConnectionType.HTTPS, OTHER.der, KNOWN.der)
    authenticate(client, showing(KNOWN.der), NOW)


def test_the_internal_certificate_of_the_node_may_speak_for_all() -> None:
    client = portal(ConnectionType.HTTPS)
    authenticate(client, showing(OTHER.der), NOW, own_certificate=OTHER.der)


@pytest.mark.parametrize(
    ("client", "facts", "text"),
    [
        (
            portal(ConnectionType.HTTPS_NO_AUTH),
            PLAIN,
            "specifies HTTPS NO AUTH but client made plaintext connection",
        ),
        (
            portal(ConnectionType.HTTPS, KNOWN.der),
            PLAIN,
            "specifies HTTPS but did not supply TLS certificate",
        ),
        (
            portal(ConnectionType.HTTPS, KNOWN.der),
            NAMELESS,
            "specifies HTTPS but did not supply TLS certificate",
        ),
        (portal(ConnectionType.HTTPS), showing(KNOWN.der), "has no IS certificates"),
        (
            portal(ConnectionType.HTTPS, KNOWN.der),
            showing(OTHER.der),
            "TLS certificate does not match any IS certificates",
        ),
        (
            portal(ConnectionType.HTTPS, KNOWN.der),
            showing(issue("known system", kind="rsa").der),
            "TLS certificate does not match any IS certificates",
        ),
    ],
)
def test_refusals_have_the_texts_of_the_protocol(
    client: HostedClient, facts: TlsFacts, text: str
) -> None:
    with pytest.raises(UntrustedPeer) as caught:
        authenticate(client, facts, NOW, own_certificate=issue("internal").der)
    assert caught.value.text == f"Client (SUBSYSTEM:TEST/GOV/1/portal) {text}"
    assert caught.value.code == "ssl_authentication_failed"


def test_dates_count_only_when_asked_for() -> None:
    client = portal(ConnectionType.HTTPS, KNOWN.der)
    early, late = NOW - timedelta(days=30), NOW + timedelta(days=30)
    for at in (early, NOW, late):
        authenticate(client, showing(KNOWN.der), at)
    authenticate(client, showing(KNOWN.der), NOW, check_dates=True)
    with pytest.raises(UntrustedPeer, match="is expired"):
        authenticate(client, showing(KNOWN.der), late, check_dates=True)
    with pytest.raises(UntrustedPeer, match="is not yet valid"):
        authenticate(client, showing(KNOWN.der), early, check_dates=True)


@pytest.mark.parametrize("shown", [None, KNOWN])
async def test_what_a_connection_says_is_what_was_shown(shown: object) -> None:
    seen: list[TlsFacts] = []

    async def look(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(tls_facts(writer.transport))
        writer.transport.abort()

    context = systems_listener(identity(issue("node"))).context
    server = await asyncio.start_server(look, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        client = system_client(identity(KNOWN) if shown is KNOWN else None)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        await reader.read()
        writer.transport.abort()
    expected = KNOWN.der if shown is KNOWN else None
    assert seen == [TlsFacts(encrypted=True, certificate=expected)]


async def test_plain_and_lost_connections_show_nothing() -> None:
    assert tls_facts(None) == PLAIN
    assert tls_facts(asyncio.Transport()) == PLAIN
