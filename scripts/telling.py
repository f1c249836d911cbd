"""Say what a declaration changed: one line for each change, and how many there were."""

import sys
from collections.abc import Sequence

from trust.changes import Change


def tell_changes(changes: Sequence[Change], *, planned: bool) -> None:
    """Print the changes to standard output and their number to standard error.

    Args:
        planned: nothing was done yet.
    """
    for change in changes:
        print(change)
    count = f"{len(changes)} statement" if len(changes) == 1 else f"{len(changes)} statements"
    text = f"{count} {'would change' if planned else 'changed'}"
    print(text if changes else "Nothing changes", file=sys.stderr)
