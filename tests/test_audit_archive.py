"""`sacbe audit --archive`: what is whole passes, each planted defect is named by its place."""

import asyncio
import hashlib
import io
import json
import shutil
import zipfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from node.archive.store import StoreAddress, open_store
from node.transparency.transparency import Transparency, TransparencySettings
from scripts import cli
from scripts.auditing.archive import ArchiveAudit, ArchiveFound, FoundRecords
from tests.audit_stage import AuditStage, request_record, request_text
from tests.containers import stamped
from tests.pki import NOON
from tests.signing import Signatory
from trust.audit.indications import Level
from trust.audit.log_records import OneTrustList
from trust.audit.revocations import Revocations
from trust.evidence.archive_files import ArchiveWriter, archive_file_name
from trust.evidence.asic import Container, build_container, container_name, parse_container
from trust.evidence.container_leaf import leaf_of_container
from trust.evidence.linkinginfo import START, ArchiveEnd
from trust.report import Outcome

SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def signatory() -> Signatory:
    return Signatory()


def contained(signatory: Signatory, number: int) -> tuple[str, bytes]:
    """Name and bytes of a record's container."""
    message = request_text(f"message-{number}")
    signature = signatory.direct({"/message.xml": message}).signature
    container = stamped(
        signatory, Container(message, signature, time=NOON + number * SECOND), NOON + 60 * SECOND
    )
    name = container_name(f"message-{number}", response=False, record=number)
    return name, build_container(container)


def write(folder: Path, containers: list[tuple[str, bytes]], previous: ArchiveEnd) -> ArchiveEnd:
    """Write one archive file; where the next one goes on."""
    target = io.BytesIO()
    writer = ArchiveWriter(target, previous)
    for place, (name, raw) in enumerate(containers):
        writer.add(name, NOON + place * SECOND, [raw])
    writer.finish()
    assert writer.first is not None
    assert writer.last is not None
    name = archive_file_name("", writer.first, writer.last, writer.digest)
    (folder / name).write_bytes(target.getvalue())
    return ArchiveEnd(writer.digest, name)


@pytest.fixture
def archive(tmp_path: Path, signatory: Signatory) -> tuple[Path, list[ArchiveEnd]]:
    """Three files of two containers each, of records 1 to 6."""
    folder = tmp_path / "archive"
    folder.mkdir()
    ends = [START]
    for first in (1, 3, 5):
        ends.append(write(folder, [contained(signatory, first + n) for n in (0, 1)], ends[-1]))
    return folder, ends[1:]


async def audit(
    folder: Path, signatory: Signatory, revocations: Revocations | None = None
) -> ArchiveFound:
    scratch = folder.parent / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    return await ArchiveAudit(
        open_store(StoreAddress(f"file://{folder}")),
        OneTrustList(signatory.conf),
        revocations or Revocations(),
        NOON + timedelta(days=1),
        scratch,
        quiet=True,
    ).run()


def named(found: ArchiveFound) -> list[tuple[str, str]]:
    return sorted(
        (each.place, each.check.code)
        for each in found.report.findings
        if each.check.outcome is not Outcome.WARNING
    )


async def test_a_whole_archive_passes(
    archive: tuple[Path, list[ArchiveEnd]], signatory: Signatory
) -> None:
    folder, ends = archive
    found = await audit(folder, signatory)
    assert named(found) == []
    report = found.report
    assert (report.verdict, report.level) == (Outcome.PASSED, Level.TIME)
    assert report.tally.outcomes == {"passed": 6}
    assert (f"the chain ends with {ends[2].file}", ends[2].digest) in report.facts
    records = FoundRecords(found.records)
    name = contained(signatory, 3)[0]
    with zipfile.ZipFile(folder / ends[1].file) as file:
        leaf = leaf_of_container(parse_container(file.read(name)))
    assert records.of(3) == [(leaf, True, ends[1].file)]


@pytest.mark.parametrize("gone", [0, 1])
async def test_a_removed_file_is_named(
    archive: tuple[Path, list[ArchiveEnd]], signatory: Signatory, gone: int
) -> None:
    folder, ends = archive
    (folder / ends[gone].file).unlink()
    found = await audit(folder, signatory)
    assert named(found) == [(f"archive file {ends[gone].file}", "archive_file_removed")]
    assert str(found.report.indication) == "TOTAL-FAILED/HASH_FAILURE"


async def test_a_file_written_anew_is_named(
    archive: tuple[Path, list[ArchiveEnd]], signatory: Signatory
) -> None:
    """One container less, the linking info made again, under the old name."""
    folder, ends = archive
    end = write(folder, [contained(signatory, 3)], ends[0])
    (folder / end.file).rename(folder / ends[1].file)
    found = await audit(folder, signatory)
    assert named(found) == [(f"archive file {ends[1].file}", "archive_wrong_previous")]


def _repacked(path: Path, change: dict[str, bytes | None]) -> None:
    """The same ZIP with some entries changed, or left out."""
    with zipfile.ZipFile(path) as old:
        entries = [(info, old.read(info)) for info in old.infolist()]
    with zipfile.ZipFile(path, "w") as new:
        for info, raw in entries:
            data = change.get(info.filename, raw)
            if data is not None:
                new.writestr(info, data)


async def test_a_container_altered_in_its_file_is_named(
    archive: tuple[Path, list[ArchiveEnd]], signatory: Signatory
) -> None:
    folder, ends = archive
    name, raw = contained(signatory, 3)
    evil = replace(parse_container(raw), message=request_text("message-9"))
    _repacked(folder / ends[1].file, {name: build_container(evil)})
    found = await audit(folder, signatory)
    place = f"container {name} in {ends[1].file}"
    assert {each for each, _ in named(found)} == {place}
    assert {code for _, code in named(found)} >= {
        "archive_wrong_digest", "invalid_signature_value",
    }  # fmt: skip


async def test_a_container_removed_from_its_file_is_named(
    archive: tuple[Path, list[ArchiveEnd]], signatory: Signatory
) -> None:
    folder, ends = archive
    name, _ = contained(signatory, 4)
    _repacked(folder / ends[1].file, {name: None})
    found = await audit(folder, signatory)
    assert (f"container {name} in {ends[1].file}", "archive_missing_container") in named(found)


async def test_two_files_that_go_on_at_one_place_are_a_fork(
    archive: tuple[Path, list[ArchiveEnd]], signatory: Signatory
) -> None:
    folder, ends = archive
    other = write(folder, [contained(signatory, 9)], ends[0])
    found = await audit(folder, signatory)
    ((place, code),) = named(found)
    assert code == "archive_fork"
    assert place.removeprefix("archive file ") in (other.file, ends[1].file)


async def test_what_can_not_be_opened_leaves_the_verdict_open(
    archive: tuple[Path, list[ArchiveEnd]], signatory: Signatory
) -> None:
    folder, ends = archive
    path = folder / ends[1].file
    path.rename(path.with_name(path.name + ".gpg"))
    found = await audit(folder, signatory)
    assert {code for _, code in named(found)} == {
        "archive_encrypted", "archive_previous_unknown",
    }  # fmt: skip
    assert found.report.verdict is Outcome.INDETERMINATE


async def test_damaged_files_fail_and_others_are_judged(
    archive: tuple[Path, list[ArchiveEnd]], signatory: Signatory
) -> None:
    folder, ends = archive
    (folder / ends[1].file).write_bytes(b"no zip")
    (folder / ends[2].file).write_bytes((folder / ends[2].file).read_bytes()[:3000])
    found = await audit(folder, signatory)
    assert [place for place, _ in named(found)] == [
        f"archive file {name}" for name in sorted(end.file for end in ends[1:])
    ]
    assert found.report.tally.outcomes == {"passed": 2}
    assert found.report.verdict is Outcome.FAILED


async def test_an_archive_without_files_shows_nothing(tmp_path: Path, signatory: Signatory) -> None:
    (tmp_path / "archive").mkdir()
    found = await audit(tmp_path / "archive", signatory)
    assert found.report.verdict is Outcome.INDETERMINATE


async def test_what_was_signed_after_a_revocation_fails(
    archive: tuple[Path, list[ArchiveEnd]], signatory: Signatory
) -> None:
    certificate = signatory.signer.certificate
    key = (certificate.issuer.public_bytes(), certificate.serial_number)
    revoked = Revocations({key: NOON + 30 * SECOND}, frozenset({key[0]}))
    found = await audit(archive[0], signatory, revoked)
    assert str(found.report.indication) == "TOTAL-FAILED/REVOKED"
    assert found.report.tally.outcomes == {"failed": 6}


# --- together with the log ------------------------------------------------------------------------


async def _archived_log(stage: AuditStage, folder: Path) -> ArchiveEnd:
    """A log whose first two records are in an archive file alone."""
    await stage.whole(4)
    rows = await stage.pool.fetch("SELECT leaf, number FROM log_leaf ORDER BY leaf LIMIT 2")
    containers = []
    for row in rows:
        record = request_record(stage.signatory, row["leaf"])
        signature = await stage.pool.fetchval(
            "SELECT signature FROM message_record WHERE number = $1", row["number"]
        )
        container = Container(record.message, signature, time=record.time)
        name = container_name(record.message_id, response=False, record=row["number"])
        containers.append(
            (name, build_container(stamped(stage.signatory, container, NOON + 60 * SECOND)))
        )
    end = write(folder, containers, START)
    raw = (folder / end.file).read_bytes()
    await stage.pool.execute(
        "INSERT INTO archive_file (party, name, digest, bytes, size, containers, first_leaf,"
        " last_leaf, first_time, last_time, made, stored)"
        " VALUES ('', $1, $2, $3, $4, 2, 0, 1, $5, $5, $5, $5)",
        end.file, end.digest, hashlib.sha256(raw).digest(), len(raw), NOON,
    )  # fmt: skip
    await stage.pool.execute(
        "INSERT INTO archive_entry SELECT leaf, 1 FROM log_leaf WHERE leaf < 2"
    )
    await stage.pool.execute(
        "DELETE FROM message_record WHERE number = ANY($1)", [row["number"] for row in rows]
    )
    return end


def _config(stage: AuditStage, folder: Path) -> Path:
    (folder / "dsn").write_text(stage.dsn)
    (folder / "dsn").chmod(0o600)
    path = folder / "node.toml"
    path.write_text(
        f'server = "TEST:GOV:1001:NODE1"\ndata = "{folder}"\n'
        f'[configuration]\nanchor = "{folder}/anchor.xml"\n'
        f'[keys]\nfolder = "{folder}/keys"\npassword_file = "{folder}/password"\n'
        f'[database]\ndsn_file = "{folder}/dsn"\n'
    )
    return path


async def _command(*arguments: object) -> int:
    return await asyncio.to_thread(
        cli.main, ["audit", "--quiet", "--jobs", "0", *map(str, arguments)]
    )


@pytest.mark.database
async def test_the_command_audits_log_and_archive_together(
    database_dsn: str, tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    async with AuditStage.open(database_dsn, tmp_path / "trust-lists") as stage:
        end = await _archived_log(stage, folder)
        config = _config(stage, tmp_path)
        output = tmp_path / "report"
        common = ("--config", config, "--output", output, "--at", "2026-12-01")
        assert await _command(*common, "--archive", folder, "--format", "json") == 0
        report = json.loads(output.read_text())
        archive, log = report["reports"]
        assert report["verdict"] == "passed"
        assert archive["records"]["outcomes"] == {"passed": 2}
        assert log["records"]["outcomes"] == {"passed": 2}
        assert log["facts"]["records archived and gone"] == "2"
        assert log["level"] == "signature, time and tree"
        assert await _command(*common, "--format", "json") == 0
        (log,) = json.loads(output.read_text())["reports"]
        assert any("give --archive" in text for text in log["not_checked"])
        (folder / end.file).unlink()
        assert await _command(*common, "--archive", folder, "--format", "json") == 1
        log = json.loads(output.read_text())["reports"][1]
        places = {each["place"]: each["code"] for each in log["findings"]}
        assert places[f"archive file {end.file}"] == "archive_file_removed"
        assert sum(code == "record_removed" for code in places.values()) == 2


@pytest.mark.database
async def test_the_report_is_written_in_every_form(
    database_dsn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with AuditStage.open(database_dsn, tmp_path / "trust-lists") as stage:
        await stage.whole(3)
        await stage.pool.execute(
            "UPDATE message_record SET message_id = '<script>alert(1)</script>'"
            " WHERE number = (SELECT number FROM log_leaf WHERE leaf = 1)"
        )
        config = _config(stage, tmp_path)
        assert await _command("--config", config, "--at", "2026-12-01") == 1
        text = capsys.readouterr().out
        assert text.startswith(f"FAILED  {config}\n")
        assert "message log: TOTAL-FAILED/HASH_FAILURE" in text
        assert "The row says something else than its message: message id" in text
        page = tmp_path / "report.html"
        await stage.pool.execute("UPDATE log_leaf SET number = -5 WHERE leaf = 0")
        assert await _command(
            "--config", config, "--at", "2026-12-01", "--format", "html", "--output", page
        ) == 1  # fmt: skip
        html = page.read_text()
        assert "<script" not in html
        assert "default-src 'none'" in html
        assert "http" not in html.replace("http-equiv", "")
        assert "record -5 (leaf 0)" in html


def test_without_anything_to_audit_it_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["audit"]) == 2
    assert "give --config, --archive or both" in capsys.readouterr().err


def test_without_any_trust_list_it_is_bad_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["audit", "--archive", str(tmp_path)]) == 2
    assert "give --conf or --trust-lists" in capsys.readouterr().err
    assert cli.main(["audit", "--archive", str(tmp_path / "absent")]) == 2


# --- the tree in the store ------------------------------------------------------------------------


@pytest.mark.database
async def test_an_archive_with_its_tree_is_audited_without_the_database(
    database_dsn: str, tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    async with AuditStage.open(database_dsn, tmp_path / "trust-lists") as stage:
        await _archived_log(stage, folder)
        store = open_store(StoreAddress(f"file://{folder}"))
        transparency = Transparency(
            stage.pool, stage.key, TransparencySettings(), lambda: NOON + timedelta(hours=1),
            None, store,
        )  # fmt: skip
        await transparency.store_files()
        found = await audit(folder, stage.signatory)
        assert named(found) == []
        assert found.report.level is Level.TREE
        assert found.report.tally.levels == {"signature, time and tree": 2}
        (tile,) = (folder / "log" / "tile" / "0").rglob("*.p/*")
        good = tile.read_bytes()
        tile.write_bytes(good[32:64] + good[32:])
        altered = await audit(folder, stage.signatory)
        assert ("leaves 0 to 3", "tree_altered") in named(altered)
        assert any(code == "record_not_in_tree" for _, code in named(altered))
        tile.unlink()
        removed = await audit(folder, stage.signatory)
        assert ("tile of leaves 0 to 3", "tile_removed") in named(removed)
        tile.write_bytes(good)
        statement = next((folder / "log" / "statements").iterdir())
        statement.unlink()
        unknown = await audit(folder, stage.signatory)
        assert ("checkpoint of 4 leaves", "unknown_key") in named(unknown)
        assert unknown.report.level is Level.TIME
