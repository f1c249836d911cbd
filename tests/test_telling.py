import pytest

from scripts.telling import tell_changes
from trust.changes import Change

ONE = Change("added", "group a", after="everybody")


@pytest.mark.parametrize(
    ("changes", "planned", "said"),
    [
        ((), False, "Nothing changes\n"),
        ((ONE,), False, "1 statement changed\n"),
        ((ONE, ONE), True, "2 statements would change\n"),
    ],
)
def test_changes_are_listed_and_counted(
    changes: tuple[Change, ...], planned: bool, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tell_changes(changes, planned=planned)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("+ group a: everybody\n" * len(changes), said)
