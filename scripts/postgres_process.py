"""How a PostgreSQL process is started: as whom, and so that it never outlives its parent.

PostgreSQL refuses to run as root. Root therefore starts it inside a user namespace, where root's
files belong to "nobody" and no account, owner or permission changes; where namespaces are
forbidden, as an existing account.
"""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from trust.errors import StorageError

_POLL = 0.05  # seconds between two looks at a child
_NOBODY = 65534
_IN_NAMESPACE = ("--user", f"--map-user={_NOBODY}", f"--map-group={_NOBODY}", "--")
_IF_PARENT_LIVES = '[ "$PPID" = "$0" ] || exit 1; exec "$@"'
_WHEN_PIPE_ENDS = 'read -r end; kill -s "$0" "$1"'


class Way(StrEnum):
    """As whom the server runs."""

    USER = "user"  # as we are
    NAMESPACE = "namespace"  # root, seen as nobody inside a user namespace
    ACCOUNT = "account"  # root, changed to the account postgres or nobody


class BoundProcess:
    """A direct child that gets the signal `death` when this process is gone, however it went.

    The kernel sends the signal when the *thread* that made the child ends, so make it in one that
    stays, such as the event loop's. Without util-linux's setpriv a shell waits for the end of a
    pipe that only we hold. The child has a session of its own: Ctrl-C in a terminal reaches us
    alone, and we stop the server when we no longer need it.
    """

    def __init__(
        self, run_as: "RunAs", command: Sequence[str], death: signal.Signals, output: int
    ) -> None:
        setpriv = shutil.which("setpriv")
        name = death.name.removeprefix("SIG")
        bound: list[str] = []
        if setpriv is not None:  # innermost: a change of user takes the death signal away
            bound = [setpriv, "--pdeathsig", name, "--"]
            bound += ["/bin/sh", "-c", _IF_PARENT_LIVES, str(os.getpid())]
        self._process = run_as.popen([*bound, *command], output)
        self._watcher = None if bound else _watch(self._process.pid, name)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        code = self._process.poll()
        if code is not None and self._watcher is not None:
            self._watcher.kill()  # before its pipe ends, so that it signals nobody
            self._watcher.communicate()
            self._watcher = None
        return code

    def send(self, number: signal.Signals) -> None:
        if self.returncode is None:
            self._process.send_signal(number)

    async def ended(self, within: float | None = None) -> int | None:
        """Wait for the end, at most `within` seconds; the exit status or None."""
        deadline = None if within is None else time.monotonic() + within
        while (code := self.returncode) is None:
            if deadline is not None and time.monotonic() > deadline:
                return None
            await asyncio.sleep(_POLL)
        return code


def _watch(pid: int, signal_name: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603
        ["/bin/sh", "-c", _WHEN_PIPE_ENDS, signal_name, str(pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@dataclass(frozen=True, slots=True)
class RunAs:
    """Who runs the server processes and owns what they write."""

    way: Way
    uid: int
    gid: int

    def own(self, path: Path) -> None:
        """Give a file or folder, with all that is in it, to the account that runs the server."""
        if self.way is not Way.ACCOUNT or not path.exists() or path.stat().st_uid == self.uid:
            return
        for folder, _, names in os.walk(path):
            for name in (".", *names):
                os.chown(Path(folder, name), self.uid, self.gid, follow_symlinks=False)
        os.chown(path, self.uid, self.gid)  # the folder itself last: it marks that all is done

    def can_run(self, program: str) -> bool:
        """Whether `program --version` succeeds when run like this."""
        try:
            return self.popen([program, "--version"], subprocess.DEVNULL).wait(timeout=30) == 0
        except (OSError, subprocess.SubprocessError):
            return False

    def popen(self, command: Sequence[str], output: int) -> "subprocess.Popen[bytes]":
        """Start a command with next to no environment; its output goes to the file `output`."""
        account = self.way is Way.ACCOUNT
        prefix = ("unshare", *_IN_NAMESPACE) if self.way is Way.NAMESPACE else ()
        return subprocess.Popen(  # noqa: S603  # programs that find_binaries has found
            [*prefix, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",  # ours may be closed to the account
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            umask=0o077,
            start_new_session=True,
            user=self.uid if account else None,
            group=self.gid if account else None,
            extra_groups=[] if account else None,
        )


def choose_way(data: Path, wanted: Way | None = None) -> RunAs:
    """Decide as whom to run; an existing data folder of an account stays that account's.

    Raises StorageError when root can neither make a user namespace nor change the user, or when
    the data folder belongs to somebody else.
    """
    owner = data.stat().st_uid if data.exists() else os.geteuid()
    if os.geteuid() != 0:
        if owner != os.geteuid():
            raise StorageError(f"The data folder {data} belongs to another user")
        return RunAs(Way.USER, os.geteuid(), os.getegid())
    namespace = RunAs(Way.NAMESPACE, 0, 0)
    if wanted is None and owner == 0 and namespace.can_run("unshare"):
        return namespace
    if wanted is Way.NAMESPACE:
        return namespace
    account = _account(owner)
    if not account.can_run("setpriv"):
        raise StorageError("PostgreSQL doesn't run as root, and no other user can be taken here")
    return account


def _account(owner: int) -> RunAs:
    if owner != 0:
        with contextlib.suppress(KeyError):
            return RunAs(Way.ACCOUNT, owner, pwd.getpwuid(owner).pw_gid)
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return RunAs(Way.ACCOUNT, entry.pw_uid, entry.pw_gid)
    raise StorageError("PostgreSQL doesn't run as root, and there is no account postgres or nobody")


def workers_in(folder: Path) -> frozenset[int]:
    """The living processes that work in `folder`, as all of a server's do in its data folder.

    Empty where there is no /proc; zombies have no working folder and don't count.
    """
    wanted = str(folder.resolve())
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.readlink(entry / "cwd") == wanted:
                found.add(int(entry.name))
    return frozenset(found)


def processes_are_seen() -> bool:
    """Whether `workers_in` can know anything: Linux has /proc, others may not."""
    return os.path.lexists("/proc/self/cwd")
