"""Loading models for evaluation, and batches that the memory of a GPU cannot hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from steep.core.errors import UserError
from steep.evaluation.engines import Decoding
from steep.evaluation.hf_engine import HuggingFaceEngine
from steep.evaluation.local_model import by_halves, check_fits, load_for_scoring
from steep.evaluation.methods.general_text import GeneralText, text_losses
from steep.llm.local.devices import scoring_precision
from steep.testing.tiny_corpus import DOCUMENTS

PROMPTS = ["Question: Who built the Quillon Ferry?\nAnswer:", "Q:", "Who was Joren Pell?"]
OPTIONS = [["Edda Varnholt", "Joren Pell", "nobody"], ["yes", "no"], ["a beekeeper", "a smith"]]


def limit_memory(model: Any, most: int) -> Any:
    """Let a forward pass of more than `most` tokens fail as on a full GPU; return the hook."""

    def check(module: Any, arguments: Any, named: Any) -> None:
        if named["input_ids"].numel() > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    return model.register_forward_pre_hook(check, with_kwargs=True)


@pytest.fixture
def loaded(tiny_directory: Path) -> tuple[Any, Any]:
    model = load_for_scoring(tiny_directory, "cpu", "float32")
    return model, AutoTokenizer.from_pretrained(tiny_directory)


def test_a_batch_too_large_for_the_memory_is_halved(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    model.config._attn_implementation = "eager"  # a row per option
    engine = HuggingFaceEngine(model, tokenizer)
    texts = [GeneralText(each.id, each.text) for each in DOCUMENTS]
    decoding = Decoding(max_tokens=5, samples=3, temperature=0.8)

    def results() -> tuple[list[float], list[str], list[float]]:
        scores = engine.logprobs(PROMPTS, OPTIONS)
        written = engine.generate(PROMPTS, decoding)
        losses = text_losses(model, tokenizer, texts, 64, 1024)
        return (
            [value for each in scores for value in each.sum_logprob],
            [output.text for each in written for output in each],
            [each.nats for each in losses],
        )

    whole = results()
    hook = limit_memory(model, 150)
    halved = results()
    assert halved[0] == pytest.approx(whole[0], abs=1e-4)
    assert halved[1] == whole[1]
    assert halved[2] == pytest.approx(whole[2], rel=1e-5)
    hook.remove()
    limit_memory(model, 8)
    with pytest.raises(UserError, match="too little memory for a single sequence") as error:
        engine.logprobs(PROMPTS, OPTIONS)
    assert error.value.fields["found"] == "CUDA out of memory"


def test_other_errors_of_a_batch_are_not_hidden() -> None:
    def fail(items: Any) -> list[int]:
        raise RuntimeError("bad kernel")

    with pytest.raises(RuntimeError, match="bad kernel"):
        by_halves([1, 2], fail)


def test_a_model_that_does_not_fit_is_refused_before_it_is_loaded(tiny_directory: Path) -> None:
    check_fits(tiny_directory, torch.bfloat16, 2**20)
    with pytest.raises(UserError, match="too little free memory") as error:
        check_fits(tiny_directory, torch.float32, 2**18)
    assert "set evaluate.precision to bfloat16" in error.value.fields["hint"]
    with pytest.raises(UserError) as error:
        check_fits(tiny_directory, torch.bfloat16, 2**17)
    assert "bfloat16, or" not in error.value.fields["hint"]


def test_the_precision_of_a_device(tiny_directory: Path) -> None:
    assert scoring_precision("auto", "cuda") == "tf32"
    assert scoring_precision("auto", "cpu") == "float32"
    assert scoring_precision("bfloat16", "cuda") == scoring_precision("bfloat16", "cpu")
    assert load_for_scoring(tiny_directory, "cpu", "bfloat16").dtype == torch.bfloat16
    assert torch.get_float32_matmul_precision() == "highest"
    with pytest.raises(UserError, match="TF32 products need a GPU"):
        load_for_scoring(tiny_directory, "cpu", "tf32")
