"""What the institutions of the sandbox offer, and to whom: their `services.toml`."""

from scripts.ecosystem.institutions import (
    BENEFITS,
    CERTIFICATE,
    CIVIL,
    CONTRIBUTIONS,
    INCOME,
    INCOME_BY_SOAP,
    INCOMES,
    MUNI,
    PEOPLE,
    PERSONS,
    SEARCHERS,
    SOCIAL,
    STATUS,
    TAX,
    Institution,
)
from scripts.ecosystem.places import LOCAL, Ports


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
    """`services.toml` of the Social Security Office: two SOAP services of one WSDL.

    The member itself is there too: those who ask the node about itself ask its owner.
    """
    offered = "".join(
        f"""
[[clients.services]]
code = "{service.service_code}"
version = "{service.service_version}"
type = "WSDL"
url = "http://{LOCAL}:{ports["social-security"]}/soap"
description = "http://{LOCAL}:{ports["social-security"]}/soap?wsdl"
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
{offered}{allowed}
[[clients]]
id = "{SOCIAL.owner.colons}"
connection = "HTTP"
"""


def tax_services(ports: Ports) -> str:
    """`services.toml` of the Tax Authority: its REST service, and the same by SOAP."""
    return f"""\
[[clients]]
id = "{INCOME.colons}"
connection = "HTTP"

[[clients.services]]
code = "{INCOMES.service_code}"
type = "OPENAPI"
url = "http://{LOCAL}:{ports["tax-authority"]}"
description = "http://{LOCAL}:{ports["tax-authority"]}/openapi.json"

# an adapter stands before the same service
[[clients.services]]
code = "{INCOME_BY_SOAP.service_code}"
version = "{INCOME_BY_SOAP.service_version}"
type = "WSDL"
url = "http://{LOCAL}:{ports["tax-adapter"]}/soap"
description = "http://{LOCAL}:{ports["tax-adapter"]}/soap?wsdl"

[[clients.access]]
service = "{INCOMES.service_code}"
client = "{BENEFITS.colons}"

[[clients.access]]
service = "{INCOME_BY_SOAP.service_code}"
client = "{BENEFITS.colons}"
"""


def municipal_services() -> str:
    """`services.toml` of the Municipality: its subsystems and itself only call."""
    return "\n".join(
        f'[[clients]]\nid = "{client.colons}"\nconnection = "HTTP"\n'
        for client in (*MUNI.clients, MUNI.owner)
    )
