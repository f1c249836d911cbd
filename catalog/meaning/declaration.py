"""What the central operator writes down about facts: `once.toml`.

Names may be shortened: with `prefixes = { person = "https://facts.example.org/person/" }` the
concept `person:birthDate` is `https://facts.example.org/person/birthDate`. Only this file knows of
prefixes; everybody else sees whole URIs.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from catalog.meaning.rules import vocabulary_problems
from catalog.meaning.texts import quoted, uri_problems
from catalog.meaning.vocabulary import (
    EVERYWHERE,
    Authority,
    Concept,
    EvidenceType,
    FactType,
    Procedure,
    Purpose,
    Requirement,
    Sensitivity,
    ServiceTemplate,
    TemplateInstance,
    Vocabulary,
)
from trust.ids import ClientId, ServiceId
from trust.registry.record_rules import problems_error
from trust.settings import Place, SettingProblem, required, setting

_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,29}")
_SCHEMES = frozenset({"http", "https", "urn"})
_LABELS = "names for people, by language"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConceptDeclaration:
    """A fact as such."""

    uri: str = required("its URI", example="https://facts.example.org/person/birthDate")
    labels: Mapping[str, str] = required(
        _LABELS, example={"en": "Date of birth", "es": "Fecha de nacimiento"}
    )
    type: FactType = setting(FactType.TEXT, "what its value looks like")
    definition: str = setting("", "what exactly it is", example="As entered at birth")
    sensitivity: Sensitivity = setting(Sensitivity.PERSONAL, "how it must be treated")
    identifies: str = setting(
        "",
        "kind of identifier, where its value names the subject in another registry",
        example="urn:example:national-id",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceTypeDeclaration:
    """What used to be one paper."""

    uri: str = required("its URI", example="https://facts.example.org/evidence/birth")
    labels: Mapping[str, str] = required(_LABELS, example={"en": "Birth certificate"})
    concepts: tuple[str, ...] = required(
        "the facts in it", example=["https://facts.example.org/person/birthDate"]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RequirementDeclaration:
    uri: str = required("its URI", example="https://facts.example.org/requirement/age")
    labels: Mapping[str, str] = required(_LABELS, example={"en": "Being of age"})
    concepts: tuple[str, ...] = setting(
        (),
        "facts that are needed, all of them",
        example=["https://facts.example.org/person/birthDate"],
    )
    evidence_types: tuple[str, ...] = setting(
        (),
        "alternatives: the facts of one of them are needed",
        example=["https://facts.example.org/evidence/birth"],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PurposeDeclaration:
    uri: str = required("its URI", example="https://facts.example.org/purpose/school-benefit")
    labels: Mapping[str, str] = required(_LABELS, example={"en": "Deciding on school benefits"})
    legal_basis: str = setting(
        "", "what allows it; refused without", example="School Benefits Act, article 4"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcedureDeclaration:
    """A public service, and what it must know."""

    uri: str = required("its URI", example="https://facts.example.org/procedure/school-benefit")
    labels: Mapping[str, str] = required(_LABELS, example={"en": "School benefit"})
    requirements: tuple[str, ...] = required(
        "what it must know", example=["https://facts.example.org/requirement/age"]
    )
    purpose: str = required(
        "what it asks for", example="https://facts.example.org/purpose/school-benefit"
    )
    offered_by: tuple[ClientId, ...] = setting(
        (), "who may ask for it; everybody without", example=["EX:MUN:13001:benefits"]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityDeclaration:
    """The service whose values count, in a territory and for a time."""

    concepts: tuple[str, ...] = required(
        "the facts", example=["https://facts.example.org/person/birthDate"]
    )
    service: ServiceId = required("whose values count", example="EX:GOV:1000:persons:person")
    alternates: tuple[ServiceId, ...] = setting(
        (),
        "services that have the same values, asked in this order when it does not answer",
        example=["EX:GOV:1000:persons-copy:person"],
    )
    territory: str = setting(
        EVERYWHERE, "code of the territory; all that no other one has without", example="13001"
    )
    valid_from: date | None = setting(None, "first day on which it is the authority")
    valid_until: date | None = setting(None, "first day on which it is the authority no more")


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceDeclaration:
    service: ServiceId = required("a service like that", example="EX:MUN:13002:school:pupils")
    territory: str = setting(EVERYWHERE, "code of its territory", example="13002")


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateDeclaration:
    """One description for a service that many members offer alike."""

    uri: str = required("its URI", example="https://facts.example.org/template/pupils")
    labels: Mapping[str, str] = required(_LABELS, example={"en": "Register of pupils"})
    concepts: tuple[str, ...] = setting(
        (),
        "what each instance is the authority for in its territory",
        example=["https://facts.example.org/pupil/school"],
    )
    description: str = setting(
        "",
        "address of the common OpenAPI description or WSDL",
        example="https://facts.example.org/pupils.yaml",
    )
    valid_from: date | None = setting(None, "first day on which they are authorities")
    valid_until: date | None = setting(None, "first day on which they are authorities no more")
    by_territory: Mapping[str, ServiceId] = setting(
        {},
        "instances in short: the service of each territory",
        example={"13001": "EX:MUN:13001:school:pupils"},
    )
    instances: tuple[InstanceDeclaration, ...] = setting((), "more instances")


@dataclass(frozen=True, slots=True, kw_only=True)
class OnceDeclaration:
    """What counts as a fact, who needs it and who is the authority for it."""

    territory_concept: str = setting(
        "",
        "the fact that tells in which territory a subject is at home",
        example="https://facts.example.org/person/municipality",
    )
    prefixes: Mapping[str, str] = setting(
        {}, "beginnings of URIs, by a short name", example={"ex": "https://facts.example.org/"}
    )
    concepts: tuple[ConceptDeclaration, ...] = setting((), "facts")
    evidence_types: tuple[EvidenceTypeDeclaration, ...] = setting(
        (), "sets of facts that prove something together"
    )
    requirements: tuple[RequirementDeclaration, ...] = setting((), "what procedures must know")
    purposes: tuple[PurposeDeclaration, ...] = setting((), "what facts may be asked for")
    procedures: tuple[ProcedureDeclaration, ...] = setting((), "public services")
    authorities: tuple[AuthorityDeclaration, ...] = setting((), "whose values count")
    templates: tuple[TemplateDeclaration, ...] = setting(
        (), "services that many members offer alike"
    )


def declaration_problems(declaration: OnceDeclaration) -> Iterator[SettingProblem]:
    """Everything that is wrong with a declaration."""
    yield from _prefix_problems(declaration)
    for problem in vocabulary_problems(_read(declaration)):
        yield in_declaration(problem, declaration)


def declared_vocabulary(declaration: OnceDeclaration) -> Vocabulary:
    """What a declaration stands for; raises ConfigurationError with every problem."""
    problems = tuple(declaration_problems(declaration))
    if problems:
        raise problems_error(problems)
    return _read(declaration)


def in_declaration(problem: SettingProblem, declaration: OnceDeclaration) -> SettingProblem:
    """A problem of the vocabulary at its place in the declaration: instances may stand in two."""
    match problem.path:
        case ("templates", int(number), "instances", int(index), *rest):
            template = declaration.templates[number]
            short = tuple(template.by_territory)
            here: Place = ("templates", number, "instances", index - len(short), *rest)
            if index < len(short):
                here = ("templates", number, "by_territory", short[index])
            return SettingProblem(here, problem.found, problem.expected)
    return problem


def _prefix_problems(declaration: OnceDeclaration) -> Iterator[SettingProblem]:
    for name, beginning in declaration.prefixes.items():
        place = ("prefixes", name)
        if not _PREFIX.fullmatch(name) or name.lower() in _SCHEMES:
            expected = "1 to 30 letters, digits and _-, and not http, https or urn"
            yield SettingProblem(place, quoted(name), expected)
        if any(uri_problems(place, f"{beginning}name")):
            expected = "the beginning of an absolute URI (http, https or urn)"
            yield SettingProblem(place, quoted(beginning), expected)


def _read(declaration: OnceDeclaration) -> Vocabulary:
    return _Reader(declaration.prefixes).vocabulary(declaration)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Makes a vocabulary of a declaration; order is kept, so that places stay."""

    prefixes: Mapping[str, str]

    def vocabulary(self, declaration: OnceDeclaration) -> Vocabulary:
        whole, all_of = self._whole, self._all
        return Vocabulary(
            concepts=tuple(self._concept(one) for one in declaration.concepts),
            evidence_types=tuple(
                EvidenceType(whole(one.uri), one.labels, all_of(one.concepts))
                for one in declaration.evidence_types
            ),
            requirements=tuple(
                Requirement(
                    whole(one.uri), one.labels, all_of(one.concepts), all_of(one.evidence_types)
                )
                for one in declaration.requirements
            ),
            purposes=tuple(
                Purpose(whole(one.uri), one.labels, one.legal_basis) for one in declaration.purposes
            ),
            procedures=tuple(self._procedure(one) for one in declaration.procedures),
            authorities=tuple(self._authority(one) for one in declaration.authorities),
            templates=tuple(self._template(one) for one in declaration.templates),
            territory_concept=whole(declaration.territory_concept),
        )

    def _concept(self, one: ConceptDeclaration) -> Concept:
        identifies = self._whole(one.identifies)
        return Concept(
            self._whole(one.uri), one.labels, one.type, one.definition, one.sensitivity, identifies
        )

    def _procedure(self, one: ProcedureDeclaration) -> Procedure:
        requirements, purpose = self._all(one.requirements), self._whole(one.purpose)
        return Procedure(self._whole(one.uri), one.labels, requirements, purpose, one.offered_by)

    def _authority(self, one: AuthorityDeclaration) -> Authority:
        return Authority(
            self._all(one.concepts),
            one.service,
            one.alternates,
            one.territory,
            one.valid_from,
            one.valid_until,
        )

    def _template(self, one: TemplateDeclaration) -> ServiceTemplate:
        short = (TemplateInstance(service, place) for place, service in one.by_territory.items())
        more = (TemplateInstance(each.service, each.territory) for each in one.instances)
        return ServiceTemplate(
            self._whole(one.uri),
            one.labels,
            self._all(one.concepts),
            one.description,
            (*short, *more),
            one.valid_from,
            one.valid_until,
        )

    def _all(self, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(self._whole(name) for name in names)

    def _whole(self, name: str) -> str:
        prefix, colon, rest = name.partition(":")
        return self.prefixes[prefix] + rest if colon and prefix in self.prefixes else name
