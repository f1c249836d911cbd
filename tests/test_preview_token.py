"""What opens a preview."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from node.once.resolver.waiting.preview_token import PreviewToken, is_preview_id, new_preview_id
from tests.instance import CONSUMER, PROVIDER
from trust.errors import MalformedMessage


@given(st.binary(max_size=200))
def test_a_token_opens_what_it_has_sealed_for_this_preview_alone(content: bytes) -> None:
    token, preview = PreviewToken.fresh(), new_preview_id()
    sealed = token.seal(content, preview, CONSUMER)
    assert PreviewToken.parse(token.text).open(sealed, preview, CONSUMER) == content
    assert token.open(sealed, new_preview_id(), CONSUMER) is None
    assert token.open(sealed, preview, PROVIDER) is None
    assert token.open(sealed[:-1], preview, CONSUMER) is None
    assert token.text not in repr(token)
    assert is_preview_id(preview)


@given(st.text(alphabet="aZ09-_=/é", max_size=50))
def test_any_text_is_a_token_or_refused(text: str) -> None:
    with contextlib.suppress(MalformedMessage):
        assert len(PreviewToken.parse(text).text) == 43
