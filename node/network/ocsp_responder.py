"""Port 5577: what other nodes ask before they trust our TLS certificate.

Plain HTTP; everything answered here is signed by a CA's responder and good for everybody to know.
Source: transport.md 2.5; X-Road 7.8 CertHashBasedOcspResponder.java.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from multidict import MultiMapping

from node.network.ocsp_channel import MAX_CERTIFICATES, build_ocsp_answer

_HASH = re.compile(r"[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}")

FindResponse = Callable[[str], bytes | None]
"""The usable OCSP response of one of our certificates, by its SHA-1 or SHA-256 in hexadecimal."""


class _NotToBeHad(Exception):
    """Why nothing is answered; the text is what the reference says."""


@dataclass(frozen=True, slots=True)
class OcspResponder:
    """Hands out the OCSP responses of our own certificates."""

    find: FindResponse

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request: all responses that were asked for, or 500 with the reason."""
        try:
            if request.method == "HEAD":
                return web.Response()
            if request.method != "GET":
                raise _NotToBeHad(f"Invalid request method: {request.method}")
            responses = [self._response(one) for one in _asked_for(request.query)]
        except _NotToBeHad as error:
            return web.Response(status=500, text=str(error))
        content_type, body = build_ocsp_answer(responses)
        return web.Response(body=body, headers={"Content-Type": content_type})

    def _response(self, digest: str) -> bytes:
        found = self.find(digest.lower()) if _HASH.fullmatch(digest) else None
        if found is None:
            raise _NotToBeHad(f"Could not find OCSP response for certificate {digest[:64]!a}")
        return found


def _asked_for(query: MultiMapping[str]) -> list[str]:
    """The hashes of a request: `cert`, and `cert_hash` where that is absent."""
    found = query.getall("cert", []) or query.getall("cert_hash", [])
    if not found:
        raise _NotToBeHad("Could not get cert hashes")
    if len(found) > MAX_CERTIFICATES:
        raise _NotToBeHad("Too many cert hashes")
    return found
