"""A SOAP answer under terms: cut down, and told in the node's own words.

Attachments have no places that a mapping could name, so none of an answer that is cut down goes
out; what is left goes alone. Of a fault the system's words stay here.
"""

from node.exchange.allowance import ATTACHMENTS, Allowance
from node.exchange.attachments import AttachmentHead
from node.exchange.faults import ReceivedFault
from node.exchange.soap_stream import SoapStream
from node.messages import mediatype
from node.messages.fault import Fault, build_fault_xml
from node.messages.soap import SoapFaultMessage, SoapMessage, parse_soap
from node.messages.soap_notes import with_notes

_CODES = ("Client", "Server", "VersionMismatch", "MustUnderstand")  # SOAP 1.1 4.4.1
_TEXT = "The service answered with a fault"


async def cut_message(found: SoapMessage, stream: SoapStream, allowance: Allowance) -> SoapMessage:
    """An answer without what is withheld, and with what is told of it.

    Args:
        stream: behind the envelope.

    Raises:
        TermsNotMet: it can't be cut down.
        MalformedMessage: what is left is no message of the protocol.
    """
    if await _has_attachments(stream):
        allowance.more_withheld = (ATTACHMENTS,)
    cut = await allowance.cut_envelope(found.raw)
    return _read(with_notes(cut.data, allowance.notes()) if allowance.told else cut.data)


def told_message(found: SoapMessage, allowance: Allowance) -> SoapMessage:
    """An answer as it is, with what is told of it."""
    return _read(with_notes(found.raw, allowance.notes()))


def without_words(fault: ReceivedFault) -> ReceivedFault:
    """A fault that says whose fault it was, and nothing of what the system said besides."""
    word = fault.code.rpartition(":")[2].partition(".")[0]
    prefix = "SOAP-ENV:" + (word if word in _CODES else "Server")
    kept = Fault(prefix, _TEXT)
    return ReceivedFault(kept, build_fault_xml(kept))


def _read(raw: bytes) -> SoapMessage:
    found = parse_soap(raw, mediatype.SOAP)
    if isinstance(found, SoapFaultMessage):
        raise AssertionError("a message does not become a fault")
    return found


async def _has_attachments(stream: SoapStream) -> bool:
    """Whether anything follows the envelope; nothing behind its head is read."""
    if not stream.packaged:
        return False
    async for piece in stream.attachments():
        if isinstance(piece, AttachmentHead):
            return True
    return False
