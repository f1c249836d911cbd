"""What terms cost: pieces alone, and exchanges with and without terms side by side in one run.

    python -m tests.reduction_load [exchanges of each kind in a round]

Exchanges are told in CPU of the process, in which two nodes and the systems at either end run: the
others on a machine disturb that least. Compare within the table only.
"""

import asyncio
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from catalog.fields.reduction import reduce_json
from catalog.fields.selection import select
from catalog.fields.xml_reduction import reduce_envelope
from catalog.mapping import EndpointMapping, FieldMapping, View
from catalog.mapping import Rule as ViewRule
from catalog.meaning.vocabulary import FactType
from catalog.terms import NO_TERMS, Quota, Terms
from scripts.postgres import PostgresServer, PostgresSettings
from tests.raw_http import Headers
from tests.scene import CLIENT, PATH, rest_request
from tests.terms_stage import FORTY, INTENT, PERSON, Stage, terms_stage

AT = datetime(2026, 3, 1, tzinfo=UTC)
ROUNDS = 24
AT_ONCE = 8  # calls under way
THREE = ("f1", "f2", "f3")
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def microseconds(work: Callable[[], object], times: int = 2000) -> float:
    """Of one run, the best of five series."""
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(times // 5):
            work()
        best = min(best, (time.perf_counter() - began) / (times // 5))
    return best * 1e6


def pieces() -> None:
    def mapping(base: str) -> EndpointMapping:
        fields = [FieldMapping(name, f"{base}/{name}", f"urn:c:{name}") for name in FORTY]
        fields.append(FieldMapping("birth", f"{base}/birth", "", FactType.DATE))
        view = View("adult", "birth", ViewRule.YEARS_AT_LEAST, "18")
        return EndpointMapping(fields=tuple(fields), views=(view,))

    person = {**FORTY, "birth": "1990-01-01"}
    raw = json.dumps({"person": person}).encode()
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in person.items())
    soap = (
        f'<s:Envelope xmlns:s="{SOAP}"><s:Header/><s:Body><answer><person>{inner}</person></answer>'
        "</s:Body></s:Envelope>"
    ).encode()
    json_mapping, soap_mapping = mapping("/person"), mapping("/answer/person")
    chosen = select(json_mapping, THREE)
    with_view = select(json_mapping, (*THREE, "adult"))
    soap_chosen = select(soap_mapping, THREE)
    rows: list[tuple[str, Callable[[], object]]] = [
        ("choose 3 of 41 fields, once per grant", lambda: select(json_mapping, THREE)),
        (f"JSON, {len(raw)} bytes, 41 fields to 3", lambda: reduce_json(raw, chosen, AT)),
        ("the same and one view", lambda: reduce_json(raw, with_view, AT)),
        (f"SOAP, {len(soap)} bytes, 41 to 3", lambda: reduce_envelope(soap, soap_chosen, AT)),
    ]
    for name, work in rows:
        say(f"{name:45} {microseconds(work):8.0f} µs")
    many = json.dumps([{"person": person}] * 1000).encode()
    listed = EndpointMapping(
        fields=tuple(FieldMapping(name, f"/*/person/{name}") for name in FORTY)
    )
    of_list = select(listed, THREE)
    took = microseconds(lambda: reduce_json(many, of_list, AT), 10)
    say(f"{'JSON list of 1000 such, ' + str(len(many)) + ' bytes':45} {took:8.0f} µs")


async def rate(stage: Stage, count: int, headers: Headers, path: str = PERSON) -> float:
    """Milliseconds of this process' CPU for each of `count` calls, some of them at a time.

    The process holds both nodes, the systems at either end, but not the database.
    """
    port = stage.consumer.running.ports["systems http"].number
    wire = rest_request("GET", PATH + path, (CLIENT, *headers))

    async def caller() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(count // AT_ONCE):
            writer.write(wire)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
        writer.close()

    began = time.process_time()
    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    return (time.process_time() - began) * 1000 / (count // AT_ONCE * AT_ONCE)


async def exchanges(count: int) -> None:
    large = Quota(10_000_000, timedelta(days=1))
    kinds: dict[str, tuple[Terms, bool, Headers]] = {
        "plain: no terms, no mapping": (NO_TERMS, False, ()),
        "a mapping that names the subject": (NO_TERMS, True, ()),
        "the same, with an intent": (NO_TERMS, True, INTENT),
        "three of forty fields": (Terms(fields=THREE), True, INTENT),
        "three of forty fields and a quota": (Terms(fields=THREE, quota=large), True, INTENT),
    }
    took: dict[str, list[float]] = {name: [] for name in kinds}
    with tempfile.TemporaryDirectory(prefix="sacbe-") as folder:
        async with (
            PostgresServer(Path(folder) / "db", PostgresSettings()) as postgres,
            terms_stage(Path(folder), postgres) as stage,
        ):
            for turn in range(ROUNDS + 1):  # the first one warms up
                for name, (terms, mapped, headers) in kinds.items():
                    await stage.grant(terms, mapped=mapped)
                    found = await rate(stage, count if turn else AT_ONCE * 4, headers)
                    if turn:
                        took[name].append(found)
            await taking(stage)
    base = took["plain: no terms, no mapping"]
    for name, series in took.items():
        ratios = [one / plain for one, plain in zip(series, base, strict=True)]
        quarters = statistics.quantiles(ratios)
        say(
            f"{name:45} {statistics.median(series):8.2f} ms  x{statistics.median(ratios):.2f}"
            f"  (half of the rounds {quarters[0]:.2f} to {quarters[2]:.2f})"
        )


async def taking(stage: Stage) -> None:
    """What a call under a quota costs besides, and how many a second one grant takes."""
    quota = Quota(10_000_000, timedelta(days=1))
    uses = stage.enforcement.uses

    async def timed(name: str, work: Callable[[], Awaitable[object]], times: int = 500) -> None:
        began = time.perf_counter()
        for _ in range(times):
            await work()
        say(f"{name:45} {(time.perf_counter() - began) / times * 1e6:8.0f} µs")

    await timed("look whether rights changed", stage.enforcement.refresh)
    await timed("count a call under a quota", lambda: uses.take_call(1, quota, datetime.now(UTC)))


def main() -> None:
    logging.disable(logging.WARNING)
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 96
    pieces()
    asyncio.run(exchanges(count))


if __name__ == "__main__":
    main()
