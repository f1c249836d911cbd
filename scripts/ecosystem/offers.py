"""What the institutions of the sandbox offer, and to whom: their `services.toml`."""

from scripts.ecosystem import concepts as c
from scripts.ecosystem.institutions import (
    ASSESSMENTS,
    BENEFITS,
    CASES,
    CATALOG,
    CERTIFICATE,
    CITIZENS,
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
    """`services.toml` of the Civil Registry: one REST service, and who may call which part.

    It hosts the citizens' portal too, and the system by which the central catalog is made. They
    stand first: a right that is added at the end of the file, as the tutorial does, is the
    service's.
    """
    return f"""\
[[clients]]
id = "{CITIZENS.colons}"
connection = "HTTP"

[[clients]]
id = "{CATALOG.colons}"
connection = "HTTP"

[[clients]]
id = "{PERSONS.colons}"
connection = "HTTP"

[[clients.services]]
code = "{PEOPLE.service_code}"
type = "OPENAPI"
title = "Who is who"
about = "Everybody who lives here, by national id."
url = "http://{LOCAL}:{ports["adapter"]}"
description = "http://{LOCAL}:{ports["adapter"]}/openapi.json"
mapping = "people.mapping.toml"
keywords = ["person", "identity", "address"]
contact = {{ name = "Registry desk", email = "desk@civil.sandbox.test" }}

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

# the clerks' case system gets four facts for school benefits, and one for library fees
[[clients.access]]
service = "{PEOPLE.service_code}"
client = "{CASES.colons}"
endpoints = ["GET /persons/*"]
fields = ["birth_date", "street", "town", "postal_code"]
{_for(c.SCHOOL_BENEFIT_PURPOSE, c.SCHOOL_BENEFIT_LAW)}
quota = "1000 per 1d"

[[clients.access]]
service = "{PEOPLE.service_code}"
client = "{CASES.colons}"
endpoints = ["GET /persons/*"]
fields = ["adult"]
{_for(c.LIBRARY_PURPOSE, c.LIBRARY_LAW)}
"""


def _for(purpose: str, law: str) -> str:
    return f'purposes = ["{purpose}"]\nlegal_basis = "{law}"'


# a description that is too old to be changed; what it means stands beside it
_MAPPED = 'title = "Contributions"\nmapping = "contributions.mapping.toml"\n'


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
{_MAPPED if service == STATUS else ""}"""
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
# the clerks' case system: not the employer
[[clients.access]]
service = "{STATUS.service_code}"
client = "{CASES.colons}"
fields = ["status", "months"]
{_for(c.SCHOOL_BENEFIT_PURPOSE, c.SCHOOL_BENEFIT_LAW)}

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

# says itself which facts its answers hold
[[clients.services]]
code = "{ASSESSMENTS.service_code}"
type = "OPENAPI"
title = "Households and debts"
url = "http://{LOCAL}:{ports["tax-authority"]}"
description = "http://{LOCAL}:{ports["tax-authority"]}/assessments.json"

[[clients.access]]
service = "{INCOMES.service_code}"
client = "{BENEFITS.colons}"

# the clerks' case system: the income for school benefits, whether it is low for library fees,
# and nothing about debts
[[clients.access]]
service = "{ASSESSMENTS.service_code}"
client = "{CASES.colons}"
endpoints = ["GET /persons/*/household/*"]
fields = ["income"]
{_for(c.SCHOOL_BENEFIT_PURPOSE, c.SCHOOL_BENEFIT_LAW)}

[[clients.access]]
service = "{ASSESSMENTS.service_code}"
client = "{CASES.colons}"
endpoints = ["GET /persons/*/household/*"]
fields = ["low_income"]
{_for(c.LIBRARY_PURPOSE, c.LIBRARY_LAW)}

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
