"""Labels in little space: a country has tens of thousands of concepts, each with some."""

from collections.abc import Iterator, Mapping


class CompactLabels(Mapping[str, str]):
    """Texts by language tag: half of what a dict takes, slower to look up; never changed."""

    __slots__ = ("_flat",)

    def __init__(self, flat: tuple[str, ...]) -> None:
        """Take tag, text, tag, text, …; raises ValueError for a tag without text."""
        if len(flat) % 2:
            raise ValueError("a label without text")
        self._flat = flat

    def __getitem__(self, tag: str) -> str:
        for known, text in zip(self._flat[::2], self._flat[1::2], strict=True):
            if known == tag:
                return text
        raise KeyError(tag)

    def __iter__(self) -> Iterator[str]:
        return iter(self._flat[::2])

    def __len__(self) -> int:
        return len(self._flat) // 2

    def __eq__(self, other: object) -> bool:
        if isinstance(other, CompactLabels) and self._flat == other._flat:
            return True
        return super().__eq__(other)

    __hash__ = None  # type: ignore[assignment]  # as a dict has none

    def __repr__(self) -> str:
        return repr(dict(self))
