"""The tree of all errors.

    SacbeError
    ├── ConfigurationError     what an operator wrote down; every problem at once
    ├── StorageError           the database or the disk does not take it
    └── ExchangeError          one exchange fails, with a fault code
        ├── MalformedMessage   what came is not what the protocol says
        ├── EvidenceRejected   a verification failed; see report.VerificationReport
        ├── UntrustedPeer      TLS identity of a peer or of an information system
        ├── AccessDenied …     what a node answers about its clients and services
        ├── LoggingFailed      no proof can be kept, so nothing happens
        └── PeerFault          somebody else's fault, passed on as it came

A fault code is lower snake case without the side that raised it (`access_denied`,
`signature_verification.invalid_signature_value`); the edge puts the side in front
(`node.messages.faults`). Codes are those of X-Road 7.8 (ErrorCodes.java).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


class SacbeError(Exception):
    """Anything this software raises on purpose; the text is for the person who must act."""


@dataclass(frozen=True, slots=True)
class ConfigurationProblem:
    """One thing that is wrong in what the operator wrote: where, what stands there, what should."""

    file: str
    line: int  # from 1; 0 when the problem belongs to the whole file
    found: str
    expected: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: found {self.found}, expected {self.expected}"


class ConfigurationError(SacbeError):
    """Every problem of a configuration, so that it can be mended in one go."""

    def __init__(self, problems: Sequence[ConfigurationProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class StorageError(SacbeError):
    """The database or the disk can't be used; nothing was kept."""


class ExchangeError(SacbeError):
    """One exchange failed; `code` says how, in the words of the protocol."""

    code: str = "internal_error"

    def __init__(self, text: str, code: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        if code is not None:
            self.code = code

    def within(self, group: str) -> Self:
        """Put a group in front of the code, once: `missing_soap` becomes `group.missing_soap`."""
        if self.code != group and not self.code.startswith(group + "."):
            self.code = f"{group}.{self.code}"
        return self


class MalformedMessage(ExchangeError):
    """What was received does not have the form that the protocol prescribes."""

    code = "invalid_message"


class EvidenceRejected(ExchangeError):
    """A signature, certificate, OCSP response, hash chain or time-stamp does not hold."""

    code = "signature_verification"


class UntrustedPeer(ExchangeError):
    """The other end of a connection is not who it must be."""

    code = "ssl_authentication_failed"


class UnknownMember(ExchangeError):
    code = "unknown_member"


class UnknownService(ExchangeError):
    code = "unknown_service"


class WrongServiceType(ExchangeError):
    code = "service_type"


class AccessDenied(ExchangeError):
    """The consumer has no right to the service; the provider's operator can grant it."""

    code = "access_denied"


class ServiceDisabled(ExchangeError):
    code = "service_disabled"


class GlobalConfOutdated(ExchangeError):
    """The trust list is expired; nothing is exchanged until a fresh one arrives."""

    code = "global_conf_outdated"

    def __init__(self, text: str = "Global configuration is expired") -> None:
        super().__init__(text)


class CannotSign(ExchangeError):
    code = "cannot_create_signature"


class LoggingFailed(ExchangeError):
    """The message log did not take the record, so the exchange does not happen."""

    code = "logging_failed"


class NetworkFailure(ExchangeError):
    """Nobody answered, or the connection broke; `code` tells which."""

    code = "network_error"


class PeerFault(ExchangeError):
    """A fault that another server raised: code, text and detail are passed on unchanged."""

    def __init__(self, code: str, text: str, detail: str = "", actor: str = "") -> None:
        super().__init__(text, code)
        self.detail = detail
        self.actor = actor
