"""A second layer above the grants: policies in Cedar, which a call must be permitted by as well.

    principal   Sacbe::Client::"EX/MUN/2000/portal"  in Sacbe::Member::"EX/MUN/2000",
                in Sacbe::GlobalGroup::"EX/municipalities", in Sacbe::LocalGroup::"clerks"
    action      Sacbe::Action::"GET" in Sacbe::Action::"call"; "SOAP" for a SOAP call
    resource    Sacbe::Service::"EX/GOV/1000/persons/persons"  in Sacbe::Member::"EX/GOV/1000",
                in Sacbe::Provider::"EX/GOV/1000/persons"
    context     purpose, legalBasis, procedure, fields, hasCase, hasOfficial, hasMandate: what the
                request says; path, version; grant, underTerms, grantedFields: by which it may;
                aboutPerson; year, month, day, weekday (1: Monday), hour: the moment in UTC

As Cedar has it, what no policy permits is refused, and what any policy forbids. Beyond Cedar, which
leaves a policy out that it can't evaluate, such a policy refuses, too.
"""

import asyncio
import importlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from functools import cached_property
from pathlib import Path
from types import ModuleType

from node.once.enforcement.policy import CallFacts
from node.once.policy.facts import Group, Groups
from node.once.policy.statements import Statement, split_statements
from trust.errors import ConfigurationError, ConfigurationProblem
from trust.ids import LocalGroupId, ServiceId

_LOG = logging.getLogger("sacbe.policy")

MOST_FILES = 1000
MOST_POLICIES = 20_000
LARGEST_FILE = 1 << 20  # bytes
_AT_ONCE = 100  # policies that are evaluated beside nothing else; more go to a thread
_LONGEST_TOLD = 300
_SERVICE = "Sacbe::Service"


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy: its text, where it stands, and the only service that it is for, if any."""

    text: str
    place: str
    service: str | None


@dataclass(frozen=True)
class CedarPolicies:
    """The policies of a folder, ready to be asked."""

    policies: tuple[Policy, ...]
    engine: ModuleType = field(repr=False)
    _sets: dict[str, "_PolicySet"] = field(default_factory=dict, repr=False)

    @cached_property
    def _general(self) -> tuple[Policy, ...]:
        return tuple(one for one in self.policies if one.service is None)

    @cached_property
    def _special(self) -> Mapping[str, tuple[Policy, ...]]:
        found: dict[str, list[Policy]] = {}
        for one in self.policies:
            if one.service is not None:
                found.setdefault(one.service, []).append(one)
        return {service: tuple(policies) for service, policies in found.items()}

    async def judge(self, facts: CallFacts, groups: Sequence[Group]) -> str | None:
        """Why the call is refused, for the provider's own operator; None when it is permitted."""
        policies = self._of(facts.service)
        if len(policies.places) <= _AT_ONCE:
            return policies.judge(facts, groups)
        return await asyncio.to_thread(policies.judge, facts, groups)

    def _of(self, service: ServiceId) -> "_PolicySet":
        """The policies that may say something of a service, parsed once."""
        name = _service_name(service)
        special = self._special.get(name)
        key = "" if special is None else name  # one set for all that have none of their own
        found = self._sets.get(key)
        if found is None:
            found = self._sets[key] = _PolicySet.of((*self._general, *(special or ())), self.engine)
        return found


@dataclass(frozen=True, slots=True)
class CedarPolicy:
    """The second layer of a node: policies, and the groups of now."""

    policies: CedarPolicies
    groups: Groups

    async def judge(self, facts: CallFacts) -> str | None:
        """Why a call is refused, for the provider's operator; None when it is not."""
        groups = self.groups.of(facts.client, facts.service.provider, facts.at)
        return await self.policies.judge(facts, groups)


@dataclass(frozen=True, slots=True)
class _PolicySet:
    """Parsed policies; the engine numbers them in their order.

    Attributes:
        places: by the engine's names.
    """

    places: Mapping[str, str]
    parsed: object
    engine: ModuleType

    @classmethod
    def of(cls, policies: Sequence[Policy], engine: ModuleType) -> "_PolicySet":
        text = "\n".join(one.text for one in policies)
        places = {f"policy{number}": one.place for number, one in enumerate(policies)}
        return cls(places, engine.PolicySet.from_str(text), engine)

    def judge(self, facts: CallFacts, groups: Sequence[Group]) -> str | None:
        entities = _entities(facts, groups)
        try:
            result = self.engine.is_authorized(_request(facts), self.parsed, entities)
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing was permitted
            _LOG.warning("Policies can't be asked: %s", type(error).__name__)
            return f"the policies can't be asked: {type(error).__name__}"
        said = result.diagnostics
        if said.errors:
            return f"a policy can't be evaluated: {self._told(said.errors[0])}"
        if result.allowed:
            return None
        reasons = ", ".join(self.places.get(reason, reason) for reason in said.reasons)
        return f"forbidden by {reasons}"[:_LONGEST_TOLD] if reasons else "no policy permits it"

    def _told(self, error: str) -> str:
        """The engine's sentence with places instead of its own names."""
        for name, place in self.places.items():
            error = error.replace(f"`{name}`", place)
        return error[:_LONGEST_TOLD]


# --- what the engine is told ----------------------------------------------------------------------


def _entity(kind: str, name: str) -> dict[str, str]:
    return {"type": f"Sacbe::{kind}", "id": name}


def _service_name(service: ServiceId) -> str:
    """Without the version, as rights are for all versions of a service."""
    return ServiceId(service.provider, service.service_code).path


def _action(facts: CallFacts) -> str:
    return facts.method or "SOAP"


def _request(facts: CallFacts) -> dict[str, object]:
    return {
        "principal": _entity("Client", facts.client.path),
        "action": _entity("Action", _action(facts)),
        "resource": _entity("Service", _service_name(facts.service)),
        "context": _context(facts),
    }


def _context(facts: CallFacts) -> dict[str, object]:
    intent, at = facts.intent, facts.at.astimezone(UTC)
    return {
        "purpose": intent.purpose,
        "legalBasis": intent.legal_basis,
        "procedure": intent.procedure,
        "path": facts.path,
        "version": facts.service.service_version or "",
        "fields": list(intent.fields),
        "hasCase": bool(intent.case),
        "hasOfficial": bool(intent.official),
        "hasMandate": bool(intent.mandate),
        "grant": facts.grant,
        "underTerms": facts.terms,
        "grantedFields": list(facts.fields or ()),
        "aboutPerson": facts.about_person,
        "year": at.year,
        "month": at.month,
        "day": at.day,
        "weekday": at.isoweekday(),
        "hour": at.hour,
    }


def _entities(facts: CallFacts, groups: Sequence[Group]) -> list[dict[str, object]]:
    client, provider = facts.client, facts.service.provider
    above = [_entity("Member", client.member.path), *map(_group, groups)]
    offered = [_entity("Provider", provider.path), _entity("Member", provider.member.path)]
    return [
        _node(_entity("Client", client.path), above),
        _node(_entity("Action", _action(facts)), [_entity("Action", "call")]),
        _node(_entity("Service", _service_name(facts.service)), offered),
    ]


def _group(group: Group) -> dict[str, str]:
    if isinstance(group, LocalGroupId):
        return _entity("LocalGroup", group.group_code)
    return _entity("GlobalGroup", group.path)


def _node(uid: dict[str, str], parents: Sequence[dict[str, str]]) -> dict[str, object]:
    return {"uid": uid, "attrs": {}, "parents": list(parents)}


# --- reading a folder -----------------------------------------------------------------------------


def open_policies(folder: Path) -> CedarPolicies:
    """Read every `*.cedar` file of a folder; raises ConfigurationError with all that is wrong."""
    try:
        engine = importlib.import_module("cedarpy")
    except ImportError as error:
        found, expected = "policies", "the package cedarpy: pip install 'sacbe[cedar]'"
        raise ConfigurationError([ConfigurationProblem(str(folder), 0, found, expected)]) from error
    reader = _Reader(engine)
    for path in _files(folder):
        reader.read(path)
    if reader.problems:
        raise ConfigurationError(reader.problems)
    return CedarPolicies(tuple(reader.policies), engine)


def _files(folder: Path) -> Sequence[Path]:
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix == ".cedar")
    except OSError as error:
        text = error.strerror or "an unreadable folder"
        raise _problem(folder, 0, text, "a folder with *.cedar files") from error
    if not 0 < len(found) <= MOST_FILES:
        raise _problem(folder, 0, f"{len(found)} files", f"1 to {MOST_FILES} *.cedar files")
    return found


def _problem(path: Path, line: int, found: str, expected: str) -> ConfigurationError:
    return ConfigurationError([ConfigurationProblem(str(path), line, found, expected)])


@dataclass(slots=True)
class _Reader:
    engine: ModuleType
    policies: list[Policy] = field(default_factory=list)
    problems: list[ConfigurationProblem] = field(default_factory=list)

    def read(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                raw = file.read(LARGEST_FILE + 1)
            text = raw.decode()
        except (OSError, UnicodeDecodeError) as error:
            self._tell(path, 0, type(error).__name__, "a readable text in UTF-8")
            return
        if len(raw) > LARGEST_FILE:
            self._tell(path, 0, "a larger file", f"at most {LARGEST_FILE} bytes")
            return
        for statement in split_statements(text):
            self._statement(path, statement)

    def _statement(self, path: Path, statement: Statement) -> None:
        try:
            parsed = json.loads(self.engine.policies_to_json_str(statement.text))
        except ValueError as error:
            self._tell(path, statement.line, str(error), "a policy in Cedar")
            return
        static = parsed["staticPolicies"]
        if len(static) != 1 or parsed["templates"]:
            self._tell(path, statement.line, "a template", "a policy without slots")
        elif len(self.policies) >= MOST_POLICIES:
            self._tell(path, statement.line, "one more", f"at most {MOST_POLICIES} policies")
        else:
            (policy,) = static.values()
            place = f"{path.name}:{statement.line}"
            self.policies.append(Policy(statement.text, place, _only_service(policy)))

    def _tell(self, path: Path, line: int, found: str, expected: str) -> None:
        self.problems.append(ConfigurationProblem(str(path), line, found, expected))


def _only_service(policy: Mapping[str, Mapping[str, object]]) -> str | None:
    """The service that a policy names as its resource, as the engine's JSON tells it."""
    resource = policy["resource"]
    entity = resource.get("entity")
    if resource.get("op") != "==" or not isinstance(entity, dict):
        return None
    return str(entity["id"]) if entity.get("type") == _SERVICE else None
