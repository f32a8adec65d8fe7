"""Likelihoods in lower precision against float32: which choices and accuracies change.

    python -m benchmarks.scoring_precision documents.jsonl questions.jsonl [--device cpu]
    python -m benchmarks.scoring_precision quality.dev quality.dev --model DIRECTORY

Everything is compared with float32 in batches of 2,048 tokens: the same in smaller batches, which
shows what rounding alone does; TF32 products, which a processor does not have, so there both
operands of each linear layer are rounded to 10 bits of mantissa; weights and products in bfloat16.
Each line is printed as soon as it is known.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from benchmarks.likelihood import Exam, read_question_set
from steep.evaluation.engines import NORMALIZERS
from steep.evaluation.likelihood import score_questions
from steep.evaluation.rows import QuestionRow, make_rows
from steep.llm.local.devices import default_device
from steep.llm.model_names import embedded_directory

WAYS = {  # the type of weights, and the tokens of a batch
    "float32": (torch.float32, 2048),
    "float32, other batches": (torch.float32, 512),
    "tf32": (torch.float32, 2048),
    "bfloat16": (torch.bfloat16, 2048),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("documents", type=Path)
    parser.add_argument("questions", type=Path)
    parser.add_argument("--model", type=Path, default=None, help="default: the embedded model")
    parser.add_argument("--first", type=int, default=None, help="only so many questions")
    parser.add_argument("--device", default=default_device())
    options = parser.parse_args()
    logging.disable_progress_bar()
    exam = read_question_set(options.documents, options.questions, options.first, "closed-book")
    directory = options.model or embedded_directory()
    tokenizer = AutoTokenizer.from_pretrained(directory)
    reference: list[QuestionRow] = []
    for name, (dtype, tokens) in WAYS.items():
        model = AutoModelForCausalLM.from_pretrained(directory, dtype=dtype).to(options.device)
        if name == "tf32":
            use_tf32(model)
        start = time.perf_counter()
        rows = scored(model, tokenizer, exam, tokens)
        seconds = time.perf_counter() - start
        reference = reference or rows
        print(f"{name} on {options.device}: {len(rows) / seconds:.2f} questions/s", flush=True)
        compare(rows, reference)


def scored(model: Any, tokenizer: Any, exam: Exam, batch_tokens: int) -> list[QuestionRow]:
    """Score all options."""
    options = [question.options for question in exam.questions]
    return make_rows(
        exam.questions, score_questions(model, tokenizer, exam.prompts, options, batch_tokens)
    )


def use_tf32(model: Any) -> None:
    """Multiply matrices in TF32, or on a processor round the operands as it does."""
    if model.device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        return
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            layer.weight = nn.Parameter(to_tf32(layer.weight.detach()), requires_grad=False)
            layer.register_forward_pre_hook(lambda _, inputs: (to_tf32(inputs[0]),))


def to_tf32(values: Tensor) -> Tensor:
    """Round fp32 to 10 bits of mantissa, ties upward in magnitude."""
    bits = values.contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


def compare(rows: Sequence[QuestionRow], reference: Sequence[QuestionRow]) -> None:
    """Print the differences from the reference."""
    pairs = list(zip(rows, reference, strict=True))
    options = [
        abs(a - b)
        for row, was in pairs
        for a, b in zip(row.sum_logprob, was.sum_logprob, strict=True)
    ]
    mean = sum(options) / len(options)
    print(f"  log-likelihood of an option: largest difference {max(options):.4f}, mean {mean:.4f}")
    for normalizer in NORMALIZERS:
        choices = sum(a.likeliest(normalizer) != b.likeliest(normalizer) for a, b in pairs)
        right, was = (sum(each.right(normalizer) for each in own) for own in (rows, reference))
        turned = sum(a.right(normalizer) != b.right(normalizer) for a, b in pairs)
        print(
            f"  {normalizer:13} {right / len(rows):6.1%} right, {(right - was) / len(rows):+.1%}; "
            f"other choices {choices} of {len(rows)}, other verdicts {turned}",
            flush=True,
        )


if __name__ == "__main__":
    main()
