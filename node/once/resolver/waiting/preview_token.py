"""What opens a preview: a token that nobody keeps but who it was given to.

The evidence is encrypted with AES-256-GCM by a fresh key, which is the token; the id of the preview
and the client that asked are bound to it. The node keeps neither key nor token.
"""

import base64
import binascii
import os
import re
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from trust.errors import MalformedMessage
from trust.ids import ClientId

_KEY_BYTES, _NONCE_BYTES, _ID_BYTES = 32, 12, 16
_ID = re.compile(r"[A-Za-z0-9_-]{22}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


def new_preview_id() -> str:
    return _text(os.urandom(_ID_BYTES))


def is_preview_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


class PreviewToken:
    """The key of one preview; its text form never shows in a representation."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "PreviewToken()"

    @classmethod
    def fresh(cls) -> Self:
        return cls(os.urandom(_KEY_BYTES))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a token; raises MalformedMessage."""
        if not _TOKEN.fullmatch(text):
            raise MalformedMessage("This is no token of a preview")
        try:
            return cls(base64.urlsafe_b64decode(f"{text}="))
        except (binascii.Error, ValueError) as error:
            raise MalformedMessage("This is no token of a preview") from error

    @property
    def text(self) -> str:
        return _text(self._key)

    def seal(self, content: bytes, preview: str, client: ClientId) -> bytes:
        """Encrypt; a nonce is never used twice with a key but by chance in 2^96."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + AESGCM(self._key).encrypt(nonce, content, _bound(preview, client))

    def open(self, sealed: bytes, preview: str, client: ClientId) -> bytes | None:
        """Decrypt; None when it is another preview's token."""
        nonce, secret = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return AESGCM(self._key).decrypt(nonce, secret, _bound(preview, client))
        except (InvalidTag, ValueError):
            return None


def _bound(preview: str, client: ClientId) -> bytes:
    return f"sacbe preview 1\n{preview}\n{client.path}".encode()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
