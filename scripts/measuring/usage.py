"""What processes use, as Linux tells in /proc: CPU time, resident memory, who belongs to whom."""

import os
from dataclasses import dataclass
from pathlib import Path

from trust.errors import StorageError

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
# fields of /proc/PID/stat behind the name in brackets; proc(5) counts from 1, these from 0
_PARENT, _OWN_TIMES, _CHILDREN_TIMES = 1, slice(11, 13), slice(13, 15)


@dataclass(frozen=True, slots=True)
class _Stat:
    parent: int
    own: float  # CPU seconds
    ended_children: float  # CPU seconds of children that have ended


def _read_stat(pid: int) -> _Stat | None:
    """None for a process that is gone."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    own = sum(map(int, fields[_OWN_TIMES])) / _TICKS
    return _Stat(int(fields[_PARENT]), own, sum(map(int, fields[_CHILDREN_TIMES])) / _TICKS)


def family_of(pid: int) -> frozenset[int]:
    """A process and all that descend from it; raises StorageError where there is no /proc."""
    if not (_PROC / "self" / "stat").exists():
        raise StorageError("This system has no /proc, so nothing can be said about processes")
    children: dict[int, list[int]] = {}
    for entry in _PROC.glob("[0-9]*"):
        stat = _read_stat(int(entry.name))
        if stat is not None:
            children.setdefault(stat.parent, []).append(int(entry.name))
    found, waiting = set(), [pid]
    while waiting:
        one = waiting.pop()
        found.add(one)
        waiting += children.get(one, ())
    return frozenset(found)


def cpu_seconds(pid: int, *, family: bool = False) -> float:
    """CPU time of a process so far.

    Args:
        family: with all that descend from it, also those that have ended.
    """
    if not family:
        stat = _read_stat(pid)
        return 0.0 if stat is None else stat.own
    stats = (_read_stat(one) for one in family_of(pid))
    return sum(stat.own + stat.ended_children for stat in stats if stat is not None)


def resident_mb(pid: int) -> float:
    """Memory that a process has in RAM, in MB; 0 when it is gone."""
    try:
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0.0
    size = next((line.split()[1] for line in lines if line.startswith("VmRSS:")), "0")
    return int(size) * 1024 / 1e6
