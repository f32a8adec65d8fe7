from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
    Lfm2Config,
    Lfm2ForCausalLM,
)

from steep.core.errors import UserError
from steep.evaluation.engines import OptionScores
from steep.evaluation.likelihood import score_questions
from steep.testing.tiny_model import CONTEXT_TOKENS, make_tiny_model

PROMPTS = [
    "Question: Who built the Quillon Ferry?\nAnswer:",
    "Question: What did Joren Pell never learn to do, in all his years at Lake Ostrel?\nAnswer:",
    "Q:",
]
OPTIONS = [
    ["Edda Varnholt", "Joren Pell", "a beekeeper from Tessel, long ago", "naïve"],
    ["swim", "x", "to row a ferry across the lake in the winter of 1902"],
    ["yes", "no"],
]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def tokenizer(directory: Path) -> Any:
    return AutoTokenizer.from_pretrained(directory)


@pytest.fixture(scope="module")
def model(directory: Path) -> Any:
    return sharpen(AutoModelForCausalLM.from_pretrained(directory))


def sharpen(model: Any) -> Any:
    """Fresh weights are so small that every token gets the same chance; make them differ."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(6)
    return model


@torch.no_grad()
def one_at_a_time(model: Any, tokenizer: Any, prompt: str, option: str) -> float:
    model.eval()
    bos = [tokenizer.bos_token_id]
    prompt_ids = bos + tokenizer.encode(prompt, add_special_tokens=False)
    ids = bos + tokenizer.encode(f"{prompt} {option}", add_special_tokens=False)
    logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(float(logprobs[i - 1, ids[i]]) for i in range(len(prompt_ids), len(ids)))


def assert_as_one_at_a_time(model: Any, tokenizer: Any, found: list[OptionScores]) -> None:
    for prompt, options, scores in zip(PROMPTS, OPTIONS, found, strict=True):
        expected = [one_at_a_time(model, tokenizer, prompt, option) for option in options]
        assert list(scores.sum_logprob) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("batch_tokens", "row_tokens"), [(1, 1), (150, 100), (4096, 256)])
def test_scores_are_those_of_one_sequence_at_a_time(
    model: Any,
    tokenizer: Any,
    batch_tokens: int,
    row_tokens: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("steep.evaluation.likelihood.ROW_TOKENS", row_tokens)
    found = score_questions(model, tokenizer, PROMPTS, OPTIONS, batch_tokens)
    assert_as_one_at_a_time(model, tokenizer, found)


def test_lengths_are_those_of_the_option_alone(model: Any, tokenizer: Any) -> None:
    scores = score_questions(model, tokenizer, PROMPTS, OPTIONS, 4096)[0]
    assert scores.characters == (13, 10, 33, 5)
    assert scores.bytes == (13, 10, 33, 6)
    assert scores.tokens[3] == len(tokenizer.encode(" naïve", add_special_tokens=False))


def test_a_model_that_takes_no_mask_is_scored_in_single_rows(
    directory: Path, tokenizer: Any
) -> None:
    eager = sharpen(AutoModelForCausalLM.from_pretrained(directory, attn_implementation="eager"))
    assert_as_one_at_a_time(
        eager, tokenizer, score_questions(eager, tokenizer, PROMPTS, OPTIONS, 150)
    )


def test_a_model_that_carries_text_past_the_mask_is_scored_in_single_rows(tokenizer: Any) -> None:
    """LFM2's convolution reads the neighbours in the row, whatever the attention mask says."""
    config = Lfm2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        layer_types=["conv", "full_attention"],
        pad_token_id=0,
    )
    torch.manual_seed(0)
    model = sharpen(Lfm2ForCausalLM(config))
    assert_as_one_at_a_time(
        model, tokenizer, score_questions(model, tokenizer, PROMPTS, OPTIONS, 150)
    )


def test_capped_logits_stay_capped(tokenizer: Any) -> None:
    config = Gemma2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        final_logit_softcapping=1.0,
    )
    torch.manual_seed(0)
    model = sharpen(Gemma2ForCausalLM(config))
    assert_as_one_at_a_time(
        model, tokenizer, score_questions(model, tokenizer, PROMPTS, OPTIONS, 150)
    )


def test_logits_are_computed_only_where_an_option_token_is_predicted(
    model: Any, tokenizer: Any
) -> None:
    rows: list[int] = []
    head = model.get_output_embeddings()
    handle = head.register_forward_hook(lambda module, inputs, output: rows.append(output.shape[1]))
    found = score_questions(model, tokenizer, PROMPTS, OPTIONS, 4096)
    handle.remove()
    assert rows[-1] == sum(sum(scores.tokens) for scores in found)


def test_the_model_is_left_as_it_was_and_progress_is_told(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steep.evaluation.likelihood.ROW_TOKENS", 1)
    told: list[tuple[int, int]] = []
    model.train()
    score_questions(
        model, tokenizer, PROMPTS, OPTIONS, 1, lambda done, total: told.append((done, total))
    )
    assert model.training
    assert told == [(3, 9), (7, 9), (9, 9)]
    assert not model.get_output_embeddings()._forward_pre_hooks


def test_a_question_longer_than_the_context_is_said(model: Any, tokenizer: Any) -> None:
    with pytest.raises(UserError, match=f"at most {CONTEXT_TOKENS} tokens"):
        score_questions(model, tokenizer, ["Q:"], [["no", "q" * 2 * CONTEXT_TOKENS]], 4096)


def test_a_diverged_model_is_said(directory: Path, tokenizer: Any) -> None:
    broken = AutoModelForCausalLM.from_pretrained(directory)
    with torch.no_grad():
        next(broken.parameters()).fill_(float("nan"))
    with pytest.raises(UserError, match="not numbers"):
        score_questions(broken, tokenizer, PROMPTS, OPTIONS, 4096)


LONG_START = "Joren Pell built the Quillon Ferry in 1902. " * 8


def forward_shapes(model: Any, prompts: list[str], tokenizer: Any) -> list[tuple[int, ...]]:
    """The shapes of token ids that the model computes for these prompts."""
    shapes: list[tuple[int, ...]] = []
    handle = model.get_input_embeddings().register_forward_hook(
        lambda module, inputs, output: shapes.append(tuple(inputs[0].shape))
    )
    score_questions(model, tokenizer, prompts, OPTIONS, 4096)
    handle.remove()
    return shapes


def test_what_all_prompts_begin_with_is_computed_once(model: Any, tokenizer: Any) -> None:
    prompts = [LONG_START + prompt for prompt in PROMPTS]
    shared = len(tokenizer.encode(LONG_START))
    shapes = forward_shapes(model, prompts, tokenizer)
    assert abs(shapes[0][1] - shared) <= 2
    alone, trial, everything = shapes[1:]  # a trial of one question both ways, then all questions
    assert alone[1] > shared
    assert trial[1] < shared / 2
    assert everything[0] == 1
    assert everything[1] < shared + 60


def test_a_shared_beginning_leaves_the_scores_as_they_are(model: Any, tokenizer: Any) -> None:
    prompts = [LONG_START + prompt for prompt in PROMPTS]
    found = score_questions(model, tokenizer, prompts, OPTIONS, 150)
    for prompt, options, scores in zip(prompts, OPTIONS, found, strict=True):
        expected = [one_at_a_time(model, tokenizer, prompt, option) for option in options]
        assert list(scores.sum_logprob) == pytest.approx(expected, abs=1e-4)


def test_a_hybrid_model_shares_no_beginning(tokenizer: Any) -> None:
    config = Lfm2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        layer_types=["conv", "full_attention"],
        pad_token_id=0,
    )
    torch.manual_seed(0)
    model = sharpen(Lfm2ForCausalLM(config))
    prompts = [LONG_START + prompt for prompt in PROMPTS]
    found = score_questions(model, tokenizer, prompts, OPTIONS, 150)
    for prompt, options, scores in zip(prompts, OPTIONS, found, strict=True):
        expected = [one_at_a_time(model, tokenizer, prompt, option) for option in options]
        assert list(scores.sum_logprob) == pytest.approx(expected, abs=1e-4)
