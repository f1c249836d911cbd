"""What is left as proof, and that it shows when somebody takes a piece away.

What is removed or changed here is put back, so a sandbox that is kept is as it was.
"""

import asyncio
import io
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from node.log.rows import COLUMNS
from scripts.ecosystem.clerk import Clerk, StepFailed, Trace
from scripts.ecosystem.institutions import CIVIL, MUNI, TAX, Institution
from scripts.trustlist import load_trust_list
from trust.evidence.asic import parse_container
from trust.evidence.container import verify_container
from trust.report import Outcome
from trust.secrets import read_secret
from trust.witness.announcement import log_origin

_PATIENCE = 40.0  # seconds, for what happens at an interval
_PAUSE = 0.3
_COMMAND = 60.0  # seconds
_AUDIT_PAUSES = (1, 2, 3, 3, 3, 0)  # seconds after each look at an archive that grows
_SETTLED = 6.0  # seconds after which an exchange of a day that is not over is compared


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command came to."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, object]:
        try:
            found = json.loads(self.out)
        except ValueError as error:
            raise StepFailed(f"a command printed no JSON: {self.err[-300:]}") from error
        if not isinstance(found, dict):
            raise StepFailed("a command printed no object")
        return found


async def sacbe(*words: str) -> Ran:
    """Run a command as an operator or auditor would, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "scripts.cli", *words,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_COMMAND):
            out, err = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return Ran(process.returncode or 0, out.decode(), err.decode())


@dataclass(slots=True)
class EvidenceStory:
    """The steps about proof, after everything else was asked."""

    clerk: Clerk

    # --- time-stamps, archive ---------------------------------------------------------------------

    async def stamped(self) -> str:
        """A container is stamped at once when it is asked for with force; all others soon."""
        trace = self._answered(CIVIL)
        raw = await self.clerk.system(trace.keeper).container(
            trace.message_id, trace.client, trace.direction
        )
        if raw is None:
            raise StepFailed("there is no container")
        conf = await asyncio.to_thread(load_trust_list, str(self.clerk.site.anchor))
        verdict = verify_container(parse_container(io.BytesIO(raw)), conf, datetime.now(UTC))
        if verdict.verdict is not Outcome.PASSED or verdict.timestamp is None:
            raise StepFailed(f"the container has no good time-stamp: {verdict.reason}")
        waited = 0
        for one in self.clerk.site.institutions:
            waited += await self._until(one, _ALL_STAMPED)
        return f"on demand at {verdict.timestamp:%H:%M:%S}; {waited} records at their interval"

    async def receipt(self) -> str:
        """A receipt is judged with no other file but the anchor, and no network."""
        trace = self._answered(CIVIL)
        site = self.clerk.site
        raw = await self.clerk.system(MUNI).receipt(trace.message_id, trace.client)
        file = site.folder / f"{trace.message_id}.receipt"
        await asyncio.to_thread(file.write_bytes, raw)
        ran = await sacbe("verify", str(file), "--anchor", str(site.anchor), "--json")
        await asyncio.to_thread(file.unlink)
        _expect(0, ran, "of a receipt")
        return f"{len(raw)} bytes, passed with the anchor alone"

    async def archived(self) -> str:
        """All of the Civil Registry's records come into archive files, which hold alone."""
        folder, found = str(self.clerk.site.of(CIVIL) / "archive"), ""
        for pause in _AUDIT_PAUSES:
            count = await self._until(CIVIL, _ALL_ARCHIVED)
            report = await self._audit("--archive", folder)
            if report.code == 0:
                return f"{count} containers, linked and judged without the node's database"
            # The catalog is harvested meanwhile: files may be there before the checkpoint that
            # has their records, or come while the archive is read.
            found = _reason(report)
            await asyncio.sleep(pause)
        raise StepFailed(f"the archive does not hold: {found}")

    # --- a record that is removed -----------------------------------------------------------------

    async def removed(self) -> str:
        """A deleted record is found by the audit, and by the other node's reconciliation."""
        trace = self._answered(TAX)
        config = self._config(MUNI)
        day, exchange_id = await self._settled(trace)
        _expect(0, await self._reconcile(TAX, day), "before anything was removed")
        _expect(0, await self._audit("--config", config), "of the whole log")
        async with self._without(trace):
            found = _difference(_expect(1, await self._reconcile(TAX, day), "of a log with a gap"))
            if found.get("exchange_id") != exchange_id:
                raise StepFailed(f"reconciliation names {found}, not {exchange_id}")
            _expect(1, await self._audit("--config", config), "of a log with a gap")
        _expect(0, await self._reconcile(TAX, day), "after it was put back")
        _expect(0, await self._audit("--config", config), "after it was put back")
        return "named by the other node and by the audit; equal and passed when put back"

    async def stranger(self) -> str:
        """Who used the Municipality's keys elsewhere left a trace at the Civil Registry alone."""
        day, _ = await self._settled(self._answered(CIVIL))
        found = _difference(_expect(1, await self._reconcile(CIVIL, day), "with a stranger"))
        if found.get("kind") != "not-there":
            raise StepFailed(f"the first difference is {found}")
        return f"{found.get('exchange_id')}: {found.get('text')}"

    async def _settled(self, trace: Trace) -> tuple[str, str]:
        """The day and the id of an exchange that is old enough to be compared."""
        async with self._database(MUNI) as database:
            row = await database.fetchrow(
                "SELECT time, exchange_id FROM message_record WHERE message_id = $1 AND response"
                " AND side = 'consumer'",
                trace.message_id,
            )
        if row is None:
            raise StepFailed("the consumer's node holds no answer")
        age = (datetime.now(UTC) - row["time"]).total_seconds()
        await asyncio.sleep(max(0.0, _SETTLED - age))
        return f"{row['time'].astimezone(UTC):%Y-%m-%d}", row["exchange_id"]

    async def _reconcile(self, one: Institution, day: str) -> Ran:
        """An institution compares with the Municipality."""
        return await sacbe(
            "reconcile", "--config", self._config(one), "--peer", MUNI.server.colons,
            "--day", day, "--json",
        )  # fmt: skip

    async def _audit(self, *what: str) -> Ran:
        lists = str(self.clerk.site.of(MUNI) / "data" / "trust-lists")
        return await sacbe("audit", *what, "--trust-lists", lists, "--format", "json", "--quiet")

    @asynccontextmanager
    async def _without(self, trace: Trace) -> AsyncIterator[None]:
        """The Municipality's log without its record of an answer."""
        async with self._database(MUNI) as database:
            columns = ", ".join(COLUMNS)
            async with database.transaction():
                row = await database.fetchrow(
                    "DELETE FROM message_record WHERE message_id = $1 AND response"  # noqa: S608
                    f" AND side = 'consumer' RETURNING {columns}",
                    trace.message_id,
                )
            if row is None:
                raise StepFailed("there is nothing to be removed")
            try:
                yield
            finally:
                await database.copy_records_to_table(
                    "message_record", columns=COLUMNS, records=[tuple(row)]
                )

    # --- a log that is rewritten ------------------------------------------------------------------

    async def witnessed(self) -> str:
        """The Tax Authority's newest checkpoint is changed; the Municipality raises the alarm."""
        origin = log_origin(TAX.server)
        await self._until(MUNI, _WITNESSED, origin)
        began = time.monotonic()
        before: dict[int, bytes] = {}
        try:
            while not await self._value(MUNI, _ALARMS, origin):
                if time.monotonic() - began > _PATIENCE:
                    raise StepFailed("the Municipality's node raised no alarm")
                await self._change_checkpoint(before)
                await asyncio.sleep(_PAUSE)
            shown = await sacbe("node", "witness", "--config", self._config(MUNI))
            if shown.code != 1 or origin not in shown.out:
                raise StepFailed("the alarm is not shown to the operator")
        finally:
            async with self._database(TAX) as database:
                for size, note in before.items():
                    await database.execute(
                        "UPDATE log_checkpoint SET note = $2 WHERE size = $1", size, note
                    )
            await sacbe("node", "witness", "--config", self._config(MUNI), "--settle", origin)
        return f"alarm after {time.monotonic() - began:.1f} s, settled by the operator"

    async def _change_checkpoint(self, before: dict[int, bytes]) -> None:
        """Make the newest checkpoint name another size, and have it handed over again."""
        async with self._database(TAX) as database, database.transaction():
            row = await database.fetchrow(
                "SELECT size, note FROM log_checkpoint ORDER BY size DESC LIMIT 1 FOR UPDATE"
            )
            if row is not None and row["size"] not in before:
                before[row["size"]] = row["note"]
                changed = row["note"].replace(
                    b"\n%d\n" % row["size"], b"\n%d\n" % (row["size"] + 1)
                )
                await database.execute(
                    "UPDATE log_checkpoint SET note = $2 WHERE size = $1", row["size"], changed
                )
            await database.execute("UPDATE witness_peer SET tried = '-infinity'")

    # --- all of them ------------------------------------------------------------------------------

    def _answered(self, provider: Institution) -> Trace:
        """An exchange of the Municipality that was answered."""
        for trace in self.clerk.traces:
            if trace.keeper == MUNI and trace.provider == provider and trace.holds:
                return trace
        raise StepFailed(f"no exchange with the {provider.name} was answered")

    def _config(self, one: Institution) -> str:
        return str(self.clerk.site.of(one) / "node.toml")

    @asynccontextmanager
    async def _database(
        self, one: Institution
    ) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        dsn = await asyncio.to_thread(_dsn, self.clerk.site.of(one))
        connection = await asyncpg.connect(dsn)
        try:
            yield connection
        finally:
            await connection.close()

    async def _value(self, one: Institution, sql: str, *values: object) -> int | None:
        async with self._database(one) as database:
            found: int | None = await database.fetchval(sql, *values)
            return found

    async def _until(self, one: Institution, sql: str, *values: object) -> int:
        """Wait until a question to a node's database has an answer."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            found = await self._value(one, sql, *values)
            if found is not None:
                return found
            if time.monotonic() > deadline:
                raise StepFailed(f"nothing came of it within {_PATIENCE:.0f} s at the {one.name}")
            await asyncio.sleep(_PAUSE)


# What is left to do is not there yet: each answers once, and null before that.
_ALL_STAMPED = "SELECT leaves FROM log_size WHERE stamped = leaves AND leaves > 0"
_ALL_ARCHIVED = """
SELECT sum(containers) FROM archive_file HAVING bool_and(stored IS NOT NULL)
AND sum(containers) >= (SELECT count(*) FROM message_record)
"""
_WITNESSED = "SELECT size FROM witnessed_log WHERE origin = $1"
_ALARMS = "SELECT count(*) FROM witness_alarm WHERE origin = $1 AND settled IS NULL"


def _dsn(folder: Path) -> str:
    return read_secret(folder / "database.dsn").decode()


def _expect(code: int, ran: Ran, what: str) -> Ran:
    if ran.code != code:
        raise StepFailed(f"{what}: exit code {ran.code}: {_reason(ran)}")
    return ran


def _difference(ran: Ran) -> dict[str, object]:
    found = ran.json().get("difference")
    if not isinstance(found, dict):
        raise StepFailed(f"reconciliation names nothing: {ran.out}")
    return found


def _reason(ran: Ran) -> str:
    return f"{ran.err} {ran.out}".strip()[-1000:]
