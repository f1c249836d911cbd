"""A configuration on disk: the vectors' trees, what we write, swaps, damage."""

import io
import json
import threading
import zipfile
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.pki import NOON
from tests.published import VALIDITY, Publisher, stamp
from tests.vector_files import vector_path
from trust.configuration.confclient import LONG_AGO
from trust.configuration.confset import ConfigurationSet, Generation, Part, build_global_conf
from trust.configuration.confstore import (
    build_metadata,
    load_configuration,
    load_set,
    save_set,
    verification_zip,
)
from trust.errors import MalformedMessage, StorageError

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
IN_2124 = datetime(2124, 5, 20, 17, 42, 55, tzinfo=UTC)


def _tree(name: str) -> Path:
    return vector_path(f"globalconf/dirs/{name}")


@pytest.mark.parametrize(
    ("name", "own", "versions"),
    [
        ("globalconf_good_v2", "EE", {"EE": 2, "bar": 2, "foo": 2}),
        ("globalconf_good_v3", "EE", {"EE": 3, "bar": 3, "foo_v2": 2}),
        ("globalconf_good_v4", "EE", {"EE": 4, "bar": 3, "baz_v3": 3, "foo_v2": 2}),
        ("globalconf_good_v5", "EE", {"EE": 5, "bar": 3, "baz_v3": 3, "foo_v2": 2, "qux_v4": 4}),
        (
            "globalconf_good_v6",
            "EE",
            {"EE": 6, "bar": 3, "baz_v3": 3, "foo_v2": 2, "quux_v5": 5, "qux_v4": 4},
        ),
        ("cs_admin_int_test", "EE", {"EE": 2}),
        ("cs_management_int_test", "EE", {"EE": 2}),
        ("ss_admin_int_test", "EE", {"EE": 2}),
    ],
)
def test_good_trees_load_whole(name: str, own: str, versions: dict[str, int]) -> None:
    conf = load_configuration(_tree(name))
    assert conf.own_instance == own
    assert {key: one.shared.version for key, one in conf.instances.items()} == versions
    assert conf.skipped == {}
    assert conf.valid(NOVEMBER)
    assert conf.own.valid_until == IN_2124
    assert not conf.valid(IN_2124 + timedelta(seconds=1))


def test_the_tree_of_a_real_client_loads() -> None:
    conf = load_configuration(_tree("signer_int_test"))
    assert conf.own.valid_until == datetime(2035, 11, 7, 4, 52, 26, tzinfo=UTC)
    assert conf.valid(NOVEMBER)


def test_without_an_expiry_date_it_never_expires_but_for_a_node() -> None:
    conf = load_configuration(_tree("globalconf_good2_v3"))
    assert conf.own.valid_until is None
    assert conf.own.shared.version == 3
    strict = load_configuration(_tree("globalconf_good2_v3"), unknown_expiry=LONG_AGO)
    assert strict.own.expired(NOVEMBER)


def test_a_malformed_instance_is_skipped_with_the_reason() -> None:
    conf = load_configuration(_tree("globalconf_malformed"))
    assert conf.own_instance == "EE"
    assert dict(conf.instances) == {}
    assert "not well-formed" in conf.skipped["foo"]
    assert not conf.valid(NOVEMBER)


def test_an_empty_tree_loads_and_is_not_valid() -> None:
    conf = load_configuration(_tree("globalconf_empty"))
    assert dict(conf.instances) == {}
    assert not conf.valid(NOVEMBER)


def test_a_tree_without_private_parameters_is_not_valid() -> None:
    conf = load_configuration(_tree("messagelog_addon"))
    assert conf.own.shared.instance == "CS"
    assert not conf.valid(NOVEMBER)


@pytest.mark.parametrize("name", ["globalconf_missing_identifier", "confclient_V3"])
def test_a_tree_without_identifier_does_not_load(name: str) -> None:
    with pytest.raises(MalformedMessage, match="instance-identifier") as caught:
        load_configuration(_tree(name))
    assert caught.value.code == "malformed_global_conf"


def test_the_worked_example_loads() -> None:
    conf = load_configuration(vector_path("globalconf/worked-example/on-disk"))
    assert conf.own.valid_until == datetime(2026, 11, 21, 17, tzinfo=UTC)
    assert conf.verify_next_update is True
    assert list(conf.own.optional_parts) == ["NEXTUPDATE"]


def test_a_folder_that_is_not_there_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        load_configuration(tmp_path / "nowhere")


# Writing.


def _set(publisher: Publisher, at: datetime = NOON) -> ConfigurationSet:
    entries = publisher.parts(6, "internal").items()
    parts = tuple(
        Part(
            identifier,
            publisher.instance,
            name,
            raw,
            6,
            at + VALIDITY,
            f"/V6/{stamp(at)}/{name}",
        )
        for identifier, (name, raw) in entries
    )
    stored = ConfigurationSet(publisher.instance, parts)
    return stored.with_generation("main", Generation(at + VALIDITY, stamp(at)))


def _sorted(stored: ConfigurationSet) -> ConfigurationSet:
    return replace(stored, parts=tuple(sorted(stored.parts, key=lambda part: part.file_name)))


def test_what_is_saved_is_loaded_again(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "globalconf"
    stored = _set(Publisher("Some instance"))
    save_set(folder, stored)
    assert load_set(folder) == _sorted(stored)
    assert load_configuration(folder).valid(NOON)
    assert (folder / "instance-identifier").read_text() == "Some instance"
    assert sorted(path.name for path in (folder / "Some+instance").iterdir()) == [
        "nextupdate-params.xml",
        "nextupdate-params.xml.metadata",
        "private-params.xml",
        "private-params.xml.metadata",
        "shared-params.xml",
        "shared-params.xml.metadata",
    ]


def test_metadata_are_those_of_the_worked_example() -> None:
    folder = vector_path("globalconf/worked-example/on-disk")
    for part in load_set(folder).parts:
        path = folder / part.instance / (part.file_name + ".metadata")
        assert json.loads(build_metadata(part)) == json.loads(path.read_bytes())
        assert list(json.loads(build_metadata(part))) == list(json.loads(path.read_bytes()))


def test_saving_again_replaces_the_whole_and_cleans_up(tmp_path: Path) -> None:
    folder = tmp_path / "globalconf"
    save_set(folder, _set(Publisher()))
    shared = (folder / "TEST" / "shared-params.xml").stat().st_ino
    for minutes in range(1, 5):
        save_set(folder, _set(Publisher(), NOON + timedelta(minutes=minutes)))
    assert (folder / "TEST" / "shared-params.xml").stat().st_ino == shared  # not written again
    assert load_set(folder).generations["main"].stamp == stamp(NOON + timedelta(minutes=4))
    alone = replace(_set(Publisher()), parts=_set(Publisher()).parts[:1])
    save_set(folder, alone)
    assert load_set(folder).parts == alone.parts
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 3  # link, now, before


def test_a_real_folder_in_the_way_is_renamed(tmp_path: Path) -> None:
    folder = tmp_path / "globalconf"
    folder.mkdir()
    (folder / "precious").write_text("x")
    save_set(folder, _set(Publisher()))
    assert load_configuration(folder).valid(NOON)
    assert [path.read_text() for path in tmp_path.glob(".globalconf.*.old/precious")] == ["x"]


def test_a_set_that_can_not_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "globalconf"
    save_set(folder, _set(Publisher()))
    bad = replace(_set(Publisher()).parts[0], file_name="no/such/folder.xml")
    with pytest.raises(StorageError, match="can't be written"):
        save_set(folder, replace(_set(Publisher()), parts=(bad,)))
    assert load_configuration(folder).valid(NOON)
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 2  # link and set


def test_a_reader_never_sees_two_generations_mixed(tmp_path: Path) -> None:
    folder = tmp_path / "globalconf"
    sets = [_set(Publisher(members=number), NOON) for number in (1, 2)]
    save_set(folder, sets[0])
    known = {frozenset(part.raw for part in stored.parts) for stored in sets}
    seen: list[bool] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            with suppress(StorageError):  # it changes faster here than it can be read
                seen.append(frozenset(part.raw for part in load_set(folder).parts) in known)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(40):
        save_set(folder, sets[number % 2])
    stop.set()
    reader.join()
    assert seen
    assert all(seen)


# Damage.


@pytest.mark.parametrize(
    "metadata",
    [
        "{",
        "[]",
        '{"expirationDate":5,"configurationVersion":6}',
        "\xff",
        "[" * 60000,
        '{"expirationDate":"soon","configurationVersion":"x"}',
    ],
)
def test_unreadable_metadata_are_no_metadata(tmp_path: Path, metadata: str) -> None:
    folder = tmp_path / "globalconf"
    save_set(folder, _set(Publisher()))
    for path in (folder / "TEST").glob("shared*.metadata"):
        path.write_text(metadata, encoding="latin-1")
    (shared,) = [part for part in load_set(folder).parts if part.file_name.startswith("shared")]
    assert shared.expires is None
    assert shared.version == 2
    conf = build_global_conf(load_set(folder), unknown_expiry=LONG_AGO)
    assert not conf.valid(NOON)


@pytest.mark.parametrize("identifier", ["", "..", "a/b", "\xff"])
def test_an_identifier_file_that_names_nothing_is_refused(tmp_path: Path, identifier: str) -> None:
    (tmp_path / "instance-identifier").write_text(identifier, encoding="latin-1")
    with pytest.raises(MalformedMessage, match="no name of an instance"):
        load_set(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"main":{}}', '{"main":{"expires":"x"}}', "5"])
def test_unreadable_generations_count_as_none(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "globalconf"
    save_set(folder, _set(Publisher()))
    (folder / "generations.metadata").write_text(text)
    assert load_set(folder).generations == {}


def test_folders_and_files_that_are_no_parts_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "globalconf"
    save_set(folder, _set(Publisher()))
    (folder / "%zz").mkdir()
    (folder / "%zz" / "shared-params.xml").write_text("<x/>")
    (folder / "TEST" / "sub").mkdir()
    (folder / "stray").write_text("x")
    assert load_set(folder) == _sorted(_set(Publisher()))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["shared-params.xml", "private-params.xml"]), st.binary(max_size=60))
def test_any_part_on_disk_is_read_or_skipped(tmp_path: Path, name: str, raw: bytes) -> None:
    folder = tmp_path / "tree"
    (folder / "TEST").mkdir(parents=True, exist_ok=True)
    (folder / "instance-identifier").write_text("TEST")
    for known, value in Publisher().parts(6, "internal").values():
        (folder / "TEST" / known).write_bytes(raw if known == name else value)
        (folder / "TEST" / f"{known}.metadata").write_text('{"configurationVersion":"6"}')
    conf = load_configuration(folder)
    assert list(conf.skipped) == ["TEST"]


# For verification elsewhere.


def test_the_zip_for_verification_holds_every_list_with_its_version(tmp_path: Path) -> None:
    tree = _tree("globalconf_good_v6")
    conf = load_configuration(tree)
    with zipfile.ZipFile(io.BytesIO(verification_zip(conf))) as archive:
        archive.extractall(tmp_path)
    again = load_configuration(tmp_path / "verificationconf")
    assert again.own_instance == "EE"
    assert again.instances.keys() == conf.instances.keys()
    for name, instance in again.instances.items():
        assert instance.shared == conf.instances[name].shared
        assert instance.shared_raw == (tree / name / "shared-params.xml").read_bytes()
        assert instance.valid_until is None
    metadata = tmp_path / "verificationconf" / "EE" / "shared-params.xml.metadata"
    assert metadata.read_text() == '{"configurationVersion":"6"}'
    assert verification_zip(conf) == verification_zip(load_configuration(tree))


def test_malformed_optional_parts_leave_their_defaults() -> None:
    optional = {
        identifier: (f"{identifier.lower()}-params.xml", b"<x/>")
        for identifier in ("MONITORING", "FETCHINTERVAL", "NEXTUPDATE")
    }
    conf = build_global_conf(_set(Publisher(optional=optional)))
    assert sorted(conf.skipped) == ["TEST/FETCHINTERVAL", "TEST/MONITORING", "TEST/NEXTUPDATE"]
    assert conf.valid(NOON)
    assert conf.verify_next_update is True
    assert conf.ocsp_fetch_interval_seconds == 1200
    assert conf.monitoring_client is None


def test_very_many_files_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "globalconf"
    save_set(folder, _set(Publisher()))
    for number in range(2001):
        (folder / "TEST" / f"{number}.metadata").touch()
    with pytest.raises(MalformedMessage, match="more than 2000 files"):
        load_set(folder)
