"""Each prompt about a part of a document names the sections that the part stands in."""

from __future__ import annotations

import pytest

from steep.documents.document import Document
from steep.documents.split_tokens import TokenSplit, split_by_structure
from steep.recipes.prompt_files import filled
from steep.recipes.recipe import Writer
from steep.recipes.registry import BUILT_IN, make_recipe

LEAVE = "Ada Lind of the office in Velmora grants parents twelve weeks of leave each year. " * 30
TEXT = f"# Handbook\n\nHours.\n\n## 3 Leave\n\nIt is paid.\n\n### 3.2 Parents\n\n{LEAVE}"
HANDBOOK = Document("handbook", "Handbook", TEXT, author="Pell, Hedda", year=2020)
PART = split_by_structure(HANDBOOK, TokenSplit(400))[-1]
FULL_TITLE = "Handbook > 3 Leave > 3.2 Parents"


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_step_of_every_recipe_shows_the_full_title(name: str) -> None:
    recipe = make_recipe(name, BUILT_IN[name].options(), Writer("m"))
    for step in recipe.steps:
        prompt = "\n".join(message.content for message in step.specimen(PART).messages)
        assert f'"{FULL_TITLE}", Hedda Pell, 2020.' in prompt or FULL_TITLE in prompt, step.name
        whole = "\n".join(message.content for message in step.specimen(HANDBOOK).messages)
        assert FULL_TITLE not in whole


def test_a_prompt_of_the_user_names_the_part() -> None:
    (message,) = filled("Write on {title}.\n\n{document}", PART)
    assert message.content.startswith(f'Write on {FULL_TITLE}.\n\n"{FULL_TITLE}", Hedda Pell')
