"""May this client call that service for this purpose? What is asked, and what is answered."""

from dataclasses import dataclass
from datetime import datetime

from node.exchange.allowance import AskedCall
from node.messages.intent import Intent
from node.messages.rest import CLIENT, RestRequestHead
from trust.errors import MalformedMessage
from trust.ids import ClientId, ServiceId

LONGEST_PATH = 8000


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What somebody wants to know.

    Attributes:
        at: the moment, aware; None for now.
        method: of a REST call; empty for GET, and for a SOAP call.
        path: behind the service code, from a slash on, percent-encoded; may be empty.
        fields: that would be asked for; empty for all that is granted.
    """

    client: ClientId
    service: ServiceId
    at: datetime | None = None
    method: str = ""
    path: str = ""
    purpose: str = ""
    fields: tuple[str, ...] = ()

    @property
    def intent(self) -> Intent:
        return Intent(purpose=self.purpose, fields=self.fields)

    def call(self, at: datetime, *, rest: bool) -> AskedCall:
        """The call as the provider's side would see it; raises MalformedMessage."""
        head = self._head()
        if not rest:
            return AskedCall(head, self.intent, "", at)
        method, path = head.method, head.normalised_path()
        return AskedCall(head, self.intent, "", at, method, path, head.query or "")

    def _head(self) -> RestRequestHead:
        if (self.path and not self.path.startswith("/")) or len(self.path) > LONGEST_PATH:
            raise MalformedMessage(f"A path begins with a slash: '{self.path[:100]}'")
        unversioned = ServiceId(self.service.provider, self.service.service_code)
        return RestRequestHead.from_http(
            self.method.upper() or "GET",
            f"/r1/{unversioned.path}{self.path}",
            [(CLIENT.encode(), self.client.path.encode())],
            request_id="explain",
            instance=self.client.instance,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RightTold:
    """One right to the service, whoever it is for.

    Attributes:
        origin: "declared" or "granted".
        terms: in words; empty for none.
        decides: by this one the client may call.
        fails: why it does not let the client call; empty when it does.
    """

    number: int
    origin: str
    subject: str
    endpoint: str
    terms: str
    decides: bool = False
    fails: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The answer.

    Attributes:
        at: the moment that it is about.
        refusal: in one word; empty when the call is allowed.
        said: why, in a sentence.
        rights: all that there are to the service.
        fields: names of fields and views that would go out; None for the whole answer.
        not_granted: what was asked for and would not go out.
        help: what would help, a sentence each.
        notes: what the answer rests upon, or leaves out.
    """

    client: ClientId
    service: ServiceId
    at: datetime
    allowed: bool
    refusal: str = ""
    said: str
    rights: tuple[RightTold, ...] = ()
    fields: tuple[str, ...] | None = None
    not_granted: tuple[str, ...] = ()
    help: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
