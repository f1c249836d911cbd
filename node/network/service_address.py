"""Where a REST service is: its configured URL joined with what the consumer asked for.

The path and query of a request are never decoded on their way, so that what was signed is what the
service gets. Source: messages.md 5.4; X-Road 7.8 ServerRestMessageProcessor.java (concatPath).
"""

import re
from dataclasses import dataclass
from typing import Self

from trust.errors import ExchangeError

_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s/?#@\[\]:\\]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(?:/[^\s?#\\]*)?)",
    re.IGNORECASE,
)
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """A service's URL, in the pieces that a connection and a request need."""

    encrypted: bool
    host: str  # without the brackets of an IPv6 address
    port: int
    host_header: str
    path: str  # as configured, possibly empty

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read a URL without query, fragment and user; raises ExchangeError."""
        match = _URL.fullmatch(url)
        if match is None:
            raise _malformed(url, "no http or https address")
        scheme = match["scheme"].lower()
        port = int(match["port"] or _PORTS[scheme])
        if not 0 < port < 65536:
            raise _malformed(url, "no such port")
        host = match["host"]
        host_header = host if match["port"] is None else f"{host}:{match['port']}"
        return cls(scheme == "https", host.strip("[]"), port, host_header, match["path"])

    def target(self, service_path: str, query: str | None) -> str:
        """The request target: the configured path, the one that was asked for, the query."""
        path = self.path
        if path.endswith("/") and service_path.startswith("/"):
            path = path[:-1]
        path = path + service_path or "/"
        return path if query is None else f"{path}?{query}"


def _malformed(url: str, reason: str) -> ExchangeError:
    return ExchangeError(
        f"Malformed service address '{url:.200}': {reason}", "service_malformed_url"
    )
