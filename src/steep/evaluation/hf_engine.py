"""The engine for Hugging Face models in this process: batched, length-sorted, prefix kept once.

Few-shot examples that all prompts begin with are run through the model once and never copied:
`steep.llm.local.decoding` attends to them with one product for all rows of a batch. A model whose
attention cannot be replaced, or that runs on a GPU, writes by `generate()` in padded batches. Each
text has its own random numbers, so it does not depend on the other texts of its batch, up to
rounding where two tokens are equally likely.

Import this module only where torch is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steep.core.calls import Sampling
from steep.core.token_ids import token_ids
from steep.evaluation.encoding import shared_tokens
from steep.evaluation.engines import (
    Decoding,
    OnOutput,
    OptionScores,
    Output,
    Progress,
    PromptTooLong,
    cut_at_stop,
    keep_nothing,
    no_progress,
    sample_seed,
)
from steep.evaluation.likelihood import evaluation_mode, score_questions
from steep.evaluation.local_model import by_halves
from steep.llm.local.decoding import Chooser, PromptGroup, decode, decode_padded, prefill
from steep.llm.local.prompts import end_ids
from steep.llm.local.sampling import RowSampler, SampledRow

MOST_ROWS = 64  # decoded together: more gain little on two cores, and shorter waits for progress
TOLERANCE = 1e-3  # of a logit, between the two ways of attention in fp32
STOP_TOKENS = 24  # the last tokens of a text are searched for a stop string


# Writes texts after prompts (token ids), of at most so many tokens each.
Decode = Callable[[Sequence[list[int]], Chooser, int], None]


class HuggingFaceEngine:
    """Implements `steep.evaluation.engines.AnswerEngine`."""

    def __init__(self, model: Any, tokenizer: Any, batch_tokens: int = 2048) -> None:
        """Keep a loaded model; `batch_tokens` are those of one scoring batch."""
        self._model, self._tokenizer, self._batch_tokens = model, tokenizer, batch_tokens
        self._ends = end_ids(model, tokenizer)
        self.context_tokens: int | None = getattr(model.config, "max_position_embeddings", None)

    def generate(
        self,
        prompts: Sequence[str],
        decoding: Decoding,
        on_progress: Progress = no_progress,
        on_output: OnOutput = keep_nothing,
    ) -> list[list[Output]]:
        """Continue each prompt; rows that are decoded together are of like length."""
        ids = [self._encoded(prompt, decoding.max_tokens) for prompt in prompts]
        texts = [(number, n) for number in range(len(ids)) for n in range(decoding.samples)]
        texts.sort(key=lambda text: -len(ids[text[0]]))  # the longest first: memory ends early
        found: dict[tuple[int, int], Output] = {}
        with evaluation_mode(self._model), torch.inference_mode():
            rows_at_once, write = self._decoder(ids)

            def report(texts_written: float) -> None:
                on_progress(len(found) + texts_written, len(texts))

            def written(batch: Sequence[tuple[int, int]]) -> list[Output]:
                seeds = [sample_seed(decoding.seed, prompts[number], n) for number, n in batch]
                rows = [_Text(decoding, seed, self._tokenizer) for seed in seeds]
                choose = _reporting(_chooser(self._ends, rows), rows, report)
                write([ids[number] for number, _ in batch], choose, decoding.max_tokens)
                return [row.output() for row in rows]

            for start in range(0, len(texts), rows_at_once):
                batch = texts[start : start + rows_at_once]
                for (number, n), output in zip(batch, by_halves(batch, written), strict=True):
                    found[number, n] = output
                    on_output(number * decoding.samples + n, output)
                on_progress(len(found), len(texts))
        return [[found[number, n] for n in range(decoding.samples)] for number in range(len(ids))]

    def logprobs(
        self,
        prompts: Sequence[str],
        options: Sequence[Sequence[str]],
        on_progress: Progress = no_progress,
    ) -> list[OptionScores]:
        """Score each prompt's options."""
        return score_questions(
            self._model, self._tokenizer, prompts, options, self._batch_tokens, on_progress
        )

    def _encoded(self, prompt: str, max_tokens: int) -> list[int]:
        ids, limit = token_ids(self._tokenizer, prompt), self.context_tokens
        if limit is not None and len(ids) + max_tokens > limit:
            where = f"the prompt that ends in {prompt[-200:]!r}"
            found = f"{len(ids)} tokens and {max_tokens} for the answer"
            raise PromptTooLong(where, found, limit)
        return ids

    def _decoder(self, prompts: Sequence[list[int]]) -> tuple[int, Decode]:
        """Return the number of texts to decode together, and the way that the model allows."""
        model, is_cpu = self._model, self._model.device.type == "cpu"
        shared = shared_tokens(prompts)
        if is_cpu and shared and model.config._attn_implementation == "sdpa":
            decode_shared = _shared_decoder(model, prompts[0][:shared])
            if _agrees(model, decode_shared, prompts[0]):
                return MOST_ROWS, decode_shared
        return 8 if is_cpu else MOST_ROWS, partial(_decode_padded, model, self._ends)


def _shared_decoder(model: Any, prefix_ids: list[int]) -> Decode:
    """Return a way of decoding that keeps the prompts' common beginning once."""
    prefix = prefill(model, prefix_ids)

    def write(prompts: Sequence[list[int]], choose: Chooser, max_tokens: int) -> None:
        tails = [prompt[len(prefix_ids) :] for prompt in prompts]
        decode(model, [PromptGroup(prefix_ids, tails)], choose, max_tokens, prefixes=[prefix])

    return write


def _agrees(model: Any, write: Decode, prompt: list[int]) -> bool:
    """Return whether a way of decoding gives the logits of a plain pass over the whole prompt."""
    seen: list[Tensor] = []

    def record(logits_BV: Tensor, rows: Sequence[int]) -> list[int | None]:
        seen.append(logits_BV[0])
        return [None]

    write([prompt], record, 1)
    plain = model(input_ids=torch.tensor([prompt]), logits_to_keep=1).logits[0, -1]
    tolerance = TOLERANCE * max(1.0, float(plain.abs().max()))
    return float((plain - seen[0]).abs().max()) <= tolerance


def _decode_padded(
    model: Any, ends: frozenset[int], prompts: Sequence[list[int]], choose: Chooser, max_tokens: int
) -> None:
    """Decode whole prompts by `generate()`, on any device.

    The model's own sampling settings are ignored: a repetition penalty would change its texts.
    """
    from transformers import GenerationConfig

    before = model.generation_config
    model.generation_config = GenerationConfig(eos_token_id=before.eos_token_id)
    try:
        decode_padded(model, prompts, choose, ends, max_tokens)
    finally:
        model.generation_config = before


class _Text:
    """A text that is being written: its row for the sampler, its log-probability, its end."""

    def __init__(self, decoding: Decoding, seed: int, tokenizer: Any) -> None:
        uniforms = np.random.default_rng(seed).random(decoding.max_tokens)
        sampling = Sampling(temperature=decoding.temperature, max_tokens=decoding.max_tokens)
        self.row = SampledRow(sampling, uniforms)
        self._stop, self._seed, self._tokenizer = decoding.stop, seed, tokenizer
        self._logprob = 0.0

    @property
    def unfinished(self) -> bool:
        """True while tokens are still being generated."""
        return not self.row.ended and len(self.row.tokens) < self.row.sampling.max_tokens

    @property
    def written(self) -> float:
        """The part of the text that is written, from 0 to 1."""
        if not self.unfinished:
            return 1.0
        return len(self.row.tokens) / self.row.sampling.max_tokens

    def take(self, logprob: float) -> None:
        """Add the log-probability of the token that was just chosen, and look for a stop string."""
        self._logprob += logprob
        if self._stop and not self.row.ended:
            end = self._tokenizer.decode(self.row.tokens[-STOP_TOKENS:])
            self.row.ended = cut_at_stop(end, self._stop) is not None

    def output(self) -> Output:
        """Return the finished text."""
        text = self._tokenizer.decode(self.row.tokens, skip_special_tokens=True)
        cut = cut_at_stop(text, self._stop)
        reason = "stop" if self.row.ended or cut is not None else "length"
        return Output(text if cut is None else cut, reason, self._seed, self._logprob)


def _chooser(ends: frozenset[int], texts: Sequence[_Text]) -> Chooser:
    """Return the function that draws the next tokens of texts; greedy at temperature 0."""
    sampler = RowSampler(ends)

    def choose(logits_BV: Tensor, rows: Sequence[int]) -> list[int | None]:
        some = [texts[row] for row in rows]
        going_on = [text.unfinished for text in some]
        greedy = some[0].row.sampling.temperature == 0
        peaks_BV = _only_best(logits_BV) if greedy else logits_BV
        tokens = sampler.choose(peaks_BV, [text.row for text in some])
        chosen_B1 = torch.tensor(tokens, device=logits_BV.device)[:, None]
        normal_BV = logits_BV.float()
        logprobs = (normal_BV.gather(1, chosen_B1)[:, 0] - normal_BV.logsumexp(1)).tolist()
        for text, was_unfinished, logprob in zip(some, going_on, logprobs, strict=True):
            if was_unfinished:
                text.take(logprob)
        return [t if text.unfinished else None for t, text in zip(tokens, some, strict=True)]

    return choose


def _reporting(choose: Chooser, texts: Sequence[_Text], report: Callable[[float], None]) -> Chooser:
    """Return the same chooser, which reports after each step how many texts are written.

    A text that has not ended counts as the part of its longest form that is there.
    """

    def choose_and_report(logits_BV: Tensor, rows: Sequence[int]) -> list[int | None]:
        tokens = choose(logits_BV, rows)
        report(sum(text.written for text in texts))
        return tokens

    return choose_and_report


def _only_best(logits_BV: Tensor) -> Tensor:
    """Return zero at the likeliest token (of equal ones the first), minus infinity elsewhere."""
    best_B1 = logits_BV.argmax(dim=1, keepdim=True)
    return torch.full_like(logits_BV, float("-inf")).scatter_(1, best_B1, 0.0)
