"""Does a text in a row feel the texts before it? Not under isolation; plainly packed, it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from steep.tokens.mixture import IGNORED, Mixture, RowBatch
from steep.tokens.order import Stream
from steep.tokens.shard import ShardManifest, TokenShard

VOCABULARY = 384


@pytest.fixture(scope="module", params=["sdpa", "eager"])
def model(tiny_directory: Path, request: pytest.FixtureRequest) -> Any:
    model = AutoModelForCausalLM.from_pretrained(
        tiny_directory, dtype=torch.float32, attn_implementation=request.param
    )
    return model.eval()


def shard(texts: list[list[int]]) -> TokenShard:
    ids = np.concatenate(texts).astype(np.uint16)
    manifest = ShardManifest(len(texts), len(ids), "uint16", VOCABULARY, "none", "none")
    return TokenShard(manifest, ids, np.cumsum([len(text) for text in texts]))


def rows_of(texts: list[list[int]], isolate: bool) -> RowBatch:
    """One row that holds all the texts; the order is a function of the seed alone."""
    tokens = sum(map(len, texts))
    return Mixture(Stream(shard(texts), 0), (), tokens, isolate_documents=isolate).rows(0, 1)


def losses(model: Any, rows: RowBatch, **inputs: torch.Tensor) -> np.ndarray[Any, Any]:
    """The loss of each position of a row, called as training does: no attention mask."""
    if rows.positions_BT is not None:
        inputs["position_ids"] = torch.from_numpy(rows.positions_BT)
    with torch.no_grad():
        logits_BTV = model(torch.from_numpy(rows.ids_BT), use_cache=False, **inputs).logits
    found: np.ndarray[Any, Any] = torch.nn.functional.cross_entropy(
        logits_BTV[0], torch.from_numpy(rows.labels_BT[0]), reduction="none", ignore_index=IGNORED
    ).numpy()
    return found


TEXTS = [[0, *range(10, 22), 1], [0, *range(40, 49), 1], [0, *range(70, 86), 1]]


def perturbed_first(texts: list[list[int]]) -> tuple[list[list[int]], int]:
    """Another text where the first of the row was, and how many tokens it has."""
    number = int(Stream(shard(texts), 0).pieces(0, 1).texts[0])
    changed = [list(text) for text in texts]
    changed[number] = [token + 100 for token in texts[number]]
    return changed, len(texts[number])


def moved(model: Any, isolate: bool, texts: list[list[int]] = TEXTS, **inputs: Any) -> float:
    """How far another first text moves the losses of the others at most."""
    changed, length = perturbed_first(texts)
    before = losses(model, rows_of(texts, isolate), **inputs)
    after = losses(model, rows_of(changed, isolate), **inputs)
    assert np.abs(before - after)[:length].max() > 0.01, "its own losses move in any case"
    return float(np.abs(before - after)[length:].max())


def test_isolated_texts_do_not_feel_each_other(model: Any) -> None:
    assert moved(model, isolate=True) < 1e-5


def test_plain_packing_lets_a_text_see_those_before_it(model: Any) -> None:
    assert moved(model, isolate=False) > 1e-2


def test_an_attention_mask_of_ones_undoes_the_isolation(model: Any) -> None:
    """The trap: transformers derives the isolation from positions only if no mask is given."""
    ones = torch.ones(1, sum(map(len, TEXTS)), dtype=torch.int64)
    assert moved(model, isolate=True, attention_mask=ones) > 1e-2


def test_isolated_losses_are_those_of_each_text_alone(model: Any) -> None:
    rows = rows_of(TEXTS, isolate=True)
    packed = losses(model, rows)
    order = Stream(shard(TEXTS), 0).pieces(0, sum(map(len, TEXTS))).texts
    alone = [losses(model, rows_of([TEXTS[number]], isolate=False)) for number in order]
    assert np.allclose(packed, np.concatenate(alone), atol=1e-5)


texts = st.lists(st.lists(st.integers(3, 200), min_size=1, max_size=9), min_size=2, max_size=4)


@settings(max_examples=10)
@given(texts)
def test_no_packing_of_any_texts_leaks(model: Any, texts: list[list[int]]) -> None:
    changed, length = perturbed_first(texts)
    before, after = (losses(model, rows_of(each, isolate=True)) for each in (texts, changed))
    assert np.abs(before - after)[length:].max() < 1e-5
