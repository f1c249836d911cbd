"""Which tests run in one worker of pytest-xdist, one after another.

A sandbox takes the usual ports and most of a machine, so there is one at a time. What a whole file
shares is made once.

The groups are told to the scheduler here: pytest-xdist 3.8 writes them into node ids, where pytest
9.2 no longer reads them, and then every test is a group of its own.
"""

from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent
_SANDBOX = 'xdist_group("sandbox")'
_SHARED = 'scope="module"'  # also of loops


def group_of(node_id: str) -> str:
    """The group of a test; its own id when it may run anywhere."""
    name = node_id.partition("::")[0].rpartition("/")[2]
    return _group_of_file(name) or node_id


@cache
def _group_of_file(name: str) -> str:
    text = (_HERE / name).read_text(encoding="utf-8")
    if _SANDBOX in text:
        return "sandbox"
    return name if _SHARED in text else ""
