"""What a system asks of the resolver: read from JSON, judged whole, every error told at once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from catalog.fields.json_text import Number
from catalog.meaning.vocabulary import EVERYWHERE, Vocabulary
from node.messages.intent import LONGEST_TEXT, NO_INTENT, Intent
from node.messages.represented_party import RepresentedParty
from node.once.resolver.json_values import read_json
from trust.errors import ExchangeError, MalformedMessage

MAX_BYTES = 64 * 1024
MAX_CONCEPTS = 200
MAX_PARAMETERS = 50
_LONGEST_NAME = 255
_MOST_SECONDS = 3600.0
_KNOWN = frozenset(
    {
        "procedure", "concepts", "subject", "purpose", "legal_basis", "case", "official", "mandate",
        "parameters", "territory", "deadline", "preview",
    }
)  # fmt: skip
_PATH_FORM = re.compile(r"[^/\s]+(?:/[^/\s]+)?")


class Wrong(StrEnum):
    """What may be wrong with a field of a request."""

    MISSING = "missing"
    UNKNOWN_FIELD = "unknown_field"
    INVALID = "invalid"
    TOO_MANY = "too_many"
    UNKNOWN = "unknown"  # the vocabulary has nothing of this name
    CONTRADICTION = "contradiction"
    NO_LEGAL_BASIS = "no_legal_basis"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a request."""

    field: str
    reason: Wrong
    text: str


class BadQuestion(ExchangeError):
    """A request that can't be answered; `problems` are all that are wrong with it."""

    code = "invalid_request"

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{one.field}: {one.text}" for one in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Question:
    """A request.

    Attributes:
        concepts: URIs; none when `intent.procedure` says what is needed.
        scheme, value: of the subject's identifier; no value is needed to plan.
        intent: what it is for; purpose and legal basis of the procedure are in it.
        deadline: that the caller set; None for the node's.
    """

    concepts: tuple[str, ...]
    scheme: str
    value: str = field(default="", repr=False)
    intent: Intent = NO_INTENT
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    territory: str = EVERYWHERE
    deadline: timedelta | None = None
    preview: bool = False


def read_question(raw: bytes, vocabulary: Vocabulary, *, plan_only: bool = False) -> Question:
    """Read a request; raises BadQuestion.

    Args:
        plan_only: whether nobody is asked, so that subject, purpose and case may be left out.
    """
    return _Reader.of(raw, vocabulary, plan_only=plan_only).read()


@dataclass(slots=True)
class _Reader:
    said: Mapping[str, object]
    vocabulary: Vocabulary
    plan_only: bool
    problems: list[Problem] = field(default_factory=list)

    @classmethod
    def of(cls, raw: bytes, vocabulary: Vocabulary, *, plan_only: bool) -> "_Reader":
        try:
            said = read_json(raw, "The request")
        except MalformedMessage as error:
            raise BadQuestion([Problem("", Wrong.INVALID, error.text)]) from error
        if not isinstance(said, dict):
            raise BadQuestion([Problem("", Wrong.INVALID, "The request is no JSON object")])
        return cls(said, vocabulary, plan_only)

    def read(self) -> Question:
        for name in self.said:
            if name not in _KNOWN:
                self._wrong(name[:80], Wrong.UNKNOWN_FIELD, "there is no such field")
        concepts, procedure = self._what()
        scheme, value = self._subject()
        purpose, legal_basis = self._purpose(procedure)
        question = Question(
            concepts,
            scheme,
            value,
            Intent(
                purpose=purpose,
                legal_basis=legal_basis,
                procedure=procedure,
                case=self._text("case", required=not self.plan_only),
                official=self._text("official", required=not self.plan_only),
                mandate=self._mandate(),
            ),
            self._parameters(),
            self._text("territory"),
            self._deadline(),
            self._preview(),
        )
        if self.problems:
            raise BadQuestion(self.problems)
        return question

    def _what(self) -> tuple[tuple[str, ...], str]:
        """The concepts, or the procedure."""
        if ("procedure" in self.said) == ("concepts" in self.said):
            self._wrong("procedure", Wrong.MISSING, 'give either "procedure" or "concepts"')
            return (), ""
        if "concepts" in self.said:
            return self._concepts(), ""
        procedure = self._text("procedure", required=True)
        if procedure and procedure not in self.vocabulary.procedure:
            self._wrong("procedure", Wrong.UNKNOWN, "the vocabulary has no such procedure")
        return (), procedure

    def _concepts(self) -> tuple[str, ...]:
        said = self.said["concepts"]
        if not isinstance(said, list) or not said:
            self._wrong("concepts", Wrong.INVALID, "must be a list of URIs with one at least")
            return ()
        if len(said) > MAX_CONCEPTS:
            self._wrong("concepts", Wrong.TOO_MANY, f"has more than {MAX_CONCEPTS} entries")
            return ()
        found = [self._checked(f"concepts/{place}", one) for place, one in enumerate(said)]
        return tuple(dict.fromkeys(one for one in found if one))

    def _subject(self) -> tuple[str, str]:
        said = self.said.get("subject")
        if not isinstance(said, dict):
            self._wrong("subject", Wrong.MISSING, 'must be an object with "scheme" and "value"')
            return "", ""
        for name in said.keys() - {"scheme", "value"}:
            self._wrong(f"subject/{name[:80]}", Wrong.UNKNOWN_FIELD, "there is no such field")
        scheme = self._of(said, "subject/scheme", "scheme", required=True)
        value = self._of(said, "subject/value", "value", required=not self.plan_only)
        if len(value) > _LONGEST_NAME:
            text = f"has more than {_LONGEST_NAME} characters"
            self._wrong("subject/value", Wrong.INVALID, text)
        return scheme, value

    def _purpose(self, procedure: str) -> tuple[str, str]:
        """Purpose and legal basis: the procedure's, or those that are given."""
        given, basis = self._text("purpose"), self._text("legal_basis")
        known = self.vocabulary.procedure.get(procedure)
        if known is None and not given:
            if not self.plan_only and not procedure:
                self._wrong("purpose", Wrong.MISSING, "must be given where there is no procedure")
            return "", basis
        purpose = given if known is None else known.purpose
        if given and given != purpose:
            self._wrong("purpose", Wrong.CONTRADICTION, "the procedure has another purpose")
        declared = self.vocabulary.purpose.get(purpose)
        if declared is not None:
            if basis and basis != declared.legal_basis:
                text = "the vocabulary has another one for this purpose"
                self._wrong("legal_basis", Wrong.CONTRADICTION, text)
            return purpose, declared.legal_basis
        if not basis:
            text = "a purpose that the vocabulary does not have needs a legal basis"
            self._wrong("legal_basis", Wrong.NO_LEGAL_BASIS, text)
        return purpose, basis

    def _mandate(self) -> str:
        mandate = self._text("mandate")
        if not mandate:
            return ""
        try:
            if not _PATH_FORM.fullmatch(mandate):
                raise MalformedMessage("no path form")
            RepresentedParty.from_header(mandate)
        except MalformedMessage:
            self._wrong("mandate", Wrong.INVALID, "must be CODE or CLASS/CODE, percent-encoded")
        return mandate

    def _parameters(self) -> dict[str, str]:
        said = self.said.get("parameters", {})
        if not isinstance(said, dict):
            self._wrong("parameters", Wrong.INVALID, "must be an object of texts")
            return {}
        if len(said) > MAX_PARAMETERS:
            self._wrong("parameters", Wrong.TOO_MANY, f"has more than {MAX_PARAMETERS} entries")
            return {}
        found = {}
        for name, value in said.items():
            place = f"parameters/{name[:80]}"
            found[name] = str(self._checked(place, value, numbers=True))
            if len(found[name]) > _LONGEST_NAME:
                self._wrong(place, Wrong.INVALID, f"has more than {_LONGEST_NAME} characters")
        return found

    def _deadline(self) -> timedelta | None:
        said = self.said.get("deadline")
        if said is None:
            return None
        if isinstance(said, Number):
            seconds = min(float(said), _MOST_SECONDS)
            if seconds > 0:
                return timedelta(seconds=seconds)
        self._wrong("deadline", Wrong.INVALID, "must be a number of seconds above 0")
        return None

    def _preview(self) -> bool:
        said = self.said.get("preview", False)
        if not isinstance(said, bool):
            self._wrong("preview", Wrong.INVALID, "must be true or false")
            return False
        return said

    def _text(self, name: str, *, required: bool = False) -> str:
        return self._of(self.said, name, name, required=required)

    def _of(self, said: Mapping[str, object], place: str, name: str, *, required: bool) -> str:
        value = said.get(name)
        if value is None:
            if required:
                self._wrong(place, Wrong.MISSING, "must be given")
            return ""
        return self._checked(place, value)

    def _checked(self, place: str, value: object, *, numbers: bool = False) -> str:
        """A text that can stand in a header; empty when it is none."""
        is_text = isinstance(value, str) and (numbers or not isinstance(value, Number))
        if not isinstance(value, str) or not is_text or not value.strip():
            self._wrong(place, Wrong.INVALID, "must be a text that is not blank")
        elif len(value) > LONGEST_TEXT:
            self._wrong(place, Wrong.INVALID, f"has more than {LONGEST_TEXT} characters")
        elif not value.isprintable() or value != value.strip():
            self._wrong(place, Wrong.INVALID, "holds control characters, or spaces at its ends")
        else:
            return value
        return ""

    def _wrong(self, place: str, reason: Wrong, text: str) -> None:
        self.problems.append(Problem(place, reason, text))
