"""`docs/paper.md` maps the paper to the code: every file, name and setting on it exists."""

from __future__ import annotations

import re
from pathlib import Path

import steep
from steep.config import Config
from steep.recipes.entigraph import EntiGraphOptions

PACKAGE = Path(steep.__file__).parent
PAGE = (Path(__file__).parents[1] / "docs" / "paper.md").read_text(encoding="utf-8")
CODE = re.findall(r"`([^`\n]+)`", PAGE)
FILES = [
    each for each in CODE if re.fullmatch(r"[a-z_/]+(\.py|/)(:\w+)?", each) and each != "src/steep/"
]
SETTINGS = [each for each in CODE if re.fullmatch(r"[a-z_]+\.[a-z_]+(: [\w-]+)?", each)]


def test_files_and_names_exist() -> None:
    assert len(FILES) > 40
    for each in FILES:
        name, _, defined = each.partition(":")
        path = PACKAGE / name
        assert path.exists(), each
        if defined:
            pattern = rf"^(def|class) {defined}\b|^{defined}\b.* = "
            assert re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE), each


def test_settings_exist_with_their_values() -> None:
    assert len(SETTINGS) > 15
    for each in SETTINGS:
        name, _, value = each.partition(": ")
        section, key = name.split(".")
        model = Config.model_fields[section].annotation
        assert model is not None
        field = model.model_fields[key]
        if value and value not in ("true", "false"):
            assert value in repr(field.annotation), each


def test_options_of_recipes_exist() -> None:
    for each in ("entity_attempts", "triplets", "summary", "prompt_order", "questions", "order"):
        assert f"`{each}" in PAGE
        assert each in EntiGraphOptions.model_fields
