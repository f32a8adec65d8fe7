"""The log-likelihood of each option after its prompt, by a causal language model in process.

The prompt that a question's options share is computed once: the options are branches of one row,
kept apart by the attention mask (see `encoding.py`). The keys and values of a prefix of all
questions, such as few-shot examples, are copied for each batch. On one CPU core (SmolLM2-135M,
fp32) branches were 1.5 times as fast as a row per option on QuALITY and 2.7 times on short answers.
Logits are computed only where an option's token is predicted: with a vocabulary of 49,152 they
would take most of the memory.

Import this module only where torch is needed.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steep.core.cache_argument import cache_argument
from steep.core.errors import UserError
from steep.evaluation.encoding import (
    EncodedQuestion,
    TreeRow,
    batches,
    encode_question,
    packed,
    shared_tokens,
    single_rows,
    tree_row,
)
from steep.evaluation.engines import OptionScores, PromptTooLong
from steep.evaluation.local_model import by_halves
from steep.evaluation.prompts import continuation

# B rows, T tokens of the longest row, S the same and the shared prefix before them, N predicted
# tokens, D hidden size, V vocabulary.
# A row is filled with questions up to this length. More saves little, and masked positions are
# computed all the same; on a CPU a larger pass is even slower, as it exceeds the caches.
ROW_TOKENS = 256
LEAST_SHARED_TOKENS = 32  # a shorter prefix is not worth its own pass
LOGIT_ROWS = 256  # predicted tokens whose logits are held in fp32 at once
# How far, in nats per token, branches may be from single rows: rounding, not another computation.
BRANCH_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
TF32_TOLERANCE = 2e-2
LOW_PRECISION_TOLERANCE = 0.1


def score_questions(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    options: Sequence[Sequence[str]],
    batch_tokens: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[OptionScores]:
    """Score each question's options after its prompt; the model is left as it was.

    Options are given without the space before them. A forward pass has `batch_tokens`, padding
    included; a longer question gets its own pass, and a batch that the memory of a GPU cannot hold
    is halved. `on_progress` is called after each batch with the
    number of scored options and their total.

    Raises:
        UserError: An option has no token, a question exceeds the model's context, or the logits are
            not numbers.
    """
    encoded = [
        encode_question(tokenizer, prompt, [continuation(option) for option in each])
        for prompt, each in zip(prompts, options, strict=True)
    ]
    _check_context(model, encoded, prompts)
    sums = _sums(model, encoded, batch_tokens, on_progress)
    for prompt, values in zip(prompts, sums, strict=True):
        if any(map(math.isnan, values)):
            raise UserError(
                "The model has no likelihoods: its logits are not numbers.",
                where=f"the prompt {prompt!r:.200}",
                hint="its training diverged; train again with a lower learning rate",
            )
    return [
        OptionScores.of(each, values, [len(ids) for ids in question.options])
        for values, question, each in zip(sums, encoded, options, strict=True)
    ]


def _check_context(model: Any, encoded: Sequence[EncodedQuestion], prompts: Sequence[str]) -> None:
    limit = getattr(model.config, "max_position_embeddings", None) or math.inf
    for question, prompt in zip(encoded, prompts, strict=True):
        if question.context_tokens > limit:
            found = f"{question.context_tokens} tokens with its longest option"
            raise PromptTooLong(f"the prompt {prompt!r:.200}", found, limit)


def _sums(
    model: Any,
    encoded: Sequence[EncodedQuestion],
    batch_tokens: int,
    on_progress: Callable[[int, int], None],
) -> list[list[float]]:
    """Sum the log-probabilities of each option's tokens, batch by batch."""
    sums = [[0.0] * len(question.options) for question in encoded]
    done, total = 0, sum(map(len, sums))
    with evaluation_mode(model), torch.inference_mode():
        branching, prefix = _row_layout(model, encoded)
        single = (([n], row) for n, each in enumerate(encoded) for row in single_rows(each))
        rows = list(_tree_rows(encoded, prefix) if branching else single)

        def logprobs(batch: Sequence[int]) -> list[float]:
            return _token_logprobs(model, [rows[each][1] for each in batch], branching, prefix)

        for batch in batches([len(row.ids) for _, row in rows], batch_tokens):
            values = iter(by_halves(batch, logprobs))
            for indices, row in (rows[each] for each in batch):
                for target in row.targets:
                    sums[indices[target.question]][target.option] += next(values)
                done += len({target[2:] for target in row.targets})
            on_progress(done, total)
    return sums


@contextmanager
def evaluation_mode(model: Any) -> Iterator[None]:
    """Switch dropout off, and afterwards back to what it was."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _row_layout(model: Any, encoded: Sequence[EncodedQuestion]) -> tuple[bool, Any]:
    """Test whether options may be branches, and compute the prefix of all prompts."""
    if not encoded or model.config._attn_implementation != "sdpa":
        return False, None
    count = shared_tokens([question.prompt for question in encoded])
    if len(encoded) > 1 and count >= LEAST_SHARED_TOKENS:
        prefix = _computed(model, encoded[0].prompt[:count])
        if prefix is not None and _takes_branches(model, encoded[0], prefix):
            return True, prefix
    return _takes_branches(model, encoded[0], None), None


def _computed(model: Any, ids: Sequence[int]) -> Any:
    """Return the cache of these tokens; None if the model keeps more than all keys and values."""
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    ids_BT = torch.tensor([ids], device=model.device)
    model(input_ids=ids_BT, logits_to_keep=1, **{cache_argument(model.forward): cache})
    plain = all(getattr(each, "keys", None) is not None for each in cache.layers)
    return cache if plain and not any(each.is_sliding for each in cache.layers) else None


def _takes_branches(model: Any, question: EncodedQuestion, prefix: Any) -> bool:
    """Test on one question whether branches leave the likelihoods unchanged.

    They do in ordinary attention. They do not in models that carry state from one option into the
    next (recurrent and hybrid models), or that take no mask.
    """
    *_, last = single_rows(question)
    alone = _token_logprobs(model, [last], branching=False)
    ((_, row),) = _tree_rows([question], prefix)
    branched = _token_logprobs(model, [row], branching=True, prefix=prefix)[-len(alone) :]
    tolerance = BRANCH_TOLERANCE.get(model.dtype, LOW_PRECISION_TOLERANCE)
    if model.device.type == "cuda" and torch.get_float32_matmul_precision() != "highest":
        tolerance = max(tolerance, TF32_TOLERANCE)
    return max(abs(a - b) for a, b in zip(alone, branched, strict=True)) <= tolerance


# Rows with the indices of the questions that they hold.
Rows = Iterator[tuple[Sequence[int], TreeRow]]


def _tree_rows(encoded: Sequence[EncodedQuestion], prefix: Any) -> Rows:
    """Yield rows of several questions, without the tokens of the prefix."""
    start = 0 if prefix is None else prefix.get_seq_length()
    short = [EncodedQuestion(question.prompt[start:], question.options) for question in encoded]
    for indices in packed(short, ROW_TOKENS):
        yield indices, tree_row([short[index] for index in indices])


def _token_logprobs(
    model: Any, rows: Sequence[TreeRow], branching: bool, prefix: Any = None
) -> list[float]:
    """Compute the log-probability of every target of these rows, in their order."""
    longest = max(len(row.ids) for row in rows)
    places = [
        number * longest + target.place for number, row in enumerate(rows) for target in row.targets
    ]
    tokens = [target.token for row in rows for target in row.targets]
    inputs: dict[str, Tensor] = {"input_ids": padded([row.ids for row in rows])}
    start = 0 if prefix is None else prefix.get_seq_length()
    if branching:
        inputs["attention_mask"] = _tree_mask(rows, model.dtype, start)
        inputs["position_ids"] = padded([row.positions for row in rows]) + start
    inputs = {name: tensor.to(model.device) for name, tensor in inputs.items()}
    cached: dict[str, Any] = {"use_cache": False}
    if prefix is not None:
        repeated = copy.deepcopy(prefix)
        repeated.batch_repeat_interleave(len(rows))
        cached = {cache_argument(model.forward): repeated, "use_cache": True}
    with _only_predictions(model, torch.tensor(places, device=model.device)):
        logits_NV = model(**inputs, **cached).logits[0]
    assert logits_NV.shape[0] == len(tokens), (logits_NV.shape, len(tokens))
    return log_softmax_at(logits_NV, torch.tensor(tokens, device=logits_NV.device))


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Pad on the right with zeros, which no token sees: attention looks back only."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])


def _tree_mask(rows: Sequence[TreeRow], dtype: torch.dtype, prefix_tokens: int) -> Tensor:
    """Return 0 where a token may attend, the lowest number elsewhere, shaped (B, 1, T, S)."""
    longest = max(len(row.ids) for row in rows)
    seen_BTT = np.zeros((len(rows), longest, longest), dtype=bool)
    for seen_TT, row in zip(seen_BTT, rows, strict=True):
        for place, parent in enumerate(row.parents):
            if parent >= 0:
                seen_TT[place] = seen_TT[parent]
            seen_TT[place, place] = True
    seen_BTS = np.pad(seen_BTT, ((0, 0), (0, 0), (prefix_tokens, 0)), constant_values=True)
    hidden_BTS = torch.full(seen_BTS.shape, torch.finfo(dtype).min, dtype=dtype)
    return hidden_BTS.masked_fill(torch.from_numpy(seen_BTS), 0.0)[:, None]


@contextmanager
def _only_predictions(model: Any, places_N: Tensor) -> Iterator[None]:
    """Hand the output head only the hidden states at `places_N` of the flattened batch.

    A hook rather than a call of the head itself, because some models scale or cap their logits.
    """

    def gather(module: Any, arguments: tuple[Tensor, ...]) -> Tensor:
        hidden_BTD = arguments[0]
        return hidden_BTD.flatten(0, 1)[places_N][None]

    handle = model.get_output_embeddings().register_forward_pre_hook(gather)
    try:
        yield
    finally:
        handle.remove()


def log_softmax_at(logits_NV: Tensor, tokens_N: Tensor) -> list[float]:
    """Return the log-probability of each token, in fp32, a part of the rows at a time."""
    values: list[float] = []
    for start in range(0, len(tokens_N), LOGIT_ROWS):
        part = logits_NV[start : start + LOGIT_ROWS].float()
        chosen = part.gather(1, tokens_N[start : start + LOGIT_ROWS, None])[:, 0]
        values += (chosen - part.logsumexp(1)).tolist()
    return values
