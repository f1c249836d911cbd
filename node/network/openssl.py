"""What Python's `ssl` module does not expose of OpenSSL, reached through ctypes.

X-Road judges a TLS client certificate after the handshake, against the configuration or a list of
uploaded certificates, but OpenSSL refuses every certificate that no anchor in the context's trust
store vouches for. A store full of anchors has a second effect: OpenSSL completes the chain it sends
from it, up to the root, which an X-Road client then wants an OCSP response for. One C call settles
both: `SSL_CTX_set_cert_verify_callback` with a callback that accepts. Possession of the private key
is still proven by the handshake.

The SSL_CTX stands behind the object header of `ssl.SSLContext`. Before it is trusted, the library
version and then the verification mode and the options are compared with what `ssl` itself says.
Source: docs/decisions/0020-any-client-certificate.md; transport.md 2.2, 2.7.
"""

import _ssl
import ctypes
import functools
import ssl
import sys

from trust.errors import SacbeError

_SET_SESS_CACHE_SIZE = 42  # SSL_CTRL_SET_SESS_CACHE_SIZE
_SET_DH_AUTO = 118  # SSL_CTRL_SET_DH_AUTO
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class OpenSslHidden(SacbeError):
    """This Python does not let us reach its OpenSSL, so no TLS listener can be opened."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"The OpenSSL of this Python ({sys.version.split()[0]}) can't be reached: {reason}. "
            "Use a CPython whose ssl module is linked with a shared libssl, "
            "as those of the distributions and of the official container images are."
        )


class OpenSsl:
    """The few functions of the libssl that the interpreter's own `ssl` module is linked with."""

    def __init__(self) -> None:
        try:
            library = ctypes.PyDLL(getattr(_ssl, "__file__", None))
            self._ctrl = library.SSL_CTX_ctrl
            self._verify_mode = library.SSL_CTX_get_verify_mode
            self._options = library.SSL_CTX_get_options
            self._set_callback = library.SSL_CTX_set_cert_verify_callback
            version = library.OpenSSL_version_num
        except (OSError, AttributeError) as error:
            raise OpenSslHidden("its functions are not exported") from error
        self._ctrl.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p]
        self._ctrl.restype = ctypes.c_long
        self._verify_mode.argtypes = [ctypes.c_void_p]
        self._verify_mode.restype = ctypes.c_int
        self._options.argtypes = [ctypes.c_void_p]
        self._options.restype = ctypes.c_uint64
        self._set_callback.argtypes = [ctypes.c_void_p, _CALLBACK, ctypes.c_void_p]
        self._set_callback.restype = None
        version.argtypes = []
        version.restype = ctypes.c_ulong
        if sys.implementation.name != "cpython" or version() != ssl.OPENSSL_VERSION_NUMBER:
            raise OpenSslHidden("another libssl answers")
        self._accept = _CALLBACK(lambda _store, _argument: 1)  # must outlive every context

    def accept_any_certificate(self, context: ssl.SSLContext) -> None:
        """Let every certificate pass the handshake; the caller judges it afterwards."""
        self._set_callback(self._pointer(context), self._accept, None)

    def choose_dh_parameters(self, context: ssl.SSLContext) -> None:
        """Use OpenSSL's built-in groups for DHE suites, as strong as the certificate's key."""
        self._ctrl(self._pointer(context), _SET_DH_AUTO, 1, None)

    def limit_sessions(self, context: ssl.SSLContext, sessions: int) -> None:
        """Remember at most so many TLS sessions; each holds the peer's certificates."""
        self._ctrl(self._pointer(context), _SET_SESS_CACHE_SIZE, sessions, None)

    def _pointer(self, context: ssl.SSLContext) -> int:
        """The SSL_CTX of a context, proven to be the right one; raises OpenSslHidden."""
        pointer = ctypes.c_void_p.from_address(id(context) + object.__basicsize__).value
        if not pointer or pointer % ctypes.alignment(ctypes.c_void_p):
            raise OpenSslHidden("its SSLContext has another layout")
        seen = (self._verify_mode(pointer) & 1 != 0, self._options(pointer))
        expected = (
            context.verify_mode is not ssl.CERT_NONE,
            int(context.options) & 0xFFFFFFFFFFFFFFFF,
        )
        if seen != expected:
            raise OpenSslHidden("its SSLContext has another layout")
        return pointer


@functools.cache
def open_openssl() -> OpenSsl:
    """The interpreter's OpenSSL; raises OpenSslHidden with a sentence for the operator."""
    return OpenSsl()
