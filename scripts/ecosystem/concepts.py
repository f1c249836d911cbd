"""The words of the sandbox: facts, purposes and procedures by their URIs."""

BASE = "https://sandbox.test"

# the one kind of identifier that all registries of the sandbox know people by
NATIONAL_ID = f"{BASE}/scheme/national-id"


def _person(name: str) -> str:
    return f"{BASE}/concept/person/{name}"


GIVEN_NAME = _person("givenName")
FAMILY_NAME = _person("familyName")
BIRTH_DATE = _person("birthDate")
STREET = _person("street")
TOWN = _person("town")
POSTAL_CODE = _person("postalCode")
ADULT = _person("adult")
HOUSEHOLD_INCOME = _person("householdIncome")
HOUSEHOLD_SIZE = _person("householdSize")
LOW_INCOME = _person("lowIncome")
TAX_DEBT = _person("taxDebt")
CONTRIBUTION_STATUS = _person("contributionStatus")
CONTRIBUTION_MONTHS = _person("contributionMonths")
EMPLOYER = _person("employer")

SCHOOL_BENEFIT_PURPOSE = f"{BASE}/purpose/school-benefit"
LIBRARY_PURPOSE = f"{BASE}/purpose/library-fee"
SCHOOL_BENEFIT = f"{BASE}/procedure/school-benefit"
LIBRARY_CARD = f"{BASE}/procedure/reduced-library-fee"
SCHOOL_BENEFIT_LAW = "School Benefits Act, section 4"
LIBRARY_LAW = "Library Act, section 9"
LOW_INCOME_BELOW = 30_000  # whole units of money in a year
