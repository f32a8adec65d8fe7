"""The recipe in `docs/recipes.md` works as it is printed."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

from steep.documents.document import Document
from steep.recipes.recipe import Writer

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
DOCUMENT = Document("d", "The Ferry", "A rope pulls the ferry.")


def code_blocks() -> list[str]:
    blocks = re.findall(r"(?:^(?:    .*)?\n)+", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [textwrap.dedent(block) for block in blocks]


def test_the_python_recipe_plans_what_the_page_says() -> None:
    (source,) = (block for block in code_blocks() if "RecipeKind(" in block)
    names: dict[str, Any] = {"__name__": "documented"}
    exec(compile(source, str(PAGE), "exec", dont_inherit=True), names)
    kind = names["KIND"]
    recipe = kind.make("lecture", kind.options(topics=2), Writer("m"))
    topics, lectures = recipe.steps
    assert len(topics.calls(DOCUMENT, {})) == 1
    calls = lectures.calls(DOCUMENT, {"topics": ["Ropes\nFerries\nLakes"]})
    assert [calls[rank].subset for rank in range(len(calls))] == [("Ropes",), ("Ferries",)]
    assert calls[0].messages[-1].content.endswith("Give a lecture on Ropes.")
    assert len(lectures.calls(DOCUMENT, {"topics": [None]})) == 0
