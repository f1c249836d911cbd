"""Who is who in the sandbox: identifiers, and the files in which the operators write them down."""

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from scripts.ecosystem.concepts import NATIONAL_ID
from scripts.ecosystem.places import (
    CIVIL_ADDRESS,
    LOCAL,
    MUNI_ADDRESS,
    SOCIAL_ADDRESS,
    TAX_ADDRESS,
    Ports,
)
from trust.ids import ClientId, GlobalGroupId, ServerId, ServiceId
from trust.settings import format_duration

INSTANCE = "SANDBOX"
OPERATOR = ClientId(INSTANCE, "GOV", "1000")
MANAGEMENT = ClientId(INSTANCE, "GOV", "1000", "MANAGEMENT")
PERSONS = ClientId(INSTANCE, "GOV", "1001", "persons")
BENEFITS = ClientId(INSTANCE, "MUN", "2001", "benefits")
LIBRARY = ClientId(INSTANCE, "MUN", "2001", "library")
CASES = ClientId(INSTANCE, "MUN", "2001", "cases")  # the clerks' system, which knows of once-only
CITIZENS = ClientId(INSTANCE, "GOV", "1001", "citizens")  # the portal where citizens see who asked
CATALOG = ClientId(INSTANCE, "GOV", "1001", "catalog")  # asks for the central catalog
INCOME = ClientId(INSTANCE, "GOV", "1002", "income")
CONTRIBUTIONS = ClientId(INSTANCE, "GOV", "1003", "contributions")
PEOPLE = ServiceId(PERSONS, "people")
INCOMES = ServiceId(INCOME, "incomes")
ASSESSMENTS = ServiceId(INCOME, "assessments")
STATUS = ServiceId(CONTRIBUTIONS, "contributionStatus", "v1")
INCOME_BY_SOAP = ServiceId(INCOME, "income", "v1")
CERTIFICATE = ServiceId(CONTRIBUTIONS, "contributionCertificate", "v1")
CONTRIBUTIONS_NAMESPACE = "http://social-security.sandbox.test/v1"
INCOME_NAMESPACE = "http://tax-authority.sandbox.test/v1"
SEARCHERS = GlobalGroupId(INSTANCE, "benefit-offices")

_REFRESH = timedelta(seconds=5)  # of what is published and fetched: changes show while one watches


@dataclass(frozen=True, slots=True)
class Institution:
    """A member with a node.

    Attributes:
        key: short name, of its folder, its database and its ports.
        address: where other nodes find its node.
        clients: its subsystems.
    """

    key: str
    name: str
    server: ServerId
    address: str
    clients: tuple[ClientId, ...]

    @property
    def owner(self) -> ClientId:
        return self.server.owner


CIVIL = Institution(
    "civil",
    "Civil Registry",
    ServerId(PERSONS.member, "CIVIL"),
    CIVIL_ADDRESS,
    (PERSONS, CITIZENS, CATALOG),
)
MUNI = Institution(
    "muni",
    "Municipality",
    ServerId(BENEFITS.member, "MUNI"),
    MUNI_ADDRESS,
    (BENEFITS, LIBRARY, CASES),
)
SOCIAL = Institution(
    "social",
    "Social Security Office",
    ServerId(CONTRIBUTIONS.member, "SOCIAL"),
    SOCIAL_ADDRESS,
    (CONTRIBUTIONS,),
)
TAX = Institution("tax", "Tax Authority", ServerId(INCOME.member, "TAX"), TAX_ADDRESS, (INCOME,))
PAIR = (CIVIL, MUNI)  # who provides and who calls: enough for measurements
INSTITUTIONS = (*PAIR, SOCIAL, TAX)


def _quoted(value: object) -> str:
    return json.dumps(str(value), ensure_ascii=False)


def _list(values: object) -> str:
    return json.dumps(values, ensure_ascii=False)


def registry_settings(ports: Ports) -> str:
    """`registry.toml`."""
    return f"""\
address = "{LOCAL}:{ports["registry"]}"
data = "data"

[keys]
folder = "keys"
password_file = "keys.password"

[database]
dsn_file = "database.dsn"

[listen]
host = "{LOCAL}"
port = {ports["registry"]}

[publishing]
interval = "{format_duration(_REFRESH)}"

[catalog]
node = "http://{LOCAL}:{ports[f"{CIVIL.key}-http"]}"
client = "{CATALOG.colons}"
interval = "10s"
"""


def instance_declaration(ports: Ports, root: Path, institutions: tuple[Institution, ...]) -> str:
    """`instance.toml`, with certificates by their path below the sandbox's folder `root`."""
    authority = f"http://{LOCAL}:{ports['ca']}"
    parts = [
        f"""\
instance = "{INSTANCE}"

[management]
registration_url = "https://{LOCAL}:4001/managementservice/"
provider = "{MANAGEMENT.colons}"

[[member_classes]]
code = "GOV"
description = "State institutions"

[[member_classes]]
code = "MUN"
description = "Municipalities"
""",
        _member(OPERATOR, "Registry operator", (MANAGEMENT,)),
        *(_member(one.owner, one.name, one.clients) for one in institutions),
        *(_server(one, root) for one in institutions),
        f"""\
[[certification_services]]
name = "Sandbox CA"
certificate_file = {_quoted(root / "ca" / "root.cert.pem")}

[[certification_services.responders]]
url = "{authority}/ocsp"
certificate_file = {_quoted(root / "ca" / "ocsp.cert.pem")}

[[time_stamping_services]]
name = "Sandbox TSA"
url = "{authority}/tsa"
certificate_file = {_quoted(root / "ca" / "tsa.cert.pem")}

[[groups]]
code = "{SEARCHERS.group_code}"
description = "Offices that grant benefits"
members = ["{BENEFITS.colons}"]
""",
    ]
    return "\n".join(parts)


def _member(member: ClientId, name: str, subsystems: tuple[ClientId, ...]) -> str:
    codes = ", ".join(f'{{ code = "{one.subsystem_code}" }}' for one in subsystems)
    return f"""\
[[members]]
member_class = "{member.member_class}"
code = "{member.member_code}"
name = "{name}"
subsystems = [{codes}]
"""


def _server(one: Institution, root: Path) -> str:
    return f"""\
[[servers]]
id = "{one.server.colons}"
address = "{one.address}"
auth_certificate_files = [{_quoted(root / one.key / "auth.pem")}]
clients = {_list([client.colons for client in one.clients])}
"""


def node_settings(one: Institution, ports: Ports, folder: Path) -> str:
    """`node.toml`; the Municipality's node also gives WSDLs to programs that know no other way.

    Every node tells the citizens' portal who used whose data; the Civil Registry's has the portal.

    Args:
        folder: of the whole site; archives are below it.
    """
    page = f'wsdl_client = "{BENEFITS.colons}"\n' if one == MUNI else ""
    portal = f'\n[once.citizens.portal]\nclients = ["{CITIZENS.colons}"]\n' if one == CIVIL else ""
    return f"""\
server = "{one.server.colons}"
data = "data"

[configuration]
anchor = "anchor.xml"
interval = "{format_duration(_REFRESH)}"

[keys]
folder = "keys"
password_file = "keys.password"

[database]
dsn_file = "database.dsn"

[systems]
host = "{LOCAL}"
http_port = {ports[f"{one.key}-http"]}
https_port = {ports[f"{one.key}-https"]}
{page}
[monitoring]
available_after = "0s"

[timestamping]
interval = "5s"

[transparency]
interval = "2s"

[archive]
store = "{(folder / one.key / "archive").absolute().as_uri()}"
interval = "{"4s" if one == CIVIL else "6h"}"

[peers]
host = "{one.address}"
port = {ports["peers"]}
ocsp_port = {ports["peers-ocsp"]}
peer_port = {ports["peers"]}
peer_ocsp_port = {ports["peers-ocsp"]}

[admin]
host = "{LOCAL}"
port = {ports[f"{one.key}-admin"]}

[once.citizens.tracker]
clients = ["{CITIZENS.colons}"]
scheme = "{NATIONAL_ID}"
{portal}"""
