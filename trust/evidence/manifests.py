"""The two tables of contents of an ASiC container: written, and compared with the container.

No verifier of X-Road reads them, and no signature covers them. A table that tells something else
than the container holds is nevertheless a sign of tampering, so we compare.

Source: signatures.md 9.2; X-Road 7.8 OpenDocumentManifestBuilder.java, AsicManifestBuilder.java.
"""

from collections.abc import Iterator, Sequence

from lxml import etree

from trust.base64text import decode_base64, encode_base64
from trust.digests import SHA512_URI, digest, digest_name, sha512
from trust.errors import MalformedMessage
from trust.xmlbytes import MAX_EQUALS, MAX_TAGS, parse_xml

CONTAINER_TYPE = "application/vnd.etsi.asic-e+zip"
MAX_MANIFEST_BYTES = 1024 * 1024

_OPENDOCUMENT = "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"
_ASIC = "http://uri.etsi.org/2918/v1.2.1#"
_DS = "http://www.w3.org/2000/09/xmldsig#"
_TOKEN_NAME = "META-INF/timestamp.tst"  # noqa: S105 - a time-stamp token
_TOKEN_TYPE = "vnd.etsi.timestamp-token"  # noqa: S105
_STAMPED_NAME = "ts-hashchainresult.xml"


def build_manifest(names: Sequence[str]) -> bytes:
    """`META-INF/manifest.xml` for the entries of these names, in their order."""
    lines = "".join(
        f'    <manifest:file-entry manifest:media-type="{kind}" manifest:full-path="{name}"/>\n'
        for name, kind in (("/", CONTAINER_TYPE), *((name, _media_type(name)) for name in names))
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<manifest:manifest xmlns:manifest="{_OPENDOCUMENT}" manifest:version="1.2">\n'
        f"{lines}</manifest:manifest>\n"
    ).encode()


def build_asic_manifest(stamped: bytes) -> bytes:
    """`META-INF/ASiCManifest.xml`: that the time-stamp is over this hash chain result."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<asic:ASiCManifest xmlns:asic="{_ASIC}" xmlns:ds="{_DS}">\n'
        f'<asic:SigReference URI="{_TOKEN_NAME}" MimeType="{_TOKEN_TYPE}"/>\n'
        f'<asic:DataObjectReference URI="{_STAMPED_NAME}" MimeType="text/xml">\n'
        f'<ds:DigestMethod Algorithm="{SHA512_URI}" />\n'
        f"<ds:DigestValue>{encode_base64(sha512(stamped))}</ds:DigestValue>\n"
        "</asic:DataObjectReference>\n"
        "</asic:ASiCManifest>"
    ).encode()


def _media_type(name: str) -> str:
    return "application/octet-stream" if name.startswith("attachment") else "text/xml"


def find_manifest_oddities(
    manifest: bytes, present: Sequence[str], optional: Sequence[str]
) -> Iterator[str]:
    """Sentences about where `META-INF/manifest.xml` and the container differ.

    Args:
        present: names of the entries that must be listed, without `mimetype` and `META-INF/`.
        optional: further entries that may be listed.
    """
    try:
        root = _root(manifest, f"{{{_OPENDOCUMENT}}}manifest")
        listed = [_file_entry(child) for child in root]
        _need(set(root.keys()) <= {f"{{{_OPENDOCUMENT}}}version"})
        _need(root.get(f"{{{_OPENDOCUMENT}}}version", "1.2") == "1.2")
    except MalformedMessage:
        yield "META-INF/manifest.xml is malformed"
        return
    names = [name for name, _ in listed]
    if len(set(names)) != len(names):
        yield "META-INF/manifest.xml lists an entry twice"
    if missing := set(present) - set(names):
        yield f"META-INF/manifest.xml does not list {', '.join(sorted(missing))}"
    if excess := set(names) - {"/", *present, *optional}:
        yield f"META-INF/manifest.xml lists what is not there: {', '.join(sorted(excess))}"
    for name, kind in listed:
        if kind != (CONTAINER_TYPE if name == "/" else _media_type(name)):
            yield f"META-INF/manifest.xml gives {name} another type"


def find_asic_manifest_oddities(
    manifest: bytes, stamped: bytes | None, token: bytes | None
) -> Iterator[str]:
    """Sentences about where `META-INF/ASiCManifest.xml` and the container differ."""
    try:
        reference, value = _stamped_reference(_root(manifest, f"{{{_ASIC}}}ASiCManifest"))
    except MalformedMessage:
        yield "META-INF/ASiCManifest.xml is malformed"
        return
    if token is None or stamped is None:
        yield "META-INF/ASiCManifest.xml speaks of a time-stamp that is not there"
    elif digest(reference, stamped) != value:
        yield f"META-INF/ASiCManifest.xml has another digest for {_STAMPED_NAME}"


def _stamped_reference(root: etree._Element) -> tuple[str, bytes]:
    """Algorithm and value of the digest in a manifest of the one form that X-Road writes."""
    _need([child.tag for child in root] == [
        f"{{{_ASIC}}}SigReference", f"{{{_ASIC}}}DataObjectReference"
    ] and not root.keys())  # fmt: skip
    signature, data = root
    _need(dict(signature.items()) == {"URI": _TOKEN_NAME, "MimeType": _TOKEN_TYPE})
    _need(dict(data.items()) == {"URI": _STAMPED_NAME, "MimeType": "text/xml"})
    _need([child.tag for child in data] == [f"{{{_DS}}}DigestMethod", f"{{{_DS}}}DigestValue"])
    method, value = data
    algorithm = method.get("Algorithm", "")
    _need(method.keys() == ["Algorithm"] and digest_name(algorithm) is not None)
    _need(not value.keys() and not len(value))
    try:
        found = decode_base64(value.text)
    except ValueError as error:
        raise MalformedMessage("no base64", "invalid_xml") from error
    value.text = None
    _need(not any((element.text or "").strip() or len(element) for element in (signature, method)))
    _need(not any((element.tail or "").strip() for element in (*root, *data)))
    _need(not (root.text or "").strip() and not (data.text or "").strip())
    return algorithm, found


def _root(raw: bytes, tag: str) -> etree._Element:
    root = parse_xml(
        raw,
        max_bytes=MAX_MANIFEST_BYTES,
        max_tags=MAX_TAGS,
        max_equals=MAX_EQUALS,
        what="The manifest",
    )
    _need(root.tag == tag)
    _need(root.getprevious() is None and root.getnext() is None)
    return root


def _file_entry(element: etree._Element) -> tuple[str, str]:
    expected = {f"{{{_OPENDOCUMENT}}}full-path", f"{{{_OPENDOCUMENT}}}media-type"}
    _need(element.tag == f"{{{_OPENDOCUMENT}}}file-entry" and set(element.keys()) == expected)
    parent = element.getparent()
    texts = (element.text, element.tail, None if parent is None else parent.text)
    _need(not len(element) and not any((text or "").strip() for text in texts))
    return (
        element.get(f"{{{_OPENDOCUMENT}}}full-path", ""),
        element.get(f"{{{_OPENDOCUMENT}}}media-type", ""),
    )


def _need(condition: bool) -> None:
    if not condition:
        raise MalformedMessage("The manifest has another form than expected", "invalid_xml")
