"""Archive files: the reference's verdicts, our own files, and what is not to be believed."""

import hashlib
import io
import struct
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.containers import batch_stamped, plain, stamped
from tests.pki import NOON
from tests.signing import Signatory
from tests.vector_files import vector_path
from trust.configuration.confstore import load_configuration
from trust.evidence import archives
from trust.evidence.archive_files import ArchiveWriter, archive_file_name
from trust.evidence.archives import ArchivedContainer, ArchiveReport, Judge, judge_archive
from trust.evidence.asic import build_container
from trust.evidence.container import verify_container
from trust.evidence.linkinginfo import (
    LINKING_INFO,
    START,
    ArchiveEnd,
    LinkedFile,
    LinkingInfo,
    MalformedLinkingInfo,
    next_digest,
)
from trust.report import Outcome

_VERIFIER = "asic/src/addons/messagelog/messagelog-archive-verifier/src/test/resources"
_ADDON = "asic/src/addons/messagelog/messagelog-addon/src/test/resources/logarchive"
_CONF = "asic/src/lib/globalconf-core/src/test/resources/globalconf_good2_v3"
FIRST_END = (
    "9011ab557706b5050584d6888af7b390e5350f4edad296bd7a582aa51732aac7"
    "f49a4ec44dd361027945ade0de8b8cf607fb7b7d11f17b0560d44b965c358eaa"
)
FIRST_NAME = "mlog-20231023121255-20231023121255-9011ab557706b505.zip.gpg"


def judged(
    raw: bytes,
    judge: Judge | None = None,
    previous: ArchiveEnd | None = START,
    name: str = "",
) -> ArchiveReport:
    return judge_archive(
        io.BytesIO(raw), spool=io.BytesIO, judge=judge, previous=previous, name=name
    )


def vector(name: str, folder: str = _VERIFIER) -> bytes:
    return vector_path(f"{folder}/{name}").read_bytes()


# --- the reference's ------------------------------------------------------------------------------


@pytest.mark.interop
def test_the_first_archive_of_the_reference_passes_as_the_first() -> None:
    report = judged(vector("message-archive-0.zip"))
    assert report.verdict is Outcome.PASSED
    assert report.end == ArchiveEnd(FIRST_END, "")
    assert report.containers == 1


@pytest.mark.interop
def test_the_second_archive_of_the_reference_continues_the_first() -> None:
    first = judged(vector("message-archive-0.zip"), name=FIRST_NAME.removesuffix(".gpg"))
    report = judged(vector("message-archive-1.zip"), previous=first.end)
    assert report.verdict is Outcome.PASSED
    assert report.outcomes == {Outcome.PASSED: 20}
    assert report.linking is not None
    assert report.linking.previous == ArchiveEnd(FIRST_END, FIRST_NAME)


@pytest.mark.interop
@pytest.mark.parametrize(
    ("previous", "code", "verdict"),
    [
        (ArchiveEnd("4145" + FIRST_END[4:], ""), "archive_wrong_previous", Outcome.FAILED),
        (START, "archive_wrong_previous", Outcome.FAILED),
        (None, "archive_previous_unknown", Outcome.INDETERMINATE),
    ],
)
def test_the_second_archive_of_the_reference_after_anything_else(
    previous: ArchiveEnd | None, code: str, verdict: Outcome
) -> None:
    report = judged(vector("message-archive-1.zip"), previous=previous)
    assert (report.verdict, report.code) == (verdict, code)


@pytest.mark.interop
@pytest.mark.parametrize(
    ("name", "verdict", "code"),
    [
        ("mlog-WITH_LINKINGINFO.zip", Outcome.PASSED, ""),
        ("mlog-WITH_INVALID_LINKINGINFO.zip", Outcome.FAILED, "archive_malformed_linking_info"),
        ("mlog-NO_LINKINGINFO.zip", Outcome.FAILED, "archive_no_linking_info"),
        ("mlog-NO_ASIC_CONTAINERS.zip", Outcome.FAILED, "archive_missing_container"),
        ("mlog-EXCESSIVE_FILES_IN_LINKINGINFO.zip", Outcome.FAILED, "archive_missing_container"),
    ],
)
def test_further_archives_of_the_reference(name: str, verdict: Outcome, code: str) -> None:
    report = judged(vector(name, _ADDON))
    assert (report.verdict, report.code) == (verdict, code)


@pytest.mark.interop
def test_containers_of_the_reference_lack_only_their_trust_list() -> None:
    conf = load_configuration(vector_path(_CONF))
    for name, previous, count in (
        ("message-archive-0.zip", START, 1),
        ("message-archive-1.zip", ArchiveEnd(FIRST_END, ""), 20),
    ):
        report = judged(
            vector(name), lambda container: verify_container(container, conf, NOON), previous
        )
        assert report.outcomes == {Outcome.INDETERMINATE: count}
        assert (report.verdict, report.code) == (Outcome.INDETERMINATE, "unknown_instance")
        assert "instance CS" in report.reason


# --- our own --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def signatory() -> Signatory:
    return Signatory()


@pytest.fixture(scope="module")
def containers(signatory: Signatory) -> dict[str, bytes]:
    """Three good ones; the last two share a time-stamp."""
    single = stamped(signatory, plain(signatory))
    batch = batch_stamped(signatory, plain(signatory))
    return {
        "one-request-1.asice": build_container(single),
        "two-request-2.asice": build_container(batch),
        "two-response-3.asice": build_container(single),
    }


@pytest.fixture(scope="module")
def judge(signatory: Signatory) -> Judge:
    conf = signatory.conf
    return lambda container: verify_container(container, conf, NOON)


def archived(files: dict[str, bytes], previous: ArchiveEnd = START) -> tuple[bytes, str]:
    target = io.BytesIO()
    with ArchiveWriter(target, previous) as writer:
        for name, data in files.items():
            writer.add(name, NOON, (data[:1000], data[1000:]))
        writer.finish()
    return target.getvalue(), writer.digest


def repacked(files: dict[str, bytes]) -> bytes:
    """A ZIP with these entries and no others."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return target.getvalue()


def unpacked(raw: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def linking_of(files: dict[str, bytes]) -> bytes:
    return unpacked(archived(files)[0])[LINKING_INFO]


def test_an_archive_that_we_write_passes_with_every_container(
    containers: dict[str, bytes], judge: Judge
) -> None:
    told: list[ArchivedContainer] = []
    raw, digest = archived(containers)
    report = judge_archive(
        io.BytesIO(raw),
        spool=io.BytesIO,
        judge=judge,
        previous=START,
        name="mlog-x.zip",
        tell=told.append,
    )
    assert report.verdict is Outcome.PASSED, report.reason
    assert report.end == ArchiveEnd(digest, "mlog-x.zip")
    assert [each.name for each in told] == list(containers)
    assert all(each.verdict is not None and each.verdict.timestamp for each in told)
    assert not report.problems


def test_files_are_chained_to_one_another(containers: dict[str, bytes]) -> None:
    first, digest = archived(containers)
    end = ArchiveEnd(digest, "mlog-1.zip.age")
    second, _ = archived(containers, end)
    assert judged(second, previous=judged(first, name="mlog-1.zip").end).verdict is Outcome.PASSED
    assert judged(second, previous=START).code == "archive_wrong_previous"
    removed = judged(second, previous=ArchiveEnd("00" * 64, "mlog-0.zip"))
    assert removed.code == "archive_wrong_previous"
    assert removed.reason == (
        "The file says that it continues mlog-1.zip.age,"
        " and is judged as one that continues mlog-0.zip"
    )
    rewritten = judged(second, previous=ArchiveEnd("00" * 64, "mlog-1.zip"))
    assert rewritten.reason == "The file continues another state of mlog-1.zip.age"
    renamed = judged(second, previous=ArchiveEnd(digest, "other.zip"))
    assert renamed.verdict is Outcome.PASSED
    assert "The file before was called mlog-1.zip.age" in str(renamed.report.checks)


def test_an_archive_reads_back_in_any_program(containers: dict[str, bytes]) -> None:
    raw, digest = archived(containers)
    files = unpacked(raw)
    assert {name: files[name] for name in containers} == containers
    linking = LinkingInfo.parse(files[LINKING_INFO])
    assert list(files)[-1] == LINKING_INFO
    assert linking.last_digest == digest
    assert linking.build() == files[LINKING_INFO]


def test_the_chain_holds_as_the_reference_s_verifier_follows_it(
    containers: dict[str, bytes],
) -> None:
    """It goes through the ZIP in its own order, and splits linking info at any white space."""
    first, digest = archived(containers)
    second, _ = archived(containers, ArchiveEnd(digest, "mlog-EX_GOV_1.zip.age"))
    for raw, previous in ((first, ""), (second, digest)):
        files = unpacked(raw)
        head, *lines = files[LINKING_INFO].decode().splitlines()
        assert head.split()[0] == (previous or "-")
        assert head.split()[2:] == ["SHA-512"]
        linked = {name: stated for stated, name in (line.split() for line in lines)}
        running = previous
        for name, data in files.items():
            if name.endswith(".asice"):
                joined = running + hashlib.sha512(data).hexdigest()
                running = hashlib.sha512(joined.encode()).hexdigest()
                assert linked.pop(name) == running
        assert not linked


def test_a_changed_container_is_named_and_the_others_still_hold(
    containers: dict[str, bytes], judge: Judge
) -> None:
    files = unpacked(archived(containers)[0])
    other = dict(files)
    other["two-request-2.asice"] = containers["one-request-1.asice"]
    report = judged(repacked(other), judge)
    assert (report.verdict, report.code) == (Outcome.FAILED, "archive_wrong_digest")
    assert [each.name for each in report.problems] == ["two-request-2.asice"]
    assert report.outcomes == {Outcome.FAILED: 1, Outcome.PASSED: 2}


def test_a_chained_container_that_does_not_verify_fails_the_archive(
    containers: dict[str, bytes], judge: Judge, signatory: Signatory
) -> None:
    bad = build_container(stamped(signatory, plain(signatory, b"GET / HTTP/1.1\r\n")))
    report = judged(archived({**containers, "bad-request-4.asice": bad})[0], judge)
    assert report.verdict is Outcome.FAILED
    assert report.report.checks[-1].name == "containers"
    assert report.reason.startswith("bad-request-4.asice: ")
    assert {each.name: each.outcome for each in report.report.checks}["linked"] is Outcome.PASSED


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda files: files.pop("one-request-1.asice"), "archive_missing_container"),
        (lambda files: files.update({"more-request-9.asice": b"x"}), "archive_unlisted_entry"),
        (lambda files: files.update({"readme.txt": b"x"}), "archive_unlisted_entry"),
        (lambda files: files.update({"one-request-1.asice": b"x"}), "archive_wrong_digest"),
        (lambda files: files.pop(LINKING_INFO), "archive_no_linking_info"),
        (
            lambda files: files.update({"two-request-2.asice": files.pop("two-request-2.asice")}),
            "archive_wrong_order",
        ),
    ],
)
def test_a_file_that_was_put_together_anew(
    containers: dict[str, bytes], change: Callable[[dict[str, bytes]], object], code: str
) -> None:
    files = unpacked(archived(containers)[0])
    change(files)
    report = judged(repacked(files))
    assert (report.verdict, report.code) == (Outcome.FAILED, code)


def test_more_problems_than_are_kept_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_PROBLEMS", 3)
    files = {f"a-request-{number}.asice": b"no container" for number in range(10)}
    linking = linking_of(files)
    broken = {**files, "a-request-8.asice": b"another", LINKING_INFO: linking}
    conf_free: Judge = partial(pytest.fail, "nothing here is a container")
    report = judged(repacked(broken), conf_free)
    assert len(report.problems) == 3
    assert report.outcomes == {Outcome.FAILED: 10}
    assert report.code == "archive_wrong_digest"
    assert report.report.checks[-1].detail.endswith("(and 9 more)")


# --- what is not to be believed -------------------------------------------------------------------


def test_every_cut_of_an_archive_is_a_verdict(containers: dict[str, bytes]) -> None:
    raw, _ = archived(containers)
    for length in range(0, len(raw), 997):
        assert judged(raw[:length]).verdict is Outcome.FAILED


def test_no_changed_byte_goes_unnoticed_but_in_what_nothing_covers(
    containers: dict[str, bytes],
) -> None:
    """Times and rights of the entries are the ZIP writer's own and prove nothing."""
    raw, _ = archived({"one-request-1.asice": containers["one-request-1.asice"]})
    unnoticed = []
    for place in [*range(0, len(raw), 61), *range(len(raw) - 400, len(raw))]:
        changed = bytearray(raw)
        changed[place] ^= 0x41
        if judged(bytes(changed)).verdict is not Outcome.FAILED:
            unnoticed.append(place)
    directory = raw.index(b"PK\1\2")
    assert all(place > directory for place in unnoticed)
    assert len(unnoticed) < 40


@pytest.mark.parametrize("name", ["../x.asice", "/x.asice", "a\\x.asice", "c:x.asice", "a/../x"])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    report = judged(repacked({name: b"x", LINKING_INFO: linking_of({"a.asice": b"x"})}))
    assert (report.verdict, report.code) == (Outcome.FAILED, "archive_invalid_file")


@pytest.mark.parametrize("twice", ["a.asice", LINKING_INFO, "A.asice"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_stands_twice_is_refused(twice: str) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in ("a.asice", LINKING_INFO, twice):
            archive.writestr(zipfile.ZipInfo(name), b"x")
    report = judged(target.getvalue())
    assert (report.verdict, report.code) == (Outcome.FAILED, "archive_invalid_file")
    assert "twice" in report.reason


def bomb(size: int) -> bytes:
    """A container-like ZIP that unpacks to `size` zeros and little else."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("attachment1", bytes(size))
    return target.getvalue()


def test_an_entry_that_unpacks_to_too_much_is_refused_before_it_is_read() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.asice", bytes(65 << 20))
        archive.writestr(LINKING_INFO, linking_of({"a.asice": b""}))
    report = judged(target.getvalue())
    assert report.code == "archive_invalid_file"
    assert report.reason == "The ZIP file unpacks to more than is accepted"


def test_many_containers_that_unpack_to_too_much_together_are_not_all_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(archives, "RATIO_COUNTS_FROM", 1 << 20)
    small = bomb(900 << 10)
    files = {f"a-request-{number}.asice": small for number in range(40)}
    report = judged(archived(files)[0], partial(pytest.fail, "nothing here is a container"))
    codes = [each.problem.code for each in report.problems if each.problem is not None]
    assert codes.count("archive_too_large") == 40 - codes.count("asic_mime_type_not_found")
    assert codes[0] == "asic_mime_type_not_found"
    assert codes[-1] == "archive_too_large"


def test_a_linking_info_that_is_too_large_is_not_read() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(LINKING_INFO, bytes(33 << 20))
    report = judged(target.getvalue())
    assert (report.code, report.reason) == (
        "archive_invalid_file",
        "linkinginfo is larger than 33554432 bytes",
    )


def test_a_directory_with_more_entries_than_any_archive_has() -> None:
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0, 0, 0)
    assert judged(end).code == "archive_invalid_file"


def test_an_archive_holds_as_many_containers_as_can_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trust.evidence.archive_files.MAX_CONTAINERS", 3)
    files = {f"{number}.asice": b"x" for number in range(3)}
    assert judged(archived(files)[0]).verdict is Outcome.PASSED
    with pytest.raises(ValueError, match="holds 3 containers at the most"):
        archived({**files, "4.asice": b"x"})
    with pytest.raises(ValueError, match="one container at least"):
        archived({})


# --- linking info ---------------------------------------------------------------------------------

_DIGEST = st.binary(min_size=64, max_size=64).map(bytes.hex)
_FILES = st.lists(
    st.builds(LinkedFile, _DIGEST, st.from_regex(r"[a-z%+]{1,20}\.asice", fullmatch=True)),
    min_size=1,
    max_size=5,
    unique_by=lambda each: each.name,
).map(tuple)
_ENDS = st.just(START) | st.builds(
    ArchiveEnd, _DIGEST, st.from_regex(r"mlog-[A-Z_ é]{0,9}\.zip", fullmatch=True)
)


@given(st.builds(LinkingInfo, _ENDS, st.just("SHA-512"), _FILES))
def test_linking_info_reads_as_it_was_written(linking: LinkingInfo) -> None:
    assert LinkingInfo.parse(linking.build()) == linking


@given(st.text(alphabet="-a0 \n\rSHA-512.zip", max_size=60))
def test_any_linking_info_is_read_or_refused(text: str) -> None:
    try:
        linking = LinkingInfo.parse(text.encode())
    except MalformedLinkingInfo:
        return
    assert linking.files


_D = "ab" * 64


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "names no container"),
        ("- - SHA-512\n", "names no container"),
        (f"- - MD5\n{_D} a\n", "none of the algorithms"),
        (f"- SHA-512\n{_D} a\n", "does not name the file before"),
        (f"- mlog.zip SHA-512\n{_D} a\n", "half of what names"),
        (f"{_D} - SHA-512\n{_D} a\n", "half of what names"),
        (f"abc mlog.zip SHA-512\n{_D} a\n", "Line 1 has no digest of 128"),
        (f"- - SHA-256\n{_D} a\n", "Line 2 has no digest of 64"),
        (f"- - SHA-512\n{_D.upper()} a\n", "Line 2 has no digest of 128"),
        (f"- - SHA-512\n{_D} a\n\n", "Line 3 is no digest"),
        (f"- - SHA-512\n{_D} a b\n", "Line 2 is no digest"),
        (f"- - SHA-512\n{_D} a\n{_D} a\n", "names a container twice"),
        (f"- - SHA-512\n{_D} {'a' * 513}\n", "Line 2 is no digest"),
    ],
)
def test_linking_info_that_is_refused(text: str, reason: str) -> None:
    with pytest.raises(MalformedLinkingInfo, match=reason):
        LinkingInfo.parse(text.encode())


def test_linking_info_must_be_text_of_some_size() -> None:
    with pytest.raises(MalformedLinkingInfo, match="no UTF-8"):
        LinkingInfo.parse(b"\xff")
    with pytest.raises(MalformedLinkingInfo, match="larger than"):
        LinkingInfo.parse(bytes((32 << 20) + 1))


@pytest.mark.interop
def test_digests_are_chained_as_text() -> None:
    files = unpacked(vector("message-archive-0.zip"))
    [container] = [data for name, data in files.items() if name != LINKING_INFO]
    assert next_digest("", hashlib.sha512(container).digest()) == FIRST_END


# --- names ----------------------------------------------------------------------------------------

_EARLY = datetime(2023, 10, 23, 15, 12, 55, 900_000, tzinfo=timezone(timedelta(hours=3)))


@pytest.mark.parametrize(
    ("group", "name"),
    [
        ("", "mlog-20231023121255-20231023121301-9011ab557706b505.zip"),
        (
            "CS/GOV/12 34/a\\b",
            "mlog-CS_GOV_12_34_a_b-20231023121255-20231023121301-9011ab557706b505.zip",
        ),
        ("x" * 300, f"mlog-{'x' * 200}-20231023121255-20231023121301-9011ab557706b505.zip"),
    ],
)
def test_the_name_of_a_file_is_the_reference_s_with_times_in_utc(group: str, name: str) -> None:
    late = datetime(2023, 10, 23, 12, 13, 1, tzinfo=UTC)
    assert archive_file_name(group, _EARLY, late, FIRST_END) == name


def test_a_name_that_does_not_fit_the_chain_is_a_warning(containers: dict[str, bytes]) -> None:
    raw, digest = archived(containers)
    good = archive_file_name("EX/GOV/1", NOON, NOON, digest)
    assert "name" not in [check.name for check in judged(raw, name=good).report.checks]
    bad = archive_file_name("EX/GOV/1", NOON, NOON, FIRST_END)
    report = judged(raw, name=f"{bad}.age")
    assert report.verdict is Outcome.PASSED
    assert "name" in [check.name for check in report.report.checks]
