"""The house itself: our top-level names are common, so make sure that they are ours."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("name", ["trust", "catalog", "node", "adapters", "config", "scripts"])
def test_a_top_level_name_is_not_somebody_else_s_package(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__file__ is not None
    assert Path(module.__file__).resolve().parent == ROOT / name


def test_the_locked_requirements_have_hashes_and_name_no_index() -> None:
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        text = path.read_text()
        assert "://" not in text, path
        packages = [line for line in text.splitlines() if "==" in line and line[0].isalnum()]
        assert packages, path
        assert text.count("--hash=sha256:") >= len(packages), path


def test_spyne_is_imported_by_one_process_alone() -> None:
    """It is LGPL and ends with Python 3.11: nothing else may need it."""
    needing = [
        str(path.relative_to(ROOT))
        for name in ("trust", "catalog", "node", "adapters", "config", "scripts")
        for path in (ROOT / name).rglob("*.py")
        if "from spyne" in (text := path.read_text(encoding="utf-8"))
        or "import spyne" in text
        or "ecosystem.social_security import" in text
    ]
    assert needing == ["scripts/ecosystem/social_security.py"]
