"""`GET /receipt` and `sacbe log receipt` of real nodes, after real exchanges."""

import asyncio
import io
import json
import os
import sys
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import pytest
import pytest_asyncio

from node.archive.settings import ArchiveSettings
from scripts.postgres import PostgresServer
from tests.drafts import Part
from tests.instance import CONSUMER, NAME, PROVIDER, SERVICE, NodeUnderTest, utc_now
from tests.node_pair import PACKAGE, REQUEST, Pair, attachments, node_pair
from tests.soap_stage import TEXT, packed
from tests.test_archived import leave
from trust.configuration.confparts import parse_anchor
from trust.receipts.receipt_verdict import ReceiptVerdict, verify_receipt
from trust.receipts.receipts import parse_receipt
from trust.report import Outcome

pytestmark = pytest.mark.asyncio(loop_scope="module")

PURPOSE = {"X-Road-UserId": "EE38001010001", "X-Road-Issue": "benefit/17"}


@dataclass
class Asking:
    """Two nodes, and who asks them for receipts."""

    nodes: Pair

    @property
    def muni(self) -> NodeUnderTest:
        return self.nodes.muni

    @property
    def civil(self) -> NodeUnderTest:
        return self.nodes.civil

    @property
    def anchor(self) -> Path:
        return self.muni.settings.configuration.anchor

    async def call(self, message_id: str, body: bytes | None = None) -> None:
        headers = {"X-Road-Client": CONSUMER.path, "X-Road-Id": message_id, **PURPOSE}
        url = f"{self.muni.url}/r1/{SERVICE.path}/echo?of=1"
        method = "GET" if body is None else "POST"
        answer = await self.nodes.session.request(method, url, headers=headers, data=body)
        assert answer.status == 200, await answer.text()

    async def receipt(
        self, node: NodeUnderTest, message_id: str, *flags: str, **changes: str
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        client = CONSUMER if node is self.muni else PROVIDER
        names = ("xRoadInstance", "memberClass", "memberCode", "subsystemCode")
        wanted = dict(zip(names, client.parts, strict=True)) | {"queryId": message_id} | changes
        query = "&".join([urlencode({k: v for k, v in wanted.items() if v}), *flags])
        answer = await self.nodes.session.get(f"{node.url}/receipt?{query}")
        return answer, await answer.read()

    def judge(self, raw: bytes) -> ReceiptVerdict:
        """By the receipt alone and the anchor, years later."""
        anchor = parse_anchor(self.anchor.read_bytes())
        receipt = parse_receipt(io.BytesIO(raw))
        return verify_receipt(receipt, utc_now() + timedelta(days=4000), anchors=[anchor])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Asking]:
    async with node_pair(tmp_path_factory.mktemp("instance"), postgres_server) as nodes:
        yield Asking(nodes)


def _details(verdict: ReceiptVerdict) -> dict[str, tuple[Outcome, str]]:
    return {check.name: (check.outcome, check.detail) for check in verdict.report.checks}


async def test_both_nodes_hand_out_receipts_that_hold(pair: Asking) -> None:
    await pair.call("held/1", b'{"code":1}')
    for node in (pair.civil, pair.muni):
        answer, raw = await pair.receipt(node, "held/1", "force")
        assert answer.status == 200, raw
        assert answer.headers["Content-Type"] == "application/vnd.sacbe.receipt+zip"
        disposition = answer.headers["Content-Disposition"]
        assert disposition == 'attachment; filename="held%2F1.receipt"'
        verdict = pair.judge(raw)
        assert verdict.verdict is Outcome.PASSED, verdict.reason
        assert verdict.facts is not None
        assert (verdict.facts.user, verdict.facts.issue) == ("EE38001010001", "benefit/17")
        assert len(verdict.logged) == 2
        outcomes = {name: outcome for name, (outcome, _) in _details(verdict).items()}
        assert outcomes["trust_list"] is Outcome.PASSED
        notes = {name for name, outcome in outcomes.items() if outcome is Outcome.WARNING}
        assert notes == ({"access"} if node is pair.civil else set())
        again, same = await pair.receipt(node, "held/1")
        assert again.status == 200
        assert pair.judge(same).verdict is Outcome.PASSED


async def test_the_provider_s_receipt_says_by_which_right(pair: Asking) -> None:
    await pair.call("right")
    _, raw = await pair.receipt(pair.civil, "right", "force")
    told = _details(pair.judge(raw))["access"][1]
    assert f"the right of SUBSYSTEM:{NAME}/MUN/2001/" in told
    assert "to call * **, given at 20" in told
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        stated = json.loads(archive.read("exchange.json"))
    assert stated["side"] == "provider"
    assert [record["message"] for record in stated["records"]] == ["request", "response"]


async def test_a_soap_exchange_with_attachments_has_a_receipt(pair: Asking) -> None:
    body = packed("xyz", [Part(TEXT, REQUEST), *attachments(b"form", b"scan")])
    headers = {"Content-Type": PACKAGE}
    answer = await pair.nodes.session.post(pair.muni.url, data=body, headers=headers)
    assert b"getStateResponse" in await answer.read()
    for node in (pair.civil, pair.muni):
        answer, raw = await pair.receipt(node, "with attachments", "force")
        assert answer.status == 200, raw
        verdict = pair.judge(raw)
        assert verdict.verdict is Outcome.PASSED, verdict.reason
        assert verdict.facts is not None
        assert verdict.facts.service[-2:] == ("getState", "v1")
        parts = [len(found.parts) for found in verdict.containers.values()]
        assert parts == [3, 4, 1]


async def test_a_record_without_time_stamp_is_to_be_asked_for_again(pair: Asking) -> None:
    await pair.call("waiting")
    answer, raw = await pair.receipt(pair.muni, "waiting")
    assert (answer.status, raw) == (503, b"Message signature has not been timestamped yet!")
    assert answer.headers["Retry-After"] == "60"


async def test_a_receipt_without_proof_says_so(pair: Asking) -> None:
    await pair.call("unproven")
    await pair.muni.running.kept.stamps.stamp_now()
    answer, raw = await pair.receipt(pair.muni, "unproven")
    assert answer.status == 200, raw
    verdict = pair.judge(raw)
    assert verdict.verdict is Outcome.PASSED, verdict.reason
    outcome, told = _details(verdict)["log"]
    assert outcome is Outcome.WARNING
    assert told.endswith("is in no checkpoint of the log yet")


async def test_who_may_not_have_it_or_asks_for_nothing_is_told(pair: Asking) -> None:
    await pair.call("asked")
    for changes, status, text in (
        ({"queryId": ""}, 400, 'Parameter "queryId"  must be specified.'),
        ({"queryId": "never sent"}, 404, "There is no such exchange in the log"),
        ({"exchangeId": "another"}, 404, "There is no such exchange in the log"),
        (
            {"subsystemCode": "other"}, 401,
            f"Client 'SUBSYSTEM:{NAME}/MUN/2001/other' not found",
        ),
    ):  # fmt: skip
        answer, raw = await pair.receipt(pair.muni, message_id="asked", **changes)
        assert (answer.status, raw.decode()) == (status, text)


async def test_of_several_exchanges_one_is_to_be_named(pair: Asking) -> None:
    await pair.call("twice")
    await pair.call("twice", b"{}")
    answer, raw = await pair.receipt(pair.muni, "twice", "force")
    assert answer.status == 409
    text = raw.decode()
    assert text.startswith("There are 2 exchanges with this message id: ")
    assert text.endswith('; name one with "exchangeId"')
    for exchange_id in text.partition(": ")[2].partition(";")[0].split(", "):
        answer, raw = await pair.receipt(pair.muni, "twice", "force", exchangeId=exchange_id)
        assert answer.status == 200
        assert pair.judge(raw).verdict is Outcome.PASSED


async def test_a_spool_that_can_not_be_written_is_told(
    pair: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pair.call("full", b"x" * 300_000)
    assert (await pair.receipt(pair.muni, "full", "force"))[0].status == 200
    monkeypatch.setattr("node.receipts_page._IN_MEMORY", 100)
    spool = pair.muni.settings.data / "spool"
    spool.rename(spool.with_name("away"))
    try:
        answer, raw = await pair.receipt(pair.muni, "full")
    finally:
        spool.with_name("away").rename(spool)
    assert (answer.status, raw.decode()) == (
        500, f"The answer can't be kept in {spool}: No such file or directory",
    )  # fmt: skip


async def test_an_exchange_that_left_the_database_has_a_receipt_from_the_archive(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    settings = ArchiveSettings(store=f"file://{tmp_path / 'store'}")
    async with node_pair(tmp_path, postgres_server, muni_archive=settings) as nodes:
        asking = Asking(nodes)
        await asking.call("gone", b'{"code":1}')
        await leave(nodes)
        answer, raw = await asking.receipt(nodes.muni, "gone", "force")
        assert answer.status == 200, raw
        verdict = asking.judge(raw)
        assert verdict.verdict is Outcome.PASSED, verdict.reason
        assert len(verdict.containers) == 3
        assert len(verdict.logged) == 2
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            assert "side" not in json.loads(archive.read("exchange.json"))


# --- the command ----------------------------------------------------------------------------------


def _config(node: NodeUnderTest, folder: Path) -> Path:
    settings = node.settings
    dsn = folder / "dsn"
    dsn.write_text(node.dsn)
    dsn.chmod(0o600)
    file = folder / "node.toml"
    file.write_text(
        f'server = "{settings.server.colons}"\ndata = "{settings.data}"\n'
        f'[configuration]\nanchor = "{settings.configuration.anchor}"\n'
        f'[keys]\nfolder = "{settings.keys.folder}"\n'
        f'password_file = "{settings.keys.password_file}"\n'
        f'[database]\ndsn_file = "{dsn}"\n'
    )
    return file


async def _run(*words: object) -> tuple[int, str, str]:
    """`sacbe …` in a process of its own, as the nodes run in this one."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "scripts.cli", *map(str, words),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_the_command_writes_the_same_receipt(pair: Asking, tmp_path: Path) -> None:
    await pair.call("by command")
    target = tmp_path / "x.receipt"
    words = ["log", "receipt", "--config", _config(pair.muni, tmp_path), "--local"]
    words += [CONSUMER.colons, "--to", target, "--message-id"]
    code, _, err = await _run(*words, "by command")
    assert code == 1
    assert "It has no time-stamp yet" in err
    code, _, err = await _run(*words, "never sent")
    assert code == 1
    assert "There is no such exchange in the log" in err
    _, raw = await pair.receipt(pair.muni, "by command", "force")
    assert (await _run(*words, "by command"))[:2] == (0, f"{target}\n")
    assert target.read_bytes() == raw
    assert [name for name in os.listdir(tmp_path) if name.startswith(".")] == []
    code, out, _ = await _run("verify", target, "--anchor", pair.anchor)
    assert code == 0
    assert out.startswith(f"PASSED  {target}\n")
