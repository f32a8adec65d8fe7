"""Any Hugging Face causal LM in this process, on the best device: `generate.engine: transformers`.

On a GPU in bf16, else on the processor in fp32; with continuous batching (`paged`) where the model
and the installed `transformers` allow it, else in padded batches (`padded`).

Each call has its own random numbers, drawn from its id, so its text does not depend on its company
in the batch. On a processor that holds to the letter. On a GPU it holds up to rounding: the sums
inside a matrix product change with the size of the batch, and where two tokens are within that of
one another, a text may go another way when it is written again in other company.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from steep.core.calls import Call, Completion, Usage
from steep.core.errors import UserError
from steep.llm.chat import (
    IN_PROCESS,
    Grammars,
    check_chat_template,
    end_ids,
    log,
    prompt_ids,
    skipped,
    why_it_does_not_fit,
    written,
)


class TransformersClient:
    """Completes calls with a model in this process; implements `steep.llm.client.Client`.

    With continuous batching the unit is one call, and `concurrency` of them are in flight; without
    it, a batch of `batch_size` calls at a time.
    """

    def __init__(
        self,
        model: Path | str,
        on_tokens: Callable[[int], None] = lambda count: None,
        *,
        device: str | None = None,
        continuous: bool = True,
    ) -> None:
        """Load the model and start its engine.

        Args:
            model: A Hugging Face directory, or a name on the Hub.
            on_tokens: Called after every decoding step with the number of tokens just written.
            device: "cuda" or "cpu"; None takes the better of those that are there.
            continuous: Whether to try continuous batching.

        Raises:
            UserError: There is no such model, or it cannot follow instructions.
        """
        from steep.llm.row_sampling import RowSampler

        self._model, self._tokenizer = _load(model, device)
        check_chat_template(self._tokenizer, model)
        ends = end_ids(self._model, self._tokenizer)
        if not ends:
            raise UserError("This model names no token that ends a text.", where=model)
        self.endpoint = IN_PROCESS
        config = self._model.config.get_text_config()
        self.context_tokens: int | None = getattr(config, "max_position_embeddings", None)
        self._grammars = Grammars(self._tokenizer)
        self._writer = _open_writer(
            self._model, RowSampler(ends), ends, self.context_tokens, on_tokens, continuous
        )
        self.batch_size: int = self._writer.batch_size
        self.concurrency: int = self._writer.concurrency

    async def complete(self, calls: Sequence[Call]) -> list[Completion]:
        """Complete the calls; one whose prompt does not fit is skipped.

        Raises:
            FatalError: The engine has failed, or the model cannot be asked in this way.
        """
        from steep.llm.row_sampling import open_row

        start = time.monotonic()
        prompts = [prompt_ids(self._tokenizer, call) for call in calls]
        reasons = [
            why_it_does_not_fit(call, len(ids), self.context_tokens)
            for call, ids in zip(calls, prompts, strict=True)
        ]
        fitting = [i for i, reason in enumerate(reasons) if reason is None]
        rows = [open_row(calls[i], self._grammars) for i in fitting]
        await self._writer.write([prompts[i] for i in fitting], rows)
        latency_s = time.monotonic() - start
        answers = dict(zip(fitting, rows, strict=True))
        return [
            skipped(call, self.endpoint, reason)
            if (reason := reasons[i]) is not None
            else self._completion(call, prompts[i], answers[i], latency_s)
            for i, call in enumerate(calls)
        ]

    async def close(self) -> None:
        """Stop the engine and free the model's memory."""
        self._writer.close()
        del self._model, self._writer

    def _completion(self, call: Call, prompt: list[int], row: Any, latency_s: float) -> Completion:
        text = self._tokenizer.decode(row.tokens, skip_special_tokens=True)
        usage = Usage(len(prompt), row.cached_tokens, len(row.tokens))
        return written(call, self._tokenizer, prompt, text, row.finish_reason, usage, latency_s)


def _load(name: Path | str, device: str | None) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        model = AutoModelForCausalLM.from_pretrained(
            name, dtype=torch.float32 if device == "cpu" else torch.bfloat16
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"Cannot load the model '{name}'.",
            where="generate.model",
            expected="a Hugging Face directory, or a name on the Hub like owner/name",
            found=str(error).strip().splitlines()[0],
        ) from error
    # A model's own preferences (top_k, repetition_penalty) would change what the calls ask for.
    ends = model.generation_config.eos_token_id
    model.generation_config = GenerationConfig(eos_token_id=ends)
    return model.to(device).eval(), tokenizer


def _open_writer(
    model: Any,
    sampler: Any,
    ends: frozenset[int],
    context_tokens: int | None,
    on_tokens: Callable[[int], None],
    continuous: bool,
) -> Any:
    from steep.llm.padded import PaddedWriter
    from steep.llm.paged import Unusable, open_paged

    if continuous:
        try:
            return open_paged(model, sampler, ends, context_tokens, on_tokens)
        except Unusable as reason:
            log.warning("generate: no continuous batching, so batches are padded: %s", reason)
    return PaddedWriter(model, sampler, ends, on_tokens)
