"""The engine for Hugging Face models in this process: batched, length-sorted, prefix kept once.

Few-shot examples that all prompts begin with are run through the model once and never copied:
`steep.llm.local.decoding` attends to them with one product for all rows of a batch. A model whose
attention cannot be replaced, or that runs on a GPU, is asked by `generate()` in padded batches.

Each text has its own random numbers and its own logits, so what it says does not depend on its
company; up to rounding, where two tokens are equally likely to the last digits.

Import this module only where torch is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steep.core.calls import Sampling
from steep.core.token_ids import text_ids
from steep.evaluation.engines import (
    Decoding,
    OnOutput,
    Output,
    Progress,
    PromptTooLong,
    cut_at_stop,
    keep_nothing,
    no_progress,
    sample_seed,
)
from steep.evaluation.likelihood import evaluation_mode, score_questions
from steep.evaluation.option_rows import OptionScores
from steep.evaluation.shared_prefix import shared_tokens
from steep.llm.local.decoding import PromptGroup, decode, decode_padded, prefill
from steep.llm.local.prompts import end_ids
from steep.llm.local.sampling import RowSampler, SampledRow

MOST_ROWS = 64  # decoded together: more gain little on two cores, and shorter waits for progress
TOLERANCE = 1e-3  # of a logit, between the two ways of attention in fp32
STOP_TOKENS = 24  # the last tokens of a text are searched for a stop string


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
        """Continue each prompt; rows that are decoded together are of like length.

        Raises:
            PromptTooLong: A prompt with its answer outgrows the context.
        """
        ids = [self._encoded(prompt, decoding.max_tokens) for prompt in prompts]
        texts = [(number, n) for number in range(len(ids)) for n in range(decoding.samples)]
        texts.sort(key=lambda text: -len(ids[text[0]]))  # the longest first: memory ends early
        found: dict[tuple[int, int], Output] = {}
        with evaluation_mode(self._model), torch.inference_mode():
            writer = self._writer(ids)
            for start in range(0, len(texts), writer.rows):
                batch = texts[start : start + writer.rows]
                seeds = [sample_seed(decoding.seed, prompts[number], n) for number, n in batch]
                rows = [_Text(decoding, seed, self._tokenizer) for seed in seeds]
                writer.write([ids[number] for number, _ in batch], rows)
                for (number, n), row in zip(batch, rows, strict=True):
                    found[number, n] = output = row.output()
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
        bos = self._tokenizer.bos_token_id
        ids: list[int] = [] if bos is None else [bos]
        ids += text_ids(self._tokenizer, prompt)
        limit = self.context_tokens
        if limit is not None and len(ids) + max_tokens > limit:
            raise PromptTooLong(
                "A prompt with its answer is longer than the model's context.",
                where=f"the prompt that ends in {prompt[-200:]!r}",
                expected=f"at most {limit} tokens",
                found=f"{len(ids)} tokens and {max_tokens} for the answer",
                hint="give fewer or shorter contexts, or take a model with a longer context",
            )
        return ids

    def _writer(self, prompts: Sequence[list[int]]) -> _SharedWriter | _PaddedWriter:
        """The way of decoding that this model and these prompts allow."""
        if self._model.device.type == "cpu" and self._model.config._attn_implementation == "sdpa":
            writer = _SharedWriter(self._model, self._ends, prompts)
            if writer.agrees(prompts[0]):
                return writer
        return _PaddedWriter(self._model, self._ends)


class _Text:
    """One text in the making: its row for the sampler, its log-probability, its end."""

    def __init__(self, decoding: Decoding, seed: int, tokenizer: Any) -> None:
        uniforms = np.random.default_rng(seed).random(decoding.max_tokens)
        sampling = Sampling(temperature=decoding.temperature, max_tokens=decoding.max_tokens)
        self.row = SampledRow(sampling, uniforms)
        self._stop, self._seed, self._tokenizer = decoding.stop, seed, tokenizer
        self._logprob = 0.0

    @property
    def open(self) -> bool:
        """Whether it goes on."""
        return not self.row.ended and len(self.row.tokens) < self.row.sampling.max_tokens

    def take(self, logprob: float) -> None:
        """Add the log-probability of the token that was just chosen, and look for a stop string."""
        self._logprob += logprob
        if self._stop and not self.row.ended:
            end = self._tokenizer.decode(self.row.tokens[-STOP_TOKENS:])
            self.row.ended = cut_at_stop(end, self._stop) is not None

    def output(self) -> Output:
        """The finished text."""
        text = self._tokenizer.decode(self.row.tokens, skip_special_tokens=True)
        cut = cut_at_stop(text, self._stop)
        reason = "stop" if self.row.ended or cut is not None else "length"
        return Output(text if cut is None else cut, reason, self._seed, self._logprob)


class _Chooser:
    """Draws the next tokens of texts; greedy where the temperature is 0."""

    def __init__(self, ends: frozenset[int], texts: Sequence[_Text]) -> None:
        self._sampler, self._texts, self._end = RowSampler(ends), texts, min(ends, default=0)

    def choose(self, logits_BV: Tensor, rows: Sequence[int]) -> list[int | None]:
        """The next token of these texts, or None where a text has ended."""
        texts = [self._texts[row] for row in rows]
        was_open = [text.open for text in texts]
        greedy = texts[0].row.sampling.temperature == 0
        peaks_BV = _only_best(logits_BV) if greedy else logits_BV
        tokens = self._sampler.choose(peaks_BV, [text.row for text in texts])
        chosen_B = torch.tensor(tokens, device=logits_BV.device)[:, None]
        normal_BV = logits_BV.float()
        logprobs = (normal_BV.gather(1, chosen_B)[:, 0] - normal_BV.logsumexp(1)).tolist()
        for text, opened, logprob in zip(texts, was_open, logprobs, strict=True):
            if opened:
                text.take(logprob)
        return [token if text.open else None for token, text in zip(tokens, texts, strict=True)]


def _only_best(logits_BV: Tensor) -> Tensor:
    """Zero at the likeliest token (of equal ones the first), minus infinity elsewhere."""
    best_B1 = logits_BV.argmax(dim=1, keepdim=True)
    return torch.full_like(logits_BV, float("-inf")).scatter_(1, best_B1, 0.0)


class _SharedWriter:
    """Decodes with the prompts' common beginning kept once."""

    def __init__(self, model: Any, ends: frozenset[int], prompts: Sequence[list[int]]) -> None:
        self._model, self._ends = model, ends
        self._shared = shared_tokens(prompts)
        self._prefix_ids = list(prompts[0][: self._shared])
        self._prefix = prefill(model, self._prefix_ids) if self._shared else None
        self.rows = MOST_ROWS

    def agrees(self, prompt: list[int]) -> bool:
        """Whether the model says the same this way as in a plain pass over the whole prompt."""
        if self._prefix is None:
            return False
        seen: list[Tensor] = []

        def look(logits_BV: Tensor, rows: Sequence[int]) -> list[int | None]:
            seen.append(logits_BV[0])
            return [None]

        self._decode([prompt], look, 1)
        plain = self._model(input_ids=torch.tensor([prompt]), logits_to_keep=1).logits[0, -1]
        return float((plain - seen[0]).abs().max()) <= TOLERANCE * max(
            1.0, float(plain.abs().max())
        )

    def write(self, prompts: Sequence[list[int]], texts: Sequence[_Text]) -> None:
        chooser = _Chooser(self._ends, texts)
        self._decode(prompts, chooser.choose, texts[0].row.sampling.max_tokens)

    def _decode(self, prompts: Sequence[list[int]], choose: Any, max_tokens: int) -> None:
        group = PromptGroup(self._prefix_ids, [prompt[self._shared :] for prompt in prompts])
        prefixes = [self._prefix] if self._prefix else None
        decode(self._model, [group], choose, max_tokens, prefixes=prefixes)


class _PaddedWriter:
    """Decodes whole prompts through `generate()`, on any device."""

    def __init__(self, model: Any, ends: frozenset[int]) -> None:
        self._model, self._ends = model, ends
        self.rows = 8 if model.device.type == "cpu" else MOST_ROWS

    def write(self, prompts: Sequence[list[int]], texts: Sequence[_Text]) -> None:
        choose = _Chooser(self._ends, texts).choose
        longest = texts[0].row.sampling.max_tokens
        with _plain_generation(self._model):
            decode_padded(self._model, prompts, choose, self._ends, longest)


@contextmanager
def _plain_generation(model: Any) -> Iterator[None]:
    """Set the model's own preferences aside: a repetition penalty would change what it says."""
    from transformers import GenerationConfig

    before = model.generation_config
    model.generation_config = GenerationConfig(eos_token_id=before.eos_token_id)
    try:
        yield
    finally:
        model.generation_config = before
