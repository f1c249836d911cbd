"""Access decisions: their order, their subjects, and the paths they are about."""

from datetime import UTC, datetime, timedelta

import pytest

from catalog.access import TermsNotMet, decide, granted
from catalog.paths import ServicePath
from catalog.services import (
    AccessRight,
    ClientStatus,
    Endpoint,
    HostedClient,
    LocalGroup,
    ServerConf,
    Service,
    ServiceType,
    Subject,
)
from catalog.terms import NO_TERMS, Refusal, Terms
from trust.errors import (
    AccessDenied,
    ExchangeError,
    ServiceDisabled,
    UnknownService,
    WrongServiceType,
)
from trust.ids import ClientId, GlobalGroupId, LocalGroupId, ServiceId

PROVIDER = ClientId("EX", "COM", "2002", "registry")
CALLER = ClientId("EX", "GOV", "1001", "portal")
OTHER = ClientId("EX", "GOV", "1001", "other")
TOWNS = GlobalGroupId("EX", "towns")
CLERKS = LocalGroupId("clerks")
PEOPLE = ServiceId(PROVIDER, "people")


def rest(service: ServiceId = PEOPLE, notice: str | None = None) -> Service:
    return Service(service, ServiceType.REST, "http://127.0.0.1:9000/", notice=notice)


def conf(
    *rights: AccessRight,
    services: tuple[Service, ...] = (),
    status: ClientStatus = ClientStatus.REGISTERED,
) -> ServerConf:
    clerks = LocalGroup("clerks", "", frozenset({CALLER}))
    provider = HostedClient(
        PROVIDER,
        status,
        services=services or (rest(),),
        local_groups=(clerks,),
        rights=rights,
    )
    other = HostedClient(
        OTHER, services=(rest(ServiceId(OTHER, "people")),), rights=(AccessRight(CALLER, "none"),)
    )
    return ServerConf((provider, other))


def call(
    conf: ServerConf,
    path: str = "",
    method: str = "GET",
    caller: ClientId = CALLER,
    service: ServiceId = PEOPLE,
) -> Service:
    found = decide(conf, caller, service, method, ServicePath.parse(path), lambda g: g == TOWNS)
    return found.service


def soap(conf: ServerConf, service: ServiceId) -> Service:
    return decide(conf, CALLER, service, None, None, lambda group: False).service


@pytest.mark.parametrize("subject", [CALLER, TOWNS, CLERKS])
def test_a_right_may_be_given_to_a_client_or_to_a_group(subject: Subject) -> None:
    assert call(conf(AccessRight(subject, "people")), "/any/path") == rest()


@pytest.mark.parametrize(
    "subject",
    [
        OTHER,
        CALLER.member,
        ClientId("EX", "GOV", "1001", "PORTAL"),
        GlobalGroupId("EX", "villages"),
        GlobalGroupId("FI", "towns"),
        LocalGroupId("guests"),
    ],
)
def test_a_right_of_somebody_else_is_none(subject: Subject) -> None:
    with pytest.raises(AccessDenied) as refused:
        call(conf(AccessRight(subject, "people")))
    assert refused.value.text == "Request is not allowed: SERVICE:EX/COM/2002/registry/people"


def test_a_right_of_a_member_says_nothing_of_its_subsystems_nor_the_other_way_round() -> None:
    with pytest.raises(AccessDenied):
        call(conf(AccessRight(CALLER, "people")), caller=CALLER.member)
    call(conf(AccessRight(CALLER.member, "people")), caller=CALLER.member)


def test_rights_and_local_groups_belong_to_one_providing_client() -> None:
    with pytest.raises(AccessDenied):
        call(conf(AccessRight(CLERKS, "people")), service=ServiceId(OTHER, "people"))


@pytest.mark.parametrize(
    ("endpoint", "method", "path"),
    [
        (Endpoint("GET", "/persons/*"), "GET", "/persons/39"),
        (Endpoint("get", "/persons/*"), "GET", "/persons/39"),
        (Endpoint("*", "/persons/*"), "DELETE", "/persons/39"),
        (Endpoint("GET", "**"), "GET", ""),
        (Endpoint("GET", "/persons/*"), "GET", "/persons/J%C3%B5gi"),
        (Endpoint("GET", "/persons/**"), "GET", "/persons/a%2Fb"),
        (Endpoint("GET", "/persons/**"), "GET", "/persons//a"),
    ],
)
def test_a_right_to_an_endpoint_covers_its_calls(
    endpoint: Endpoint, method: str, path: str
) -> None:
    call(conf(AccessRight(CALLER, "people", endpoint)), path, method)


@pytest.mark.parametrize(
    ("endpoint", "method", "path"),
    [
        (Endpoint("GET", "/persons/*"), "POST", "/persons/39"),
        (Endpoint("GET", "/persons/*"), "GET", "/persons/39/secret"),
        (Endpoint("GET", "/persons/*"), "GET", "/persons/39%2Fsecret"),
        (Endpoint("GET", "/open/**"), "GET", "/open%2Fx"),
        (Endpoint("GET", "/open/**"), "GET", "//open/x"),
        (Endpoint("GET", "/open/**"), "GET", "/open/../secret"),
        (Endpoint("GET", "/open/**"), "GET", "/open/%2e%2e/secret"),
        (Endpoint("GET", "/open/**"), "GET", "/open/..;/secret"),
        (Endpoint("*", "**"), "GET", "/open/../secret"),
        (Endpoint("*", "**"), "GET", "/%252e%252e/secret"),
    ],
)
def test_a_path_is_refused_unless_every_reading_of_it_is_granted(
    endpoint: Endpoint, method: str, path: str
) -> None:
    with pytest.raises(AccessDenied):
        call(conf(AccessRight(CALLER, "people", endpoint)), path, method)


def test_readings_may_be_granted_by_different_rights() -> None:
    rights = [AccessRight(CALLER, "people", Endpoint("GET", path)) for path in ("/a/b", "/a%2Fb")]
    call(conf(*rights), "/a%2Fb")
    with pytest.raises(AccessDenied):
        call(conf(rights[0]), "/a%2Fb")


V1, V2 = ServiceId(PROVIDER, "old", "v1"), ServiceId(PROVIDER, "old", "v2")
SOAP_SERVICES = tuple(Service(v, ServiceType.WSDL, "http://h/") for v in (V1, V2))


def test_a_soap_call_needs_the_right_to_the_whole_service_in_any_version() -> None:
    whole = conf(AccessRight(CALLER, "old"), services=SOAP_SERVICES)
    assert soap(whole, V1) == SOAP_SERVICES[0]
    assert soap(whole, V2) == SOAP_SERVICES[1]
    for endpoint in (Endpoint("POST", "**"), Endpoint("*", "/**")):
        part = conf(AccessRight(CALLER, "old", endpoint), services=SOAP_SERVICES)
        with pytest.raises(AccessDenied):
            soap(part, V1)


@pytest.mark.parametrize(
    ("services", "rights", "status", "error", "text"),
    [
        ((rest(ServiceId(PROVIDER, "x")),), (), "registered", UnknownService,
         "Unknown service: SERVICE:EX/COM/2002/registry/people"),
        ((), (AccessRight(CALLER, "people"),), "disabled", UnknownService, "Unknown service"),
        ((), (AccessRight(CALLER, "people"),), "saved", UnknownService, "Unknown service"),
        ((Service(PEOPLE, ServiceType.WSDL, "http://h/", notice="x"),), (), "registered",
         WrongServiceType, "Service is a SOAP service and cannot be called using REST interface"),
        ((rest(notice="Back at noon"),), (), "registered", AccessDenied, "not allowed"),
        ((rest(notice="Back at noon"),), (AccessRight(CALLER, "people"),), "registered",
         ServiceDisabled,
         "Service SERVICE:EX/COM/2002/registry/people is disabled: Back at noon"),
        ((rest(notice=""),), (AccessRight(CALLER, "people"),), "registered", ServiceDisabled,
         "is disabled: "),
    ],
)  # fmt: skip
def test_refusals_come_in_the_order_of_the_reference_server(
    services: tuple[Service, ...],
    rights: tuple[AccessRight, ...],
    status: str,
    error: type[ExchangeError],
    text: str,
) -> None:
    with pytest.raises(error, match=text):
        call(conf(*rights, services=services, status=ClientStatus(status)))


def test_a_rest_service_is_not_called_by_soap() -> None:
    with pytest.raises(WrongServiceType, match="cannot be called using SOAP interface"):
        soap(conf(AccessRight(CALLER, "people")), PEOPLE)


def test_a_soap_service_is_found_only_with_its_version() -> None:
    whole = conf(AccessRight(CALLER, "old"), services=SOAP_SERVICES)
    with pytest.raises(UnknownService):
        soap(whole, ServiceId(PROVIDER, "old"))


def test_only_registered_clients_are_found_for_exchanges() -> None:
    saved = conf(status=ClientStatus.SAVED)
    assert saved.client(PROVIDER) is None
    assert not saved.hosts(PROVIDER)
    assert saved.hosted(PROVIDER) is not None
    assert conf().client(PROVIDER) is not None
    assert conf().client(CALLER) is None
    assert conf().service(PEOPLE) == rest()


# --- rights with terms ----------------------------------------------------------------------------

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
BENEFITS = "urn:ex:purpose:benefits"
TAXES = "urn:ex:purpose:taxes"


def given(number: int, endpoint: Endpoint | None = None, **terms: object) -> AccessRight:
    found = Terms(**terms)  # type: ignore[arg-type]
    return AccessRight(CALLER, "people", endpoint or Endpoint(), found, number)


def number_of(
    *rights: AccessRight, path: str = "/a", purpose: str = BENEFITS, at: datetime | None = AT
) -> int:
    parsed = ServicePath.parse(path)
    found = decide(
        conf(*rights), CALLER, PEOPLE, "GET", parsed, lambda group: False, purpose=purpose, at=at
    )
    return found.rule.number


def test_a_right_without_terms_comes_before_all_with_terms() -> None:
    assert number_of(given(1, fields=None, legal_basis="law"), given(2)) == 2


def test_of_the_rights_whose_terms_are_met_the_one_that_gives_most_counts() -> None:
    small, large = given(1, fields=("name",)), given(2, fields=("name", "birth"))
    whole = given(9, purposes=(BENEFITS,))
    assert number_of(small, large) == 2
    assert number_of(small, large, whole) == 9
    assert number_of(small, large, whole, purpose=TAXES) == 2
    assert number_of(given(4, fields=("b",)), given(3, fields=("a",))) == 3
    assert number_of(small, given(2, fields=("a", "b"), valid_until=AT)) == 1


def test_one_right_with_terms_must_cover_every_reading_of_a_path() -> None:
    parts = [Endpoint("GET", path) for path in ("/a/b", "/a%2Fb")]
    divided = [given(number, part, fields=("x",)) for number, part in enumerate(parts, start=1)]
    with pytest.raises(AccessDenied) as refused:
        number_of(*divided, path="/a%2Fb")
    assert refused.value.code == "access_denied"
    mixed = (AccessRight(CALLER, "people", parts[0], number=1), divided[1])
    with pytest.raises(AccessDenied):
        number_of(*mixed, path="/a%2Fb")
    assert number_of(*divided, given(3, Endpoint("GET", "/**"), fields=()), path="/a%2Fb") == 3


@pytest.mark.parametrize(
    ("terms", "purpose", "refusal"),
    [
        ([{"purposes": (TAXES,)}], "", Refusal.PURPOSE_MISSING),
        ([{"purposes": (TAXES,)}], BENEFITS, Refusal.PURPOSE_NOT_GRANTED),
        ([{"valid_until": AT}], BENEFITS, Refusal.EXPIRED),
        ([{"valid_from": AT + DAY}], BENEFITS, Refusal.NOT_YET_VALID),
        ([{"valid_until": AT}, {"valid_from": AT + DAY}], BENEFITS, Refusal.NOT_YET_VALID),
        ([{"valid_until": AT}, {"purposes": (TAXES,)}], BENEFITS, Refusal.PURPOSE_NOT_GRANTED),
        ([{"valid_until": AT, "purposes": (BENEFITS,)}], TAXES, Refusal.EXPIRED),
    ],
)  # fmt: skip
def test_which_term_is_not_met_is_said_and_no_more(
    terms: list[dict[str, object]], purpose: str, refusal: Refusal
) -> None:
    rights = [given(70 + place, None, **each) for place, each in enumerate(terms)]
    with pytest.raises(TermsNotMet) as refused:
        number_of(*rights, purpose=purpose)
    error = refused.value
    assert (error.refusal, error.code) == (refusal, f"access_denied.{refusal}")
    assert not {"70", TAXES, BENEFITS} & set(error.text.split())
    assert "grant 70" in error.detail
    assert f"purpose stated: {purpose or 'none'}" in error.detail


def test_without_a_moment_no_right_with_dates_is_met() -> None:
    assert number_of(given(1, fields=()), at=None) == 1
    with pytest.raises(TermsNotMet):
        number_of(given(1, valid_until=AT + DAY), at=None)


def test_what_may_be_called_is_listed_as_long_as_its_dates_hold() -> None:
    rights = (given(1, purposes=(TAXES,)), given(2, valid_until=AT), given(3))
    found = granted(conf(*rights), CALLER, PEOPLE, lambda group: False, AT)
    assert [rule.number for rule in found] == [1, 3]
    assert [rule.terms == NO_TERMS for rule in found] == [False, True]
    assert len(granted(conf(*rights), CALLER, PEOPLE, lambda group: False)) == 3
