"""Values by key, as a plain dictionary of lists would have them."""

from hypothesis import given
from hypothesis import strategies as st

from catalog.grouping import grouped


@given(st.lists(st.tuples(st.sampled_from("abc"), st.tuples(st.integers(0, 9)))))
def test_every_key_has_all_its_values_in_order(pairs: list[tuple[str, tuple[int]]]) -> None:
    plain: dict[str, tuple[int, ...]] = {}
    for key, alone in pairs:
        plain[key] = (*plain.get(key, ()), *alone)
    assert grouped(pairs) == plain


def test_what_many_keys_have_alone_is_there_once() -> None:
    alone = ("value",)
    found = grouped([("a", alone), ("b", alone), ("c", alone), ("c", ("other",))])
    assert found["a"] is found["b"] is alone
    assert found["c"] == ("value", "other")
