"""SOAP answers of the services that the node itself provides.

The answer is the request with another body: envelope, header and prefixes stay, because real
programs look for the prefixes that they sent.

Source: metadata.md 3; monitoring.md 4, 7; messages.md 9.5; X-Road 7.8 SoapUtils.java.
"""

from collections.abc import Callable

from lxml import etree

from node.messages.fault import parse_envelope
from node.messages.soap import BODY, SoapMessage
from trust.errors import MalformedMessage

_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_WRAPPER_PREFIX = "xroad"  # for a namespace that the request has no prefix for


def build_answer(
    request: SoapMessage,
    fill: Callable[[etree._Element], None],
    *,
    namespace: str | None = None,
) -> bytes:
    """The envelope of an answer, in UTF-8; `requestHash` is still to be inserted.

    Args:
        fill: puts the content into the wrapper element, which comes empty and is named after the
            service code; its `prefix` is the one to write children of the same namespace with.
        namespace: of the wrapper; that of the request's when None.
    """
    envelope = parse_envelope(request.raw)
    body = _body(envelope)
    old = _wrapper(body)
    for child in list(body):
        body.remove(child)
    name = etree.QName(old)
    if namespace is None:
        namespace = name.namespace
    prefix = old.prefix if namespace == name.namespace else _prefix_of(body, namespace)
    nsmap = {} if namespace is None else {prefix: namespace}
    # the service code begins the name of the request's wrapper, so it can be a name
    response = etree.QName(namespace, f"{request.service.service_code}Response")
    wrapper = etree.SubElement(body, response, nsmap=nsmap)
    wrapper.tail = old.tail
    fill(wrapper)
    return _DECLARATION + etree.tostring(envelope, encoding="UTF-8", xml_declaration=False)


def request_body(request: SoapMessage) -> etree._Element:
    """The wrapper element of a request, to read its children."""
    return _wrapper(_body(parse_envelope(request.raw)))


def _body(envelope: etree._Element) -> etree._Element:
    body = envelope.find(BODY)
    if body is None:
        raise MalformedMessage("Malformed SOAP message: body missing", "missing_body")
    return body


def _wrapper(body: etree._Element) -> etree._Element:
    for child in body.iterchildren(tag=etree.Element):
        return child
    raise MalformedMessage(
        "Malformed SOAP message: body must have exactly one child element", "invalid_body"
    )


def _prefix_of(element: etree._Element, namespace: str | None) -> str | None:
    for prefix, known in element.nsmap.items():
        if known == namespace:
            return prefix
    return _WRAPPER_PREFIX
