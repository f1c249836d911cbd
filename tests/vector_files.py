"""Where the reference vectors are, and the one reason to skip a test that needs them."""

import os
from pathlib import Path

import pytest

_DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "vectors"


def vectors_folder() -> Path:
    return Path(os.environ.get("SACBE_VECTORS", _DEFAULT))


def vector_path(name: str) -> Path:
    """The path of a reference file below the vectors folder; skips the test without the folder."""
    folder = vectors_folder()
    if not folder.is_dir():
        pytest.skip(f"no reference vectors at {folder} (set SACBE_VECTORS)")
    return folder / name
