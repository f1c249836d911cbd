"""Which facts the answers of two services of the sandbox have: mapping files beside them.

The Civil Registry's queries could say it themselves; here its mapping also derives a fact. The
Social Security Office's description is too old to be changed. The Tax Authority needs no such
file: its description says it all.
"""

from scripts.ecosystem import concepts as c
from scripts.ecosystem.institutions import CIVIL, CONTRIBUTIONS_NAMESPACE, SOCIAL

_PEOPLE = (
    ("given_name", c.GIVEN_NAME, "text"),
    ("family_name", c.FAMILY_NAME, "text"),
    ("birth_date", c.BIRTH_DATE, "date"),
    ("street", c.STREET, "text"),
    ("town", c.TOWN, "text"),
    ("postal_code", c.POSTAL_CODE, "text"),
)
_CONTRIBUTIONS = (
    ("status", c.CONTRIBUTION_STATUS, "text"),
    ("employer", c.EMPLOYER, "text"),
    ("months", c.CONTRIBUTION_MONTHS, "integer"),
)


def mapping_files() -> dict[str, str]:
    """The texts by their paths below the sandbox's folder."""
    return {
        f"{CIVIL.key}/people.mapping.toml": _people(),
        f"{SOCIAL.key}/contributions.mapping.toml": _contributions(),
    }


def _people() -> str:
    fields = "".join(_field(name, f"/{name}", uri, kind) for name, uri, kind in _PEOPLE)
    return f"""\
[[endpoints]]
method = "GET"
path = "/persons/{{id}}"
subject = {{ name = "id", scheme = "{c.NATIONAL_ID}" }}
{fields}
[[endpoints.views]]
name = "adult"
source = "birth_date"
rule = "years-at-least"
value = "18"
concept = "{c.ADULT}"
"""


def _contributions() -> str:
    answer = "/contributionStatusResponse"
    fields = "".join(
        _field(name, f"{answer}/{name}", uri, kind) for name, uri, kind in _CONTRIBUTIONS
    )
    return f"""\
[[endpoints]]
namespace = "{CONTRIBUTIONS_NAMESPACE}"
subject = {{ name = "/contributionStatus/nationalId", scheme = "{c.NATIONAL_ID}", place = "body" }}
{fields}"""


def _field(name: str, path: str, concept: str, kind: str) -> str:
    return f"""
[[endpoints.fields]]
name = "{name}"
path = "{path}"
concept = "{concept}"
type = "{kind}"
"""
