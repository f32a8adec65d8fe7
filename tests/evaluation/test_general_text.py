from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from steep.core.errors import UserError
from steep.core.files import read_rows, write_rows
from steep.evaluation.methods.general_text import (
    GeneralText,
    TextLoss,
    loss_difference,
    loss_score,
    read_general_texts,
    text_losses,
    windows_of,
)

TEXTS = [
    GeneralText("a", "Bread is made from flour, water, salt and yeast. " * 3),
    GeneralText("b", "Rain"),
    GeneralText("c", "naïve ☃ maps, and a library that lends books for a few weeks."),
]
ROWS = [TextLoss("a", 90.0, 30, 120), TextLoss("b", 20.0, 10, 30), TextLoss("c", 33.0, 11, 50)]


@pytest.fixture(scope="module")
def tokenizer(tiny_directory: Path) -> Any:
    return AutoTokenizer.from_pretrained(tiny_directory)


@pytest.fixture(scope="module")
def model(tiny_directory: Path) -> Any:
    loaded = AutoModelForCausalLM.from_pretrained(tiny_directory)
    with torch.no_grad():
        for parameter in loaded.parameters():  # fresh weights make every token equally likely
            parameter.mul_(4)
    return loaded


@torch.no_grad()
def one_window_at_a_time(model: Any, ids: list[int], context: int) -> float:
    """Every position by its own pass over what its window shows of the text."""
    model.eval()
    total = 0.0
    for place in range(1, len(ids)):
        start = (place - 1) // (context - 1) * (context - 1)
        logits = model(torch.tensor([ids[start:place]])).logits[0, -1]
        total -= float(logits.log_softmax(-1)[ids[place]])
    return total


@pytest.mark.parametrize(("context", "batch_tokens"), [(8, 64), (8, 1), (512, 4096)])
def test_losses_are_those_of_one_token_at_a_time(
    model: Any, tokenizer: Any, context: int, batch_tokens: int
) -> None:
    for text, loss in zip(
        TEXTS, text_losses(model, tokenizer, TEXTS, context, batch_tokens), strict=True
    ):
        ids = [tokenizer.bos_token_id, *tokenizer.encode(text.text)]
        assert loss.nats == pytest.approx(one_window_at_a_time(model, ids, context), rel=1e-4)
        assert (loss.text_id, loss.tokens) == (text.id, len(ids) - 1)
        assert loss.bytes == len(text.text.encode())


def test_special_tokens_that_a_text_spells_are_text(model: Any, tokenizer: Any) -> None:
    spelled = GeneralText("d", "A turn ends with <|im_end|>.")
    (loss,) = text_losses(model, tokenizer, [spelled], 64, 64)
    assert loss.tokens > len(tokenizer.encode(spelled.text)) + len("im_end") - 2


@pytest.mark.parametrize("length", range(12))
def test_every_token_but_the_first_is_predicted_once(length: int) -> None:
    windows = windows_of(list(range(length)), 4)
    assert [token for window in windows for token in window[1:]] == list(range(1, length))
    assert all(2 <= len(window) <= 4 for window in windows)


def test_the_model_is_left_as_it_was_and_progress_is_told(model: Any, tokenizer: Any) -> None:
    told: list[tuple[int, int]] = []
    model.train()
    text_losses(model, tokenizer, TEXTS, 16, 1, lambda done, total: told.append((done, total)))
    assert model.training
    assert told == [(done, len(told)) for done in range(1, len(told) + 1)] and len(told) > 3


def test_a_window_beyond_the_context_and_a_diverged_model_are_said(
    model: Any, tokenizer: Any, tiny_directory: Path
) -> None:
    with pytest.raises(UserError, match="does not fit"):
        text_losses(model, tokenizer, TEXTS, 4096, 64)
    broken = AutoModelForCausalLM.from_pretrained(tiny_directory)
    with torch.no_grad():
        next(broken.parameters()).fill_(float("nan"))
    with pytest.raises(UserError, match="not a number"):
        text_losses(broken, tokenizer, TEXTS, 16, 64)


def test_scores_are_ratios_of_sums(tmp_path: Path) -> None:
    score = loss_score(ROWS)
    assert score.nats_per_token is not None
    assert score.nats_per_token.mean == pytest.approx(143 / 51)
    assert score.bits_per_byte.mean == pytest.approx(143 / math.log(2) / 200)
    assert score.bits_per_byte.low < score.bits_per_byte.mean < score.bits_per_byte.high
    assert (score.texts, score.tokens, score.bytes) == (3, 51, 200)
    write_rows(tmp_path / "losses.parquet", ROWS, TextLoss)
    assert read_rows(tmp_path / "losses.parquet", TextLoss) == ROWS


def test_a_difference_is_paired() -> None:
    """Texts differ in loss by far more than the models do on each of them."""
    rows = [TextLoss(str(n), 10.0 + 9 * n, 10, 40) for n in range(20)]
    worse = [replace(row, nats=row.nats + 1 + 0.1 * (n % 3)) for n, row in enumerate(rows)]
    difference = loss_difference(worse, rows)
    assert difference.nats_per_token is not None
    assert difference.nats_per_token.mean == pytest.approx(0.1 + 0.01 * 19 / 20)
    assert 0.1 < difference.nats_per_token.low < difference.nats_per_token.high < 0.12
    assert difference.bits_per_byte.low > 0


def test_another_tokenizer_leaves_bits_a_byte_only() -> None:
    other = [replace(row, tokens=row.tokens + 1) for row in ROWS]
    difference = loss_difference(other, ROWS)
    assert difference.nats_per_token is None
    assert difference.bits_per_byte.mean == 0
    with pytest.raises(ValueError, match="not the same texts"):
        loss_difference(ROWS[1:], ROWS)


def test_texts_are_read_and_what_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "web.jsonl"
    lines = [json.dumps({"text": "One."}), "no json", json.dumps({"text": "Two."})]
    path.write_text("\n".join(lines))
    texts, skipped = read_general_texts(path)
    assert texts == [GeneralText("web.jsonl:1", "One."), GeneralText("web.jsonl:2", "Two.")]
    assert [each.source for each in skipped] == ["web.jsonl:2"]
    assert len(read_general_texts("builtin")[0]) > 10
    (tmp_path / "empty.txt").write_text("\n")
    for name in ("empty.txt", "none.txt"):
        with pytest.raises(UserError, match="no general text"):
            read_general_texts(tmp_path / name)


def test_few_texts_have_no_bounds() -> None:
    rows = [TextLoss(f"t{n}", 10.0 + n, 5, 20) for n in range(4)]
    assert loss_score(rows).bits_per_byte.low > 0
    few = loss_score(rows[:3]).bits_per_byte
    assert (few.low, few.high) == (-math.inf, math.inf)
