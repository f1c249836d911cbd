"""What a receipt proves of a case: that it holds, that it is of this exchange, and of these values.

A receipt that holds may be of another exchange, and then proves nothing here.
"""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from scripts.ecosystem.case_system import Fact
from scripts.ecosystem.on_the_wire import read_wire
from trust.errors import MalformedMessage
from trust.globalconf import Anchor
from trust.ids import decode_segment
from trust.receipts.receipt_verdict import ReceiptVerdict, unreadable_receipt, verify_receipt
from trust.receipts.receipts import Receipt, parse_receipt
from trust.report import Outcome

_LARGEST = 4 << 20  # bytes of an answer that is looked into


@dataclass(frozen=True, slots=True)
class Proof:
    """A receipt, judged.

    Attributes:
        fields: what stands in the signed answer, by path.
        mismatch: why it does not prove what the case says, although it may hold; empty when it
            does.
    """

    verdict: ReceiptVerdict
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    mismatch: str = ""

    @property
    def good(self) -> bool:
        return self.verdict.verdict is Outcome.PASSED and not self.mismatch


def judge_receipt(
    raw: bytes, case: str, facts: Iterable[Fact], anchor: Anchor, at: datetime
) -> Proof:
    """Judge a receipt without a network.

    Args:
        case: the number that the request must state.
        facts: that the case has of this exchange, one at least.
    """
    try:
        receipt = parse_receipt(io.BytesIO(raw))
        verdict = verify_receipt(receipt, at, anchors=(anchor,))
        fields = _answered(receipt)
    except MalformedMessage as error:
        return Proof(unreadable_receipt(error))
    return Proof(verdict, fields, _mismatch(verdict, case, tuple(facts), fields))


def _answered(receipt: Receipt) -> Mapping[str, str]:
    if receipt.response is None:
        return {}
    receipt.response.seek(0)
    raw = receipt.response.read(_LARGEST + 1)
    if len(raw) > _LARGEST:
        raise MalformedMessage(f"The answer has more than {_LARGEST} bytes", "invalid_receipt")
    return read_wire(raw).fields


def _mismatch(
    verdict: ReceiptVerdict, case: str, facts: tuple[Fact, ...], fields: Mapping[str, str]
) -> str:
    stated = verdict.facts
    if stated is None:
        return ""  # which the verdict says
    source = tuple(decode_segment(part) for part in facts[0].source.split("/"))
    if (stated.message_id, stated.service) != (facts[0].message_id, source):
        return "The receipt is of another exchange"
    if stated.issue != case:
        return "The receipt is of another case"
    for fact in facts:
        if not fact.reduced_here and not any(_same(fact.value, text) for text in fields.values()):
            return f"The value of {fact.concept} does not stand in the signed answer"
    return ""


def _same(value: object, text: str) -> bool:
    """Whether a value is what a text says; a list is when one of its items is."""
    if isinstance(value, list):
        return any(_same(one, text) for one in value)
    if isinstance(value, bool):
        return text in (("true", "1") if value else ("false", "0"))
    if isinstance(value, int | float):
        try:
            return float(text) == value
        except ValueError:
            return False
    return value == text
