"""Who is who in the sandbox: identifiers, and the files in which the operators write them down."""

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

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
INCOME = ClientId(INSTANCE, "GOV", "1002", "income")
CONTRIBUTIONS = ClientId(INSTANCE, "GOV", "1003", "contributions")
PEOPLE = ServiceId(PERSONS, "people")
INCOMES = ServiceId(INCOME, "incomes")
STATUS = ServiceId(CONTRIBUTIONS, "contributionStatus", "v1")
CERTIFICATE = ServiceId(CONTRIBUTIONS, "contributionCertificate", "v1")
SEARCHERS = GlobalGroupId(INSTANCE, "benefit-offices")

_QUERIES = """
[[query]]
name = "person"
path = "/persons/{id}"
summary = "One person by national id"
single = true
sql = '''
SELECT national_id, given_name, family_name, birth_date, street, town, postal_code, guardian_id
FROM person WHERE national_id = :id
'''
parameters = [{ name = "id", max_length = 12, description = "national id" }]

[[query]]
name = "search"
path = "/persons/search"
method = "POST"
summary = "People by family name and day of birth"
max_rows = 50
sql = '''
SELECT national_id, given_name, family_name, birth_date FROM person
WHERE family_name = :family_name AND birth_date >= coalesce(:born_since, birth_date)
ORDER BY birth_date, national_id
'''

[[query.parameters]]
name = "family_name"
max_length = 100

[[query.parameters]]
name = "born_since"
type = "date"
required = false
"""
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
    "civil", "Civil Registry", ServerId(PERSONS.member, "CIVIL"), CIVIL_ADDRESS, (PERSONS,)
)
MUNI = Institution(
    "muni", "Municipality", ServerId(BENEFITS.member, "MUNI"), MUNI_ADDRESS, (BENEFITS, LIBRARY)
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


def node_settings(one: Institution, ports: Ports) -> str:
    """`node.toml`."""
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

[peers]
host = "{one.address}"
port = {ports["peers"]}
ocsp_port = {ports["peers-ocsp"]}
peer_port = {ports["peers"]}
peer_ocsp_port = {ports["peers-ocsp"]}

[admin]
host = "{LOCAL}"
port = {ports[f"{one.key}-admin"]}
"""


def services_of(one: Institution, ports: Ports) -> str:
    """`services.toml`."""
    offers = {CIVIL: civil_services, SOCIAL: social_services, TAX: tax_services}
    return offers[one](ports) if one in offers else municipal_services()


def civil_services(ports: Ports) -> str:
    """`services.toml` of the Civil Registry: one REST service, and who may call which part."""
    return f"""\
[[clients]]
id = "{PERSONS.colons}"
connection = "HTTP"

[[clients.services]]
code = "{PEOPLE.service_code}"
url = "http://{LOCAL}:{ports["adapter"]}"
endpoints = ["GET /persons/*", "POST /persons/search"]

# one subsystem may look up a person
[[clients.access]]
service = "{PEOPLE.service_code}"
client = "{BENEFITS.colons}"
endpoints = ["GET /persons/*"]

# whoever is in a group of the central operator may search
[[clients.access]]
service = "{PEOPLE.service_code}"
global_group = "{":".join(SEARCHERS.parts)}"
endpoints = ["POST /persons/search"]
"""


def social_services(ports: Ports) -> str:
    """`services.toml` of the Social Security Office: two SOAP services of one WSDL."""
    offered = "".join(
        f"""
[[clients.services]]
code = "{service.service_code}"
version = "{service.service_version}"
type = "WSDL"
url = "http://{LOCAL}:{ports["social-security"]}/soap"
"""
        for service in (STATUS, CERTIFICATE)
    )
    allowed = "".join(
        f"""
[[clients.access]]
service = "{service.service_code}"
client = "{BENEFITS.colons}"
"""
        for service in (STATUS, CERTIFICATE)
    )
    return f"""\
[[clients]]
id = "{CONTRIBUTIONS.colons}"
connection = "HTTP"
{offered}{allowed}"""


def tax_services(ports: Ports) -> str:
    """`services.toml` of the Tax Authority: a REST service that has an OpenAPI description."""
    return f"""\
[[clients]]
id = "{INCOME.colons}"
connection = "HTTP"

[[clients.services]]
code = "{INCOMES.service_code}"
type = "OPENAPI"
url = "http://{LOCAL}:{ports["tax-authority"]}"
endpoints = ["GET /persons/*/income/*"]

[[clients.access]]
service = "{INCOMES.service_code}"
client = "{BENEFITS.colons}"
"""


def municipal_services() -> str:
    """`services.toml` of the Municipality: two subsystems that only call."""
    return "\n".join(
        f'[[clients]]\nid = "{client.colons}"\nconnection = "HTTP"\n' for client in MUNI.clients
    )


def adapter_settings(ports: Ports) -> str:
    """`adapter.toml`: the queries of the Civil Registry."""
    head = f"""\
title = "Civil Registry"
host = "{LOCAL}"
port = {ports["adapter"]}

[database]
dsn_file = "database.dsn"
"""
    return head + _QUERIES
