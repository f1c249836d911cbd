"""Groups of tests for parallel workers."""

import re
import subprocess
import sys
from pathlib import Path

from tests.grouping import group_of

ROOT = Path(__file__).parents[1]


def test_sandboxes_run_in_one_group_and_files_that_share_in_their_own() -> None:
    assert group_of("tests/test_sandbox.py::test_a") == "sandbox"
    assert group_of("tests/test_crash.py::test_a[x::y]@sandbox") == "sandbox"
    assert group_of("tests/test_exchange_storage.py::test_a") == "test_exchange_storage.py"
    assert group_of("tests/test_ids.py::test_a[b]") == "tests/test_ids.py::test_a[b]"


def test_a_group_runs_in_one_worker() -> None:
    """With the real scheduler, which would give each of two workers half of them."""
    words = ["-v", "-n", "2", "--dist", "loadgroup", "tests/test_certificate_verdicts.py"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    workers = re.findall(r"^\[(gw\d)\] .*PASSED", ran.stdout, re.MULTILINE)
    assert len(workers) > 2
    assert len(set(workers)) == 1
