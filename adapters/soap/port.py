"""What a WSDL says of one port: its operations and their messages."""

from dataclasses import dataclass

from adapters.soap.content import Element


@dataclass(frozen=True, slots=True)
class SoapOperation:
    """One operation of a port.

    Attributes:
        action: the SOAPAction, without quotes.
        request: what stands in the body; None when nothing does.
        answer: None when the body of an answer is empty.
        any_answer_name: the answer's element may have any name, as in the RPC style.
        xroad_version: of the X-Road service, where the WSDL gives one.
    """

    name: str
    action: str
    request: Element | None
    answer: Element | None
    any_answer_name: bool = False
    summary: str = ""
    xroad_version: str = ""


@dataclass(frozen=True, slots=True)
class Description:
    """A port: how it is spoken to and what it offers.

    Attributes:
        address: what the WSDL says, to be believed or not; may be empty.
        soap12: whether envelopes are those of SOAP 1.2.
        refused: operations that can't be offered, each with the reason.
    """

    address: str
    soap12: bool
    operations: tuple[SoapOperation, ...]
    refused: tuple[tuple[str, str], ...] = ()
