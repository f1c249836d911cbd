"""A SOAP package as its reader gets it: what was judged as the envelope is its envelope."""

from pathlib import Path

import pytest

from node.body import SpooledBody
from node.exchange.attachments import Attachment, AttachmentHead
from node.exchange.received import ReceivedMessage
from node.exchange.soap_content import soap_content
from trust.errors import MalformedMessage

TYPE = 'multipart/related; type="text/xml"; start="<root>"; boundary=b'
ROOT = (("Content-ID", "<root>"),)
OTHER = b"--b\r\nContent-Type: text/xml\r\nContent-ID: <root>\r\n\r\n<other/>\r\n--b--\r\n"


async def content(
    folder: Path,
    original: str = TYPE,
    envelope: bytes = b"<envelope/>",
    fields: tuple[tuple[str, str], ...] = ROOT,
    other: tuple[tuple[str, str], ...] = (("Content-ID", "<one>"),),
    data: bytes = b"data",
) -> bytes:
    """What the reader gets of an envelope with one attachment."""
    with SpooledBody(folder) as store:
        for start in range(0, len(data), 3):
            store.write(data[start : start + 3])
        attachment = Attachment(AttachmentHead("a/b", other), store.cut())
        message = ReceivedMessage(
            rest=False, head=envelope, head_type=AttachmentHead("text/xml", fields),
            attachments=[attachment], original_content_type=original,
        )  # fmt: skip
        _, length, pieces = soap_content(message)
        found = b"".join([piece async for piece in pieces])
        assert len(found) == length
        return found


async def test_an_honest_package_passes(tmp_path: Path) -> None:
    for encoding in ("7bit", "8BIT", "binary"):
        fields = (*ROOT, ("Content-Transfer-Encoding", encoding))
        found = await content(tmp_path, fields=fields, data=b"x --b \r\n-b\r\n --b--")
        assert b"\r\n\r\n<envelope/>\r\n--b\r\n" in found


@pytest.mark.parametrize(
    "envelope", [b"<e><!--\n" + OTHER + b"--></e>", b"<e><!--\r--b--></e>", b"--b"]
)
async def test_a_delimiter_in_the_envelope_is_refused(tmp_path: Path, envelope: bytes) -> None:
    with pytest.raises(MalformedMessage, match="holds a delimiter"):
        await content(tmp_path, envelope=envelope)


@pytest.mark.parametrize("data", [OTHER, b"12345\r\n" + OTHER, b"1\n--bc", b"12\r--b"])
async def test_a_delimiter_in_an_attachment_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(MalformedMessage, match="holds a delimiter"):
        await content(tmp_path, data=data)


@pytest.mark.parametrize("named", ["<root>", " root", "<ROOT>", "%3Croot%3E", "<%72oot>"])
async def test_a_package_starts_with_its_envelope(tmp_path: Path, named: str) -> None:
    with pytest.raises(MalformedMessage, match="starts with another part"):
        await content(tmp_path, other=(("content-id", named),))


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "x"])
async def test_an_envelope_is_not_decoded_by_its_reader(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(MalformedMessage, match="encoded for transfer"):
        await content(tmp_path, fields=(("content-transfer-Encoding", encoding),))


@pytest.mark.parametrize(
    "more", ["; boundary=c", "; start=x", "; boundary*0=c", "; start*=utf-8''x", "; BOUNDARY=b"]
)
async def test_a_type_that_readers_take_differently_is_refused(tmp_path: Path, more: str) -> None:
    with pytest.raises(MalformedMessage, match="ambiguous"):
        await content(tmp_path, TYPE + more)
