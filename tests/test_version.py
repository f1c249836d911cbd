import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.messages.version import PeerTooOld, Version, check_version
from trust.errors import ExchangeError

# lowest first; the middle as semver.org 11 lists them
ORDER = [
    "6.26.3", "7.5.9", "7.6.0-SNAPSHOT-20250101git1a2b", "7.6.0", "7.10.0",
    "8.0.0-alpha", "8.0.0-alpha.1", "8.0.0-alpha.beta", "8.0.0-beta", "8.0.0-beta.2",
    "8.0.0-beta.11", "8.0.0-rc.1", "8.0.0",
]  # fmt: skip


def version(text: str) -> Version:
    found = Version.find(text)
    assert found is not None
    return found


def test_versions_are_ordered_as_semantic_versions() -> None:
    found = [version(text) for text in ORDER]
    shuffled = found[1::2] + found[::2]
    assert sorted(shuffled) == found
    assert [str(v) for v in found] == ORDER


def test_build_metadata_does_not_count() -> None:
    assert version("7.8.0+build.5") == version("7.8.0")


@pytest.mark.parametrize("text", ["", "unknown", "7", "7.8", "07.8.0", "7.8.0-", "7.8.0 ", "v7.8.0",
                                  "7.8.0-" + "a" * 255])  # fmt: skip
def test_what_is_no_version_is_none(text: str) -> None:
    assert Version.find(text) is None


@given(st.text(alphabet="0179.-+aé", max_size=12))
def test_any_text_is_a_version_or_none(text: str) -> None:
    found = Version.find(text)
    assert found is None or text.startswith(f"{found.major}.{found.minor}.{found.patch}")


def test_an_old_peer_is_refused_in_the_words_of_the_reference() -> None:
    minimum = version("7.6.0")
    check_version("7.6.0", minimum)
    check_version("7.8.1-SNAPSHOT-20260101git0", minimum)
    for old in ("7.5.2", "7.6.0-SNAPSHOT"):
        with pytest.raises(PeerTooOld) as refused:
            check_version(old, minimum)
        assert refused.value.code == "client_proxy_version_not_supported"
        assert refused.value.text == (
            "The minimum supported version for client security server is: 7.6.0 "
        )


@pytest.mark.parametrize("announced", [None, "", "unknown"])
def test_a_peer_without_a_version_passes_only_without_a_gate(announced: str | None) -> None:
    check_version(announced, None)
    with pytest.raises(ExchangeError) as refused:
        check_version(announced, version("7.6.0"))
    assert refused.value.code == "internal_error"
