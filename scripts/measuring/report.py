"""The figures as JSON for programs and as tables for people."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from node.exchange.settings import SigningMode
from scripts.measuring.figures import Case, Figures, summarise
from scripts.measuring.load import BODY_SIZES

_KEY_NAMES = {"p256": "P-256", "rsa2048": "RSA-2048", "rsa3072": "RSA-3072"}
_HEAD = f"  {'body':<6} {'through':<8} {'per s':>8} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8}"


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under what the figures were measured."""

    seconds: float
    rounds: int
    connections: int
    nginx: bool
    signing: SigningMode = SigningMode.AUTO


def as_json(cases: Sequence[Case], conditions: Conditions) -> dict[str, object]:
    """One object; `nginx` and `ratio` of a case are null on a machine without nginx."""
    return {
        "ok": not any(case.failure for case in cases),
        "seconds": conditions.seconds,
        "rounds": conditions.rounds,
        "connections": conditions.connections,
        "signing": conditions.signing.value,
        "cores": os.cpu_count(),
        "nginx": conditions.nginx,
        "cases": [_case_json(case) for case in cases],
    }


def _case_json(case: Case) -> dict[str, object]:
    ratio = case.ratio
    return {
        "keys": case.keys,
        "body": case.body,
        "body_bytes": BODY_SIZES[case.body],
        "nodes": _figures_json(summarise(case.nodes)) | {"rss_mb": case.rss_mb},
        "nginx": _figures_json(summarise(case.nginx)) if case.nginx else None,
        "ratio": None if ratio is None else round(ratio, 4),
        "failure": case.failure or None,
    }


def _figures_json(figures: Figures) -> dict[str, object]:
    found: dict[str, object] = {
        "exchanges": figures.exchanges,
        "failed": figures.failed,
        "per_second": round(figures.per_second, 1),
    }
    found |= {f"{name}_ms": round(value, 3) for name, value in figures.latency_ms.items()}
    found["cpu_ms"] = {name: round(value, 3) for name, value in figures.cpu_ms.items()}
    if figures.stages_ms:
        found["stages_ms"] = {
            node: {stage: round(value, 3) for stage, value in stages.items()}
            for node, stages in figures.stages_ms.items()
        }
        found["messages_per_signature"] = {
            node: round(value, 2) for node, value in figures.messages_per_signature.items()
        }
    return found


def as_text(cases: Sequence[Case], conditions: Conditions) -> str:
    """Tables, one block for each kind of key."""
    lines = [
        f"Closed loop, {conditions.connections} connections, {conditions.seconds:g} s for each case"
        f" and way in {conditions.rounds} rounds, {os.cpu_count()} CPU cores for everything.",
        "Request and answer have a body of that size each; the databases write with fsync.",
    ]
    if not conditions.nginx:
        lines.append("nginx is not installed, so there is nothing to compare with.")
    for keys in dict.fromkeys(case.keys for case in cases):
        own = [case for case in cases if case.keys == keys]
        lines += ["", f"{_KEY_NAMES[keys]} keys", f"{_HEAD}  CPU ms of one exchange"]
        for case in own:
            lines += _speed(case)
        lines += ["", "  Time in each stage, ms of one exchange"]
        for case in own:
            lines += _stages(case)
        memory = {name: value for case in own for name, value in case.rss_mb.items()}
        told = ", ".join(f"{name} {value:.0f}" for name, value in memory.items())
        lines += ["", f"  Messages under one signature (signing: {conditions.signing.value})"]
        lines += [_batches(case) for case in own]
        lines += ["", f"  Resident memory at the end, MB: {told}"]
    lines += [f"FAILED {case.keys} {case.body}: {case.failure}" for case in cases if case.failure]
    return "\n".join(lines)


def _speed(case: Case) -> Iterator[str]:
    ours = summarise(case.nodes)
    yield _row(case.body, "nodes", ours)
    if case.nginx:
        theirs = summarise(case.nginx)
        yield _row("", "nginx", theirs)
        if case.ratio and theirs.cpu_total_ms:
            times = ours.cpu_total_ms / theirs.cpu_total_ms
            yield f"  {'':<6} {'ratio':<8} {case.ratio:>8.4f} {'':>26}  {times:.0f} times nginx's"


def _row(body: str, way: str, figures: Figures) -> str:
    times = " ".join(f"{value:>8.2f}" for value in figures.latency_ms.values())
    parts = ", ".join(f"{name} {value:.2f}" for name, value in figures.cpu_ms.items())
    cpu = f"{figures.cpu_total_ms:.2f} ({parts})"
    return f"  {body:<6} {way:<8} {figures.per_second:>8.0f} {times}  {cpu}"


def _batches(case: Case) -> str:
    found = summarise(case.nodes).messages_per_signature
    told = ", ".join(f"{node} {value:.2f}" for node, value in found.items())
    return f"  {case.body:<6} {told}"


def _stages(case: Case) -> Iterator[str]:
    label = case.body
    for node, stages in summarise(case.nodes).stages_ms.items():
        told = "  ".join(f"{stage} {value:.2f}" for stage, value in stages.items())
        yield f"  {label:<6} {node:<8} {sum(stages.values()):>8.2f} = {told}"
        label = ""
