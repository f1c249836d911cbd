"""What follows the message part: the attachments of a SOAP message, or the body of a REST one.

Both are the same to an exchange: a stream in which each attachment begins with its head, kept for
the log while it passes, named `/attachment1` and so on in the signature. Source: transport.md 7.1.
"""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from node.body import Section
from trust.evidence.hashchain import PartDigest

MESSAGE_PART = "/message.xml"

Fields = tuple[tuple[str, str], ...]


def attachment_name(number: int) -> str:
    """The name of an attachment in signatures; the first one has the number 1."""
    return f"/attachment{number}"


@dataclass(frozen=True, slots=True)
class AttachmentHead:
    """An attachment begins.

    Attributes:
        fields: of its header besides the content type, in order, as they came.
    """

    content_type: str
    fields: Fields = ()


AttachmentStream = AsyncIterator[AttachmentHead | bytes]
REST_BODY_HEAD = AttachmentHead("application/x-road-rest-body")


@dataclass(frozen=True, slots=True)
class Attachment:
    """An attachment that is kept; nothing inside it was decoded."""

    head: AttachmentHead
    body: Section


def attachment_digests(bodies: Iterable[Section]) -> list[PartDigest]:
    """What a signature must cover besides the message part."""
    return [
        PartDigest(attachment_name(number), body.digest)
        for number, body in enumerate(bodies, start=1)
    ]


async def rest_body(pieces: AsyncIterator[bytes]) -> AttachmentStream:
    """The body of a REST message as its only attachment."""
    yield REST_BODY_HEAD
    async for piece in pieces:
        yield piece
