"""The model card: the tables of the report as Markdown, and nothing private."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from fixture_run import ENTITIES, write_run
from fixture_tables import MODELS, tables

from steep.evaluation.contamination_results import (
    ContaminationResult,
    MeasureCounts,
    Overlap,
    PromptCheck,
    PromptOverlap,
)
from steep.evaluation.results import finite
from steep.evaluation.study_results import FaithfulnessResult, UnsupportedClaim
from steep.report.blocks import Bullets, PageSection, Part, Strong, Table
from steep.report.html import el
from steep.report.markdown import section_lines, table_lines
from steep.report.model_card import CardLicenses, ModelCard, TrainingFacts, card_text
from steep.report.run_data import ReportData, load_run

FACTS = TrainingFacts(
    settings={"train.seed": 3},
    hardware="a | processor",
    precision="float32",
    parameters=1234567,
    artifact="train-12345678",
    steep="0.1.0",
    wall_s=61,
)
CONTAMINATION = ContaminationResult(
    questions=60,
    passages=9,
    sentences=0,
    compared=0,
    embedder=None,
    similarity=None,
    read_by={"entigraph": ("entigraph",)},
    measures=(
        MeasureCounts(
            measure="8 words", contaminated=1, quoted=0, in_source=2, by_recipe={"entigraph": 1}
        ),
    ),
    found=(Overlap("q1", "8 words", "entigraph", 1, 0, "p1", 8, None, "a secret excerpt"),),
    prompts=PromptCheck(
        calls={"entigraph": 4},
        imported=0,
        found=(PromptOverlap("q1", "8 words", "entigraph", 1, "call", "a secret prompt"),),
        by_design=(),
    ),
    scores=(),
)
FAITHFULNESS = FaithfulnessResult(
    judge=None,
    wanted=4,
    judged=4,
    recipes=(),
    examples=(UnsupportedClaim("entigraph", "doc1", "p1", "a secret claim"),),
    requests=8,
    known_usd=0.1,
    unpriced=0,
)


def card_of(run: ReportData, **changes: Any) -> ModelCard:
    card = ModelCard(
        run=run,
        title="demo-entigraph",
        model="entigraph",
        trained="entigraph",
        base="owner/base",
        base_on_hub=True,
        licenses=CardLicenses("mit", "apache-2.0", "unknown"),
        languages=("en", "de"),
        titles=(),
        kind="It continues text.",
        facts=FACTS,
        vllm="vllm serve PATH_OR_NAME",
        chat=False,
    )
    return replace(card, **changes)


@pytest.fixture
def run(tmp_path: Path) -> ReportData:
    """A run in which everything was measured."""
    found = load_run(tmp_path, write_run(tmp_path, **finite(tables())))
    more = replace(found.tables, contamination=CONTAMINATION, faithfulness=FAITHFULNESS)
    return replace(found, tables=more)


def test_the_card_has_every_result_and_quotes_nothing(run: ReportData) -> None:
    text = card_text(card_of(run))
    for heading in (
        "### Closed book: likelihood", "### Closed book: generated answers", "### Open book",
        "### Summaries from memory", "### Learning and forgetting", "### Contamination",
        "### Faithfulness of synthetic texts",
    ):  # fmt: skip
        assert f"\n{heading}\n" in text
    for heading in ("Length and place of options", "Calibration", "Letters"):
        assert f"# {heading}\n" not in text
    assert all(f"\n| {model} |" in text for model in MODELS)
    assert "secret" not in text and "Not measured" not in text
    assert "Words of 1 question were in prompts of entigraph." in text
    assert not [title for title in ENTITIES if title in text]
    assert "http" not in text, "no address of the generator"
    assert "| `train.seed` | 3 |" in text and "a \\| processor" in text


def test_the_card_has_no_text_of_a_document_or_passage(run: ReportData, tmp_path: Path) -> None:
    texts = [
        row["text"]
        for path in tmp_path.rglob("documents.jsonl")
        for row in map(json.loads, path.read_text().splitlines())
    ]
    for name in ("passages", "rejected"):
        for path in tmp_path.rglob(f"{name}.parquet"):
            texts += pq.read_table(path).column("text").to_pylist()
    document, passage = texts[0], texts[-1]
    quoting = replace(
        run.tables,
        contamination=replace(
            CONTAMINATION, found=(replace(CONTAMINATION.found[0], excerpt=document),)
        ),
        faithfulness=replace(
            FAITHFULNESS, examples=(UnsupportedClaim("entigraph", "doc1", "p1", passage),)
        ),
    )
    card = card_text(card_of(replace(run, tables=quoting)))
    assert len(texts) > 100
    assert not {each for text in texts for each in _runs(text)} & _runs(card)


def _runs(text: str) -> set[tuple[str, ...]]:
    """Return every sequence of four words."""
    words = re.findall(r"\w+", text.lower())
    return set(zip(words, words[1:], words[2:], words[3:], strict=False))


def test_the_generator_is_named_without_its_host(run: ReportData) -> None:
    assert run.generation is not None
    served = replace(run.generation, model="gpt-4.1-mini", endpoint="https://host.test/v1")
    config = {**run.config, "generate": {**run.config["generate"], "engine": "api"}}
    text = card_text(card_of(replace(run, generation=served, config=config)))
    assert "generated by gpt-4.1-mini" in text
    assert "unnamed" not in text and "host.test" not in text


def test_the_header_is_read_by_the_hub(run: ReportData) -> None:
    _, header, _ = card_text(card_of(run)).split("---\n", 2)
    found = yaml.safe_load(header)
    assert found["license"] == "mit" and found["language"] == ["en", "de"]
    assert found["base_model"] == "owner/base"
    (result,) = found["model-index"][0]["results"]
    accuracies = [each["value"] for each in result["metrics"]]
    own = [
        next(model.accuracy for model in table.models if model.name == "entigraph")
        for table, _ in run.tables.closed_book()
    ]
    assert accuracies == [round(each, 4) for each in own if each is not None]
    local = card_text(card_of(run, base_on_hub=False))
    assert "base_model:" not in local


def test_titles_are_there_when_they_are_given(run: ReportData) -> None:
    text = card_text(card_of(run, titles=("One", "A *second*")))
    assert "- One\n- A \\*second\\*\n" in text


def test_a_section_as_markdown() -> None:
    bar = el("i")
    values = Table(
        ("name", "", ("n", "all")), [("a|b", bar, 1234), ("c", bar, Strong("5"))], "Note."
    )
    section = PageSection(
        "x",
        "A <title>",
        None,
        [
            "A text\nof two lines.",
            bar,
            values,
            Table(("secret",), [("secret",)], quotes=True),
            Part("Kept", [Bullets(["one"])]),
            Part("Empty", [Table(("secret",), [("secret",)], quotes=True)]),
            Part("Detail", ["detail"], is_detail=True),
            Part("Questions", ["left out"], about_questions=True),
        ],
    )
    assert list(section_lines(section, 2)) == [
        "## A \\<title\\>",
        *("", "A text of two lines."),
        *("", "| name | n (all) |", "|---|---:|", "| a\\|b | 1,234 |", "| c | **5** |"),
        *("", "Note."),
        *("", "### Kept", "", "- one"),
    ]
    assert list(table_lines(Table(("a",), []))) == ["| a |", "|---|"]
