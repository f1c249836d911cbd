"""Why a fact is missing, in one word of a closed list, with who can do something about it.

The words stand in answers, in the OpenAPI document and in `docs/once-only.md`.
"""

from dataclasses import dataclass
from enum import StrEnum

from catalog.terms import Refusal
from trust.ids import ServiceId


class Fixer(StrEnum):
    """Who can do something about a missing fact."""

    CENTRAL_OPERATOR = "central_operator"  # who keeps the vocabulary and the authorities
    SOURCE = "source"  # the institution whose service has the fact
    CALLER = "caller"  # the system that asks
    OWN_OPERATOR = "own_operator"  # who runs the asking institution's node


class Reason(StrEnum):
    """Why a fact is missing."""

    # known from the catalog alone
    UNKNOWN_CONCEPT = "unknown_concept"
    UNKNOWN_EVIDENCE_TYPE = "unknown_evidence_type"
    PROCEDURE_NOT_OFFERED = "procedure_not_offered"
    NO_AUTHORITY = "no_authority"
    TERRITORY_UNKNOWN = "territory_unknown"
    SERVICE_NOT_IN_CATALOG = "service_not_in_catalog"
    SERVICE_DRAFT = "service_draft"
    SERVICE_WITHDRAWN = "service_withdrawn"
    NO_FIELD = "no_field"
    NO_SUBJECT_PARAMETER = "no_subject_parameter"
    NO_IDENTIFIER = "no_identifier"
    PARAMETER_MISSING = "parameter_missing"
    # known when the source was asked
    SOURCE_DOWN = "source_down"
    SOURCE_SLOW = "source_slow"
    SOURCE_FAILED = "source_failed"
    UNKNOWN_SUBJECT = "unknown_subject"
    NO_VALUE = "no_value"
    NOT_GRANTED = "not_granted"
    WRONG_TYPE = "wrong_type"
    UNREADABLE_ANSWER = "unreadable_answer"
    BAD_IDENTIFIER = "bad_identifier"
    OWN_NODE = "own_node"
    NOT_CONFIRMED = "not_confirmed"
    # a source's refusals, in the words of `catalog.terms.Refusal`
    NO_RIGHT = "no_right"
    PURPOSE_MISSING = "purpose_missing"
    PURPOSE_NOT_GRANTED = "purpose_not_granted"
    GRANT_NOT_YET_VALID = "grant_not_yet_valid"
    GRANT_EXPIRED = "grant_expired"
    QUOTA_USED_UP = "quota_used_up"
    FIELDS_NOT_GRANTED = "fields_not_granted"
    ANSWER_NOT_REDUCIBLE = "answer_not_reducible"
    REFUSED_BY_POLICY = "refused_by_policy"


_C, _S, _A, _O = Fixer.CENTRAL_OPERATOR, Fixer.SOURCE, Fixer.CALLER, Fixer.OWN_OPERATOR
MEANINGS: dict[Reason, tuple[Fixer, str]] = {
    Reason.UNKNOWN_CONCEPT: (_C, "The vocabulary has no concept of this name"),
    Reason.UNKNOWN_EVIDENCE_TYPE: (
        _C,
        "A requirement names evidence or facts that the vocabulary does not have",
    ),
    Reason.PROCEDURE_NOT_OFFERED: (_C, "The procedure is not offered by this client"),
    Reason.NO_AUTHORITY: (_C, "No service is the authority for this fact on this day"),
    Reason.TERRITORY_UNKNOWN: (
        _A,
        "Each territory has its own authority for this fact, and the subject's is not known",
    ),
    Reason.SERVICE_NOT_IN_CATALOG: (_S, "The authority's service is not in the catalog"),
    Reason.SERVICE_DRAFT: (_S, "The authority's service is a draft"),
    Reason.SERVICE_WITHDRAWN: (_S, "The authority's service is withdrawn"),
    Reason.NO_FIELD: (_S, "The authority's service has no field for this fact"),
    Reason.NO_SUBJECT_PARAMETER: (_S, "The mapping does not say how a request names the subject"),
    Reason.NO_IDENTIFIER: (_A, "The service needs another identifier of the subject"),
    Reason.PARAMETER_MISSING: (_A, "The service needs a parameter that was not given"),
    Reason.SOURCE_DOWN: (_S, "The source did not answer"),
    Reason.SOURCE_SLOW: (_S, "The source did not answer in time"),
    Reason.SOURCE_FAILED: (_S, "The source answered with an error"),
    Reason.UNKNOWN_SUBJECT: (_S, "The source knows nobody of this identifier"),
    Reason.NO_VALUE: (_S, "The source has no value for this fact"),
    Reason.NOT_GRANTED: (_S, "The grant does not cover this fact; the source withheld it"),
    Reason.WRONG_TYPE: (_S, "The source answered what its description forbids"),
    Reason.UNREADABLE_ANSWER: (_S, "The source's answer can't be read"),
    Reason.BAD_IDENTIFIER: (_A, "The identifier can't be put into the request"),
    Reason.OWN_NODE: (_O, "This node could not ask"),
    Reason.NOT_CONFIRMED: (_A, "The citizen did not confirm this fact"),
    Reason.NO_RIGHT: (_S, "The source has given no right to ask"),
    Reason.PURPOSE_MISSING: (_A, "The source wants to know a purpose"),
    Reason.PURPOSE_NOT_GRANTED: (_S, "The grant does not include this purpose"),
    Reason.GRANT_NOT_YET_VALID: (_S, "The grant is not valid yet"),
    Reason.GRANT_EXPIRED: (_S, "The grant is expired"),
    Reason.QUOTA_USED_UP: (_S, "The grant's quota is used up"),
    Reason.FIELDS_NOT_GRANTED: (_S, "The grant covers none of the fields"),
    Reason.ANSWER_NOT_REDUCIBLE: (_S, "The source's node could not reduce the answer"),
    Reason.REFUSED_BY_POLICY: (_S, "A policy of the source refused"),
}


def reason_of_refusal(word: str) -> Reason:
    """The reason for a fault `access_denied.<word>`; no right for words nobody knows."""
    try:
        return Reason(Refusal(word).value)
    except ValueError:
        return Reason.NO_RIGHT


@dataclass(frozen=True, slots=True)
class Missing:
    """A fact that is not to be had.

    Attributes:
        detail: what else helps who must act: a name, a fault code; no personal data.
        service: that could not be asked, or that failed; None when none was found.
    """

    concept: str
    reason: Reason
    detail: str = ""
    service: ServiceId | None = None

    @property
    def who_can_fix(self) -> Fixer:
        return MEANINGS[self.reason][0]

    @property
    def text(self) -> str:
        meaning = MEANINGS[self.reason][1]
        return f"{meaning}: {self.detail}" if self.detail else meaning
