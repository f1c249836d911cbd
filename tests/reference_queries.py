"""The messages of X-Road's own proxy tests, and what is left where a copy of one is not at hand.

Each is used byte for byte. Of those that the reference folder lacks, the one thing that they are
about is written into a message that it has.
"""

import re
from dataclasses import dataclass

from tests.vector_files import vector_path

_FOLDER = "asic/src/service/proxy/proxy-core/src/test/queries"
XML = "text/xml; charset=UTF-8"
BOUNDARY = "jetty771207119h3h10dty"
RELATED = f"multipart/related; charset=UTF-8; boundary={BOUNDARY}"
MIXED = f"multipart/mixed; charset=UTF-8; boundary={BOUNDARY}"
MTOM = (
    'Multipart/Related; start-info="application/soap+xml"; type="application/xop+xml"; '
    f'boundary="{BOUNDARY}"'
)
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Said:
    """A body and how it is labelled."""

    body: bytes
    content_type: str = XML


@dataclass(frozen=True)
class Part:
    head: bytes  # the header lines
    data: bytes


def query(name: str, content_type: str = XML) -> Said:
    """A file of the reference folder."""
    return Said(vector_path(f"{_FOLDER}/{name}").read_bytes(), content_type)


def edited(said: Said, *changes: tuple[str, str]) -> Said:
    """The same with other words; each must be there."""
    body = said.body
    for old, new in changes:
        assert old.encode() in body, old
        body = body.replace(old.encode(), new.encode())
    return Said(body, said.content_type)


def with_mark(said: Said) -> Said:
    """The same behind a byte order mark."""
    return Said(_BOM + said.body, said.content_type)


def packed(said: Said) -> Said:
    """An envelope as the only part of a multipart message."""
    head = f'--{BOUNDARY}\nContent-Type: text/xml; charset="utf-8"\n\n'.encode()
    return Said(head + said.body + f"\n--{BOUNDARY}--\n".encode(), RELATED)


def parts_of(said: Said) -> list[Part]:
    """The parts of a multipart message, whatever its line ends."""
    found = re.search(r'boundary="?([^";]+)', said.content_type)
    assert found is not None, said.content_type
    between = re.split(
        rb"(?:\A|\r?\n)--%b(?:--)?[ \t]*(?:\r?\n|\Z)" % re.escape(found[1].encode()), said.body
    )
    assert between[-1].strip() == b"", between[-1]
    parts = []
    for piece in between[1:-1]:
        head, _, data = re.split(rb"(\r?\n\r?\n)", piece, maxsplit=1)
        parts.append(Part(head, data))
    return parts


def envelope_of(said: Said) -> bytes:
    """The bytes of the envelope, alone or as the first part."""
    if said.content_type.lower().startswith("multipart/"):
        return parts_of(said)[0].data
    return said.body


# --- what the folder lacks ------------------------------------------------------------------------


def attachment_with_faulty_soap() -> Said:
    """`attachm-faulty-soap.query`: the envelope's header names no service."""
    whole = query("attachm.query", RELATED)
    body, count = re.subn(
        rb"\s*<xroad:service .*</xroad:service>", b"", whole.body, flags=re.DOTALL
    )
    assert count == 1
    return Said(body, RELATED)


def attachment_behind_mark() -> Said:
    """`attachm2-utf8bom-inside.query`: the envelope within its part begins with a mark."""
    whole = query("attachm2.query", RELATED)
    return Said(whole.body.replace(b"<?xml", _BOM + b"<?xml", 1), RELATED)


def small_mantis() -> Said:
    """`attachment-small-mantis.query`: parameters that no strict reader of MIME would take."""
    boundary = ":gkMa5KAvuHP7ahe9IQHONLgnncvv:"
    kind = (
        f"multipart/related; start-info=text/xml; type='application/xop+xml'; boundary={boundary}"
    )
    return Said(edited(query("attachm.query"), (BOUNDARY, boundary)).body, kind)


def several_lines() -> tuple[Said, Said]:
    """`split-header`: a value over several lines."""
    change = ("<xroad:issue/>", "<xroad:issue>w\naa\nww\n</xroad:issue>")
    return edited(query("getstate.query"), change), edited(query("getstate.answer"), change)


def escaped() -> tuple[Said, Said]:
    """`xmlencoded`: a value with every character that XML must escape."""
    change = ("EE37702211234", "&lt;&quot;EE37702211234&quot; &amp; &apos;xml encoded&apos;&gt;")
    return edited(query("simple.query"), change), edited(query("simple.answer"), change)


def cdata() -> tuple[Said, Said]:
    """`cdata`: markup in a CDATA section of the header."""
    last = "<xroad:protocolVersion>4.0</xroad:protocolVersion>"
    change = (last, f"{last}<xroad:xml><![CDATA[<a><b><c>12345678</c></b></a>]]></xroad:xml>")
    return edited(query("getstate.query"), change), edited(query("getstate.answer"), change)


def without_white_space() -> tuple[Said, Said]:
    """`nowhitespace`: nothing between the elements."""

    def dense(said: Said) -> Said:
        return Said(re.sub(rb"\s*\n\s*", b" ", said.body).replace(b"> <", b"><"))

    return dense(query("getstate.query")), dense(query("getstate.answer"))


def default_namespace() -> Said:
    """`getstate-defaultnamespace.query`: X-Road's namespace needs no prefix."""
    return edited(
        query("getstate.query"), ("xmlns:xroad=", "xmlns="), ("<xroad:", "<"), ("</xroad:", "</")
    )


def with_comment() -> Said:
    """`simple-comment.answer`: a comment in the header."""
    header = "<SOAP-ENV:Header>"
    return edited(query("simple.answer"), (header, f"{header}<!-- multiline\n        comment -->"))


def latin_1() -> Said:
    """`getstate-iso88591.answer`: another charset, in the declaration and in the label."""
    answer = edited(query("getstate.answer"), ('encoding="utf-8"', 'encoding="iso-8859-1"'))
    return Said(answer.body.decode().encode("latin-1"), "text/xml; charset=ISO-8859-1")


def represented() -> tuple[Said, Said]:
    """`simple-representedparty.query`, and the answer to it: on behalf of somebody."""
    first = '<xroad:client id:objectType="MEMBER">'
    party = (
        '<r:representedParty xmlns:r="http://x-road.eu/xsd/representation.xsd">'
        "<r:partyClass>COM</r:partyClass><r:partyCode>code</r:partyCode></r:representedParty>"
    )
    change = (first, party + first)
    return edited(query("simple.query"), change), edited(query("simple.answer"), change)


def rpc() -> Said:
    """`simple-rpc.query`: an envelope that says to be RPC/encoded."""
    name = "<SOAP-ENV:Envelope"
    style = 'SOAP-ENV:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"'
    return edited(query("simple.query"), (f"{name}\n", f"{name} {style}\n"))


def fault_with_attachment_type() -> Said:
    """`soapfault-mtom.answer`: a fault as the first part of a multipart answer."""
    head = (
        f"--{BOUNDARY}\n"
        'Content-Type: application/xop+xml; type="application/soap+xml"; charset=utf-8\n'
        "Content-ID: <foo>\n\n"
    )
    body = head.encode() + query("fault.query").body + f"\n--{BOUNDARY}--\n".encode()
    return Said(body, f"{MTOM};charset=UTF-8")


def boundary_that_never_comes() -> Said:
    """`faulty-multipart.query`: the delimiters of the body are not the label's."""
    return Said(
        query("attachm-error.query").body.replace(BOUNDARY.encode(), b"jetty771207119h"), RELATED
    )


def for_folded_headers() -> Said:
    """What `xop.answer` answers, whose parts have header fields over two lines."""
    return edited(query("simple.query"), ("testQuery", "testResponse"))
