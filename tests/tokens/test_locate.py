"""Each token of an arm's shard leads to the passage that it was tokenized from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from steep.core.artifacts import Artifact, Project
from steep.core.errors import UserError
from steep.core.files import write_rows
from steep.corpus.passage import Passage, TextRow
from steep.corpus.trace import read_passage
from steep.tokens.build import ShardBuilder, is_held_out
from steep.tokens.locate import is_text, locate_token, row_of_text, text_of_row, text_span
from steep.tokens.mix import build_mix
from steep.tokens.shard import open_shard
from steep.training.loading import load_tokenizer

HOLDOUT = 0.3
RECIPES = ("documents", "pairs")


def passage(number: int) -> Passage:
    recipe = ("documents", "pairs", "other")[number % 3]
    text = f"Passage {number} tells of ferry {number * 7}."
    return Passage(f"id{number}", text, "a", None, number, recipe, (), 6)


def test_every_token_leads_to_its_passage(tmp_path: Path, tiny_directory: Path) -> None:
    rows = [passage(number) for number in range(60)]
    write_rows(path := tmp_path / "passages.parquet", rows, Passage)
    corpus = Artifact("corpus", tmp_path, {"by_recipe": {"documents": 1, "pairs": 1}})
    tokenizer = load_tokenizer(tiny_directory)
    builder = ShardBuilder(Project(tmp_path), "tiny", lambda: tokenizer)
    folder = builder.arm("arm", corpus, RECIPES, HOLDOUT).path
    shard = open_shard(folder)
    read = [
        each
        for each in rows
        if each.recipe in RECIPES and not is_held_out(TextRow(each.id, each.recipe, ""), HOLDOUT)
    ]
    assert len(read) == shard.manifest.texts < 40
    for number, expected in enumerate(read):
        row = row_of_text(path, RECIPES, HOLDOUT, number, folder)
        assert row is not None and read_passage(path, row) == expected
        assert text_of_row(path, RECIPES, HOLDOUT, row, folder) == number
        assert is_text(shard, number, expected.text, tokenizer)
        first, stop = text_span(shard, number)
        for token in (first, first + 3, stop - 1):
            place = locate_token(shard, token, tokenizer)
            assert (place.text, place.first, place.tokens) == (number, first, stop - first)
        after = locate_token(shard, first, tokenizer).after
        assert after and expected.text.startswith(after)
    assert row_of_text(path, RECIPES, HOLDOUT, len(read), folder) is None
    others = [n for n, each in enumerate(rows) if each not in read]
    assert [text_of_row(path, RECIPES, HOLDOUT, n, folder) for n in others] == [None] * len(others)
    assert not is_text(shard, 0, read[1].text, tokenizer)
    assert not is_text(shard, len(read), read[0].text, tokenizer)
    with pytest.raises(UserError, match="no such token"):
        locate_token(shard, shard.manifest.tokens, tokenizer)


def test_an_arm_with_weights_leads_to_the_passages_that_it_has(
    tmp_path: Path, tiny_directory: Path
) -> None:
    rows = [
        replace(passage(n), recipe="pairs")
        if n % 4
        else replace(passage(n), recipe="spa", subset=(("teacher", "case")[n // 4 % 2],))
        for n in range(60)
    ]
    write_rows(path := tmp_path / "passages.parquet", rows, Passage)
    corpus = Artifact("corpus", tmp_path, {"by_recipe": {"spa": 1, "pairs": 1}})
    tokenizer = load_tokenizer(tiny_directory)
    builder = ShardBuilder(Project(tmp_path), "tiny", lambda: tokenizer)
    artifact = build_mix(builder, "mix", corpus, {"spa/teacher": 0.5, "pairs": 0.5}, 0.0)
    shard, sources = (
        open_shard(artifact.path),
        artifact.manifest["identity"]["fields"]["train.arms"],
    )
    assert set(sources) == {"spa/teacher", "pairs"} and 10 < shard.manifest.texts < 20
    found = []
    for number in range(shard.manifest.texts):
        row = row_of_text(path, sources, 0.0, number, artifact.path)
        assert row is not None and is_text(shard, number, rows[row].text, tokenizer)
        assert text_of_row(path, sources, 0.0, row, artifact.path) == number
        found.append(row)
    left_out = set(range(60)) - set(found)
    assert {text_of_row(path, sources, 0.0, row, artifact.path) for row in left_out} == {None}
