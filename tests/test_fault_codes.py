"""The catalogue of fault codes knows every code that the source raises, and claims no other."""

import re

import pytest

from node.messages.code_table import TABLE, FaultCode, Origin
from node.messages.fault_codes import CODES, KNOWN_CODES, PREFIXES, canonical_code, to_legacy
from tests.raised_codes import all_words, raised_codes

EVERY = [code for _, codes in TABLE for code in codes]
GROUPED = {name for name in CODES if "." in name}


def words_of(code: str) -> list[str]:
    """The entries of the catalogue that a code consists of, without the sides in front."""
    for grouped in GROUPED:
        if code == grouped or code.endswith(f".{grouped}"):
            code, last = code.removesuffix(grouped), [grouped]
            break
    else:
        last = []
    return [word for word in code.split(".") if word and word not in PREFIXES] + last


def test_every_code_that_is_raised_is_explained() -> None:
    raised = raised_codes()
    unknown = {
        code: files
        for code, files in raised.items()
        if any(word not in CODES for word in words_of(code))
    }
    assert not unknown
    assert len(raised) > 70  # the search finds what it is to find


def test_what_is_raised_is_not_said_to_come_from_others_only() -> None:
    raised = {word for code in raised_codes() for word in words_of(code)}
    assert not {name for name in raised if CODES[name].origin is Origin.NEVER}


def test_what_is_said_to_be_raised_is_raised() -> None:
    known = all_words() | {word for code in raised_codes() for word in words_of(code)}
    known |= {"missing_rest"}  # put together of its parts in transport_reader
    assert not {code.name for code in EVERY if code.origin is not Origin.NEVER} - known


@pytest.mark.parametrize("entry", EVERY, ids=lambda code: code.name)
def test_an_entry_tells_all(entry: FaultCode) -> None:
    assert re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)*", entry.name)
    assert entry.meaning.endswith(".")
    assert entry.todo.endswith(".")
    assert bool(entry.why) is (entry.origin is Origin.NEVER)
    assert set(entry.use) <= set("MSATOGD") or entry.use == "own"
    assert "|" not in entry.meaning + entry.todo + entry.why


def test_a_code_stands_once() -> None:
    assert len(EVERY) == len(CODES) == 246


def test_both_spellings_of_every_code_compare_equal() -> None:
    for code in EVERY:
        if code.old is not None and code.name != "unknown_host":  # which was a NetworkError
            full = f"server.serverproxy.service_failed.{code.name}"
            assert to_legacy(full) == f"Server.ServerProxy.ServiceFailed.{code.old}"
            assert canonical_code(full) == canonical_code(to_legacy(full))


def test_labels_are_the_words_of_message_exchange() -> None:
    assert {"access_denied", "abandoned", "token_not_active", "quota_used_up"} <= KNOWN_CODES
    assert not {"backup_file_not_found", "mlog.timestamp_record_save_failure"} & KNOWN_CODES
