"""SOAP messages of the test instance, byte for byte."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tests.instance import CONSUMER, PROVIDER
from trust.ids import ClientId, ServerId, ServiceId

STATE = ServiceId(PROVIDER, "getState", "v1")
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_MEMBER = ("xRoadInstance", "memberClass", "memberCode")


@dataclass(frozen=True)
class Envelope:
    """What a request says; `answer_to` makes of its bytes what its service would say.

    Attributes:
        wrapper: name of the body's child; the service code when None.
        content: of that child.
        more: header elements besides, as XML.
    """

    client: ClientId = CONSUMER
    service: ServiceId = STATE
    message_id: str = "message-1"
    user_id: str | None = "EX60001019906"
    issue: str | None = None
    version: str = "4.0"
    server: ServerId | None = None
    wrapper: str | None = None
    content: str = "<code>õ1</code>"
    more: str = ""
    declaration: str = DECLARATION

    @property
    def raw(self) -> bytes:
        return self.text.encode()

    @property
    def text(self) -> str:
        name = self.wrapper or self.service.service_code
        header = "".join(f"\n    {line}" for line in self._header())
        return (
            f"{self.declaration}"
            '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"'
            ' xmlns:xro="http://x-road.eu/xsd/xroad.xsd"'
            ' xmlns:iden="http://x-road.eu/xsd/identifiers"'
            ' xmlns:repr="http://x-road.eu/xsd/representation.xsd">\n'
            f"  <soapenv:Header>{header}\n  </soapenv:Header>\n"
            f'  <soapenv:Body><p:{name} xmlns:p="urn:p">{self.content}</p:{name}></soapenv:Body>\n'
            "</soapenv:Envelope>"
        )

    def _header(self) -> Iterable[str]:
        yield _identifier("client", self.client.object_type, self.client.parts)
        provider, service = self.service.provider, self.service
        version = () if service.service_version is None else (service.service_version,)
        yield _identifier(
            "service", "SERVICE", (*provider.parts, service.service_code, *version),
            subsystem=provider.subsystem_code is not None,
        )  # fmt: skip
        if self.server is not None:
            yield _identifier("securityServer", "SERVER", self.server.parts)
        if self.user_id is not None:
            yield f"<xro:userId>{self.user_id}</xro:userId>"
        yield f"<xro:id>{self.message_id}</xro:id>"
        if self.issue is not None:
            yield f"<xro:issue>{self.issue}</xro:issue>"
        yield f"<xro:protocolVersion>{self.version}</xro:protocolVersion>"
        if self.more:
            yield self.more


def answer_to(request: bytes) -> bytes:
    """The right answer to an `Envelope`: the same header, and the same content in a response."""
    return re.sub(rb"(</?p:\w+)( xmlns|>)", rb"\1Response\2", request)


def _identifier(name: str, kind: str, parts: tuple[str, ...], *, subsystem: bool = True) -> str:
    match kind:
        case "SERVICE":
            rest = (*(("subsystemCode",) if subsystem else ()), "serviceCode", "serviceVersion")
        case "SERVER":
            rest = ("serverCode",)
        case _:
            rest = ("subsystemCode",)
    names = (*_MEMBER, *rest)
    inside = "".join(
        f"<iden:{tag}>{part}</iden:{tag}>" for tag, part in zip(names, parts, strict=False)
    )
    return f'<xro:{name} iden:objectType="{kind}">{inside}</xro:{name}>'
