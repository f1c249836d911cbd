"""The history of trust lists: what is kept of it, when each counts, and what damage does."""

import gzip
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.pki import NOON, Pki
from tests.published import Publisher
from trust.configuration.confdirectory import MAX_DIRECTORY_BYTES
from trust.configuration.confhistory import (
    FolderFiles,
    TrustListHistory,
    TrustListKeeper,
    TrustListVersion,
)
from trust.configuration.confparts import SHARED_PARAMETERS_ID
from trust.configuration.confpublish import build_shared_parameters
from trust.configuration.confset import ConfigurationSet, Part
from trust.errors import MalformedMessage, StorageError
from trust.ids import ClientId

HOUR = timedelta(hours=1)
MEMBER = ClientId("TEST", "GOV", "1001")


def _set(pki: Pki) -> ConfigurationSet:
    shared = build_shared_parameters(pki.conf(members={MEMBER: ("portal",)}).own.shared)
    part = Part(
        SHARED_PARAMETERS_ID, "TEST", "shared-params.xml", shared, 6, NOON + HOUR, "/V6/1/shared"
    )
    return ConfigurationSet("TEST", (part,))


@pytest.fixture(scope="module")
def first() -> ConfigurationSet:
    return _set(Pki())


@pytest.fixture(scope="module")
def second() -> ConfigurationSet:
    return _set(Pki(freshness_seconds=7200))


def _freshness(history: TrustListHistory, minutes: int) -> int | None:
    conf = history.at(NOON + timedelta(minutes=minutes))
    return None if conf is None else conf.ocsp_freshness_seconds


def test_each_list_counts_from_its_time_until_the_next(
    tmp_path: Path, first: ConfigurationSet, second: ConfigurationSet
) -> None:
    keeper = TrustListKeeper(tmp_path)
    assert keeper.keep(first, NOON)
    assert not keeper.keep(first, NOON + HOUR / 2)
    assert keeper.keep(second, NOON + HOUR)
    assert keeper.keep(first, NOON + 2 * HOUR)
    history = TrustListHistory(FolderFiles(tmp_path))
    assert [_freshness(history, at) for at in (-1, 0, 59, 60, 119, 120, 9999)] == [
        None, 3600, 3600, 7200, 7200, 3600, 3600,
    ]  # fmt: skip
    assert "begins at 2026-11-21 12:00:00Z" in history.why_none(NOON - HOUR)
    assert len(list((tmp_path / "parts").iterdir())) == 2  # the first list is stored once
    numbers = {conf.number for at in (0, 60, 120) if (conf := history.at(NOON + HOUR * at / 60))}
    assert len(numbers) == 3


def test_what_is_renewed_without_a_change_is_no_new_version(
    tmp_path: Path, first: ConfigurationSet
) -> None:
    renewed = replace(
        first, parts=(replace(first.parts[0], expires=NOON + 9 * HOUR, location="/V6/2/shared"),)
    )
    keeper = TrustListKeeper(tmp_path)
    assert keeper.keep(first, NOON)
    assert not keeper.keep(renewed, NOON + HOUR)
    assert not TrustListKeeper(tmp_path).keep(renewed, NOON + HOUR)  # nor after a restart


def test_a_list_without_expiry_is_read_however_old_it_is(
    tmp_path: Path, first: ConfigurationSet
) -> None:
    TrustListKeeper(tmp_path).keep(first, NOON)
    conf = TrustListHistory(FolderFiles(tmp_path)).at(NOON + 99999 * HOUR)
    assert conf is not None
    assert conf.own.valid_until is None


def test_the_directory_of_a_list_is_found_also_when_it_came_later(
    tmp_path: Path, first: ConfigurationSet, second: ConfigurationSet
) -> None:
    keeper = TrustListKeeper(tmp_path)
    keeper.keep(first, NOON)  # read from the disk at a start
    keeper.keep(first, NOON + HOUR, b"signed")
    keeper.keep(second, NOON + 2 * HOUR)
    history = TrustListHistory(FolderFiles(tmp_path))
    found = [history.directory_at(NOON + HOUR * at) for at in (-1, 0, 1, 2)]
    assert found == [None, b"signed", b"signed", None]


def test_a_clock_that_was_set_back_overwrites_nothing(
    tmp_path: Path, first: ConfigurationSet, second: ConfigurationSet
) -> None:
    keeper = TrustListKeeper(tmp_path)
    keeper.keep(first, NOON)
    assert not keeper.keep(second, NOON - HOUR)
    assert keeper.keep(second, NOON + HOUR)


def test_the_oldest_go_beyond_the_limit_with_the_parts_that_nobody_names(
    tmp_path: Path, first: ConfigurationSet, second: ConfigurationSet
) -> None:
    keeper = TrustListKeeper(tmp_path, limit=2)
    for hour, stored in enumerate([_set(Pki(freshness_seconds=60)), first, second, first]):
        assert keeper.keep(stored, NOON + hour * HOUR)
    assert sorted(name.partition("/")[0] for name in keeper.names()) == [
        "parts", "parts", "versions", "versions",
    ]  # fmt: skip
    history = TrustListHistory(FolderFiles(tmp_path))
    assert [_freshness(history, at) for at in (60, 120, 180)] == [None, 7200, 3600]


def test_nothing_is_kept_before_there_is_a_list(tmp_path: Path) -> None:
    assert not TrustListKeeper(tmp_path).keep(ConfigurationSet("TEST"), NOON)
    history = TrustListHistory(FolderFiles(tmp_path))
    assert history.at(NOON) is None
    assert history.why_none(NOON).startswith("The history of trust lists is empty")


def test_a_folder_that_can_not_be_written_is_a_storage_error(
    tmp_path: Path, first: ConfigurationSet
) -> None:
    (tmp_path / "parts").write_text("in the way")
    with pytest.raises(StorageError, match="can't be written"):
        TrustListKeeper(tmp_path).keep(first, NOON)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda raw: raw[:40], "is damaged|was altered"),
        (lambda raw: gzip.compress(gzip.decompress(raw) + b" "), "was altered"),
        (lambda raw: gzip.compress(bytes(64 << 20)), "was altered"),
        (lambda raw: b"no gzip", "is damaged"),
    ],
)
def test_a_damaged_part_gives_a_reason(
    tmp_path: Path, first: ConfigurationSet, damage: Callable[[bytes], bytes], reason: str
) -> None:
    TrustListKeeper(tmp_path).keep(first, NOON)
    (part,) = (tmp_path / "parts").iterdir()
    part.write_bytes(damage(part.read_bytes()))
    history = TrustListHistory(FolderFiles(tmp_path))
    assert history.at(NOON) is None
    assert re.search(reason, history.why_none(NOON))


def test_a_version_under_a_name_that_is_not_its_own_does_not_count(
    tmp_path: Path, first: ConfigurationSet, second: ConfigurationSet
) -> None:
    """Somebody who puts a list of today under a time of yesterday must alter the file's text."""
    keeper = TrustListKeeper(tmp_path)
    keeper.keep(first, NOON)
    (path,) = (tmp_path / "versions").iterdir()
    path.rename(path.with_name(path.name.replace("T12", "T11")))
    history = TrustListHistory(FolderFiles(tmp_path))
    assert history.at(NOON) is None
    assert "does not fit its name" in history.why_none(NOON)


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[]", b'{"since": 1}', b"[" * 10000, b"\xff", bytes(5 << 20)]
)
def test_what_is_no_version_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedMessage):
        TrustListVersion.parse(raw)


def test_a_version_is_read_as_it_was_written(tmp_path: Path, first: ConfigurationSet) -> None:
    TrustListKeeper(tmp_path).keep(first, NOON, b"a directory")
    (path,) = (tmp_path / "versions").iterdir()
    version = TrustListVersion.parse(path.read_bytes())
    assert version.build() == path.read_bytes()
    assert version.since == NOON
    assert json.loads(path.read_bytes())["parts"][0]["configurationVersion"] == "6"


# --- who announced it -----------------------------------------------------------------------------


def _announced(tmp_path: Path, publisher: Publisher) -> TrustListKeeper:
    """A history of one list, with the signed directory that announced it."""
    files = publisher.publish(NOON)
    directory = files["/internalconf?version=6"]
    shared = next(raw for name, raw in files.items() if name.endswith("shared-params.xml"))
    part = Part(SHARED_PARAMETERS_ID, "TEST", "shared-params.xml", shared, 6, NOON, "")
    keeper = TrustListKeeper(tmp_path)
    assert len(directory) < MAX_DIRECTORY_BYTES
    assert keeper.keep(ConfigurationSet("TEST", (part,)), NOON, directory)
    return keeper


def test_with_the_anchor_only_what_the_registry_signed_counts(tmp_path: Path) -> None:
    publisher = Publisher()
    keeper = _announced(tmp_path, publisher)
    files = FolderFiles(tmp_path)
    assert TrustListHistory(files, [publisher.anchor()]).at(NOON) is not None
    keeper.keep(_set(Pki(freshness_seconds=1)), NOON + HOUR)
    history = TrustListHistory(files, [publisher.anchor()])
    assert history.at(NOON) is not None
    assert history.at(NOON + HOUR) is None
    assert "signed directory was not kept" in history.why_none(NOON + HOUR)
    assert TrustListHistory(files).at(NOON + HOUR) is not None


def test_another_list_under_a_signed_directory_does_not_count(tmp_path: Path) -> None:
    publisher = Publisher()
    directory = publisher.publish(NOON)["/internalconf?version=6"]
    TrustListKeeper(tmp_path).keep(_set(Pki(freshness_seconds=1)), NOON, directory)
    history = TrustListHistory(FolderFiles(tmp_path), [publisher.anchor()])
    assert history.at(NOON) is None
    assert "does not announce SHARED-PARAMETERS" in history.why_none(NOON)


def test_the_anchor_of_somebody_else_proves_nothing(tmp_path: Path) -> None:
    _announced(tmp_path, Publisher())
    history = TrustListHistory(FolderFiles(tmp_path), [Publisher("OTHER").anchor()])
    assert history.at(NOON) is None
    assert "no anchor was given" in history.why_none(NOON)
