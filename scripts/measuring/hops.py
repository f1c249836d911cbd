"""What the same load costs through two plain nginx hops with mutual TLS: nothing signed or logged.

    load → HTTP → nginx "consumer" → TLS, both with certificates → nginx "provider" → HTTP → system

Each hop is one worker, as a node is one process; both keep their connections, verify the other's
certificate against one CA, and take a body of a measured size into memory.
"""

import asyncio
import os
import shutil
import signal
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from scripts.issuing import CertificateOrder, Identity, issue, plain_name
from scripts.postgres_process import BoundProcess, RunAs, Way
from trust.errors import StorageError
from trust.pki.keyfiles import open_folder, write_file
from trust.pki.keys import KeyType, generate_key

_LIFE = timedelta(days=1)
_START = 10.0  # seconds until a hop must listen
_NAME = "hop.example.test"
_USUAL_PLACES = "/usr/sbin:/usr/local/sbin:/opt/homebrew/bin"  # often not in a user's PATH

_COMMON = """\
daemon off;
worker_processes 1;
pid {folder}/{name}.pid;
error_log stderr crit;
{user}
events {{ worker_connections 4096; }}
http {{
    access_log off;
    server_tokens off;
    keepalive_requests 100000000;
    client_max_body_size 64m;
    client_body_buffer_size 512k;
    proxy_buffers 16 32k;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    client_body_temp_path {folder}/{name}-body;
    proxy_temp_path {folder}/{name}-proxy;
    fastcgi_temp_path {folder}/{name}-fastcgi;
    uwsgi_temp_path {folder}/{name}-uwsgi;
    scgi_temp_path {folder}/{name}-scgi;
    upstream next {{
        server 127.0.0.1:{next_port};
        keepalive 128;
        keepalive_requests 100000000;
    }}
    server {{
{server}
    }}
}}
"""
_CONSUMER = """\
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass https://next;
            proxy_ssl_protocols TLSv1.2 TLSv1.3;
            proxy_ssl_certificate {folder}/consumer.cert.pem;
            proxy_ssl_certificate_key {folder}/consumer.key.pem;
            proxy_ssl_trusted_certificate {folder}/ca.pem;
            proxy_ssl_verify on;
            proxy_ssl_name {hop};
        }}"""
_PROVIDER = """\
        listen 127.0.0.1:{port} ssl;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate {folder}/provider.cert.pem;
        ssl_certificate_key {folder}/provider.key.pem;
        ssl_client_certificate {folder}/ca.pem;
        ssl_verify_client on;
        location / {{ proxy_pass http://next; }}"""


def find_nginx() -> str | None:
    """The program, or None when this machine has none."""
    return shutil.which("nginx") or shutil.which("nginx", path=_USUAL_PLACES)


@dataclass(frozen=True, slots=True)
class Hops:
    """Two running hops: where they listen, and their processes."""

    port: int
    provider_port: int
    pids: Mapping[str, int]


@asynccontextmanager
async def nginx_hops(
    program: str, folder: Path, key_type: KeyType, system_port: int
) -> AsyncIterator[Hops]:
    """Run both hops while the block runs; raises StorageError with what nginx says.

    Call it in the thread that stays, see BoundProcess.
    """
    open_folder(folder)
    _write_certificates(folder, key_type)
    consumer_port, provider_port = _free_ports(2)
    ports = {"provider": (provider_port, system_port), "consumer": (consumer_port, provider_port)}
    hops: dict[str, BoundProcess] = {}
    try:
        for name, (port, next_port) in ports.items():
            text = _configuration(name, folder, port, next_port)
            hops[name] = await _start(program, name, folder, text, port)
        pids = {name: hops[name].pid for name in ("consumer", "provider")}
        yield Hops(consumer_port, provider_port, pids)
    finally:
        for hop in hops.values():
            hop.send(signal.SIGTERM)
        for hop in hops.values():
            if await hop.ended(5) is None:
                hop.send(signal.SIGKILL)
                await hop.ended()


def _configuration(name: str, folder: Path, port: int, next_port: int) -> str:
    template = _CONSUMER if name == "consumer" else _PROVIDER
    server = template.format(port=port, folder=folder, hop=_NAME)
    user = "user root;" if os.geteuid() == 0 else ""  # others may not enter the folder
    return _COMMON.format(folder=folder, name=name, next_port=next_port, server=server, user=user)


async def _start(program: str, name: str, folder: Path, text: str, port: int) -> BoundProcess:
    configuration, log = folder / f"{name}.conf", folder / f"{name}.log"
    configuration.write_text(text)
    run_as = RunAs(Way.USER, os.geteuid(), os.getegid())
    with log.open("ab") as output:
        command = [program, "-e", "stderr", "-p", str(folder), "-c", str(configuration)]
        process = BoundProcess(run_as, command, signal.SIGTERM, output.fileno())
    deadline = time.monotonic() + _START
    while not _listens(port):
        if process.returncode is not None or time.monotonic() > deadline:
            process.send(signal.SIGKILL)
            await process.ended()
            said = log.read_text(errors="replace").strip()[-500:]
            raise StorageError(f"nginx did not start: {said}")
        await asyncio.sleep(0.02)
    return process


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _write_certificates(folder: Path, key_type: KeyType) -> None:
    """A CA and one certificate for each hop, of the kind of key that the nodes have, too."""
    now = datetime.now(UTC)
    first, last = now - timedelta(minutes=5), now + _LIFE
    key = generate_key(key_type)
    order = CertificateOrder(plain_name("Hop CA"), "ca", first, last)
    ca = Identity(issue(None, key.private_key.public_key(), order, key), key)
    write_file(folder / "ca.pem", ca.certificate.public_bytes(Encoding.PEM))
    for name in ("consumer", "provider"):
        own = generate_key(key_type)
        order = CertificateOrder(plain_name(name), "auth", first, last, dns_name=_NAME)
        certificate = issue(ca, own.private_key.public_key(), order)
        write_file(folder / f"{name}.cert.pem", certificate.public_bytes(Encoding.PEM))
        write_file(folder / f"{name}.key.pem", own.pem(None))
