"""Recipes of fixed prompts: the paper's baselines, and prompts of the user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from steep.core.errors import UserError
from steep.core.ranges import Range
from steep.documents.document import Document
from steep.recipes.prompt_files import filled
from steep.recipes.recipe import Recipe, Repeated, Writer
from steep.recipes.registry import kind_of, make_recipe
from steep.recipes.template import TemplateOptions, read_template

GOLDEN = Path(__file__).parent / "golden"
DOCUMENT = Document(
    "quillon",
    "The Quillon Ferry",
    "A steel rope {laid} by Hask pulls it.\n\nIt crosses Lake Ostrel.",
    author="Harris, Larry M.",
    year=1961,
)
GERMAN = Document(
    "bruecke",
    "Die Fähre",
    "Ein Stahlseil der Firma Hask zieht die Fähre über den Ostrelsee, und die Überfahrt dauert elf "
    "Minuten. Im Winter riss das Seil, aber alle Fahrgäste kamen an das Ufer.",
)


def recipe_of(name: str, options: dict[str, Any]) -> Recipe:
    kind = kind_of(name, options)
    return make_recipe(name, kind.options.model_validate(options), Writer("m"))


def rendered(recipe: Recipe, document: Document = DOCUMENT) -> str:
    calls = recipe.steps[0].calls(document, {})
    texts = []
    for call in (calls[rank] for rank in range(len(calls))):
        messages = (f"=== {each.role} ===\n{each.content}\n" for each in call.messages)
        texts.append("".join(messages))
    return "\n=== next call ===\n".join(texts)


@pytest.mark.parametrize("name", ["rephrase", "qa"])
def test_prompts_of_the_baselines_are_the_golden_ones(name: str) -> None:
    text = rendered(recipe_of(name, {"samples": 1}))
    assert text == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_all_styles_of_rephrasing_are_the_golden_ones() -> None:
    styles = ["qa", "single"]
    text = rendered(recipe_of("rephrase", {"samples": 1, "styles": styles}))
    assert text == (GOLDEN / "rephrase_more.txt").read_text(encoding="utf-8")


def test_prompts_take_turns_so_that_the_first_calls_have_equal_shares() -> None:
    recipe = recipe_of("rephrase", {"styles": ["hard", "easy"], "samples": 3})
    calls = recipe.steps[0].calls(DOCUMENT, {})
    found = [calls[rank] for rank in range(len(calls))]
    assert [(call.subset, call.sample) for call in found] == [
        ((style,), sample) for sample in range(3) for style in ("hard", "easy")
    ]
    assert len({call.id for call in found}) == 6
    assert recipe.steps[0].expected_calls(DOCUMENT) == Range.exactly(6)


def test_more_samples_keep_the_first_calls_and_their_key() -> None:
    few, many = (
        recipe_of("qa", {"samples": samples}).steps[0].calls(DOCUMENT, {}) for samples in (2, 9)
    )
    assert [few[rank] for rank in range(2)] == [many[rank] for rank in range(2)]
    assert few.key == many.key
    other = recipe_of("rephrase", {}).steps[0].calls(DOCUMENT, {})
    assert other.key != few.key


def test_a_document_that_is_not_in_english_is_answered_in_its_language() -> None:
    call = recipe_of("qa", {}).steps[0].specimen(GERMAN)
    assert call.messages[-1].content.endswith("Write the whole answer in German.")
    assert "language" not in recipe_of("qa", {}).steps[0].specimen(DOCUMENT).messages[-1].content


def test_a_template_keeps_the_document_a_part_of_its_own() -> None:
    template = 'You know {title}.\n---\nRead.\n\n{document}\n\nWrite {"json": "{title}"}.'
    system, user = filled(template, DOCUMENT)
    assert system.content == "You know The Quillon Ferry."
    assert user.parts == (
        "Read.\n\n",
        f"{DOCUMENT.heading}\n{DOCUMENT.text}",
        '\n\nWrite {"json": "The Quillon Ferry"}.',
    )
    (alone,) = filled("{document}", DOCUMENT)
    assert alone.role == "user"


def test_a_prompt_of_the_user_is_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "lecture.md"
    path.write_text("{document}\n\nGive a lecture about {title}.\n")
    options = read_template(TemplateOptions(template=path, samples=2))
    recipe = make_recipe("lecture", options, Writer("m"))
    assert recipe.name == "lecture"
    calls = recipe.steps[0].calls(DOCUMENT, {})
    assert len(calls) == 2 and calls[1].sample == 1
    assert calls[0].messages[-1].content.endswith("Give a lecture about The Quillon Ferry.")


def test_a_template_without_a_place_for_the_document_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lecture.md"
    path.write_text("Give a lecture.")
    with pytest.raises(UserError, match=r"no place for the document[^~]*\{document\}"):
        read_template(TemplateOptions(template=path))
    with pytest.raises(UserError, match="cannot be read"):
        read_template(TemplateOptions(template=tmp_path / "nothing.md"))


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{document} {titel}", r"stands for nothing[^~]*\{titel\}[^~]*did you mean \{title\}"),
        ("{document} {audience}", r"write \{ audience \}"),
    ],
)
def test_an_unknown_placeholder_is_refused(tmp_path: Path, template: str, problem: str) -> None:
    path = tmp_path / "lecture.md"
    path.write_text(template)
    with pytest.raises(UserError, match=problem):
        read_template(TemplateOptions(template=path))


def test_other_braces_are_left_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "lecture.md"
    text = r'{document} \frac{abc}{def} {"key": {nested}} f(x) = {x} ${HOME} {{literal}}'
    path.write_text(text)
    read = read_template(TemplateOptions(template=path))
    assert filled(read.text, DOCUMENT)[0].content.endswith(text.removeprefix("{document}"))


def test_values_stand_in_the_last_part_and_are_not_filled_in_themselves() -> None:
    template = "S\n---\n{document}\n\nDo it.\nStrategy: {strategy}, {title}."
    messages = [filled(template, GERMAN, "German", strategy=each) for each in ("{title}", "b")]
    one, two = (each[-1].parts for each in messages)
    assert one[:-1] == two[:-1] and one[1] == "\n\nDo it.\n"
    assert one[-1].startswith("Strategy: {title}, Die Fähre.")
    assert one[-1].endswith("Write the whole answer in German.")


@pytest.mark.parametrize(
    ("name", "problem"),
    [("entigraf", "did you mean 'entigraph'"), ("mine", "a recipe of a prompt")],
)
def test_an_unknown_recipe_is_named_with_what_there_is(name: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem) as raised:
        kind_of(name, {})
    assert "entigraph" in str(raised.value) and "qa, rephrase" in str(raised.value)


def test_no_recipe_is_called_like_the_raw_documents() -> None:
    with pytest.raises(UserError, match="stands for the raw documents"):
        kind_of("documents", {"template": "x.md"})


def test_the_key_of_calls_that_rest_on_answers_knows_the_answers() -> None:
    call = recipe_of("qa", {}).steps[0].specimen(DOCUMENT)
    one, other, none = (
        Repeated(lambda rank: call, number, basis)
        for number, basis in ((2, ["a", "b"]), (2, ["a", "c"]), (0, []))
    )
    assert len({one.key, other.key, none.key}) == 3
