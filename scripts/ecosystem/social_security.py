"""The Social Security Office's old SOAP service, written with spyne; runs in a process of its own.

    python -m scripts.ecosystem.social_security --port 9001

POST a SOAP 1.1 message to /soap; `GET /soap?wsdl` describes it. Two operations: the status of
somebody's contributions, and a certificate of it as an attachment. spyne knows neither X-Road's
header nor attachments of answers: the header of the request is copied, the attachment added behind.
spyne does not import under Python 3.12 and later; nothing else of the sandbox imports this module.
"""

import argparse
import asyncio
import copy
import logging
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from lxml import etree
from spyne import (  # type: ignore[import-untyped]  # has no types
    AnyUri,
    Application,
    Fault,
    Integer,
    MethodContext,
    ServiceBase,
    Unicode,
    rpc,
)
from spyne.protocol.soap import Soap11  # type: ignore[import-untyped]
from spyne.server import ServerBase  # type: ignore[import-untyped]

from scripts.arguments import whole_number
from scripts.ecosystem.places import LOCAL
from scripts.livelihoods import contribution_of, inhabitants
from scripts.people import Person
from scripts.service import run_service, run_until_stopped

NAMESPACE = "http://social-security.sandbox.test/v1"
ADDRESS = (
    "http://social-security.sandbox.test/soap"  # in the WSDL file, in the place of the real one
)
WSDL = Path(__file__).with_suffix(".wsdl")
ANNOUNCEMENT = "Social Security Office: "
MAX_BODY = 1 << 20
_ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
_PEOPLE = inhabitants()


@dataclass(frozen=True, slots=True)
class Document:
    """What an answer has as an attachment."""

    content_id: str
    content: bytes


class SocialSecurity(ServiceBase):  # type: ignore[misc]  # spyne has no types
    @rpc(
        Unicode,
        _operation_name="contributionStatus",
        _out_message_name="contributionStatusResponse",
        _in_arg_names={"national_id": "nationalId"},
        _returns=(Unicode, Unicode, Integer),
        _out_variable_names=("status", "employer", "months"),
    )  # type: ignore[untyped-decorator]
    def status(_context: MethodContext, national_id: str) -> tuple[str, str | None, int]:  # noqa: N805 - spyne calls it without self
        found = contribution_of(_person(national_id))
        return found.status, found.employer or None, found.months

    @rpc(
        Unicode,
        _operation_name="contributionCertificate",
        _out_message_name="contributionCertificateResponse",
        _in_arg_names={"national_id": "nationalId"},
        _returns=AnyUri,
        _out_variable_name="document",
    )  # type: ignore[untyped-decorator]
    def certificate(context: MethodContext, national_id: str) -> str:  # noqa: N805
        person = _person(national_id)
        found = contribution_of(person)
        text = (
            f"Certificate of contributions\n{person.given_name} {person.family_name}, "
            f"{person.national_id}\n{found.status}, {found.months} months\n"
        )
        document = Document(f"{secrets.token_hex(8)}@social-security.sandbox.test", text.encode())
        context.udc = document
        return f"cid:{document.content_id}"


def _person(national_id: str | None) -> Person:
    person = _PEOPLE.get(national_id or "")
    if person is None:
        raise Fault("Client.UnknownPerson", "Nobody has this national id")
    return person


def _echo_header(context: Any) -> None:  # noqa: ANN401 - spyne's context
    """Give the answer the header of the request, as it stands."""
    if context.in_header_doc is not None:
        header = etree.Element(f"{{{_ENVELOPE}}}Header")
        header.extend(copy.deepcopy(one) for one in context.in_header_doc)
        context.out_document.insert(0, header)


class SoapServer(ServerBase):  # type: ignore[misc]
    """Runs one SOAP message through spyne, without spyne's own HTTP."""

    transport = "http://schemas.xmlsoap.org/soap/http"

    def answer(self, envelope: bytes) -> tuple[int, bytes, Document | None]:
        """Status, envelope and attachment of the answer."""
        context = MethodContext(self, MethodContext.SERVER)
        context.in_string = [envelope]
        (context,) = self.generate_contexts(context)
        if context.in_error is None:
            self.get_in_object(context)
        if context.in_error is None:
            self.get_out_object(context)
        context.out_error = context.out_error or context.in_error
        self.get_out_string(context)
        failed = context.out_error is not None
        return 500 if failed else 200, b"".join(context.out_string), None if failed else context.udc


def soap_server() -> SoapServer:
    application = Application(
        [SocialSecurity],
        NAMESPACE,
        name="SocialSecurity",
        in_protocol=Soap11(validator="soft"),
        out_protocol=Soap11(),
    )
    application.out_protocol.event_manager.add_listener("after_serialize", _echo_header)
    return SoapServer(application)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The HTTP side: one address for messages and for their description."""

    server: SoapServer
    address: str

    async def describe(self, request: web.Request) -> web.Response:
        if "wsdl" not in request.query:
            raise web.HTTPNotFound
        wsdl = WSDL.read_text(encoding="utf-8").replace(ADDRESS, self.address)
        return web.Response(text=wsdl, content_type="text/xml")

    async def handle(self, request: web.Request) -> web.Response:
        if request.content_type != "text/xml":
            raise web.HTTPUnsupportedMediaType
        said = await asyncio.to_thread(self.server.answer, await request.read())
        status, envelope, document = said
        if document is None:
            return web.Response(
                status=status, body=envelope, content_type="text/xml", charset="utf-8"
            )
        kind, body = with_attachment(envelope, document)
        return web.Response(body=body, headers={"Content-Type": kind})


def with_attachment(envelope: bytes, document: Document) -> tuple[str, bytes]:
    """Content type and bytes of SOAP with one attachment, which is plain text."""
    boundary = f"certificate-{secrets.token_hex(16)}"
    root = b"Content-Type: text/xml; charset=UTF-8\r\nContent-ID: <root>\r\n\r\n" + envelope
    head = f"Content-Type: text/plain; charset=UTF-8\r\nContent-ID: <{document.content_id}>\r\n\r\n"
    parts = (root, head.encode() + document.content)
    whole = b"".join(f"--{boundary}\r\n".encode() + part + b"\r\n" for part in parts)
    kind = f'multipart/related; type="text/xml"; start="<root>"; boundary="{boundary}"'
    return kind, whole + f"--{boundary}--\r\n".encode()


def build_app(address: str) -> web.Application:
    endpoint = Endpoint(soap_server(), address)
    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_get("/soap", endpoint.describe)
    app.router.add_post("/soap", endpoint.handle)
    return app


async def _serve(port: int) -> int:
    address = f"http://{LOCAL}:{port}/soap"
    # who asks about nobody gets a fault; the library logs each with a traceback
    logging.getLogger("spyne.application.client").setLevel(logging.CRITICAL)
    runner = web.AppRunner(build_app(address), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOCAL, port).start()
        print(f"{ANNOUNCEMENT}{address}?wsdl", file=sys.stderr, flush=True)
        await run_until_stopped()
    finally:
        await runner.cleanup()
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="social-security", description=__doc__)
    parser.add_argument("--port", type=whole_number(1, 65535), required=True)
    return run_service(_serve(parser.parse_args().port))


if __name__ == "__main__":
    sys.exit(main())
