"""What the sandbox's central operator says about facts: `once.toml`."""

import json
from collections.abc import Iterable

from scripts.ecosystem import concepts as c
from scripts.ecosystem.institutions import (
    ASSESSMENTS,
    CASES,
    PEOPLE,
    STATUS,
)
from trust.ids import ServiceId

# URI, English label, Spanish label, type, sensitivity
_CONCEPTS = (
    (c.GIVEN_NAME, "Given name", "Nombre", "text", "personal"),
    (c.FAMILY_NAME, "Family name", "Apellido", "text", "personal"),
    (c.BIRTH_DATE, "Date of birth", "Fecha de nacimiento", "date", "personal"),
    (c.ADULT, "Is of age", "Es mayor de edad", "boolean", "personal"),
    (c.STREET, "Street and number", "Calle y número", "text", "personal"),
    (c.TOWN, "Town", "Población", "text", "personal"),
    (c.POSTAL_CODE, "Postal code", "Código postal", "text", "personal"),
    (c.HOUSEHOLD_INCOME, "Household income", "Ingresos del hogar", "integer", "personal"),
    (c.HOUSEHOLD_SIZE, "Members of household", "Miembros del hogar", "integer", "personal"),
    (c.LOW_INCOME, "Has a low income", "Tiene ingresos bajos", "boolean", "personal"),
    (c.TAX_DEBT, "Tax debt", "Deuda tributaria", "integer", "personal"),
    (c.CONTRIBUTION_STATUS, "Insurance status", "Situación de afiliación", "text", "personal"),
    (c.CONTRIBUTION_MONTHS, "Months of contributions", "Meses cotizados", "integer", "personal"),
    (c.EMPLOYER, "Employer", "Empleador", "text", "personal"),
)
# URI below the base, labels, facts
_EVIDENCE_TYPES = (
    ("birth", "Birth certificate", "Partida de nacimiento", (c.BIRTH_DATE,)),
    ("residence", "Certificate of residence", "Certificado de domicilio",
     (c.STREET, c.TOWN, c.POSTAL_CODE)),
    ("household-income", "Income certificate of the household", "Certificado de ingresos",
     (c.HOUSEHOLD_INCOME,)),
    ("contributions", "Certificate of contributions", "Certificado de cotizaciones",
     (c.CONTRIBUTION_STATUS, c.CONTRIBUTION_MONTHS)),
    ("no-debt", "Certificate of tax debts", "Certificado de deudas", (c.TAX_DEBT,)),
)  # fmt: skip
_REQUIREMENTS = (
    ("age", "How old the person is", "La edad", ("birth",), ()),
    ("home", "Where the person lives", "El domicilio", ("residence",), ()),
    ("means", "What the household lives on", "Los ingresos", ("household-income",), ()),
    ("insured", "Whether the person is insured", "La afiliación", ("contributions",), ()),
    ("debts", "Whether taxes are owed", "Las deudas", ("no-debt",), ()),
    ("of-age", "Whether the person is of age", "La mayoría de edad", (), (c.ADULT,)),
    ("low-income", "Whether the income is low", "Ingresos bajos", (), (c.LOW_INCOME,)),
)
_PROCEDURES = (
    (c.SCHOOL_BENEFIT, "School benefit", "Beca escolar",
     ("age", "home", "means", "insured", "debts"), c.SCHOOL_BENEFIT_PURPOSE),
    (c.LIBRARY_CARD, "Reduced library fee", "Tarifa reducida de biblioteca",
     ("of-age", "low-income"), c.LIBRARY_PURPOSE),
)  # fmt: skip
_PURPOSES = (
    (c.SCHOOL_BENEFIT_PURPOSE, "Deciding on school benefits", "Decidir sobre becas",
     c.SCHOOL_BENEFIT_LAW),
    (c.LIBRARY_PURPOSE, "Setting library fees", "Fijar tarifas de biblioteca", c.LIBRARY_LAW),
)  # fmt: skip
_AUTHORITIES: tuple[tuple[ServiceId, tuple[str, ...]], ...] = (
    (
        PEOPLE,
        (c.GIVEN_NAME, c.FAMILY_NAME, c.BIRTH_DATE, c.ADULT, c.STREET, c.TOWN, c.POSTAL_CODE),
    ),
    (ASSESSMENTS, (c.HOUSEHOLD_INCOME, c.HOUSEHOLD_SIZE, c.LOW_INCOME, c.TAX_DEBT)),
    (STATUS, (c.CONTRIBUTION_STATUS, c.CONTRIBUTION_MONTHS, c.EMPLOYER)),
)


def vocabulary_declaration() -> str:
    """`once.toml`."""
    tables = [
        *(
            _table(
                "concepts",
                f"uri = {_text(uri)}",
                _labels(english, spanish),
                f'type = "{kind}"',
                f'sensitivity = "{sensitivity}"',
            )
            for uri, english, spanish, kind, sensitivity in _CONCEPTS
        ),
        *(
            _table(
                "evidence_types",
                f"uri = {_text(_evidence(key))}",
                _labels(english, spanish),
                f"concepts = {_list(facts)}",
            )
            for key, english, spanish, facts in _EVIDENCE_TYPES
        ),
        *(
            _table(
                "requirements",
                f"uri = {_text(_requirement(key))}",
                _labels(english, spanish),
                f"evidence_types = {_list(map(_evidence, kinds))}",
                f"concepts = {_list(facts)}",
            )
            for key, english, spanish, kinds, facts in _REQUIREMENTS
        ),
        *(
            _table(
                "purposes",
                f"uri = {_text(uri)}",
                _labels(english, spanish),
                f"legal_basis = {_text(law)}",
            )
            for uri, english, spanish, law in _PURPOSES
        ),
        *(
            _table(
                "procedures",
                f"uri = {_text(uri)}",
                _labels(english, spanish),
                f"requirements = {_list(map(_requirement, needs))}",
                f"purpose = {_text(purpose)}",
                f"offered_by = {_list([CASES.colons])}",
            )
            for uri, english, spanish, needs, purpose in _PROCEDURES
        ),
        *(
            _table("authorities", f"concepts = {_list(facts)}", f'service = "{service.colons}"')
            for service, facts in _AUTHORITIES
        ),
    ]
    return "\n".join(tables)


def _evidence(key: str) -> str:
    return f"{c.BASE}/evidence/{key}"


def _requirement(key: str) -> str:
    return f"{c.BASE}/requirement/{key}"


def _table(name: str, *lines: str) -> str:
    return "\n".join((f"[[{name}]]", *lines, ""))


def _labels(english: str, spanish: str) -> str:
    return f"labels = {{ en = {_text(english)}, es = {_text(spanish)} }}"


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _list(values: Iterable[str]) -> str:
    return json.dumps([*values], ensure_ascii=False)
