"""The declarations in the pages about adapters are read and sound."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from adapters.kinds import load_kind
from config.settings import parse_settings
from tests.test_adapter_rest_description import DESCRIPTION

DOCS = Path(__file__).parents[1] / "docs"
_BLOCK = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
_BLOCKS = [
    (page, text)
    for page in ("adapter-files.md", "adapter-rest.md")
    for text in _BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
]


@pytest.mark.parametrize(("page", "text"), _BLOCKS)
def test_a_declaration_in_a_page_is_sound(page: str, text: str, tmp_path: Path) -> None:
    described = tomllib.loads(text)
    (tmp_path / "openapi.yaml").write_text(yaml.safe_dump(DESCRIPTION, sort_keys=False))
    kind = load_kind(described["kind"])
    settings = parse_settings(kind.settings, text, file=page, folder=tmp_path, check=kind.problems)
    assert settings.title == described["title"]


def test_there_are_declarations_in_both_pages() -> None:
    assert {page for page, _ in _BLOCKS} == {"adapter-files.md", "adapter-rest.md"}
