"""What the clerk asks two more registries, and what any client may ask a node about itself."""

import asyncio
import gzip
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

from scripts.ecosystem.clerk import Clerk, StepFailed
from scripts.ecosystem.institutions import (
    ASSESSMENTS,
    BENEFITS,
    CERTIFICATE,
    CONTRIBUTIONS,
    CONTRIBUTIONS_NAMESPACE,
    INCOME,
    INCOME_BY_SOAP,
    INCOME_NAMESPACE,
    INCOMES,
    MUNI,
    SOCIAL,
    STATUS,
    TAX,
    Institution,
)
from scripts.ecosystem.soap import SoapAnswer, wrapped
from scripts.livelihoods import YEARS, contribution_of, income_of
from scripts.people import Person, people
from trust.ids import ServiceId

UNKNOWN_PERSON = "Client.UnknownPerson"
_XROAD = "http://x-road.eu/xsd/xroad.xsd"
_OPERATIONS = "http://x-road.eu/xsd/op-monitoring.xsd"
_ENVIRONMENT = "http://x-road.eu/xsd/monitoring"
_YEAR = YEARS[-1]
_STATUS_QUESTIONS = 3  # by SOAP, about nobody, and by REST
_PATIENCE = 10.0  # seconds until records are told
Question = Callable[[Clerk], Awaitable[str]]


def _somebody() -> Person:
    return next(people(1))


# --- the Tax Authority and the Social Security Office ---------------------------------------------


async def income(clerk: Clerk) -> str:
    person = _somebody()
    reply = await clerk.ask(TAX, f"/persons/{person.national_id}/income/{_YEAR}", service=INCOMES)
    if reply.json() != asdict(income_of(person, _YEAR)):
        raise StepFailed(f"{person.national_id} was answered with {reply.body[:200]!r}")
    return f"{person.given_name} {person.family_name} in {_YEAR}, as the authority has it"


async def contributions(clerk: Clerk) -> str:
    return _as_registered((await clerk.ask_by_soap(SOCIAL, STATUS, _about(STATUS))).values)


async def certificate(clerk: Clerk) -> str:
    answer = await clerk.ask_by_soap(SOCIAL, CERTIFICATE, _about(CERTIFICATE))
    if len(answer.files) != 1 or _somebody().national_id.encode() not in answer.files[0]:
        raise StepFailed(f"{len(answer.files)} attachments, not the one of this person")
    return f"a document of {len(answer.files[0])} bytes"


async def unknown_person(clerk: Clerk) -> str:
    """A fault of a system is passed on as it is: nobody signs it, and no node keeps it."""
    message_id = clerk.new_id()
    content = _about(STATUS, "nobody")
    answer = await clerk.system().call_soap(STATUS, message_id, content)
    clerk.expect(MUNI, BENEFITS, SOCIAL, message_id, request=True, response=False)
    clerk.expect(SOCIAL, CONTRIBUTIONS, SOCIAL, message_id, request=True, response=False)
    return clerk.refused(answer.fault.rpartition(":")[2], UNKNOWN_PERSON)


def _about(service: ServiceId, national_id: str = "") -> str:
    arguments = {"nationalId": national_id or _somebody().national_id}
    return wrapped(service.service_code, CONTRIBUTIONS_NAMESPACE, arguments)


def _as_registered(found: Mapping[str, Any]) -> str:
    expected = contribution_of(_somebody())
    if (found.get("status"), str(found.get("months"))) != (expected.status, str(expected.months)):
        raise StepFailed(f"{expected.national_id} was answered with {dict(found)}")
    return f"{expected.status}, {expected.months} months"


# --- bridges --------------------------------------------------------------------------------------


async def soap_by_rest(clerk: Clerk) -> str:
    """The Municipality's own adapter turns a REST call into a SOAP exchange between the nodes."""
    message_id = clerk.new_id()
    url = clerk.site.url("bridge", f"/{STATUS.service_code}")
    headers = {"X-Road-Id": message_id, "X-Road-UserId": "clerk-7"}
    query = {"nationalId": _somebody().national_id}
    async with clerk.session.get(url, params=query, headers=headers) as response:
        found = await response.json() if response.status == 200 else {}
        if not isinstance(found, dict) or not found:
            raise StepFailed(f"status {response.status}: {(await response.text())[:200]}")
    clerk.answered(message_id, SOCIAL, STATUS, BENEFITS)
    return _as_registered(found)


async def rest_by_soap(clerk: Clerk) -> str:
    """The Tax Authority's adapter answers SOAP from its REST service."""
    person = _somebody()
    arguments = {"id": person.national_id, "year": str(_YEAR)}
    content = wrapped(INCOME_BY_SOAP.service_code, INCOME_NAMESPACE, arguments)
    answer = await clerk.ask_by_soap(TAX, INCOME_BY_SOAP, content)
    found = {key: value for key, value in answer.values.items() if value}
    if found != {key: str(value) for key, value in asdict(income_of(person, _YEAR)).items()}:
        raise StepFailed(f"{person.national_id} was answered with {found}")
    return f"wages {found['wages']} in {_YEAR}"


# --- what nodes tell of services ------------------------------------------------------------------


async def services_by_rest(clerk: Clerk) -> str:
    """listClients, then listMethods and getOpenAPI of the Tax Authority."""
    url = clerk.site.url(f"{MUNI.key}-http", "/listClients")
    async with clerk.session.get(url, headers={"Accept": "application/json"}) as response:
        clients = (await response.json())["member"]
    known = {one["id"].get("subsystem_code") for one in clients}
    if not {INCOME.subsystem_code, CONTRIBUTIONS.subsystem_code} <= known:
        raise StepFailed(f"listClients knows only {sorted(filter(None, known))}")
    methods = await clerk.ask(TAX, "", service=ServiceId(INCOME, "listMethods"))
    codes = [one["service_code"] for one in json.loads(methods.body)["service"]]
    if sorted(codes) != sorted([ASSESSMENTS.service_code, INCOMES.service_code]):
        raise StepFailed(f"listMethods has {codes}")
    described = await clerk.ask(
        TAX,
        f"?serviceCode={INCOMES.service_code}",
        service=ServiceId(INCOME, "getOpenAPI"),
    )
    paths = list(json.loads(described.body)["paths"])
    if paths != ["/persons/{id}/income/{year}"]:
        raise StepFailed(f"getOpenAPI describes {paths}")
    return f"{len(clients)} members and subsystems, {' and '.join(codes)}, a description"


async def services_by_soap(clerk: Clerk) -> str:
    """ListMethods and getWsdl of the Social Security Office."""
    asked = ServiceId(CONTRIBUTIONS, "listMethods")
    methods = await clerk.ask_by_soap(SOCIAL, asked, wrapped("listMethods", _XROAD, {}))
    codes = sorted(methods.texts("serviceCode"))
    if codes != sorted([STATUS.service_code, CERTIFICATE.service_code]):
        raise StepFailed(f"listMethods has {codes}")
    wanted = {"serviceCode": STATUS.service_code, "serviceVersion": STATUS.service_version or ""}
    service = ServiceId(CONTRIBUTIONS, "getWsdl")
    wsdl = await clerk.ask_by_soap(SOCIAL, service, wrapped("getWsdl", _XROAD, wanted))
    if len(wsdl.files) != 1 or STATUS.service_code.encode() not in wsdl.files[0]:
        raise StepFailed("getWsdl has no description of the service")
    if b"127.0.0.1" in wsdl.files[0]:
        raise StepFailed("getWsdl tells where the system is")
    return f"{' and '.join(codes)}, a WSDL of {len(wsdl.files[0])} bytes"


# --- what nodes tell of themselves ----------------------------------------------------------------


async def monitoring(clerk: Clerk) -> str:
    """Operational records and health of another's node, the environment of the own one."""
    records = await _own_records(clerk)
    code = "getSecurityServerHealthData"
    health = await _of_server(clerk, SOCIAL, code, wrapped(code, _OPERATIONS, {}))
    if STATUS.service_code not in health.texts("serviceCode"):
        raise StepFailed("the health data do not know the service")
    code = "getSecurityServerMetrics"
    metrics = await _of_server(clerk, MUNI, code, wrapped(code, _ENVIRONMENT, {}))
    if "proxyVersion" not in metrics.texts("name"):
        raise StepFailed("the environment has no version")
    return f"{len(records)} records of our questions, health and environment"


async def _own_records(clerk: Clerk) -> list[Mapping[str, Any]]:
    """What the Social Security Office's node recorded of us; it tells it a moment later."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        now = int(time.time())
        window = f"<m:recordsFrom>{now - 3600}</m:recordsFrom><m:recordsTo>{now}</m:recordsTo>"
        answer = await _of_server(
            clerk,
            SOCIAL,
            "getSecurityServerOperationalData",
            f'<m:getSecurityServerOperationalData xmlns:m="{_OPERATIONS}">'
            f"<m:searchCriteria>{window}</m:searchCriteria></m:getSecurityServerOperationalData>",
        )
        kept = json.loads(gzip.decompress(answer.files[0]))["records"] if answer.files else []
        if any(BENEFITS.subsystem_code not in _parties(one) for one in kept):
            raise StepFailed("the operational records are not only those of our own questions")
        asked = [one for one in kept if one["serviceCode"] == STATUS.service_code]
        if len(asked) >= _STATUS_QUESTIONS:
            return asked
        if time.monotonic() > deadline:
            raise StepFailed(f"{len(asked)} operational records of our questions")
        await asyncio.sleep(0.5)


def _parties(record: Mapping[str, object]) -> tuple[object, object]:
    """Who asked whom; nodes also ask each other, in their owners' names."""
    return record.get("clientSubsystemCode"), record.get("serviceSubsystemCode")


async def _of_server(clerk: Clerk, one: Institution, code: str, content: str) -> SoapAnswer:
    """Ask a node about itself; of its own node the Municipality asks as the owner."""
    client = MUNI.owner if one == MUNI else BENEFITS
    service = ServiceId(one.owner, code)
    return await clerk.ask_by_soap(one, service, content, client=client, server=one.server)


QUESTIONS: tuple[tuple[str, Institution, Question], ...] = (
    ("income by REST", TAX, income),
    ("contributions by SOAP", SOCIAL, contributions),
    ("a certificate as attachment", SOCIAL, certificate),
    ("a fault of the system itself", SOCIAL, unknown_person),
    ("a SOAP service asked by REST", SOCIAL, soap_by_rest),
    ("a REST service asked by SOAP", TAX, rest_by_soap),
    ("clients, services, OpenAPI", TAX, services_by_rest),
    ("services, WSDL", SOCIAL, services_by_soap),
)  # name, whom it needs, what is done
