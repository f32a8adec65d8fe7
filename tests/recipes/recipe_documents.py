"""Documents to render prompts about, in three languages, and the form of golden files."""

# ruff: noqa: RUF001

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steep.core.calls import Call
from steep.documents.document import Document
from steep.recipes.recipe import Answers, Recipe, Writer
from steep.recipes.registry import kind_of, make_recipe

GOLDEN = Path(__file__).parent / "golden"
DOCUMENT = Document(
    "quillon",
    "The Quillon Ferry",
    "A steel rope {laid} by Hask pulls it.\n\nIt crosses Lake Ostrel in eleven minutes. In winter "
    "the rope broke, but all passengers reached the shore.",
    author="Harris, Larry M.",
    year=1961,
)
GERMAN = Document(
    "bruecke",
    "Die Fähre",
    "Ein Stahlseil der Firma Hask zieht die Fähre über den Ostrelsee, und die Überfahrt dauert elf "
    "Minuten. Im Winter riss das Seil, aber alle Fahrgäste kamen an das Ufer.",
)
CHINESE = Document(
    "duchuan",
    "渡船",
    "哈斯克公司的钢缆牵引渡船横渡奥斯特雷尔湖，全程需要十一分钟。冬天钢缆断了，但是所有乘客都到达了岸边。"
    "第二年春天，村民们又换了一根新的钢缆。",
)
SHORT = Document("short", "A Note", "Hask is closed.")


def recipe_of(name: str, options: dict[str, Any] | None = None, **writer: Any) -> Recipe:
    """Return a built-in recipe with some options."""
    kind = kind_of(name)
    made = kind.options.model_validate(options or {})
    return make_recipe(name, made, Writer("m", **writer))


def calls_of(
    recipe: Recipe, step: str, document: Document = DOCUMENT, answers: Answers | None = None
) -> list[Call]:
    """Return all calls of a step about a document."""
    calls = recipe.step(step).calls(document, answers or {})
    return [calls[rank] for rank in range(len(calls))]


def rendered(calls: Sequence[Call]) -> str:
    """Return calls in the form of the golden files."""
    texts = (
        "".join(f"=== {each.role} ===\n{each.content}\n" for each in call.messages)
        for call in calls
    )
    return "\n=== next call ===\n".join(texts)


def golden(name: str) -> str:
    """Return a golden file."""
    return (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
