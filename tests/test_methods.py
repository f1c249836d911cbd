"""What the lists of services hold, whatever rights a caller and prefixes a request has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from catalog.services import (
    AccessRight,
    ClientStatus,
    Endpoint,
    HostedClient,
    LocalGroup,
    ServerConf,
    Service,
    ServiceType,
)
from node.metadata.methods import (
    add_services,
    allowed,
    allowed_endpoints,
    rest_entry,
    rest_services,
    soap_services,
)
from trust.ids import (
    IDENTIFIERS_NAMESPACE,
    XROAD_NAMESPACE,
    ClientId,
    GlobalGroupId,
    LocalGroupId,
    ServiceId,
)

PROVIDER = ClientId("EX", "GOV", "1", "persons")
CALLER = ClientId("EX", "MUN", "2", "portal")
REST = Service(ServiceId(PROVIDER, "files"), ServiceType.REST, "")
API = Service(
    ServiceId(PROVIDER, "api"),
    ServiceType.OPENAPI,
    "",
    endpoints=(Endpoint("GET", "/a/*"), Endpoint("POST", "/a"), Endpoint("*", "/b/**")),
)
V1, V2 = (
    Service(ServiceId(PROVIDER, "register", version), ServiceType.WSDL, "", notice="closed")
    for version in ("v1", "v2")
)


def conf(*rights: AccessRight, status: ClientStatus = ClientStatus.REGISTERED) -> ServerConf:
    groups = (LocalGroup("desk", "", frozenset({CALLER})),)
    client = HostedClient(
        PROVIDER, status, services=(REST, API, V1, V2), local_groups=groups, rights=rights
    )
    return ServerConf((client,))


def codes(found: ServerConf, caller: ClientId = CALLER, *, member_of_towns: bool = False) -> str:
    services = (*rest_services(found, PROVIDER), *soap_services(found, PROVIDER))
    mine = allowed(found, services, caller, lambda _: member_of_towns)
    return " ".join(service.id.service_code for service, _ in mine)


def test_each_interface_lists_its_own_services_in_their_order() -> None:
    assert rest_services(conf(), PROVIDER) == (REST, API)
    assert soap_services(conf(), PROVIDER) == (V1, V2)
    assert rest_services(conf(), PROVIDER.member) == ()
    assert soap_services(conf(status=ClientStatus.DISABLED), PROVIDER) == ()


def test_rights_of_every_kind_make_a_service_allowed() -> None:
    assert codes(conf()) == ""
    assert codes(conf(AccessRight(CALLER, "register"))) == "register register"
    assert (
        codes(conf(AccessRight(CALLER, "register", Endpoint("GET", "/x")))) == "register register"
    )
    assert codes(conf(AccessRight(LocalGroupId("desk"), "files"))) == "files"
    assert codes(conf(AccessRight(LocalGroupId("other"), "files"))) == ""
    towns = conf(AccessRight(GlobalGroupId("EX", "towns"), "api"))
    assert codes(towns) == ""
    assert codes(towns, member_of_towns=True) == "api"
    assert codes(conf(AccessRight(CALLER.member, "api"))) == ""
    assert codes(conf(AccessRight(CALLER, "api")), CALLER.member) == ""


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        (Endpoint(), "GET /a/*, POST /a, * /b/**"),
        (Endpoint("GET", "/a/*"), "GET /a/*"),
        (Endpoint("get", "/**"), "GET /a/*, GET /**"),
        (Endpoint("*", "/b/**"), "* /b/**"),
        (Endpoint("GET", "/b/**"), "GET /b/**"),
        (Endpoint("PUT", "/c"), "PUT /c"),
    ],
)
def test_of_endpoints_those_are_allowed_that_a_right_matches(
    right: Endpoint, expected: str
) -> None:
    found = conf(AccessRight(CALLER, "api", right))
    endpoints = allowed_endpoints(found.endpoints(API), found.rules(API.id))
    assert ", ".join(map(str, endpoints)) == expected


def test_a_member_is_listed_without_a_subsystem() -> None:
    service = Service(ServiceId(PROVIDER.member, "own"), ServiceType.REST, "")
    assert rest_entry(service, ()) == {
        "member_class": "GOV", "member_code": "1", "object_type": "SERVICE",
        "service_code": "own", "service_type": "REST", "xroad_instance": "EX",
        "endpoint_list": [],
    }  # fmt: skip


URIS = st.sampled_from([XROAD_NAMESPACE, IDENTIFIERS_NAMESPACE, "urn:other"])


@given(
    st.dictionaries(st.sampled_from(["id", "iden", "xro", "ns0", "a"]), URIS),
    st.none() | URIS,
    st.text(
        st.characters(min_codepoint=33, exclude_categories=("Cs", "Cn", "Cc", "Co", "Z")),
        min_size=1,
    ),
)
def test_a_list_is_the_same_whatever_prefixes_stand_around_it(
    prefixes: dict[str, str], default: str | None, code: str
) -> None:
    nsmap: dict[str | None, str] = dict(prefixes.items())
    if default is not None:
        nsmap[None] = default
    wrapper = etree.Element(f"{{{XROAD_NAMESPACE}}}listMethodsResponse", nsmap=nsmap)
    provider = ClientId("EX", "GOV", code, code)
    add_services(wrapper, [Service(ServiceId(provider, code, "v1"), ServiceType.WSDL, "")])
    (service,) = etree.fromstring(etree.tostring(wrapper))
    assert service.tag == f"{{{XROAD_NAMESPACE}}}service"
    assert dict(service.attrib) == {f"{{{IDENTIFIERS_NAMESPACE}}}objectType": "SERVICE"}
    assert [(child.tag, child.text) for child in service] == [
        (f"{{{IDENTIFIERS_NAMESPACE}}}{name}", value)
        for name, value in (
            ("xRoadInstance", "EX"), ("memberClass", "GOV"), ("memberCode", code),
            ("subsystemCode", code), ("serviceCode", code), ("serviceVersion", "v1"),
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/a/7", "/a/*"),
        ("POST", "/a", "/a"),
        ("POST", "/a/7", None),
        ("PUT", "/b/c/d", "/b/**"),
        ("GET", "", None),
    ],
)
def test_a_call_is_told_by_the_part_that_it_is_for(
    method: str, path: str, expected: str | None
) -> None:
    found = conf()
    for _ in range(2):  # the second time from what was kept
        assert found.covering_path(API, method, [path]) == expected
    assert found.covering_path(API, method, ["/elsewhere", path]) == expected
