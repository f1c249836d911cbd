"""Real handshakes under asyncio and uvloop, and with the openssl program at the other end."""

import asyncio
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from node.network.openssl import OpenSsl, OpenSslHidden, open_openssl
from node.network.tls import (
    TlsIdentity,
    TlsListener,
    peer_chain,
    peer_client,
    peers_listener,
    system_client,
    systems_listener,
)
from tests.tls_certificates import identity, issue, write_pem

ROOT = issue("root")
MIDDLE = issue("middle", ROOT)
SERVER = issue("server", MIDDLE)
UNKNOWN = issue("nobody knows me")

Story = Callable[[], Coroutine[Any, Any, None]]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Story], None]:
    def run_story(story: Story) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(story())

    return run_story


class Listening:
    """A TLS server that greets and remembers the chain of whoever came."""

    def __init__(self) -> None:
        self.chains: list[tuple[bytes, ...]] = []
        self.leaves: list[bytes | None] = []
        self.port = 0

    async def greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
        self.chains.append(peer_chain(tls))
        self.leaves.append(tls.getpeercert(binary_form=True))
        writer.write(b"hello")
        await writer.drain()
        writer.close()
        try:
            await writer.wait_closed()
        except (OSError, ssl.SSLError):
            return


@asynccontextmanager
async def listening(listener: TlsListener) -> AsyncIterator[Listening]:
    state = Listening()
    server = await asyncio.start_server(state.greet, "127.0.0.1", 0, ssl=listener.context)
    state.port = server.sockets[0].getsockname()[1]
    async with server:
        yield state


async def visit(port: int, context: ssl.SSLContext) -> tuple[tuple[bytes, ...], ssl.SSLObject]:
    """Connect, read the greeting to the end; the server's chain and the TLS object."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
    chain = peer_chain(tls)
    try:
        if await reader.read() != b"hello":
            raise ConnectionResetError
    finally:
        writer.close()
    return chain, tls


def test_an_unknown_client_certificate_reaches_the_peers_port(
    run: Callable[[Story], None],
) -> None:
    async def story() -> None:
        async with listening(peers_listener(identity(SERVER, MIDDLE))) as server:
            chain, tls = await visit(server.port, peer_client(identity(UNKNOWN)))
            assert server.leaves == [UNKNOWN.der]
            assert server.chains == [(UNKNOWN.der,)]
            assert chain == (SERVER.der, MIDDLE.der)
            assert tls.version() == "TLSv1.3"

    run(story)


def test_an_expired_client_certificate_is_left_to_the_caller(
    run: Callable[[Story], None],
) -> None:
    expired = issue("expired", days=-1)

    async def story() -> None:
        async with listening(systems_listener(identity(SERVER))) as server:
            await visit(server.port, system_client(identity(expired)))
            assert server.leaves == [expired.der]

    run(story)


def test_the_clients_intermediates_arrive_in_order(run: Callable[[Story], None]) -> None:
    client = issue("client", MIDDLE)

    async def story() -> None:
        async with listening(peers_listener(identity(SERVER))) as server:
            await visit(server.port, peer_client(identity(client, MIDDLE)))
            assert server.chains == [(client.der, MIDDLE.der)]

    run(story)


def test_the_peers_port_demands_a_certificate(run: Callable[[Story], None]) -> None:
    async def story() -> None:
        async with listening(peers_listener(identity(SERVER))) as server:
            with pytest.raises((ssl.SSLError, OSError)):
                await visit(server.port, system_client(None))
            assert server.leaves == []

    run(story)


def test_an_information_system_may_come_without_certificate(
    run: Callable[[Story], None],
) -> None:
    async def story() -> None:
        async with listening(systems_listener(identity(SERVER))) as server:
            await visit(server.port, system_client(None))
            assert server.leaves == [None]
            assert server.chains == [()]

    run(story)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_replaced_identity_is_shown_to_the_next_connection(
    run: Callable[[Story], None], version: ssl.TLSVersion
) -> None:
    newer = issue("newer", kind="rsa")
    context = peer_client(identity(UNKNOWN))
    context.maximum_version = version

    async def story() -> None:
        listener = peers_listener(identity(SERVER, MIDDLE))
        async with listening(listener) as server:
            before, _ = await visit(server.port, context)
            listener.replace(identity(newer))
            after, _ = await visit(server.port, context)
            assert before == (SERVER.der, MIDDLE.der)
            assert after == (newer.der,)
            assert server.leaves == [UNKNOWN.der, UNKNOWN.der]
            with pytest.raises((ssl.SSLError, OSError)):
                await visit(server.port, system_client(None))

    run(story)


def test_without_identity_nobody_gets_through(run: Callable[[Story], None]) -> None:
    async def story() -> None:
        listener = peers_listener(None)
        async with listening(listener) as server:
            with pytest.raises((ssl.SSLError, OSError)):
                await visit(server.port, peer_client(identity(UNKNOWN)))
            listener.replace(identity(SERVER))
            chain, _ = await visit(server.port, peer_client(identity(UNKNOWN)))
            assert chain == (SERVER.der,)

    run(story)


def test_the_private_key_is_in_no_repr() -> None:
    assert "PRIVATE" not in repr(identity(SERVER))


def test_a_key_of_another_certificate_is_refused() -> None:
    wrong = TlsIdentity(identity(SERVER).chain, identity(UNKNOWN).private_key_pem)
    with pytest.raises(ssl.SSLError):
        peers_listener(wrong)


def test_the_reached_context_is_compared_with_what_python_says() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    open_openssl().accept_any_certificate(context)  # raises when the layout is another one
    assert open_openssl() is open_openssl()


def test_another_libssl_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssl, "OPENSSL_VERSION_NUMBER", 1)
    with pytest.raises(OpenSslHidden, match="another libssl answers"):
        OpenSsl()


def test_a_context_of_another_layout_is_noticed() -> None:
    class Elsewhere(ssl.SSLContext):
        options = ssl.Options(0)  # not what OpenSSL says of the pointer that is found

    with pytest.raises(OpenSslHidden, match="another layout"):
        open_openssl().accept_any_certificate(Elsewhere(ssl.PROTOCOL_TLS_SERVER))


# --- with the openssl program -----------------------------------------------------------------


async def s_client(port: int, *options: str, send: bytes = b"") -> str:
    program = await asyncio.create_subprocess_exec(
        str(shutil.which("openssl")),
        *("s_client", "-connect", f"127.0.0.1:{port}", "-showcerts", *options),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await program.communicate(send)
    return output.decode(errors="replace")


needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl program")


@needs_openssl
@pytest.mark.parametrize(
    ("kind", "cipher"),
    [
        ("rsa", "ECDHE-RSA-AES256-SHA384"),
        ("rsa", "DHE-RSA-AES256-SHA256"),
        ("p256", "ECDHE-ECDSA-AES256-SHA384"),
    ],
)
async def test_the_suites_of_an_xroad_peer_are_negotiated(
    tmp_path: Path, kind: str, cipher: str
) -> None:
    client = write_pem(tmp_path, UNKNOWN)
    async with listening(peers_listener(identity(issue("server", kind=kind)))) as server:
        output = await s_client(server.port, "-tls1_2", "-cipher", cipher, "-cert", str(client))
    assert f"Cipher    : {cipher}" in output
    assert server.leaves == [UNKNOWN.der]


@needs_openssl
@pytest.mark.parametrize("chain", [(SERVER,), (SERVER, MIDDLE)])
async def test_exactly_the_given_certificates_are_sent(
    tmp_path: Path, chain: tuple[Any, ...]
) -> None:
    client = write_pem(tmp_path, UNKNOWN)
    async with listening(peers_listener(identity(*chain))) as server:
        output = await s_client(server.port, "-cert", str(client))
    assert len(re.findall(r"^ *\d+ s:", output, re.MULTILINE)) == len(chain)


@needs_openssl
async def test_tls_before_1_2_is_refused(tmp_path: Path) -> None:
    client = write_pem(tmp_path, UNKNOWN)
    options = ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-cert", str(client))
    async with listening(peers_listener(identity(SERVER))) as server:
        output = await s_client(server.port, *options)
    assert "Cipher is (NONE)" in output
    assert server.leaves == []


@needs_openssl
async def test_a_resumed_session_still_knows_the_clients_chain(tmp_path: Path) -> None:
    client = issue("client", MIDDLE)
    certificate = write_pem(tmp_path, client)
    middle = write_pem(tmp_path, MIDDLE)
    session = tmp_path / "session"
    options = ("-tls1_2", "-cert", str(certificate), "-cert_chain", str(middle))
    async with listening(peers_listener(identity(SERVER))) as server:
        await s_client(server.port, *options, "-sess_out", str(session))
        output = await s_client(server.port, *options, "-sess_in", str(session))
    assert "Reused" in output
    assert server.chains == [(client.der, MIDDLE.der)] * 2


@needs_openssl
@pytest.mark.parametrize(
    ("kind", "cipher"),
    [
        ("rsa", "ECDHE-RSA-AES256-SHA384"),
        ("rsa", "DHE-RSA-AES256-SHA256"),
        ("p256", "ECDHE-ECDSA-AES256-SHA384"),
    ],
)
async def test_a_server_that_has_one_suite_of_an_xroad_peer_is_reached(
    tmp_path: Path, kind: str, cipher: str
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    certificate = write_pem(tmp_path, issue("server", kind=kind))
    program = await asyncio.create_subprocess_exec(
        *("openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(certificate)),
        *("-tls1_2", "-cipher", cipher, "-Verify", "1", "-quiet"),
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        writer = await _reach(port, peer_client(identity(UNKNOWN)))
        agreed = writer.get_extra_info("ssl_object").cipher()
        writer.close()
    finally:
        program.kill()
        await program.wait()
    assert agreed[:2] == (cipher, "TLSv1.2")


async def _reach(port: int, context: ssl.SSLContext) -> asyncio.StreamWriter:
    """Connect as soon as the program at the other end listens."""
    while True:
        try:
            return (await asyncio.open_connection("127.0.0.1", port, ssl=context))[1]
        except ConnectionRefusedError:
            await asyncio.sleep(0.05)
