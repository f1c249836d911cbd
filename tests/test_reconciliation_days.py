"""Counting a day and going down to a difference: midnight, many exchanges, peers that lie."""

import asyncio
import dataclasses
import itertools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache

import asyncpg
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from node.exchange.own_call import OwnAnswer
from node.exchange.signer import SignatureForm, sign_parts
from node.log.messagelog import MessageLog
from node.log.records import MessageRecord, Side
from node.reconciliation.comparing import Compared, Comparer, NoComparison
from node.reconciliation.counting import Window
from node.reconciliation.counts import Counts
from node.reconciliation.differences import Kind
from node.reconciliation.service import ReconciliationService
from node.reconciliation.wire import (
    LARGEST_ANSWER,
    SERVICE_CODE,
    Answer,
    Comparison,
    Counting,
    ExchangeQuestion,
    Held,
    Question,
    RangeQuestion,
    Refused,
    build_answer,
    parse_answer,
    parse_question,
)
from scripts.postgres import PostgresServer
from tests.message_records import CLIENT, PROVIDER, SERVICE, message_log
from tests.pki import Pki
from trust.database import Pool, PoolSettings, open_pool
from trust.digests import sha512
from trust.errors import MalformedMessage
from trust.evidence.exchange_tree import DAY_SECONDS, Entry, Part, Range, entry_key
from trust.evidence.hashchain import PartDigest
from trust.ids import ServerId, ServiceId
from trust.pki.identities import SignIdentity

HERE, THERE = ServerId(CLIENT.member, "node1"), ServerId(PROVIDER.member, "node1")
DAY = date(2026, 3, 2)
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
_NUMBERS = itertools.count(1)


PATIENCE = 60.0  # seconds


@cache
def signer() -> SignIdentity:
    pki = Pki(MIDNIGHT - timedelta(days=1), "EX")
    certified = pki.sign(CLIENT.member)
    responses = (pki.ocsp(certified.certificate),)
    return SignIdentity(CLIENT.member, certified.key, certified.certificate, (), responses)


def signed(message: bytes, at: datetime) -> bytes:
    parts = [PartDigest.of("/message.xml", message)]
    return sign_parts(signer(), parts, at, SignatureForm.REFERENCES).signature


@dataclass
class Site:
    """One node's log with what reconciles it."""

    server: ServerId
    peer: ServerId
    log: MessageLog
    pool: Pool
    service: ReconciliationService

    @classmethod
    @asynccontextmanager
    async def opened(cls, server: ServerId, peer: ServerId, dsn: str) -> AsyncIterator["Site"]:
        async with message_log(dsn) as log:
            pool = await open_pool(dsn, "sacbe-test", PoolSettings(max_connections=4))
            service = ReconciliationService(server, Counts(pool, log, server, utc_now), log)
            try:
                yield cls(server, peer, log, pool, service)
            finally:
                await service.close()
                await pool.close()

    async def answer(self, question: Question) -> Answer:
        """What the service says to a caller who may ask."""
        if isinstance(question, RangeQuestion):
            return await self.service._range(question)
        return await self.service._exchange(question)


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Sites:
    """Two logs; `here` compares."""

    here: Site
    there: Site
    dsns: tuple[str, str]

    async def exchange(
        self,
        at: datetime,
        *,
        signed_at: datetime | None = None,
        apart: timedelta = timedelta(0),
        asked_here: bool = True,
        service: ServiceId = SERVICE,
    ) -> str:
        """An exchange in both logs; its id.

        Args:
            signed_at: None for a signature that says nothing of a time.
            apart: how far the clock there is ahead.
        """
        number = next(_NUMBERS)
        exchange_id, message = f"exchange-{number}", f"request {number}".encode()
        signature = b"<nothing/>" if signed_at is None else signed(message, signed_at)
        records = []
        for site, time in ((self.here, at), (self.there, at + apart)):
            asks = (site is self.here) is asked_here
            request = MessageRecord(
                time=time,
                side=Side.CONSUMER if asks else Side.PROVIDER,
                response=False,
                exchange_id=exchange_id,
                message_id=exchange_id,
                client=CLIENT,
                service=service,
                local=CLIENT if asks else PROVIDER,
                peer=str(site.peer),
                message=message,
                signature=signature,
            )
            answer = dataclasses.replace(
                request, response=True, message=b"answer to " + message, signature=b"<answer/>"
            )
            records += [site.log.append(request), site.log.append(answer)]
        await asyncio.gather(*records)
        return exchange_id

    async def compared(
        self, ask: "Callable[[str], Awaitable[OwnAnswer]] | None" = None, **changes: object
    ) -> Compared:
        of = dataclasses.replace(
            Comparison(HERE, str(uuid.uuid4()), DAY),
            **changes,  # type: ignore[arg-type]
        )
        comparer = Comparer(
            HERE,
            THERE,
            of,
            Counts(self.here.pool, self.here.log, HERE, utc_now),
            self.here.log,
            ask or self.ask,
            _to_nobody,
        )
        async with asyncio.timeout(PATIENCE):
            return await comparer.run()

    async def ask(self, query: str) -> OwnAnswer:
        answer = await self.there.answer(parse_question(query))
        return OwnAnswer(200, (), build_answer(answer), "-")


async def _to_nobody(_progress: str) -> None:
    """Nobody is told."""


@pytest_asyncio.fixture
async def sites(postgres_server: PostgresServer) -> AsyncIterator[Sites]:
    numbers = [next(_NUMBERS) for _ in range(2)]
    dsns = [await postgres_server.create_database(f"site_{number}") for number in numbers]
    async with (
        Site.opened(HERE, THERE, dsns[0]) as here,
        Site.opened(THERE, HERE, dsns[1]) as there,
    ):
        yield Sites(here, there, (dsns[0], dsns[1]))


# --- which exchanges a day has --------------------------------------------------------------------


async def test_the_signed_time_says_to_which_day_an_exchange_belongs(sites: Sites) -> None:
    """Clocks are minutes apart, and records of one exchange stand in different days."""
    second = timedelta(seconds=1)
    moments = [MIDNIGHT - second, MIDNIGHT, MIDNIGHT + timedelta(days=1) - second]
    moments.append(MIDNIGHT + timedelta(days=1))
    ids = [
        await sites.exchange(moment, signed_at=moment, apart=timedelta(minutes=minutes))
        for moment in moments
        for minutes in (-5, 5)
    ]
    assert len(ids) == 8
    compared = await sites.compared()
    assert compared.difference is None
    assert compared.mine == compared.theirs
    assert {entry.exchange_id for entry in compared.mine.entries} == set(ids[2:6])
    assert [entry.second for entry in compared.mine.entries] == [0, 0, 86399, 86399]
    before = await sites.compared(day=DAY - timedelta(days=1))
    assert {entry.exchange_id for entry in before.theirs.entries} == set(ids[:2])
    after = await sites.compared(day=DAY + timedelta(days=1))
    assert {entry.exchange_id for entry in after.theirs.entries} == set(ids[6:])


async def test_a_day_that_is_not_over_is_compared_up_to_a_second(sites: Sites) -> None:
    ids = [
        await sites.exchange(moment, signed_at=moment, apart=timedelta(minutes=1))
        for moment in (MIDNIGHT + timedelta(seconds=second) for second in (9, 10))
    ]
    compared = await sites.compared(until=10)
    assert [entry.exchange_id for entry in compared.mine.entries] == ids[:1]
    assert compared.mine == compared.theirs


async def test_a_signing_time_that_was_not_accepted_does_not_hide_an_exchange(
    sites: Sites,
) -> None:
    noon = MIDNIGHT + timedelta(hours=12)
    lying = await sites.exchange(noon, signed_at=noon - timedelta(days=30))
    silent = await sites.exchange(noon)
    compared = await sites.compared()
    assert {entry.exchange_id for entry in compared.mine.entries} == {lying, silent}
    assert compared.mine == compared.theirs


async def test_both_directions_and_nobody_else_are_compared(sites: Sites) -> None:
    noon = MIDNIGHT + timedelta(hours=12)
    ours = await sites.exchange(noon)
    theirs = await sites.exchange(noon, asked_here=False)
    comparing = ServiceId(PROVIDER, SERVICE_CODE)
    await sites.exchange(noon, service=comparing)
    sites.there.peer = ServerId(CLIENT.member, "node2")
    await sites.exchange(noon + timedelta(seconds=1))
    sites.there.peer = HERE
    compared = await sites.compared()
    consumers = {entry.exchange_id: entry.consumer for entry in compared.theirs.entries}
    assert consumers == {ours: str(HERE), theirs: str(THERE)}
    assert compared.difference is not None
    assert compared.difference.kind is Kind.NOT_THERE


# --- finding the difference -----------------------------------------------------------------------


async def many(sites: Sites, count: int) -> list[str]:
    """Exchanges over the day, in order of time."""
    step = timedelta(days=1) / count
    return await asyncio.gather(
        *(sites.exchange(MIDNIGHT + number * step) for number in range(count))
    )


async def remove(dsn: str, *ids: str, where: str = "true") -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            f"DELETE FROM message_record WHERE exchange_id = ANY($1) AND {where}", list(ids)
        )
    finally:
        await connection.close()


async def test_few_questions_find_the_first_of_many(sites: Sites) -> None:
    ids = await many(sites, 2000)
    equal = await sites.compared()
    assert (equal.difference, equal.questions) == (None, equal.questions)
    assert equal.mine.count == 2000
    await remove(sites.dsns[0], ids[1500])
    await remove(sites.dsns[1], ids[700], ids[1999])
    compared = await sites.compared()
    assert compared.difference is not None
    assert (compared.difference.exchange_id, compared.difference.kind) == (
        ids[700],
        Kind.NOT_THERE,
    )
    counting = equal.questions
    assert compared.questions <= counting + 10
    await remove(sites.dsns[0], ids[700], ids[1999])
    compared = await sites.compared()
    assert compared.difference is not None
    assert (compared.difference.exchange_id, compared.difference.kind) == (
        ids[1500],
        Kind.NOT_HERE,
    )


async def test_a_node_that_lost_everything_is_told_from_the_first_on(sites: Sites) -> None:
    ids = await many(sites, 300)
    await remove(sites.dsns[1], *ids)
    compared = await sites.compared()
    assert compared.difference is not None
    assert compared.difference.exchange_id == ids[0]
    assert (compared.mine.count, compared.theirs.count) == (300, 0)


async def test_what_is_the_same_by_now_is_no_difference(sites: Sites) -> None:
    noon = MIDNIGHT + timedelta(hours=12)
    exchange_id = await sites.exchange(noon)

    async def later(query: str) -> OwnAnswer:
        if isinstance(parse_question(query), ExchangeQuestion):
            await remove(sites.dsns[0], exchange_id)
            await remove(sites.dsns[1], exchange_id)
        return await sites.ask(query)

    await sites.exchange(noon + timedelta(seconds=1))
    await remove(sites.dsns[1], exchange_id)
    compared = await sites.compared(later)
    assert compared.mine != compared.theirs
    assert compared.difference is None


# --- days that went into the archive --------------------------------------------------------------


async def archived(sites: Sites, *, leaves_too: bool) -> None:
    """All records of the log there are in an archive file and gone from the database."""
    pool = sites.there.pool
    await pool.execute(
        "WITH moved AS (DELETE FROM evidence_queue RETURNING *)"
        " INSERT INTO log_leaf SELECT row_number() OVER (ORDER BY number) - 1, number, time,"
        " leaf_hash, signature_digest FROM moved"
    )
    await pool.execute(
        "INSERT INTO archive_file (party, name, digest, bytes, size, containers, first_leaf,"
        " last_leaf, first_time, last_time, made, stored) SELECT '', 'file', 'd', 'b', 1, count(*),"
        " min(leaf), max(leaf), min(time), max(time), now(), now() FROM log_leaf"
    )
    if leaves_too:
        await pool.execute("DELETE FROM log_leaf WHERE leaf < (SELECT max(leaf) FROM log_leaf)")
        await pool.execute("DELETE FROM message_record WHERE time < (SELECT time FROM log_leaf)")
    else:
        await pool.execute("INSERT INTO archive_entry SELECT leaf, file.id FROM log_leaf,"
                           " archive_file AS file")  # fmt: skip
        await pool.execute("DELETE FROM message_record")


@pytest.mark.parametrize("leaves_too", [False, True])
@pytest.mark.parametrize("long_ago", [False, True])
async def test_records_that_left_for_the_archive_are_told_as_that(
    sites: Sites, leaves_too: bool, long_ago: bool
) -> None:
    keep = timedelta(days=30 if long_ago else 36_500)
    sites.there.service.counts = Counts(sites.there.pool, sites.there.log, THERE, utc_now, keep)
    ids = await many(sites, 3)
    await archived(sites, leaves_too=leaves_too)
    if long_ago:
        with pytest.raises(NoComparison, match="2026-03-02 have left the database"):
            await sites.compared()
    else:  # nobody but a stranger can have removed them
        compared = await sites.compared()
        assert compared.difference is not None
        assert compared.difference.exchange_id == ids[0]


async def test_a_day_before_the_archive_s_oldest_leaf_is_compared_when_it_had_nothing(
    sites: Sites,
) -> None:
    sites.there.service.counts = Counts(
        sites.there.pool, sites.there.log, THERE, utc_now, timedelta(days=30)
    )
    await many(sites, 3)
    await archived(sites, leaves_too=False)
    compared = await sites.compared(day=DAY - timedelta(days=2))
    assert (compared.mine.count, compared.difference) == (0, None)


# --- several processes ----------------------------------------------------------------------------


async def test_any_process_answers_from_what_one_has_counted(sites: Sites) -> None:
    await many(sites, 200)
    async with Site.opened(THERE, HERE, sites.dsns[1]) as second:
        turns = itertools.cycle((sites.there, second))

        async def ask(query: str) -> OwnAnswer:
            answer = await next(turns).answer(parse_question(query))
            return OwnAnswer(200, (), build_answer(answer), "-")

        compared = await sites.compared(ask)
    assert compared.mine == compared.theirs
    assert compared.mine.count == 200


async def test_a_process_that_dies_while_it_counts_is_replaced(sites: Sites) -> None:
    await many(sites, 10)
    of = Comparison(HERE, str(uuid.uuid4()), DAY)
    claimed = await sites.there.service.counts.claim(HERE, of, own=False)
    assert isinstance(claimed, int)
    assert await sites.there.answer(RangeQuestion(of, b"")) == Counting(0)
    await sites.there.pool.execute(
        "UPDATE reconciliation_count SET beat = beat - interval '1 minute'"
    )
    compared = await sites.compared(run=of.run)
    assert compared.mine == compared.theirs
    assert compared.mine.count == 10


async def test_a_peer_that_asks_for_one_comparison_after_the_other_has_to_wait(
    sites: Sites,
) -> None:
    first, second = (Comparison(HERE, str(uuid.uuid4()), DAY) for _ in range(2))
    assert await sites.there.answer(RangeQuestion(first, b"")) == Counting(0)
    refused = await sites.there.answer(RangeQuestion(second, b""))
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*sites.there.service._tasks)
    assert isinstance(refused, Refused)
    await sites.there.pool.execute("UPDATE reconciliation_count SET took = interval '1 hour'")
    assert await sites.there.answer(RangeQuestion(second, b"")) == Counting(0)
    assert isinstance(await sites.there.answer(RangeQuestion(first, b"")), Range)
    await sites.there.pool.execute("UPDATE reconciliation_count SET took = interval '0'")
    assert await sites.there.answer(RangeQuestion(second, b"")) == Counting(0)
    rows = await sites.there.pool.fetch("SELECT run FROM reconciliation_count")
    assert [str(row["run"]) for row in rows] == [second.run]


# --- peers that lie -------------------------------------------------------------------------------


def saying(*answers: Answer) -> Callable[[str], Awaitable[OwnAnswer]]:
    """A peer that gives these answers and then the last one for ever."""
    left = itertools.chain(answers, itertools.repeat(answers[-1]))

    async def ask(_query: str) -> OwnAnswer:
        return OwnAnswer(200, (), build_answer(next(left)), "-")

    return ask


def a_part(byte: int = 0, count: int = 65) -> Part:
    return Part(byte, count, bytes(32))


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (saying(Range(b"", (a_part(),)), Range(b"")), "contradict each other"),
        (saying(Range(b"", (a_part(),)), Range(b"", (a_part(count=1 << 40),))), "contradict"),
        (saying(Range(b"", (a_part(),)), Counting(3)), "has counted and now says"),
        (saying(Held()), "answers another question"),
        (
            saying(
                Range(
                    b"",
                    entries=(
                        Entry(
                            entry_key(0, "SERVER:EX/A/B/C", "x"), "SERVER:EX/A/B/C", "x", b"", b""
                        ),
                    ),
                )
            ),
            "no hash",
        ),
        (
            saying(
                Range(
                    b"",
                    entries=(
                        Entry(
                            entry_key(0, "SERVER:EX/A/B/C", "x"),
                            "SERVER:EX/A/B/C",
                            "x",
                            bytes(32),
                            bytes(32),
                        ),
                    ),
                )
            ),
            "somebody else",
        ),
    ],
)
async def test_a_peer_that_contradicts_itself_is_told(
    sites: Sites, ask: Callable[[str], Awaitable[OwnAnswer]], words: str
) -> None:
    with pytest.raises((MalformedMessage, NoComparison), match=words):
        await sites.compared(ask)


async def test_a_tree_that_goes_on_for_ever_comes_to_an_end(sites: Sites) -> None:
    """Every range is said to be one part of itself: keys are only so long."""
    await sites.exchange(MIDNIGHT)
    chain = [Range(bytes(35), (a_part(),))]
    for depth in range(34, -1, -1):
        inner = chain[-1]
        chain.append(Range(bytes(depth), (Part(0, inner.count, inner.hash),)))
    by_depth = {len(found.prefix): found for found in chain}
    asked: list[int] = []

    async def ask(query: str) -> OwnAnswer:
        question = parse_question(query)
        assert isinstance(question, RangeQuestion)
        asked.append(len(question.prefix))
        return OwnAnswer(200, (), build_answer(by_depth[len(question.prefix)]), "-")

    with pytest.raises(MalformedMessage, match="more exchanges in a range than there can be"):
        await sites.compared(ask)
    assert asked == list(range(35))


async def test_a_peer_that_names_differences_without_end_is_left(
    sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It claims an exchange that it then says nobody holds, again and again."""
    monkeypatch.setattr("node.reconciliation.comparing.MOST_QUESTIONS", 50)
    entries = [
        Entry(entry_key(0, str(THERE), str(number)), str(THERE), str(number), bytes(32), bytes(32))
        for number in range(64)
    ]
    whole = Range(b"", entries=tuple(sorted(entries, key=lambda one: one.key)))
    with pytest.raises(NoComparison, match="50 questions"):
        await sites.compared(saying(whole, Held()))


async def test_a_peer_that_never_stops_counting_is_left(
    sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.reconciliation.comparing._PATIENCE", 0.5)
    with pytest.raises(NoComparison, match="did not come to an end of counting"):
        await sites.compared(saying(Counting(1)))


async def test_a_refusal_and_a_strange_status_are_told(sites: Sites) -> None:
    with pytest.raises(NoComparison, match="come again later"):
        await sites.compared(saying(Refused("come again later")))

    async def ask(_query: str) -> OwnAnswer:
        return OwnAnswer(404, (), b"", "-")

    with pytest.raises(NoComparison, match="status 404"):
        await sites.compared(ask)


# --- questions and answers ------------------------------------------------------------------------

OF = Comparison(HERE, "00000000-0000-4000-8000-000000000001", DAY, 100)
GOOD = RangeQuestion(OF, b"\x00\x01").query


@pytest.mark.parametrize(
    "question",
    [RangeQuestion(OF, b""), RangeQuestion(OF, b"\x00\xff"), ExchangeQuestion(OF, "a&b=c ü", HERE)],
)
def test_a_question_is_read_as_it_was_written(question: Question) -> None:
    assert parse_question(question.query) == question


@pytest.mark.parametrize(
    "query",
    [
        "", "range=00", GOOD + "&range=00", GOOD.replace("until=100", "until=86401"),
        GOOD.replace("until=100", "until=0"), GOOD.replace("2026-03-02", "2026-02-30"),
        GOOD.replace("range=0001", "range=0"), GOOD.replace("range=0001", "range=" + "00" * 35),
        GOOD.replace("run=", "run=x"), GOOD.replace("server=EX", "server="),
        GOOD + "".join(f"&a{number}=1" for number in range(20)),
    ],
)  # fmt: skip
def test_what_is_no_question_is_refused(query: str) -> None:
    with pytest.raises(MalformedMessage):
        parse_question(query)


def an_entry(text: str = "x") -> Entry:
    key = entry_key(7, str(HERE), text)
    return Entry(key, str(HERE), text, sha512(b"q")[:32], sha512(b"a")[:32])


@pytest.mark.parametrize(
    "answer",
    [
        Counting(7),
        Refused("why"),
        Held(("sacbe leaf 1\n" + "x" * 400,), ()),
        Range(b""),
        Range(b"", entries=(an_entry(),)),
        Range(b"", parts=tuple(a_part(byte) for byte in range(256))),
    ],
)
def test_an_answer_is_read_as_it_was_written(answer: Answer) -> None:
    raw = build_answer(answer)
    assert parse_answer(raw) == answer
    assert len(raw) < LARGEST_ANSWER


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Range(b"", entries=(an_entry("a"), an_entry("a"))), "not in order"),
        (Range(b"", parts=(a_part(2), a_part(1))), "not in order"),
        (Range(b"", parts=(a_part(count=64),)), "split otherwise"),
        (Range(b"", parts=(a_part(count=-1), a_part(1, 100))), "no count"),
        (Range(b"", parts=(a_part(count=1 << 60),)), "no count"),
        (Range(b"", (a_part(),), (an_entry(),)), "parts or entries"),
        (Counting(-1), "no count"),
        (Held(("short",), ()), "no leaves"),
        (Held(("x" * 400,) * 11, ()), "no leaves"),
    ],
)
def test_an_answer_that_can_not_be_is_refused(answer: Answer, words: str) -> None:
    with pytest.raises(MalformedMessage, match=words):
        parse_answer(build_answer(answer))


def test_an_exchange_outside_the_range_is_refused() -> None:
    with pytest.raises(MalformedMessage, match="not of this range"):
        parse_answer(build_answer(Range(b"", entries=(an_entry(),))), b"\x01")


def test_a_large_or_empty_answer_is_refused() -> None:
    for raw in (b" " * (LARGEST_ANSWER + 1), b"{}", b"[]", b"", b"\xff"):
        with pytest.raises(MalformedMessage):
            parse_answer(raw)


@given(st.text(alphabet='{}[]":,0123456789abcdefrangepartscoutinghld\\', max_size=120))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_answer(text.encode())
    except MalformedMessage as error:
        assert error.text  # noqa: PT017 - any reason is one


def test_the_window_is_as_wide_as_requests_are_accepted(log: MessageLog) -> None:
    window = Window.of(DAY, DAY_SECONDS, log)
    assert window.until - window.since == timedelta(days=1)
    assert window.apart == log.replay_retention / 2


@pytest_asyncio.fixture
async def log(database_dsn: str) -> AsyncIterator[MessageLog]:
    async with message_log(database_dsn) as started:
        yield started
