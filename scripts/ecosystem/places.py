"""Where a sandbox is: its folder and its ports, the same at every start."""

import contextlib
import fcntl
import json
import os
import random
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from trust.errors import StorageError
from trust.pki.keyfiles import open_folder

LOCAL = "127.0.0.1"
CIVIL_ADDRESS = "127.0.0.11"  # peers of an instance all listen on the same ports,
MUNI_ADDRESS = "127.0.0.12"  # so each node on one machine needs an address of its own
SOCIAL_ADDRESS = "127.0.0.13"
TAX_ADDRESS = "127.0.0.14"
_NODES = (CIVIL_ADDRESS, MUNI_ADDRESS, SOCIAL_ADDRESS, TAX_ADDRESS)

_NOTES = "sandbox.json"
# Below the range that Linux takes for outgoing connections: a port of ours is still free when the
# sandbox is started again.
_OTHER_PORTS = range(20_000, 32_000)
_TRIES = 200

Ports = Mapping[str, int]

WANTED: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "ca": (8888, (LOCAL,)),
    "registry": (8090, (LOCAL,)),
    "adapter": (9000, (LOCAL,)),
    "social-security": (9001, (LOCAL,)),
    "tax-authority": (9002, (LOCAL,)),
    "bridge": (9003, (LOCAL,)),
    "tax-adapter": (9004, (LOCAL,)),
    "cases": (9010, (LOCAL,)),
    "peers": (5500, _NODES),
    "peers-ocsp": (5577, _NODES),
    "muni-http": (8080, (LOCAL,)),
    "muni-https": (8443, (LOCAL,)),
    "muni-admin": (4000, (LOCAL,)),
    "civil-http": (8081, (LOCAL,)),
    "civil-https": (8444, (LOCAL,)),
    "civil-admin": (4010, (LOCAL,)),
    "social-http": (8082, (LOCAL,)),
    "social-https": (8445, (LOCAL,)),
    "social-admin": (4020, (LOCAL,)),
    "tax-http": (8083, (LOCAL,)),
    "tax-https": (8446, (LOCAL,)),
    "tax-admin": (4030, (LOCAL,)),
}


def own_command() -> list[str]:
    """How this very command is started from any folder."""
    script = Path(sys.argv[0]).absolute()
    if script.name == "sacbe" and script.exists():
        return [str(script)]
    return [sys.executable, "-P", "-m", "scripts.cli"]


class Reserved:
    """Ports that no other sandbox of this machine takes, not even while nothing listens on them.

    Each has a file in the temporary folder, which is locked as long as this process lives and has
    not closed it; any user may lock it.
    """

    def __init__(self) -> None:
        self._locks: dict[int, int] = {}  # file handles by port

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._locks:
            os.close(self._locks.popitem()[1])

    def take(self, port: int) -> bool:
        """Reserve a port; False when another sandbox has it."""
        if port in self._locks:
            return False
        try:
            lock = _open_lock(port)
        except OSError:  # a file of somebody who did not mean to share it
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return False
        self._locks[port] = lock
        return True

    def give(self, port: int) -> None:
        os.close(self._locks.pop(port))


def _open_lock(port: int) -> int:
    shared = Path("/tmp")  # noqa: S108 - one for the machine, whatever TMPDIR says
    path = (shared if os.access(shared, os.W_OK) else Path(tempfile.gettempdir())) / "sacbe-ports"
    with contextlib.suppress(FileExistsError):
        path.mkdir()
        path.chmod(0o1777)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW
        with contextlib.suppress(FileNotFoundError):
            return os.open(str(port), flags, dir_fd=folder)
        lock = os.open(str(port), flags | os.O_CREAT, 0o644, dir_fd=folder)
        with contextlib.suppress(OSError):
            os.fchmod(lock, 0o644)  # whatever the umask says
        return lock
    finally:
        os.close(folder)


@contextmanager
def opened(folder: Path) -> Iterator[Ports]:
    """Take a new folder, or one that a sandbox made before, and say which ports it uses.

    The ports are this sandbox's until the end. Raises StorageError: the folder belongs to something
    else, another sandbox runs in it, or a port that it has used since its first start is taken.
    """
    notes = folder / _NOTES
    if folder.is_dir() and any(folder.iterdir()) and not notes.exists():
        raise StorageError(f"{folder} holds something else than a sandbox")
    open_folder(folder)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StorageError(f"A sandbox runs in {folder} already") from error
        with Reserved() as reserved:
            ports = _read(notes)
            if ports is None:
                ports = choose_ports(reserved)
            else:
                _reserve(ports, reserved)
            check_free(ports)
            fresh = notes.with_suffix(".new")
            fresh.write_text(json.dumps({"ports": dict(ports)}, indent=2) + "\n", encoding="utf-8")
            fresh.replace(notes)
            yield ports
    finally:
        os.close(lock)


def _reserve(ports: Ports, reserved: Reserved) -> None:
    for name, port in ports.items():
        if not reserved.take(port):
            text = f"Port {port} ({name} of this sandbox) can't be used: another sandbox has it"
            raise StorageError(text)


def _read(notes: Path) -> dict[str, int] | None:
    try:
        ports = json.loads(notes.read_text(encoding="utf-8"))["ports"]
        return {name: int(ports[name]) for name in WANTED}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{notes} can't be read; a new folder is needed") from error


def choose_ports(reserved: Reserved) -> dict[str, int]:
    """The usual ports where they are free, others in the place of those that are not.

    Args:
        reserved: gets the ports.
    """
    with ExitStack() as held:  # until all are chosen, so that none is chosen twice
        return {name: _choose(*wanted, held, reserved) for name, wanted in WANTED.items()}


def _choose(usual: int, addresses: tuple[str, ...], held: ExitStack, reserved: Reserved) -> int:
    others = random.sample(_OTHER_PORTS, _TRIES)
    for port in (usual, *others):
        if reserved.take(port):
            if _hold(port, addresses, held):
                return port
            reserved.give(port)
    raise StorageError(f"No port is free on {' and '.join(addresses)}")


def _hold(port: int, addresses: tuple[str, ...], held: ExitStack) -> bool:
    with contextlib.suppress(OSError), ExitStack() as mine:
        for address in addresses:
            mine.enter_context(socket.create_server((address, port)))
        held.push(mine.pop_all())
        return True
    return False


def check_free(ports: Ports) -> None:
    """Raise StorageError when something listens on one of the ports."""
    for name, port in ports.items():
        for address in WANTED[name][1]:
            try:
                socket.create_server((address, port)).close()
            except OSError as error:
                text = f"{address}:{port} ({name} of this sandbox) can't be used: {error.strerror}"
                raise StorageError(text) from error
