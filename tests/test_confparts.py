"""Parts of a configuration: every vector's verdict, round trips per version, damage."""

import json
import re
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from tests.pki import NOON, Pki
from tests.published import Publisher
from tests.vector_files import vector_path, vectors_folder
from trust.base64text import encode_base64
from trust.configuration.confparts import (
    anchor_fingerprint,
    check_part,
    parse_anchor,
    parse_fetch_interval,
    parse_monitoring,
    parse_next_update,
    parse_private_parameters,
    parse_shared_parameters,
    part_identifier,
)
from trust.configuration.confpublish import (
    as_version,
    build_anchor,
    build_fetch_interval,
    build_monitoring,
    build_next_update,
    build_private_parameters,
    build_shared_parameters,
)
from trust.errors import MalformedMessage
from trust.globalconf import (
    AcmeServer,
    Anchor,
    AnchorSource,
    ApprovedCa,
    AuthorityCertificate,
    GlobalGroup,
    Member,
    OcspResponder,
    SharedParameters,
    Subsystem,
)
from trust.ids import ClientId, GlobalGroupId
from trust.pki.certificates import der

TREES = [
    "cs_admin_int_test",
    "cs_management_int_test",
    "globalconf_good2_v3",
    "globalconf_good_v2",
    "globalconf_good_v3",
    "globalconf_good_v4",
    "globalconf_good_v5",
    "globalconf_good_v6",
    "messagelog_addon",
    "signer_int_test",
    "ss_admin_int_test",
    "confclient_V2",
    "confclient_V3",
    "confclient_V3-many-nodes",
]


def _version(path: Path) -> int:
    metadata = path.with_name(path.name + ".metadata")
    if not metadata.exists():
        return 2
    return int(json.loads(metadata.read_text()).get("configurationVersion", "2"))


@pytest.mark.parametrize("tree", TREES)
def test_every_part_of_the_reference_trees_is_read(tree: str) -> None:
    folder = vector_path(f"globalconf/dirs/{tree}")
    shared = sorted(folder.rglob("shared-params.xml"))
    assert shared
    for path in shared:
        parameters = parse_shared_parameters(path.read_bytes(), _version(path))
        assert parameters.instance == path.parent.name
        assert parameters.version == _version(path)
    for path in folder.rglob("private-params.xml"):
        parse_private_parameters(path.read_bytes(), _version(path))


def test_what_is_no_xml_is_refused() -> None:
    path = vector_path("globalconf/dirs/globalconf_malformed/foo/shared-params.xml")
    with pytest.raises(MalformedMessage, match="not well-formed") as caught:
        parse_shared_parameters(path.read_bytes(), 2)
    assert caught.value.code == "malformed_global_conf"


@pytest.mark.parametrize("generation", ["first", "rotated"])
def test_an_element_newer_than_the_version_is_refused_with_its_line(generation: str) -> None:
    folder = vector_path(f"globalconf/signed/{generation}/V3")
    (path,) = folder.glob("*/shared-params.xml")
    with pytest.raises(MalformedMessage, match="line 24: 'authenticationCertificateProfileId'"):
        parse_shared_parameters(path.read_bytes(), 3)
    assert parse_shared_parameters(path.read_bytes(), 4).instance == "CS"


@pytest.mark.parametrize("version", [4, 5, 6])
@pytest.mark.parametrize("generation", ["first", "rotated"])
def test_signed_parts_are_read(generation: str, version: int) -> None:
    folder = vector_path(f"globalconf/signed/{generation}/V{version}")
    (shared,) = folder.glob("*/shared-params.xml")
    (private,) = folder.glob("*/private-params.xml")
    assert parse_shared_parameters(shared.read_bytes(), version).sources
    assert parse_private_parameters(private.read_bytes(), version).instance == "DEV"


ANCHORS = [
    ("system-test-internal.xml", "DEV", 2, True),
    ("cs-internal-configuration-anchor.xml", "CS", 1, True),
    ("cs-external-configuration-anchor.xml", "CS", 1, True),
    ("ss-admin-internal-configuration-anchor.xml", "CS", 1, True),
    ("confclient-anchor1.xml", "EE", 3, False),
    ("globalconf-core-configuration-anchor1.xml", "EE", 3, False),
    ("globalconf-core-configuration-anchor2.xml", "EE", 1, False),
    ("asic-verifier-configuration-anchor1.xml", "EE", 1, False),
    ("confproxy-PROXY1-anchor.xml", "EE", 1, True),
    ("cs-trusted-anchor.xml", "CS0", 1, True),
    ("cs-core-trusted-anchor.xml", "CS0", 1, True),
    ("cs-trusted-anchor-2.xml", "CS2", 1, True),
    ("cs-ui-trusted-anchor-CS2-E2E.xml", "CS2-E2E", 1, True),
]


@pytest.mark.parametrize(("name", "instance", "sources", "dated"), ANCHORS)
def test_reference_anchors_are_read(name: str, instance: str, sources: int, dated: bool) -> None:
    anchor = parse_anchor(vector_path(f"globalconf/anchors/{name}").read_bytes())
    assert anchor.instance == instance
    assert len(anchor.sources) == sources
    assert (anchor.generated_at is not None) is dated


def test_all_certificates_of_one_address_are_kept() -> None:
    anchor = parse_anchor(
        vector_path("globalconf/anchors/confproxy-PROXY1-anchor.xml").read_bytes()
    )
    assert len(anchor.sources[0].certificates) == 3


def test_an_anchor_without_instance_is_refused() -> None:
    raw = vector_path("globalconf/anchors/cs-trusted-anchor-invalid-1.xml").read_bytes()
    with pytest.raises(MalformedMessage, match="no 'instanceIdentifier'") as caught:
        parse_anchor(raw)
    assert caught.value.code == "malformed_anchor"


def test_fingerprint_is_that_of_the_reference() -> None:
    raw = vector_path("globalconf/worked-example/anchor-internal.xml").read_bytes()
    assert anchor_fingerprint(raw) == (
        "05:85:A9:84:CB:0E:22:E3:71:A1:C0:21:90:7B:69:8B:0B:A9:2A:0D:E0:57:98:8F:D1:4A:B3:15"
    )


@pytest.mark.parametrize(
    ("name", "client"),
    [
        ("valid-monitoring-params.xml", "MEMBER:fdev/GOV/66655666"),
        ("cs-monitoring-params_upload.xml", "SUBSYSTEM:CS/TEST/TEST1/SUB1"),
        ("proxymonitor-monitoring-params.xml", "MEMBER:EE/BUSINESS/producer"),
        ("empty-monitoring-params.xml", "None"),
    ],
)
def test_monitoring_parts(name: str, client: str) -> None:
    raw = vector_path(f"globalconf/optional-parts/{name}").read_bytes()
    assert str(parse_monitoring(raw)) == client


def test_valid_interval_and_next_update_parts() -> None:
    folder = vector_path("globalconf/optional-parts")
    assert parse_fetch_interval((folder / "valid-fetchinterval-params.xml").read_bytes()) == 500
    assert parse_next_update((folder / "valid-nextupdate-params.xml").read_bytes()) is False


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("invalid-monitoring-params.xml", "MONITORING"),
        ("empty-fetchinterval-params.xml", "FETCHINTERVAL"),
        ("invalid-fetchinterval-params.xml", "FETCHINTERVAL"),
        ("empty-nextupdate-params.xml", "NEXTUPDATE"),
    ],
)
def test_bad_optional_parts_are_refused(name: str, identifier: str) -> None:
    raw = vector_path(f"globalconf/optional-parts/{name}").read_bytes()
    with pytest.raises(MalformedMessage):
        check_part(identifier, raw, 2)


def test_parts_that_nobody_knows_pass() -> None:
    check_part("FOO", b"anything", 6)


def test_a_short_fetch_interval_is_lifted_to_a_minute() -> None:
    assert parse_fetch_interval(build_fetch_interval(1)) == 60
    assert parse_fetch_interval(build_fetch_interval(61)) == 61


# Round trips.


@cache
def _rich() -> SharedParameters:
    """Parameters that use every element of version 6."""
    shared = Publisher().shared
    pki = Pki(NOON, intermediate=True)
    responder = OcspResponder("http://ocsp.test/", pki.responder.certificate, "PAID")
    ca = ApprovedCa(
        name="CA with <all> & more",
        authentication_only=True,
        top=AuthorityCertificate(pki.root.certificate, (responder,)),
        intermediates=(AuthorityCertificate(pki.authority.certificate, ()),),
        profile="some.Profile",
        default_csr_format="DER",
        acme=AcmeServer("https://acme.test/", "192.0.2.1", "auth", "sign"),
    )
    member = shared.members[0]
    named = replace(member, subsystems=(Subsystem(member.subsystems[0].id, " Päring\r\n "),))
    portal = member.subsystems[0].id
    down = replace(shared.servers[0], clients=(shared.members[1].id, portal), maintenance="Sunday")
    silent = replace(shared.servers[0], maintenance="", address=None)
    return replace(
        shared,
        approved_cas=(*shared.approved_cas, ca),
        approved_tsas=(replace(shared.approved_tsas[0], cost_type="FREE"),),
        members=(named, *shared.members[1:]),
        servers=(*shared.servers, down, silent),
    )


def _sha1(parameters: SharedParameters) -> dict[bytes, bytes]:
    return {known: known[:20] for server in parameters.servers for known in server.auth_cert_hashes}


@pytest.mark.parametrize("version", [2, 3, 4, 5, 6])
def test_what_a_version_can_carry_is_read_back(version: int) -> None:
    carried = as_version(_rich(), version, _sha1(_rich()))
    assert parse_shared_parameters(build_shared_parameters(carried), version) == carried


def test_version_six_carries_everything() -> None:
    assert as_version(_rich(), 6) == _rich()


@pytest.mark.parametrize("version", [3, 4, 5, 6])
def test_older_readers_refuse_what_only_the_next_version_has(version: int) -> None:
    raw = build_shared_parameters(as_version(_rich(), version))
    with pytest.raises(MalformedMessage, match=r"line \d+: '\w+' in '\w+' exists from version"):
        parse_shared_parameters(raw, version - 1)


@pytest.mark.parametrize("version", [2, 3, 4])
def test_old_nodes_find_no_subsystem_at_a_server_in_maintenance(version: int) -> None:
    carried = as_version(_rich(), version, _sha1(_rich()))
    _, down, silent = carried.servers
    assert down.clients == (_rich().members[1].id,)
    assert silent.clients == ()
    assert carried.servers[0].clients == _rich().servers[0].clients


def test_version_two_has_sha1_digests_and_leaves_out_unknown_ones() -> None:
    known = _sha1(_rich())
    carried = as_version(_rich(), 2, known)
    assert {len(one) for server in carried.servers for one in server.auth_cert_hashes} == {20}
    assert not as_version(_rich(), 2).servers[0].auth_cert_hashes


def test_a_digest_of_another_length_is_not_written() -> None:
    with pytest.raises(MalformedMessage, match="digests of 20 bytes"):
        build_shared_parameters(replace(as_version(_rich(), 3), version=2, sources=()))


def test_a_source_is_required_from_version_three_on() -> None:
    with pytest.raises(MalformedMessage, match="no 'source'"):
        build_shared_parameters(replace(_rich(), sources=()))


def test_a_client_that_is_no_member_is_not_written() -> None:
    stray = replace(_rich().servers[0], clients=(ClientId("TEST", "GOV", "99"),))
    with pytest.raises(MalformedMessage, match="MEMBER:TEST/GOV/99"):
        build_shared_parameters(replace(_rich(), servers=(stray,)))


def test_text_that_xml_can_not_hold_is_not_written() -> None:
    member = replace(_rich().members[1], name="bell \x07")
    with pytest.raises(MalformedMessage, match="'name' can't be written"):
        build_shared_parameters(replace(_rich(), members=(_rich().members[0], member)))


@pytest.mark.parametrize("version", [2, 3, 6])
def test_private_parameters_are_read_back(version: int) -> None:
    peer = Publisher("PEER")
    private = replace(
        Publisher(federation=(peer.anchor("external"),)).private,
        registration_certificate=peer.pki.root.certificate,
    )
    assert parse_private_parameters(build_private_parameters(private), version) == private


def test_anchors_are_read_back() -> None:
    source = AnchorSource("http://registry.test/internalconf", (b"\x00", b"any bytes"))
    for anchor in (
        Anchor("TEST", (source, source), NOON),
        Anchor("TEST", (source,), NOON.replace(microsecond=123456)),
        Anchor("TEST", (source,), None),
    ):
        assert parse_anchor(build_anchor(anchor)) == anchor


def test_optional_parts_are_read_back() -> None:
    client = ClientId("TEST", "GOV", "1", "monitor")
    assert parse_monitoring(build_monitoring(client)) == client
    assert parse_monitoring(build_monitoring(None)) is None
    assert parse_next_update(build_next_update(True)) is True
    assert parse_next_update(build_next_update(False)) is False


_CODES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), min_size=1)
_CODES = _CODES.filter(lambda code: bool(code.strip()) and len(code) <= 255)


@given(_CODES, _CODES, st.lists(_CODES, max_size=3, unique=True), st.integers(0, 2**31 - 1))
def test_any_member_is_read_back(
    member_class: str, code: str, subsystems: list[str], freshness: int
) -> None:
    member = ClientId("TEST", member_class, code)
    ids = [ClientId("TEST", member_class, code, subsystem) for subsystem in subsystems]
    shared = SharedParameters(
        instance="TEST",
        version=6,
        sources=Publisher().shared.sources,
        approved_cas=(),
        approved_tsas=(),
        members=(Member(member, code, tuple(Subsystem(one, None) for one in ids)),),
        servers=(),
        groups=(GlobalGroup(GlobalGroupId("TEST", code), "", frozenset([member, *ids])),),
        member_classes={member_class: code},
        ocsp_freshness_seconds=freshness,
    )
    assert parse_shared_parameters(build_shared_parameters(shared), 6) == shared


# Structure.


def _raw() -> str:
    return build_shared_parameters(_rich()).decode()


def _refused(raw: str, match: str) -> None:
    with pytest.raises(MalformedMessage, match=match) as caught:
        parse_shared_parameters(raw.encode(), 6)
    assert caught.value.code == "malformed_global_conf"


def test_an_unknown_element_is_refused() -> None:
    _refused(_raw().replace("<name>", "<nick>x</nick><name>", 1), r"line \d+: 'nick' is not exp")


def test_elements_out_of_order_are_refused() -> None:
    swapped = re.sub(
        r"(<serverCode>.*?</serverCode>)\s*(<address>.*?</address>)", r"\2\1", _raw(), count=1
    )
    assert swapped != _raw()
    _refused(swapped, "'serverCode' does not stand in its place in 'securityServer'")


def test_a_missing_element_is_named() -> None:
    without = re.sub(r"<ocspFreshnessSeconds>\d+</ocspFreshnessSeconds>", "", _raw())
    _refused(without, "'globalSettings' has no 'ocspFreshnessSeconds'")


def test_a_repeated_element_is_refused() -> None:
    name = "<serverCode>SS1</serverCode>"
    _refused(_raw().replace(name, name * 2, 1), "2 times 'serverCode'")


@pytest.mark.parametrize("mark", ["<", "="])
def test_markup_is_counted_before_a_tree_is_built(mark: str) -> None:
    many = f"<!--{mark * 3_000_001}-->"
    _refused(_raw() + many, f"the configuration part has more than 3000000 '{mark}'")
    with pytest.raises(MalformedMessage, match="has more than 3000000"):
        part_identifier((_raw() + many).encode())


def test_text_between_elements_is_refused() -> None:
    _refused(_raw().replace("<member ", "stray<member ", 1), "text stands between the elements")


def test_elements_in_a_text_are_refused() -> None:
    inside = _raw().replace("<serverCode>SS1", "<serverCode><b/>SS1", 1)
    _refused(inside, "'serverCode' holds elements")


def test_an_id_used_twice_is_refused() -> None:
    _refused(_raw().replace('id="id1"', 'id="id0"', 1), "id 'id0' is used twice")


def test_a_client_that_points_nowhere_is_refused() -> None:
    _refused(_raw().replace("<client>id1<", "<client>id77<", 1), "has the id 'id77'")


def test_a_server_owned_by_a_subsystem_is_refused() -> None:
    _refused(_raw().replace("<owner>id0<", "<owner>id1<", 1), "owned by a member")


def test_an_unexpected_attribute_is_refused() -> None:
    _refused(_raw().replace("<serverCode>", '<serverCode kind="x">', 1), "attribute 'kind'")


def test_a_wrong_root_is_refused() -> None:
    _refused("<conf/>", "root element is 'conf'")
    _refused(build_anchor(Publisher().anchor()).decode(), "'configurationAnchor', expected 'conf'")


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (r"<costType>PAID", "<costType>CHEAP", "'costType' is no one of FREE, PAID, UNDEFINED"),
        (r"<authenticationOnly>true", "<authenticationOnly>yes", "is no boolean"),
        (r"Seconds>\d+<", "Seconds>-1<", "is no number of seconds"),
        (r"Seconds>\d+<", "Seconds>99999999999<", "is no number of seconds"),
        (r"<authCertHash>.", "<authCertHash>!", "is no base64"),
        (r"<topCA>\s*<cert>[^<]+", "<topCA><cert>AAAA", "Certificate can't be read"),
        (r"<memberCode>[^<]+", "<memberCode>  ", "must not be blank"),
        (r"<instanceIdentifier>[^<]+", "<instanceIdentifier> ", "'instanceIdentifier' must"),
    ],
)
def test_bad_values_are_refused(old: str, new: str, match: str) -> None:
    changed = re.sub(old, new, _raw(), count=1)
    assert changed != _raw()
    _refused(changed, match)


def test_anything_may_follow_from_version_three_on() -> None:
    extended = _raw().replace("</globalSettings>", '</globalSettings><x y="1"><z/></x><member/>')
    assert parse_shared_parameters(extended.encode(), 6) == _rich()
    old = build_shared_parameters(as_version(_rich(), 2, _sha1(_rich()))).decode()
    with pytest.raises(MalformedMessage, match="'x' is not expected"):
        parse_shared_parameters(old.replace("</xroad:conf>", "<x/></xroad:conf>").encode(), 2)


def test_comments_and_schema_hints_are_no_content() -> None:
    hint = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="a b"'
    commented = _raw().replace("<xroad:conf ", f"<xroad:conf {hint} ", 1)
    commented = commented.replace("<serverCode>SS1", "<serverCode><!-- x -->S<?y?>S1", 1)
    assert parse_shared_parameters(commented.encode(), 6) == _rich()


def test_central_services_of_old_configurations_are_read_over() -> None:
    old = "<centralService><serviceCode>x</serviceCode></centralService><globalSettings>"
    raw = _raw().replace("<globalSettings>", old, 1)
    assert parse_shared_parameters(raw.encode(), 6) == _rich()


def test_certificates_may_be_pem_text() -> None:
    certificate = _rich().approved_cas[0].top.certificate
    pem = b"some words\n" + certificate.public_bytes(Encoding.PEM)
    raw = _raw().replace(encode_base64(der(certificate)), encode_base64(pem), 1)
    assert raw != _raw()
    assert parse_shared_parameters(raw.encode(), 6) == _rich()


def test_a_group_member_that_contradicts_itself_is_nobody() -> None:
    raw = _raw().replace('groupMember id:objectType="MEMBER"', 'groupMember id:objectType="SERVER"')
    (group,) = parse_shared_parameters(raw.encode(), 6).groups
    assert group.members == frozenset()


def test_entities_are_refused() -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "TEST">]>' + _raw().split("?>", 1)[1].replace("TEST", "&a;", 1)
    _refused(bomb, "document type|not well-formed")


def test_very_many_elements_are_refused_before_they_are_parsed() -> None:
    with pytest.raises(MalformedMessage, match="more than"):
        parse_shared_parameters(b"<a>" * 3_000_001, 6)


@pytest.mark.parametrize("version", [-1, 0, 1, 7])
def test_unknown_versions_are_refused(version: int) -> None:
    with pytest.raises(MalformedMessage, match="not supported"):
        parse_shared_parameters(_raw().encode(), version)
    with pytest.raises(MalformedMessage, match="can't be written"):
        as_version(_rich(), version)


@given(st.data())
def test_a_damaged_part_is_read_or_refused(data: st.DataObject) -> None:
    raw = bytearray(build_shared_parameters(as_version(_rich(), 6)))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(raw) - 1))
        if data.draw(st.booleans()):
            raw[place : place + data.draw(st.integers(0, 60))] = b""
        else:
            raw[place] = data.draw(st.sampled_from(list(b'<>/"& =x0\x00\xff')))
    with suppress(MalformedMessage):
        parse_shared_parameters(bytes(raw), 6)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_anchor_or_refused(raw: bytes) -> None:
    with suppress(MalformedMessage):
        parse_anchor(raw)
        pytest.fail("random bytes are no anchor")


def test_vectors_are_where_the_tests_look() -> None:
    """So that a moved folder is seen as skipped tests and not as passed ones."""
    if vectors_folder().is_dir():
        assert (vectors_folder() / "globalconf" / "INDEX.md").is_file()
