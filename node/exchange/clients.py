"""Whether an information system may speak for a client of this node, by how it connected.

TLS takes any certificate or none; here it is compared, byte for byte, with those that the client
has registered. No chain, no revocation, no name: the institution says which systems are its own.

Source: messages.md 7; X-Road 7.8 IsAuthentication.java, MessageProcessorBase.java.
"""

import asyncio
import ssl
from dataclasses import dataclass
from datetime import datetime

from catalog.services import ConnectionType, HostedClient
from trust.errors import MalformedMessage, UntrustedPeer
from trust.ids import ClientId
from trust.pki.certificates import parse_certificate


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """How an information system connected.

    Attributes:
        encrypted: by TLS, not by plain HTTP.
        certificate: DER of what it showed, whose key it has; None without one.
    """

    encrypted: bool = False
    certificate: bytes | None = None


@dataclass(frozen=True, slots=True)
class SpeakingClient:
    """A client whose information system has shown that it may speak for it.

    Made by `Consumer.speaking`: what is asked in a client's name needs one. For what the node's own
    operator wrote down, `node.once.granting.speaking` makes one.
    """

    id: ClientId


def tls_facts(transport: asyncio.BaseTransport | None) -> TlsFacts:
    """What a connection says of its other end; a connection that is gone says nothing."""
    tls = None if transport is None else transport.get_extra_info("ssl_object")
    if not isinstance(tls, ssl.SSLObject | ssl.SSLSocket):
        return TlsFacts()
    return TlsFacts(encrypted=True, certificate=tls.getpeercert(binary_form=True))


def authenticate(
    client: HostedClient,
    facts: TlsFacts,
    at: datetime,
    *,
    own_certificate: bytes | None = None,
    check_dates: bool = False,
) -> None:
    """Raise UntrustedPeer unless the connection is of the kind that the client has set.

    Args:
        own_certificate: DER of the node's internal TLS certificate, which may always speak.
        check_dates: refuse certificates outside their dates
            (`enforce-client-is-cert-validity-period-check`).
    """
    match client.connection:
        case ConnectionType.HTTP:
            return
        case ConnectionType.HTTPS_NO_AUTH:
            if not facts.encrypted:
                raise UntrustedPeer(
                    f"Client ({client.id}) specifies HTTPS NO AUTH but client made plaintext "
                    "connection"
                )
        case ConnectionType.HTTPS:
            _check_certificate(client, facts, at, own_certificate, check_dates)


def _check_certificate(
    client: HostedClient,
    facts: TlsFacts,
    at: datetime,
    own_certificate: bytes | None,
    check_dates: bool,
) -> None:
    shown = facts.certificate
    if shown is None:
        raise UntrustedPeer(
            f"Client ({client.id}) specifies HTTPS but did not supply TLS certificate"
        )
    if shown == own_certificate:
        return
    if not client.certificates:
        raise UntrustedPeer(f"Client ({client.id}) has no IS certificates")
    if shown not in client.certificates:
        raise UntrustedPeer(
            f"Client ({client.id}) TLS certificate does not match any IS certificates"
        )
    if check_dates:
        _check_dates(client.id, shown, at)


def _check_dates(client: ClientId, shown: bytes, at: datetime) -> None:
    try:
        certificate = parse_certificate(shown)
    except MalformedMessage as error:
        raise UntrustedPeer(f"Client ({client}) TLS certificate can't be read") from error
    if at > certificate.not_valid_after_utc:
        raise UntrustedPeer(f"Client ({client}) TLS certificate is expired")
    if at < certificate.not_valid_before_utc:
        raise UntrustedPeer(f"Client ({client}) TLS certificate is not yet valid")
