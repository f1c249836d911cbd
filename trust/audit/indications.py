"""What a check's outcome is called in ETSI EN 319 102-1: an indication and a sub-indication.

One table says it for every check. The vocabulary is about signatures; for what only a log or an
archive has (a chain of files, a tree, a record) the nearest word is taken, and a proven loss is a
failure: a digest that must be there has nothing behind it.

Our verdict and the indication answer different questions. A signature whose certificate no listed
authority issued is `failed` for us, because nobody should act on it, and INDETERMINATE in the
standard's words, because another trust list might know the authority.

Source: ETSI EN 319 102-1 V1.3.1, 5.1.3, tables 5 and 6.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from trust.report import Check, Outcome, VerificationReport


class Main(StrEnum):
    TOTAL_PASSED = "TOTAL-PASSED"
    TOTAL_FAILED = "TOTAL-FAILED"
    INDETERMINATE = "INDETERMINATE"


class Sub(StrEnum):
    """Why a signature did not pass, in the standard's words."""

    FORMAT_FAILURE = "FORMAT_FAILURE"
    HASH_FAILURE = "HASH_FAILURE"
    SIG_CRYPTO_FAILURE = "SIG_CRYPTO_FAILURE"
    REVOKED = "REVOKED"
    EXPIRED = "EXPIRED"
    NOT_YET_VALID = "NOT_YET_VALID"
    SIG_CONSTRAINTS_FAILURE = "SIG_CONSTRAINTS_FAILURE"
    CHAIN_CONSTRAINTS_FAILURE = "CHAIN_CONSTRAINTS_FAILURE"
    CERTIFICATE_CHAIN_GENERAL_FAILURE = "CERTIFICATE_CHAIN_GENERAL_FAILURE"
    TIMESTAMP_ORDER_FAILURE = "TIMESTAMP_ORDER_FAILURE"
    NO_SIGNING_CERTIFICATE_FOUND = "NO_SIGNING_CERTIFICATE_FOUND"
    NO_CERTIFICATE_CHAIN_FOUND = "NO_CERTIFICATE_CHAIN_FOUND"
    REVOKED_NO_POE = "REVOKED_NO_POE"
    OUT_OF_BOUNDS_NO_POE = "OUT_OF_BOUNDS_NO_POE"
    NO_POE = "NO_POE"
    TRY_LATER = "TRY_LATER"
    SIGNED_DATA_NOT_FOUND = "SIGNED_DATA_NOT_FOUND"
    CUSTOM = "CUSTOM"


_FAILURES = {
    Sub.FORMAT_FAILURE,
    Sub.HASH_FAILURE,
    Sub.SIG_CRYPTO_FAILURE,
    Sub.REVOKED,
    Sub.EXPIRED,
    Sub.NOT_YET_VALID,
}


@dataclass(frozen=True, slots=True)
class Indication:
    """How a judgement ended in the standard's words; `sub` says why it did not pass."""

    main: Main
    sub: Sub | None = None

    def __str__(self) -> str:
        return self.main.value if self.sub is None else f"{self.main.value}/{self.sub.value}"


PASSED = Indication(Main.TOTAL_PASSED)

# (check, fault code, kind): the first row that fits counts; an empty text fits everything, and a
# code fits what it is the end of.
_ROWS: tuple[tuple[str, str, str, Sub], ...] = (
    # containers and signatures
    ("container", "io_error", "", Sub.SIGNED_DATA_NOT_FOUND),
    ("container", "", "", Sub.FORMAT_FAILURE),
    ("message", "", "", Sub.FORMAT_FAILURE),
    ("signature_form", "", "", Sub.FORMAT_FAILURE),
    ("hash_chain", "invalid_reference", "", Sub.SIGNED_DATA_NOT_FOUND),
    ("hash_chain", "malformed_hash_chain", "", Sub.FORMAT_FAILURE),
    ("hash_chain", "hashchain_unused_inputs", "", Sub.SIG_CONSTRAINTS_FAILURE),
    ("hash_chain", "", "", Sub.HASH_FAILURE),
    ("coverage", "invalid_reference", "", Sub.SIGNED_DATA_NOT_FOUND),
    ("coverage", "", "", Sub.SIG_CONSTRAINTS_FAILURE),
    ("stated_certificate", "", "", Sub.NO_SIGNING_CERTIFICATE_FOUND),
    ("certificate_usage", "", "", Sub.CHAIN_CONSTRAINTS_FAILURE),
    ("signer", "unknown_instance", "", Sub.NO_CERTIFICATE_CHAIN_FOUND),
    ("signer", "internal_error", "", Sub.NO_CERTIFICATE_CHAIN_FOUND),
    ("signer", "", "", Sub.SIG_CONSTRAINTS_FAILURE),
    ("signature_value", "", "", Sub.SIG_CRYPTO_FAILURE),
    ("references", "", "", Sub.HASH_FAILURE),
    ("certificate_path", "", "expired", Sub.EXPIRED),
    ("certificate_path", "", "not_yet_valid", Sub.NOT_YET_VALID),
    ("certificate_path", "", "", Sub.NO_CERTIFICATE_CHAIN_FOUND),
    ("ocsp_response", "", "revoked", Sub.REVOKED),
    ("ocsp_response", "", "age", Sub.TRY_LATER),
    ("ocsp_response", "", "absent", Sub.TRY_LATER),
    ("ocsp_response", "", "", Sub.CERTIFICATE_CHAIN_GENERAL_FAILURE),
    ("later_revocation", "", "", Sub.REVOKED),
    ("foreign_entries", "", "", Sub.FORMAT_FAILURE),
    ("manifest", "", "", Sub.FORMAT_FAILURE),
    ("packing", "", "", Sub.FORMAT_FAILURE),
    # time
    ("timestamp", "", "unreadable", Sub.FORMAT_FAILURE),
    ("timestamp", "unknown_instance", "", Sub.NO_CERTIFICATE_CHAIN_FOUND),
    ("timestamp", "mlog.tsp_certificate_not_found", "", Sub.NO_CERTIFICATE_CHAIN_FOUND),
    ("timestamp", "mlog.no_timestamping_provider_found", "", Sub.NO_CERTIFICATE_CHAIN_FOUND),
    ("timestamp", "mlog.timestamp_signer_verification_failed", "", Sub.SIG_CRYPTO_FAILURE),
    ("timestamp", "no_timestamp", "", Sub.NO_POE),
    ("timestamp", "", "", Sub.HASH_FAILURE),
    ("timestamp_chain", "", "", Sub.HASH_FAILURE),
    ("timestamp_order", "", "", Sub.TIMESTAMP_ORDER_FAILURE),
    ("trust_list", "", "", Sub.NO_CERTIFICATE_CHAIN_FOUND),
    # archive files
    ("archive", "io_error", "", Sub.SIGNED_DATA_NOT_FOUND),
    ("archive", "archive_encrypted", "", Sub.SIGNED_DATA_NOT_FOUND),
    ("archive", "archive_file_removed", "", Sub.HASH_FAILURE),
    ("archive", "archive_file_altered", "", Sub.HASH_FAILURE),
    ("archive", "", "", Sub.FORMAT_FAILURE),
    ("linked", "", "", Sub.HASH_FAILURE),
    ("previous", "archive_previous_unknown", "", Sub.SIGNED_DATA_NOT_FOUND),
    ("previous", "", "", Sub.HASH_FAILURE),
    # the log
    ("columns", "", "", Sub.HASH_FAILURE),
    ("leaf", "", "", Sub.HASH_FAILURE),
    ("body", "body_unreadable", "", Sub.SIGNED_DATA_NOT_FOUND),
    ("body", "", "", Sub.HASH_FAILURE),
    ("tree", "", "", Sub.HASH_FAILURE),
    ("checkpoint", "invalid_signature_value", "", Sub.SIG_CRYPTO_FAILURE),
    ("checkpoint", "invalid_message", "", Sub.FORMAT_FAILURE),
    ("checkpoint", "unknown_key", "", Sub.NO_SIGNING_CERTIFICATE_FOUND),
    ("checkpoint", "", "", Sub.HASH_FAILURE),
    ("witness", "unknown_key", "", Sub.NO_SIGNING_CERTIFICATE_FOUND),
    ("witness", "", "", Sub.SIG_CRYPTO_FAILURE),
    ("request", "", "", Sub.SIGNED_DATA_NOT_FOUND),
    # receipts
    ("receipt", "", "", Sub.FORMAT_FAILURE),
    ("exchange", "", "", Sub.FORMAT_FAILURE),
    ("statement", "", "", Sub.SIG_CONSTRAINTS_FAILURE),
    ("pairing", "", "", Sub.SIG_CONSTRAINTS_FAILURE),
    ("log_key", "", "", Sub.NO_SIGNING_CERTIFICATE_FOUND),
    ("request_logged", "missing_log_key", "", Sub.NO_SIGNING_CERTIFICATE_FOUND),
    ("request_logged", "invalid_signature_value", "", Sub.SIG_CRYPTO_FAILURE),
    ("request_logged", "", "", Sub.HASH_FAILURE),
    ("response_logged", "missing_log_key", "", Sub.NO_SIGNING_CERTIFICATE_FOUND),
    ("response_logged", "invalid_signature_value", "", Sub.SIG_CRYPTO_FAILURE),
    ("response_logged", "", "", Sub.HASH_FAILURE),
)

# Without a time-stamp nobody knows when a signature was made; what depends on it stays open.
_WITHOUT_PROOF = {
    Sub.REVOKED: Sub.REVOKED_NO_POE,
    Sub.EXPIRED: Sub.OUT_OF_BOUNDS_NO_POE,
    Sub.NOT_YET_VALID: Sub.OUT_OF_BOUNDS_NO_POE,
    Sub.TRY_LATER: Sub.NO_POE,
}


def indication_of_check(check: Check, *, dated: bool = True) -> Indication:
    """The indication of one check.

    Args:
        dated: whether a good time-stamp says when the signature existed.
    """
    if check.outcome in (Outcome.PASSED, Outcome.WARNING):
        return PASSED
    sub = _sub_of(check)
    if not dated:
        sub = _WITHOUT_PROOF.get(sub, sub)
    fails = check.outcome is Outcome.FAILED and sub in _FAILURES
    return Indication(Main.TOTAL_FAILED if fails else Main.INDETERMINATE, sub)


def _sub_of(check: Check) -> Sub:
    """By the first row of the check; a summary over containers has their codes and no row."""
    summary = check.name == "containers"
    for name, code, kind, sub in _ROWS:
        if (
            (name == check.name or (summary and code))
            and (not kind or kind == check.kind)
            and (not code or check.code == code or check.code.endswith(f".{code}"))
        ):
            return sub
    return Sub.CUSTOM


def indication_of(report: VerificationReport, *, dated: bool = True) -> Indication:
    """The indication of a whole report, by the check that decided it."""
    problem = report.first_problem
    if problem is None:
        return PASSED if report.checks else Indication(Main.INDETERMINATE, Sub.CUSTOM)
    return indication_of_check(problem, dated=dated)


def is_dated(checks: Iterable[Check]) -> bool:
    """Whether a report's time-stamp is there and good."""
    return any(check.name == "timestamp" and check.outcome is Outcome.PASSED for check in checks)


class Level(StrEnum):
    """How far a judgement went; each includes those before it."""

    LINKS = "links only"  # digests chain the files; no signature was looked at
    SIGNATURE = "signature"  # signed by its sender, at a moment that nobody else confirms
    TIME = "signature and time"
    TREE = "signature, time and tree"  # in the tree of a checkpoint that the log's key signed
    WITNESSES = "signature, time, tree and witnesses"  # others signed that checkpoint as well
