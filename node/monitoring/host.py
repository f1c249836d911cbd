"""What the machine under this node is and does: memory, disk, load, processes, packages.

Everything is bounded, because a machine may have any number of processes and packages. What takes
long is asked for in a thread and remembered for a while.

Source: monitoring.md 6; X-Road 7.8 SystemMetricsSensor.java, ProcessLister.java,
PackageLister.java.
"""

import asyncio
import os
import platform
import resource
import shutil
import socket
import subprocess
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import metadata
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import psutil

_SAMPLE_EVERY = 5.0  # seconds
_SAMPLES = 60
_MAX_PROCESSES, _MAX_PACKAGES = 2000, 20_000
_LONGEST_COMMAND = 1024
_LISTING = 10.0  # seconds that a package manager may take
_PROCESSES_FOR, _PACKAGES_FOR = timedelta(seconds=10), timedelta(hours=1)
_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_NO_ADDRESS = "0.0.0.0"  # noqa: S104 - X-Road's word for it
_VERSION = Path("/proc/version")
_PACKAGE_LISTS = (
    ("dpkg-query", "--show", "--showformat", "${Package}/${Version}\n"),
    ("rpm", "-qa", "--queryformat", "%{NAME}/%{VERSION}-%{RELEASE}\n"),
)
_PROCESS_FACTS = (
    "pid", "name", "username", "cpu_times", "create_time", "memory_percent",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """The machine at one moment, in X-Road's words."""

    values: dict[str, int]
    taken: datetime


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """One process, as `ps` tells it.

    Attributes:
        cpu_load: time on a processor for each second of its life, in percent.
        memory: of the machine's, in percent.
        started: `09:15` today, `Mar02` this year, `2025` before.
    """

    pid: int
    command: str
    cpu_load: str
    memory: str
    started: str
    user: str


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What can be told of the machine now.

    Attributes:
        simple: values that are told as they are, by name.
        samples: of the last minutes, oldest first; at least one.
        packages: name and version, of the system and of Python.
    """

    simple: dict[str, str]
    samples: tuple[Sample, ...]
    processes: tuple[ProcessInfo, ...]
    own_processes: tuple[ProcessInfo, ...]
    packages: tuple[tuple[str, str], ...]


class Host:
    """Samples the machine, and looks around on request."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._own = psutil.Process()
        self._samples: deque[Sample] = deque(maxlen=_SAMPLES)
        self._listed: tuple[datetime, tuple[ProcessInfo, ...], tuple[ProcessInfo, ...]] | None
        self._listed = None
        self._packages: tuple[datetime, tuple[tuple[str, str], ...]] | None = None
        self._asking = asyncio.Lock()

    async def run(self) -> None:
        """Take samples until cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(_SAMPLE_EVERY)

    def sample(self) -> None:
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        values = {
            "CommittedVirtualMemory": self._own.memory_info().vms,
            "FreePhysicalMemory": memory.free,
            "FreeSwapSpace": swap.free,
            "OpenFileDescriptorCount": self._own.num_fds(),
            "SystemCpuLoad": round(psutil.cpu_percent()),
        }
        self._samples.append(Sample(values, self._clock()))

    async def facts(self, wanted: Callable[[str], bool]) -> HostFacts:
        """What can be told; lists that are not wanted stay empty.

        Args:
            wanted: by the name of a list: `Processes`, `Xroad Processes`, `Packages`.

        Raises:
            OSError, psutil.Error: the machine does not tell.
        """
        if not self._samples:
            self.sample()
        processes: tuple[ProcessInfo, ...] = ()
        own: tuple[ProcessInfo, ...] = ()
        packages: tuple[tuple[str, str], ...] = ()
        async with self._asking:
            if wanted("Processes") or wanted("Xroad Processes"):
                processes, own = await self._all_processes()
            if wanted("Packages"):
                packages = await self._all_packages()
        simple = await asyncio.to_thread(_simple_values)
        return HostFacts(simple, tuple(self._samples), processes, own, packages)

    async def _all_processes(self) -> tuple[tuple[ProcessInfo, ...], tuple[ProcessInfo, ...]]:
        now = self._clock()
        if self._listed is None or now - self._listed[0] >= _PROCESSES_FOR:
            processes = await asyncio.to_thread(_list_processes, psutil.process_iter(), now)
            family = await asyncio.to_thread(_family, self._own)
            own = await asyncio.to_thread(_list_processes, family, now, whole_command=True)
            self._listed = (now, processes, own)
        return self._listed[1:]

    async def _all_packages(self) -> tuple[tuple[str, str], ...]:
        now = self._clock()
        if self._packages is None or now - self._packages[0] >= _PACKAGES_FOR:
            self._packages = (now, await asyncio.to_thread(_list_packages))
        return self._packages[1]


def internal_address() -> str:
    """The first address of this machine that others may reach; IPv4 before IPv6."""
    states = psutil.net_if_stats()
    found: dict[int, str] = {}
    for interface, addresses in psutil.net_if_addrs().items():
        state = states.get(interface)
        for each in addresses:
            if each.family in _FAMILIES and state is not None and state.isup:
                address = ip_address(each.address.partition("%")[0])
                if not address.is_loopback and not address.is_link_local:
                    found.setdefault(each.family, str(address))
    return next((found[family] for family in _FAMILIES if family in found), _NO_ADDRESS)


def _simple_values() -> dict[str, str]:
    disk, memory, swap = psutil.disk_usage("/"), psutil.virtual_memory(), psutil.swap_memory()
    return {
        "DiskSpaceFree_/": str(disk.free),
        "DiskSpaceTotal_/": str(disk.total),
        "MaxFileDescriptorCount": str(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        "OperatingSystem": _operating_system(),
        "TotalPhysicalMemory": str(memory.total),
        "TotalSwapSpace": str(swap.total),
    }


def _operating_system() -> str:
    try:
        return _VERSION.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return platform.platform()


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _list_processes(
    processes: Iterable[psutil.Process], at: datetime, *, whole_command: bool = False
) -> tuple[ProcessInfo, ...]:
    found = []
    for process in processes:
        try:
            facts = process.as_dict(_PROCESS_FACTS)
            command = " ".join(process.cmdline()) if whole_command else ""
        except psutil.Error:  # gone, or nobody may look
            continue
        found.append(_process_info(facts, command, at))
        if len(found) >= _MAX_PROCESSES:
            break
    return tuple(found)


def _process_info(facts: dict[str, Any], command: str, at: datetime) -> ProcessInfo:
    """What `psutil` says of a process; it says None of what we may not know."""
    times = facts["cpu_times"]
    busy = 0.0 if times is None else times.user + times.system
    born = datetime.fromtimestamp(facts["create_time"] or 0.0, UTC)
    age = max((at - born).total_seconds(), 1.0)
    return ProcessInfo(
        pid=facts["pid"],
        command=(command or facts["name"] or "")[:_LONGEST_COMMAND],
        cpu_load=f"{100 * busy / age:.1f}",
        memory=f"{facts['memory_percent'] or 0.0:.1f}",
        started=_start_time(born.astimezone(), at.astimezone()),
        user=facts["username"] or "",
    )


def _start_time(born: datetime, at: datetime) -> str:
    if born.date() == at.date():
        return f"{born:%H:%M}"
    return f"{born:%b%d}" if born.year == at.year else f"{born:%Y}"


def _list_packages() -> tuple[tuple[str, str], ...]:
    """The packages of the system as far as it tells, and those of Python, in order of name."""
    found = dict(_system_packages())
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            found[f"python:{name}"] = distribution.version
    return tuple(sorted(found.items())[:_MAX_PACKAGES])


def _system_packages() -> Iterable[tuple[str, str]]:
    for command, *arguments in _PACKAGE_LISTS:
        program = shutil.which(command)
        if program is None:
            continue
        try:
            answer = subprocess.run(  # noqa: S603 - a fixed command without outside words
                [program, *arguments],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_LISTING,
                check=True,
                env={"PATH": os.defpath},
            )
        except (OSError, subprocess.SubprocessError):
            continue
        for line in answer.stdout.splitlines():
            name, slash, version = line.partition("/")
            if slash:
                yield name, version
        return
