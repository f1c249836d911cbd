"""What a node believes: locations, key rotation, rollback, expiry, federation, damage."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pki import NOON
from tests.published import VALIDITY, Publisher, stamp
from tests.vector_files import vector_path
from trust.configuration.confclient import ConfigurationClient
from trust.configuration.confdirectory import Directory, DirectoryEntry
from trust.configuration.conflocations import (
    MAX_LOCATIONS,
    AllowedFederations,
    Location,
    anchor_locations,
    candidate_locations,
    directory_name,
    part_url,
    shared_locations,
    versioned_urls,
)
from trust.configuration.confparts import parse_anchor, parse_shared_parameters
from trust.configuration.confpublish import build_shared_parameters
from trust.configuration.confset import (
    Generation,
    instance_folder,
    instance_of_folder,
    part_file_name,
)
from trust.digests import SHA512_URI, digest
from trust.errors import EvidenceRejected, ExchangeError, GlobalConfOutdated, MalformedMessage
from trust.globalconf import Anchor, AnchorSource, ConfigurationSource, GlobalConf

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
EVERYONE = AllowedFederations(everyone=True)


def _keep_order(locations: list[Location]) -> None:
    """No shuffling: a test that fails must fail again."""


def _client(publisher: Publisher, allowed: AllowedFederations = EVERYONE) -> ConfigurationClient:
    return ConfigurationClient(publisher.anchor(), None, allowed, _keep_order)


def _update(
    client: ConfigurationClient,
    files: dict[str, bytes],
    at: datetime,
    *,
    source: Anchor | None = None,
    kind: str = "internal",
    version: int = 6,
) -> GlobalConf:
    """One download from the first location whose certificates fit."""
    chosen = source or client.anchor
    problem: ExchangeError | None = None
    for location in client.locations(chosen):
        url = f"{location.url}?version={version}"
        try:
            raw = files[f"/{kind}conf?version={version}"]
            update = client.read(chosen, location, url, raw, at)
        except EvidenceRejected as error:
            problem = error
            continue
        host = url.split("/internalconf")[0].split("/externalconf")[0]
        fetched = {
            entry: files[address.removeprefix(host)] for entry, address in update.missing.items()
        }
        return client.accept(update, fetched)
    assert problem is not None
    raise problem


# Locations.


@pytest.mark.parametrize(
    ("tree", "version", "extra"),
    [("confclient_V2", 2, 0), ("confclient_V3", 3, 2), ("confclient_V3-many-nodes", 3, 6)],
)
def test_the_list_names_further_locations(tree: str, version: int, extra: int) -> None:
    path = vector_path(f"globalconf/dirs/{tree}/EE/shared-params.xml")
    shared = parse_shared_parameters(path.read_bytes(), version)
    for name, certificates in (("internalconf", 1), ("externalconf", 1), ("EE/conf", 2)):
        locations = shared_locations(name, shared)
        assert len(locations) == extra
        assert sum(location.secure for location in locations) * 2 == extra
        assert all(len(location.certificates) == certificates for location in locations)
        assert all(location.url.endswith(f"/{name}") for location in locations)


def test_the_list_comes_first_then_the_anchor_each_by_https_first() -> None:
    publisher = Publisher()
    anchor = Anchor("TEST", (AnchorSource("http://elsewhere.test/internalconf", (b"one",)),), NOON)
    urls = [location.url for location in candidate_locations(anchor, publisher.shared, _keep_order)]
    assert urls == [
        "https://registry.example.test/internalconf",
        "http://registry.example.test/internalconf",
        "https://elsewhere.test/internalconf",
        "http://elsewhere.test/internalconf",
    ]
    again = candidate_locations(
        anchor, publisher.shared, _keep_order, first="http://elsewhere.test/internalconf"
    )
    assert [location.url for location in again] == [urls[3], *urls[:3]]


@given(st.integers(0, 30), st.integers(1, 30), st.randoms(use_true_random=False))
def test_at_most_eight_locations_are_tried_with_some_of_the_anchor_and_of_each_scheme(
    listed: int, anchored: int, chance: Random
) -> None:
    names = [f"host{n}.test" for n in range(listed)]
    sources = tuple(ConfigurationSource(name, (b"in",), (b"out",)) for name in names)
    shared = replace(Publisher().shared, sources=sources)
    anchor = Anchor(
        "TEST",
        tuple(AnchorSource(f"http://a{n}.test/internalconf", (b"one",)) for n in range(anchored)),
        NOON,
    )
    served = f"http://a{anchored - 1}.test/internalconf"
    locations = candidate_locations(anchor, shared, chance.shuffle, first=served)
    assert len(set(locations)) == len(locations) == min(MAX_LOCATIONS, 2 * (listed + anchored))
    assert locations[0].url == served
    for start in ("https://a", "http://a", "https://host", "http://host"):
        assert any(one.url.startswith(start) for one in locations) or (
            "host" in start and not listed
        )


def test_each_location_has_its_own_certificates_and_the_anchors_those_announced() -> None:
    publisher = Publisher()
    anchor = Anchor("TEST", (AnchorSource("http://a.test/internalconf", (b"one",)),), NOON)
    locations = candidate_locations(anchor, publisher.shared, _keep_order)
    assert locations[0].certificates == publisher.certificates()
    assert locations[3].certificates == (b"one", *publisher.certificates())


def test_an_anchor_with_https_only_is_used() -> None:
    anchor = Anchor("TEST", (AnchorSource("https://a.test/internalconf", (b"one",)),), None)
    assert [one.url for one in anchor_locations(anchor)] == ["https://a.test/internalconf"]
    assert directory_name(anchor) == "internalconf"


def test_certificates_of_one_address_are_joined_and_bad_addresses_left_out() -> None:
    sources = (
        AnchorSource("http://a.test/conf", (b"one",)),
        AnchorSource("http://a.test/conf", (b"two", b"one")),
        AnchorSource("file:///etc/passwd", (b"three",)),
        AnchorSource("http://user@a.test/conf", (b"four",)),
    )
    locations = anchor_locations(Anchor("TEST", sources))
    assert [(one.url, one.certificates) for one in locations] == [
        ("https://a.test/conf", (b"one", b"two")),
        ("http://a.test/conf", (b"one", b"two")),
    ]
    assert anchor_locations(Anchor("TEST", sources[2:])) == ()
    assert directory_name(Anchor("TEST", sources[2:])) == ""


@pytest.mark.parametrize("address", ["a b", "a/b", "a@b", "a?b", "", "a#b"])
def test_addresses_that_are_no_hosts_are_left_out(address: str) -> None:
    source = ConfigurationSource(address, (), ())
    assert shared_locations("internalconf", replace(Publisher().shared, sources=(source,))) == ()


def test_bare_ipv6_addresses_get_their_brackets() -> None:
    source = ConfigurationSource("2001:db8::1", (), ())
    (secure, _) = shared_locations("x", replace(Publisher().shared, sources=(source,)))
    assert secure.url == "https://[2001:db8::1]/x"


def test_versions_are_tried_from_the_newest_down() -> None:
    assert versioned_urls("http://a.test/internalconf") == tuple(
        f"http://a.test/internalconf?version={version}" for version in (6, 5, 4, 3, 2)
    )
    assert versioned_urls("http://a.test/c?x=1")[0] == "http://a.test/c?x=1&version=6"
    assert versioned_urls("http://a.test/c?version=4") == ("http://a.test/c?version=4",)


def test_parts_lie_on_the_server_of_their_directory() -> None:
    base = "http://a.test/internalconf?version=6"
    assert part_url(base, "/V6/1/x.xml") == "http://a.test/V6/1/x.xml"
    assert part_url(base, "V6/x.xml") == "http://a.test/V6/x.xml"
    assert part_url(base, "http://a.test:80/x.xml") == "http://a.test:80/x.xml"
    for location in (
        "http://b.test/x",
        "//b.test/x",
        "https://a.test/x",
        "http://a.test:8080/x",
        "http://a.test@b.test/x",
        "file:///x",
        "http://[bad/x",
    ):
        with pytest.raises(MalformedMessage, match="another server"):
            part_url(base, location)


def test_federations_are_allowed_as_in_the_reference() -> None:
    assert not AllowedFederations.parse(["none"]).allows("EE")
    assert not AllowedFederations.parse([]).allows("EE")
    assert AllowedFederations.parse(["all"]).allows("EE")
    assert AllowedFederations.parse(["FI", " ee "]).allows("EE")
    assert not AllowedFederations.parse(["FI"]).allows("EE")
    assert not AllowedFederations.parse(["all", "NONE", "EE"]).allows("EE")


# Names.


@pytest.mark.parametrize(
    ("instance", "folder"),
    [
        ("EE", "EE"),
        ("EE test", "EE+test"),
        ("Ä", "%C3%84"),
        ("a~b*c.d_e-f", "a%7Eb*c.d_e-f"),
        ("x+y", "x%2By"),
    ],
)
def test_folders_are_named_as_java_encodes(instance: str, folder: str) -> None:
    assert instance_folder(instance) == folder
    assert instance_of_folder(folder) == instance


@pytest.mark.parametrize("name", ["", " ", ".", "..", "a/b", "a\\b", "a%b", "a\x00b", "x" * 256])
def test_unsafe_instances_have_no_folder(name: str) -> None:
    with pytest.raises(MalformedMessage) as caught:
        instance_folder(name)
    assert caught.value.code == "global_conf_part_invalid_instance_identifier"


@given(st.text(max_size=20))
def test_any_instance_has_one_folder_or_none(name: str) -> None:
    with suppress(MalformedMessage):
        assert instance_of_folder(instance_folder(name)) == name
        assert "/" not in instance_folder(name)


@pytest.mark.parametrize(
    ("location", "file_name", "expected"),
    [
        ("/V6/1/own.xml", None, "own.xml"),
        ("own.xml", None, "own.xml"),
        ("/V6/1/x", "named.xml", "named.xml"),
    ],
)
def test_optional_parts_are_named_by_header_or_location(
    location: str, file_name: str | None, expected: str
) -> None:
    entry = DirectoryEntry("OWN", "TEST", location, b"", file_name=file_name)
    assert part_file_name(entry) == expected


@pytest.mark.parametrize(
    "name", ["..", ".hidden", "a/../b", "x.metadata", "shared-params.xml", "a b", "é", ""]
)
def test_unsafe_file_names_are_refused(name: str) -> None:
    with pytest.raises(MalformedMessage):
        part_file_name(DirectoryEntry("OWN", "TEST", "/V6/1/", b"", file_name=name))


# Believing.


def test_a_first_download_makes_the_node_valid() -> None:
    publisher = Publisher()
    client = _client(publisher)
    assert not client.conf.valid(NOON)
    conf = _update(client, publisher.publish(NOON), NOON)
    assert conf.valid(NOON + VALIDITY)
    assert not conf.valid(NOON + VALIDITY + MINUTE)
    assert conf.own.shared == publisher.shared
    assert conf.own.private == publisher.private
    assert conf.number == 2
    assert conf.verify_next_update is True
    assert conf.skipped == {}


def test_unchanged_parts_are_not_fetched_again_and_live_longer() -> None:
    publisher = Publisher()
    client = _client(publisher)
    first = _update(client, publisher.publish(NOON), NOON)
    files = publisher.publish(NOON + MINUTE)
    location = client.locations(client.anchor)[0]
    url = location.url + "?version=6"
    update = client.read(
        client.anchor, location, url, files["/internalconf?version=6"], NOON + MINUTE
    )
    assert update.missing == {}
    conf = client.accept(update, {})
    assert conf.own.valid_until == NOON + MINUTE + VALIDITY
    assert conf.own.shared is first.own.shared
    assert conf.number == first.number + 1


def test_an_expired_directory_is_refused_and_the_last_good_one_stays() -> None:
    publisher = Publisher()
    client = _client(publisher)
    conf = _update(client, publisher.publish(NOON), NOON)
    with pytest.raises(GlobalConfOutdated):
        _update(client, publisher.publish(NOON + MINUTE), NOON + MINUTE + 2 * VALIDITY)
    assert client.conf is conf


@pytest.mark.parametrize("version", [2, 3, 4, 5, 6])
def test_every_version_is_believed(version: int) -> None:
    publisher = Publisher(versions=[version])
    conf = _update(_client(publisher), publisher.publish(NOON), NOON, version=version)
    assert conf.own.shared.version == version
    assert conf.auth_hash_name == ("sha1" if version == 2 else "sha256")


def test_an_earlier_generation_that_was_read_first_is_not_accepted_after_a_later_one() -> None:
    publisher = Publisher()
    client = _client(publisher)
    old = publisher.publish(NOON)
    location = client.locations(client.anchor)[0]
    url = f"{location.url}?version=6"
    update = client.read(client.anchor, location, url, old["/internalconf?version=6"], NOON)
    conf = _update(client, publisher.publish(NOON + MINUTE), NOON + MINUTE)
    host = location.url.removesuffix("/internalconf")
    parts = {entry: old[address.removeprefix(host)] for entry, address in update.missing.items()}
    with pytest.raises(EvidenceRejected) as caught:
        client.accept(update, parts)
    assert caught.value.code == "global_conf_rollback"
    assert client.conf is conf


def test_an_earlier_generation_is_refused() -> None:
    publisher = Publisher()
    client = _client(publisher)
    old = publisher.publish(NOON)
    _update(client, publisher.publish(NOON + MINUTE), NOON + MINUTE)
    with pytest.raises(EvidenceRejected) as caught:
        _update(client, old, NOON + MINUTE)
    assert caught.value.code == "global_conf_rollback"
    _update(client, publisher.publish(NOON + MINUTE), NOON + MINUTE)  # the same again is no step


def test_an_earlier_generation_of_an_older_version_is_refused_as_well() -> None:
    publisher = Publisher(versions=[5, 6])
    client = _client(publisher)
    old = publisher.publish(NOON)
    _update(client, publisher.publish(NOON + MINUTE), NOON + MINUTE)
    with pytest.raises(EvidenceRejected, match="older"):
        _update(client, old, NOON + MINUTE, version=5)


def test_a_shorter_validity_is_no_step_back() -> None:
    late = Generation(NOON + 10 * VALIDITY, stamp(NOON))
    assert not Generation(NOON + VALIDITY, stamp(NOON + MINUTE)).precedes(late)
    assert Generation(NOON + 20 * VALIDITY, stamp(NOON - MINUTE)).precedes(late)
    assert Generation(NOON, "").precedes(late)
    assert Generation(NOON, "1795279800000").precedes(late)  # another kind of stamp


def test_a_generation_is_read_from_the_addresses_of_parts() -> None:
    def made(*locations: str) -> str:
        entries = tuple(DirectoryEntry("X", "TEST", location, b"") for location in locations)
        return Generation.of(Directory(NOON, 6, entries)).stamp

    assert made("/V6/20261121165000000000000/a.xml") == "20261121165000000000000"
    assert made("/PROXY1/1795279800000/TEST/V6/20261121165000000000000/a") == "1795279800000"
    assert made("/a.xml", "b.xml") == ""
    assert made() == ""


def test_a_rotated_key_is_followed() -> None:
    publisher = Publisher()
    client = _client(publisher)
    _update(client, publisher.publish(NOON), NOON)
    publisher.rotate("second")
    _update(client, publisher.publish(NOON + MINUTE), NOON + MINUTE)
    publisher.activate("second")
    _update(client, publisher.publish(NOON + 2 * MINUTE), NOON + 2 * MINUTE)
    publisher.announced.remove("first")
    conf = _update(client, publisher.publish(NOON + 3 * MINUTE), NOON + 3 * MINUTE)
    assert conf.own.shared.sources[0].internal_certificates == publisher.certificates()


def test_a_key_that_was_never_announced_is_not_believed() -> None:
    publisher = Publisher()
    client = _client(publisher)
    _update(client, publisher.publish(NOON), NOON)
    publisher.activate("stranger")
    with pytest.raises(EvidenceRejected) as caught:
        _update(client, publisher.publish(NOON + MINUTE), NOON + MINUTE)
    assert caught.value.code == "global_conf_missing_verification_cert"


def test_an_expired_list_still_leads_to_its_successor() -> None:
    publisher = Publisher()
    publisher.rotate("second")
    client = _client(replace(publisher, announced=["first"]))
    _update(client, publisher.publish(NOON), NOON)
    publisher.activate("second")
    weeks = NOON + timedelta(days=30)
    assert not client.conf.valid(weeks)
    assert _update(client, publisher.publish(weeks), weeks).valid(weeks)


def _damaged(files: dict[str, bytes], name: str, raw: bytes) -> dict[str, bytes]:
    return {path: raw if path.endswith(name) else value for path, value in files.items()}


def test_a_part_with_another_digest_changes_nothing() -> None:
    publisher = Publisher()
    client = _client(publisher)
    conf = _update(client, publisher.publish(NOON), NOON)
    more = replace(publisher, members=3)
    files = _damaged(more.publish(NOON + MINUTE), "shared-params.xml", b"<other/>")
    with pytest.raises(EvidenceRejected) as caught:
        _update(client, files, NOON + MINUTE)
    assert caught.value.code == "global_conf_part_downloaded_file_integrity_failure"
    assert client.conf is conf


def test_a_part_that_was_not_fetched_changes_nothing() -> None:
    publisher = Publisher()
    client = _client(publisher)
    files = publisher.publish(NOON)
    location = client.locations(client.anchor)[0]
    url = location.url + "?version=6"
    update = client.read(client.anchor, location, url, files["/internalconf?version=6"], NOON)
    with pytest.raises(EvidenceRejected) as caught:
        client.accept(update, {})
    assert caught.value.code == "global_conf_part_download_failure"
    assert not client.conf.instances


class _Careless(Publisher):
    """Signs parts that nobody may believe."""

    changed: dict[str, bytes]

    def parts(self, version: int, kind: str) -> dict[str, tuple[str, bytes]]:
        parts = super().parts(version, kind)
        for identifier, raw in self.changed.items():
            if identifier in parts:
                parts[identifier] = (parts[identifier][0], raw)
        return parts


def _careless(**changed: bytes) -> _Careless:
    publisher = _Careless()
    publisher.changed = {name.replace("_", "-"): raw for name, raw in changed.items()}
    return publisher


def test_signed_parts_that_are_malformed_are_refused() -> None:
    publisher = _careless(SHARED_PARAMETERS=b"<x/>")
    with pytest.raises(MalformedMessage) as caught:
        _update(_client(publisher), publisher.publish(NOON), NOON)
    assert caught.value.code == "malformed_global_conf"


def test_parts_of_another_instance_than_announced_are_refused() -> None:
    publisher = _careless(SHARED_PARAMETERS=build_shared_parameters(Publisher("PEER").shared))
    with pytest.raises(MalformedMessage) as caught:
        _update(_client(publisher), publisher.publish(NOON), NOON)
    assert caught.value.code == "global_conf_part_invalid_instance_identifier"


def test_a_malformed_optional_part_is_left_out_with_its_reason() -> None:
    publisher = _careless(NEXTUPDATE=b"<x/>")
    conf = _update(_client(publisher), publisher.publish(NOON), NOON)
    assert conf.valid(NOON)
    assert conf.verify_next_update is True
    assert list(conf.skipped) == ["TEST/NEXTUPDATE"]


def test_optional_parts_are_read_and_unknown_ones_kept() -> None:
    folder = vector_path("globalconf/optional-parts")
    publisher = Publisher(
        optional={
            "NEXTUPDATE": ("n.xml", (folder / "valid-nextupdate-params.xml").read_bytes()),
            "FETCHINTERVAL": ("f.xml", (folder / "valid-fetchinterval-params.xml").read_bytes()),
            "MONITORING": ("m.xml", (folder / "valid-monitoring-params.xml").read_bytes()),
            "OWN": ("own.bin", b"anything"),
        }
    )
    client = _client(publisher)
    conf = _update(client, publisher.publish(NOON), NOON)
    assert conf.verify_next_update is False
    assert conf.ocsp_fetch_interval_seconds == 500
    assert str(conf.monitoring_client) == "MEMBER:fdev/GOV/66655666"
    assert conf.own.optional_parts["OWN"] == b"anything"
    publisher.optional.clear()
    conf = _update(client, publisher.publish(NOON + MINUTE), NOON + MINUTE)
    assert conf.own.optional_parts == {}
    assert conf.monitoring_client is None


def test_an_external_anchor_is_no_anchor_for_a_node() -> None:
    publisher = Publisher()
    client = ConfigurationClient(publisher.anchor("external"), None, EVERYONE, _keep_order)
    with pytest.raises(EvidenceRejected) as caught:
        _update(client, publisher.publish(NOON), NOON, kind="external")
    assert caught.value.code == "conf_verification.missing_private_params"


def test_what_was_stored_for_another_instance_is_not_used() -> None:
    publisher = Publisher()
    client = _client(publisher)
    _update(client, publisher.publish(NOON), NOON)
    other = ConfigurationClient(Publisher("OTHER").anchor(), client.kept)
    assert not other.kept.parts
    same = ConfigurationClient(publisher.anchor(), client.kept)
    assert same.conf.own.shared == publisher.shared


# Federation.


def _federated() -> tuple[Publisher, Publisher, ConfigurationClient]:
    peer = Publisher("PEER", address="registry.peer.test")
    publisher = Publisher(federation=(peer.anchor("external"),))
    client = _client(publisher)
    _update(client, publisher.publish(NOON), NOON)
    return publisher, peer, client


def test_a_federated_instance_is_read_and_hidden_when_it_expires() -> None:
    publisher, peer, client = _federated()
    own, source = client.sources()
    assert own is client.anchor
    assert source.instance == "PEER"
    conf = _update(client, peer.publish(NOON), NOON, source=source, kind="external")
    assert conf.instance("PEER", NOON) is not None
    assert conf.instances["PEER"].private is None
    late = NOON + VALIDITY + MINUTE
    conf = _update(client, publisher.publish(late), late)
    assert conf.instance("PEER", late) is None
    assert conf.valid(late)


def test_a_federated_source_can_not_write_the_own_instance() -> None:
    publisher, peer, client = _federated()
    source = client.sources()[1]
    before = client.conf.own
    evil = replace(publisher, members=9).parts(6, "external")["SHARED-PARAMETERS"][1]
    honest = peer.entries(peer.parts(6, "external"), 6, NOON)
    forged = DirectoryEntry("SHARED-PARAMETERS", "TEST", "/V6/1/evil.xml", digest(SHA512_URI, evil))
    files = peer.publish(NOON)
    files["/V6/1/evil.xml"] = evil
    files["/externalconf?version=6"] = peer.sign([forged, *honest], NOON, kind="external")
    conf = _update(client, files, NOON, source=source, kind="external")
    assert conf.own.shared is before.shared
    assert "PEER" in conf.instances
    files["/externalconf?version=6"] = peer.sign([forged], NOON, kind="external")
    with pytest.raises(EvidenceRejected) as caught:
        _update(client, files, NOON, source=source, kind="external")
    assert caught.value.code == "global_conf_part_invalid_instance_identifier"


def test_a_federated_source_can_not_pass_the_own_list_off_as_its_own() -> None:
    publisher, peer, client = _federated()
    raw = build_shared_parameters(publisher.shared)
    entry = DirectoryEntry("SHARED-PARAMETERS", "PEER", "/V6/1/x.xml", digest(SHA512_URI, raw))
    files = {
        "/externalconf?version=6": peer.sign([entry], NOON, kind="external"),
        "/V6/1/x.xml": raw,
    }
    with pytest.raises(MalformedMessage) as caught:
        _update(client, files, NOON, source=client.sources()[1], kind="external")
    assert caught.value.code == "global_conf_part_invalid_instance_identifier"
    assert "PEER" not in client.conf.instances


def test_certificates_of_one_instance_do_not_sign_for_another() -> None:
    publisher, _, client = _federated()
    with pytest.raises(EvidenceRejected) as caught:
        _update(client, publisher.publish(NOON), NOON, source=client.sources()[1], kind="external")
    assert caught.value.code == "global_conf_missing_verification_cert"


def test_federations_that_are_not_allowed_are_not_asked() -> None:
    peer = Publisher("PEER")
    publisher = Publisher(federation=(peer.anchor("external"),))
    client = _client(publisher, AllowedFederations.parse(["OTHER"]))
    _update(client, publisher.publish(NOON), NOON)
    assert client.sources() == (client.anchor,)


def test_an_instance_that_is_no_longer_named_is_dropped() -> None:
    publisher, peer, client = _federated()
    _update(client, peer.publish(NOON), NOON, source=client.sources()[1], kind="external")
    alone = replace(publisher, federation=())
    conf = _update(client, alone.publish(NOON + MINUTE), NOON + MINUTE)
    assert list(conf.instances) == ["TEST"]
    assert {part.instance for part in client.kept.parts} == {"TEST"}


def _proxied(
    publisher: Publisher, peer: Publisher, at: datetime, *, own: bool = True
) -> dict[str, bytes]:
    """What a configuration proxy carries: several instances in one directory."""
    files = {**publisher.publish(at)}
    entries = list(publisher.entries(publisher.parts(6, "internal"), 6, at))
    shared = peer.parts(6, "external")["SHARED-PARAMETERS"][1]
    entries.append(
        DirectoryEntry("SHARED-PARAMETERS", "PEER", "/peer.xml", digest(SHA512_URI, shared))
    )
    files["/peer.xml"] = shared
    if not own:
        wanted = {("SHARED-PARAMETERS", "TEST")}
        entries = [one for one in entries if (one.identifier, one.instance) not in wanted]
    files["/internalconf?version=6"] = publisher.sign(entries, at)
    return files


def test_the_own_source_may_carry_instances_that_it_names() -> None:
    publisher, peer, client = _federated()
    conf = _update(client, _proxied(publisher, peer, NOON + MINUTE), NOON + MINUTE)
    assert "PEER" in conf.instances


def test_the_own_source_may_not_carry_instances_that_it_does_not_name() -> None:
    peer, publisher = Publisher("PEER"), Publisher()
    client = _client(publisher)
    conf = _update(client, _proxied(publisher, peer, NOON), NOON)
    assert list(conf.instances) == ["TEST"]


def test_a_detached_list_comes_from_another_source() -> None:
    """Only while the own source has none of its own."""
    listing = Publisher(address="listing.test")
    publisher = Publisher(federation=(listing.anchor("external"),))
    client = _client(publisher)
    peer = Publisher("PEER")
    conf = _update(client, _proxied(publisher, peer, NOON, own=False), NOON)
    assert not conf.valid(NOON)
    own, source = client.sources()
    assert source.instance == own.instance
    conf = _update(client, listing.publish(NOON), NOON, source=source, kind="external")
    assert conf.valid(NOON)
    later = NOON + MINUTE
    conf = _update(client, _proxied(publisher, peer, later, own=False), later)
    assert conf.valid(later)
    conf = _update(client, publisher.publish(later + MINUTE), later + MINUTE)
    assert conf.valid(later)
    assert client.sources() == (client.anchor,)


# The reference's own generations.


def _vector_files(generation: str, version: int) -> tuple[dict[str, bytes], Path]:
    root = vector_path(f"globalconf/signed/{generation}")
    files = {
        "/" + path.relative_to(root).as_posix(): path.read_bytes()
        for path in (root / f"V{version}").rglob("*.xml")
    }
    for kind in ("internalconf", "externalconf"):
        raw = (root / f"V{version}" / kind).read_bytes()
        files[f"/{kind}?version={version}"] = raw
    return files, root


def _anchored_by_itself(version: int) -> Anchor:
    root = vector_path("globalconf/signed/first")
    (path,) = (root / f"V{version}").glob("*/shared-params.xml")
    shared = parse_shared_parameters(path.read_bytes(), version)
    certificates = tuple(one for source in shared.sources for one in source.internal_certificates)
    return Anchor(shared.instance, (AnchorSource("http://cs/internalconf", certificates),))


def test_the_references_key_rotation_is_followed() -> None:
    raw = vector_path("globalconf/anchors/system-test-internal.xml").read_bytes()
    client = ConfigurationClient(parse_anchor(raw), None, EVERYONE, _keep_order)
    rotated, _ = _vector_files("rotated", 6)
    with pytest.raises(EvidenceRejected) as caught:
        _update(client, rotated, NOVEMBER)
    assert caught.value.code == "global_conf_missing_verification_cert"
    first, _ = _vector_files("first", 6)
    assert _update(client, first, NOVEMBER).valid(NOVEMBER)
    conf = _update(client, rotated, NOVEMBER)
    assert conf.own.valid_until == datetime(2035, 11, 11, 3, 8, 40, tzinfo=UTC)


def test_the_references_older_generation_is_refused_after_the_newer() -> None:
    client = ConfigurationClient(_anchored_by_itself(5), None, EVERYONE, _keep_order)
    rotated, _ = _vector_files("rotated", 5)
    first, _ = _vector_files("first", 5)
    _update(client, first, NOVEMBER, version=5)
    with pytest.raises(EvidenceRejected) as caught:
        _update(client, rotated, NOVEMBER, version=5)
    assert caught.value.code == "global_conf_rollback"
    fresh = ConfigurationClient(client.anchor, None, EVERYONE, _keep_order)
    assert _update(fresh, rotated, NOVEMBER, version=5).valid(NOVEMBER)
    assert _update(fresh, first, NOVEMBER, version=5).valid(NOVEMBER)


@pytest.mark.parametrize("generation", ["first", "rotated"])
def test_the_references_version_three_is_refused_for_its_structure(generation: str) -> None:
    root = vector_path("globalconf/signed/first")
    (path,) = (root / "V3").glob("*/shared-params.xml")
    shared = parse_shared_parameters(path.read_bytes(), 4)
    source = AnchorSource("http://cs/internalconf", shared.sources[0].internal_certificates)
    client = ConfigurationClient(Anchor("CS", (source,)), None, EVERYONE, _keep_order)
    files, _ = _vector_files(generation, 3)
    with pytest.raises(MalformedMessage, match="exists from version 4") as caught:
        _update(client, files, NOVEMBER, version=3)
    assert caught.value.code == "malformed_global_conf"


def test_version_four_is_followed_from_one_generation_to_the_next() -> None:
    client = ConfigurationClient(_anchored_by_itself(4), None, EVERYONE, _keep_order)
    for generation in ("first", "rotated"):
        files, _ = _vector_files(generation, 4)
        assert _update(client, files, NOVEMBER, version=4).valid(NOVEMBER)


@given(st.data())
def test_damaged_downloads_change_nothing_unless_they_mean_the_same(data: st.DataObject) -> None:
    publisher = Publisher()
    client = _client(publisher)
    files = publisher.publish(NOON)
    for path in data.draw(st.lists(st.sampled_from(sorted(files)), min_size=1, max_size=3)):
        raw = bytearray(files[path])
        place = data.draw(st.integers(0, 1 << 20)) % len(raw)  # signatures vary in length
        raw[place : place + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=4))
        files[path] = bytes(raw)
    try:
        conf = _update(client, files, NOON)
    except ExchangeError:
        assert not client.conf.instances
    else:
        assert conf.own.shared == publisher.shared
