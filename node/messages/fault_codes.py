"""Fault codes in both spellings, and the words that message exchange knows.

Source: errors.md 2, 10; X-Road 7.8 and 7.7.1 ErrorCodes.java.
"""

import re

from node.messages.code_table import TABLE, FaultCode, Origin, regular_spelling

CODES = {code.name: code for _, codes in TABLE for code in codes}

_OF_EXCHANGES = (Origin.BOTH, Origin.CONSUMER, Origin.PROVIDER)


def _labels(code: FaultCode) -> bool:
    ours = code.use == "own" and code.origin in _OF_EXCHANGES
    return ours or bool(set(code.use) & set("MSA"))


# the last words of codes that exchanges fail with, and "abandoned" for those nobody waited for:
# labels of metrics
KNOWN_CODES = frozenset({"abandoned", *(name for name, code in CODES.items() if _labels(code))})

_OLD_PREFIXES = {
    "server": "Server",
    "clientproxy": "ClientProxy",
    "serverproxy": "ServerProxy",
    "opmonitor": "OpMonitor",
    "client": "Client",
    "signer": "Signer",
}
PREFIXES = frozenset(_OLD_PREFIXES)  # words that say whose code it is
_OLD_WORDS = _OLD_PREFIXES | {name: code.old for name, code in CODES.items() if code.old}
_SPELLING = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+)*")


def to_legacy(code: str) -> str:
    """Spell a full code as nodes up to 7.7.1 do; what is no snake case code stays as it is.

    Codes of time-stamping (`mlog.…`) were one `InternalError` then.
    """
    if not _SPELLING.fullmatch(code):
        return code
    known, mlog, _ = f"{code}.".partition(".mlog.")
    words = known.strip(".").split(".")
    spelled = [_OLD_WORDS.get(word) or regular_spelling(word) for word in words]
    return ".".join([*spelled, "InternalError"] if mlog else spelled)


def _plain(word: str) -> str:
    return word.replace("_", "").lower()


_PLAIN_WORDS = {_plain(name) for name in CODES}
_RENAMED = {
    _plain(code.old): _plain(name)
    for name, code in CODES.items()
    if code.old and _plain(code.old) not in _PLAIN_WORDS
}


def canonical_code(code: str) -> str:
    """One form for both spellings, to compare codes by."""
    words = map(_plain, code.split("."))
    return ".".join(_RENAMED.get(word, word) for word in words)
