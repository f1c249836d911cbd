"""What a request says it is for: ordinary headers that X-Road passes on and signatures cover.

    REST: Once-Purpose, Once-Legal-Basis, Once-Procedure, Once-Fields
    SOAP: purpose, legalBasis, procedure, fields in the namespace urn:sacbe:once:1

Case, official and mandate are X-Road's own. They stand in messages of systems that know nothing of
once-only, so they are never refused: what can't be kept of them is left out.

Source: design.md 5; messages.md 2.2, 2.3.
"""

from dataclasses import dataclass

from node.messages.represented_party import RepresentedParty
from node.messages.rest import RestRequestHead
from node.messages.soap import SoapMessage
from node.messages.soap_header import FIELDS, LEGAL_BASIS, PROCEDURE, PURPOSE
from trust.errors import MalformedMessage

LONGEST_TEXT = 1024  # characters of each text
MOST_FIELDS = 500
LONGEST_FIELDS = 64 * 1024  # characters of all of them, with what is between

REST_PURPOSE = "once-purpose"
REST_LEGAL_BASIS = "once-legal-basis"
REST_PROCEDURE = "once-procedure"
REST_FIELDS = "once-fields"
_REST_NAMES = frozenset({REST_PURPOSE, REST_LEGAL_BASIS, REST_PROCEDURE, REST_FIELDS})


@dataclass(frozen=True, slots=True)
class Intent:
    """What a request says it is for; empty where it says nothing.

    Attributes:
        purpose, legal_basis, procedure: `Once-Purpose`, `Once-Legal-Basis`, `Once-Procedure`.
        fields: `Once-Fields`: what is asked for; empty for all that is granted.
        case: X-Road's issue. official: its user id. mandate: its represented party.
    """

    purpose: str = ""
    legal_basis: str = ""
    procedure: str = ""
    fields: tuple[str, ...] = ()
    case: str = ""
    official: str = ""
    mandate: str = ""

    @property
    def stated(self) -> bool:
        """Whether the request speaks of once-only at all; a plain one does not."""
        return bool(self.purpose or self.legal_basis or self.procedure or self.fields)


NO_INTENT = Intent()


def intent_of(request: RestRequestHead | SoapMessage) -> Intent:
    """Read the intent of a request; raises MalformedMessage (`invalid_intent`)."""
    if isinstance(request, RestRequestHead):
        said = _said(request)
        names = (REST_PURPOSE, REST_LEGAL_BASIS, REST_PROCEDURE, REST_FIELDS)
        user, issue, party = request.user_id, request.issue, request.represented_party
    else:
        said = request.header.intent
        names = (PURPOSE, LEGAL_BASIS, PROCEDURE, FIELDS)
        header = request.header
        user, issue, party = header.user_id, header.issue, header.represented_party
    purpose, legal_basis, procedure = (_text(said, name) for name in names[:3])
    return Intent(
        purpose,
        legal_basis,
        procedure,
        _fields(said, names[3]),
        _kept(issue),
        _kept(user),
        _kept(_party(party)),
    )


def _said(head: RestRequestHead) -> dict[str, str]:
    """The headers about the intent by name in lower case; each is there once."""
    found: dict[str, str] = {}
    for name, value in head.headers:
        spelled = name.lower()
        if not spelled.startswith("once-") or spelled not in _REST_NAMES:
            continue
        if spelled in found:
            raise _refused(spelled, "must be there once")
        found[spelled] = value
    return found


def _text(said: dict[str, str], name: str) -> str:
    value = said.get(name, "").strip(" \t\r\n")
    if len(value) > LONGEST_TEXT:
        raise _refused(name, f"has more than {LONGEST_TEXT} characters")
    if value and not value.isprintable():
        raise _refused(name, "holds characters that can't be printed")
    return value


def _fields(said: dict[str, str], name: str) -> tuple[str, ...]:
    value = said.get(name, "")
    if not value:
        return ()
    if len(value) > LONGEST_FIELDS:
        raise _refused(name, f"has more than {LONGEST_FIELDS} characters")
    fields = [_text({name: each}, name) for each in value.split(",")]
    found = tuple(dict.fromkeys(each for each in fields if each))
    if len(found) > MOST_FIELDS:
        raise _refused(name, f"names more than {MOST_FIELDS} fields")
    return found


def _refused(name: str, why: str) -> MalformedMessage:
    shown = name.rpartition("}")[2]
    return MalformedMessage(f"'{shown}' {why}", "invalid_intent")


def _party(party: RepresentedParty | None) -> str:
    if party is None:
        return ""
    return f"{party.party_class}/{party.party_code}" if party.party_class else party.party_code


def _kept(value: str | None) -> str:
    """What of a text that says nothing to us can be kept in a database and shown in a line."""
    if not value:
        return ""
    if value.isprintable():
        return value[:LONGEST_TEXT]
    return "".join(letter for letter in value[:LONGEST_TEXT] if letter.isprintable())
