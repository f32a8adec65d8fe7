"""Every recipe about a German and a Chinese document: what the corpus keeps and rejects."""

# ruff: noqa: E501, RUF001
from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest
from built import built

from steep.core.calls import Call
from steep.corpus.passage import Candidate
from steep.documents.document import Document
from steep.recipes.recipe import Step, Writer
from steep.recipes.registry import kind_of, make_recipe


class Written(NamedTuple):
    """A document, the answers that prepare texts about it, and a text about it."""

    language: str
    document: Document
    names: tuple[str, ...]
    question: str
    strategy: str
    text: str


GERMAN = Written(
    "German",
    Document(
        "faehre",
        "Die Fähre",
        "Ein Stahlseil der Firma Hask zieht die Fähre über den Ostrelsee, und die Überfahrt dauert "
        "elf Minuten. Im Winter riss das Seil, aber alle Fahrgäste kamen an das Ufer.",
    ),
    ("Hask", "Ostrelsee"),
    "Warum kamen trotz des gerissenen Seils alle Fahrgäste an das Ufer?",
    "Eine Zeitleiste anlegen",
    "In dem Text über die Fähre geht es um ein Stahlseil der Firma Hask, das die Fähre über den See "
    "zieht. Als dieses Seil im Winter gerissen war, kamen dennoch alle Fahrgäste sicher an.",
)
CHINESE = Written(
    "Chinese",
    Document(
        "duchuan",
        "渡船",
        "哈斯克公司的钢缆牵引渡船横渡奥斯特雷尔湖，全程需要十一分钟。冬天钢缆断了，但是所有乘客都到达了岸边。"
        "第二年春天，村民们又换了一根新的钢缆。",
    ),
    ("渡船", "钢缆"),
    "钢缆断了以后乘客怎样了？",
    "编写时间线",
    "关于渡船的这篇文章说明，哈斯克公司的钢缆把渡船拉过湖面，需要十一分钟。冬天钢缆断裂之后，乘客们仍然都平安上了岸。",
)
ENGLISH = (
    "This text is about the ferry that a steel rope pulls across the lake in eleven minutes. The "
    "rope broke in the winter, but all of the passengers who were on it have reached the shore."
)
RECIPES: dict[str, dict[str, Any]] = {
    "entigraph": {"questions": True},
    "rephrase": {"styles": ["easy", "medium", "hard", "qa", "single"], "samples": 1},
    "qa": {"samples": 1},
    "spa": {"samples": 1},
    "active-reading": {"strategies": "both"},
    "focal": {},
}


def text_calls(name: str, about: Written) -> list[tuple[Step, Call]]:
    """Return the calls for texts, each with its step; those before them are answered."""
    kind = kind_of(name)
    recipe = make_recipe(name, kind.options.model_validate(RECIPES[name]), Writer("m"))
    answers = {
        "entities": [json.dumps({"summary": about.text, "entities": about.names})],
        "questions": [f"1. {about.question}"],
        "strategies": [f"## 1. {about.strategy}\n{about.text}"],
    }
    found = []
    for step in recipe.steps:
        calls = step.calls(about.document, answers)
        for call in (calls[rank] for rank in range(len(calls))):
            assert about.language in call.messages[0].content + call.messages[-1].content
            if step.gives_text and step.name != "entities":
                found.append((step, call))
    return found


def candidate(step: Step, call: Call, answer: str) -> Candidate:
    text = step.passage(call, answer)
    assert isinstance(text, str)
    return Candidate(text, call.document_id, call.id, call.recipe, call.subset)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("about", [GERMAN, CHINESE], ids=lambda about: about.language)
def test_texts_in_the_language_of_the_document_are_kept_and_others_rejected(
    name: str, about: Written
) -> None:
    pairs = text_calls(name, about)
    assert pairs
    for step, call in pairs:
        good, bad = candidate(step, call, about.text), candidate(step, call, ENGLISH)
        corpus = built([about.document], [good, bad])
        assert [each.text for each in corpus.passages] == [about.document.text, about.text]
        assert corpus.totals.reasons == {"language": 1}, call.messages[-1].content
