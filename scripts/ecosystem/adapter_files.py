"""The adapters of the sandbox: one before a database, two between REST and SOAP."""

import json
from pathlib import Path

from scripts.ecosystem.institutions import (
    BENEFITS,
    CONTRIBUTIONS,
    INCOME_BY_SOAP,
    INCOME_NAMESPACE,
    MUNI,
    STATUS,
)
from scripts.ecosystem.places import LOCAL, Ports

_WSDL = Path(__file__).with_name("social_security.wsdl")
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


def bridge_settings(ports: Ports) -> str:
    """`adapter.toml` of the Municipality: the Social Security Office's SOAP service as REST."""
    return f"""\
title = "Social Security"
kind = "xroad"
host = "{LOCAL}"
port = {ports["bridge"]}

[service]
node = "http://{LOCAL}:{ports[f"{MUNI.key}-http"]}"
client = "{BENEFITS.colons}"
provider = "{CONTRIBUTIONS.colons}"

[wsdl]
file = {json.dumps(str(_WSDL))}
operations = ["{STATUS.service_code}"]
get = ["{STATUS.service_code}"]
"""


def tax_adapter_settings(ports: Ports) -> str:
    """`adapter.toml` of the Tax Authority: its REST service as SOAP.

    Beside it lies the service's own description, `openapi.json`.
    """
    return f"""\
title = "Tax Authority"
kind = "rest"
host = "{LOCAL}"
port = {ports["tax-adapter"]}

[soap]
namespace = "{INCOME_NAMESPACE}"
version = "{INCOME_BY_SOAP.service_version}"

[upstream]
url = "http://{LOCAL}:{ports["tax-authority"]}"

[from_openapi]
file = "openapi.json"
operations = ["{INCOME_BY_SOAP.service_code}"]
"""
