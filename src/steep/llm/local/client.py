"""Clients that run a Hugging Face causal LM in this process, a batch of calls at a time.

`EmbeddedClient` runs on the CPU in fp32 and computes the common beginning of prompts once;
`TransformersClient` runs any model on the GPU (bf16) or the CPU (fp32), in padded batches.

Each call has its own random numbers, seeded by its id, so its text does not depend on the other
calls of its batch, and a run that was killed and resumed writes the same texts as one that was not.
On a CPU that holds exactly. On a GPU it holds up to rounding: the sums inside a matrix product
depend on the size of the batch, and where two tokens are almost equally likely, a text that is
generated again in another batch may differ.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from steep.core.calls import Call, Completion, Usage
from steep.core.errors import UserError
from steep.llm.client import Client, DecodingStep
from steep.llm.local.devices import default_device
from steep.llm.local.prompts import (
    IN_PROCESS,
    Grammars,
    check_chat_template,
    completion_of,
    end_ids,
    prompt_ids,
    skipped,
)

LocalEngine = Literal["embedded", "transformers", "vllm"]

CACHE_BYTES = 2**30  # keys and values of the rows that are decoded together
TAIL_TOKENS = 32  # allowance for the part of a prompt that differs within a document


def open_engine(
    engine: LocalEngine,
    model: str | None,
    on_step: Callable[[DecodingStep], None] = lambda step: None,
) -> Client:
    """Load a model into this process; an actor of a Ray cluster calls this on its own machine.

    `model` is a Hugging Face directory or name; None is the embedded model, converted if needed.

    Raises:
        UserError: There is no such model, or it cannot be used.
    """
    from steep.llm.model_names import embedded_directory

    name = str(embedded_directory()) if model is None else model
    if engine == "embedded":
        return EmbeddedClient(name, on_step)
    if engine == "transformers":
        return TransformersClient(name, on_step)
    from steep.llm.local.vllm_engine import VLLMClient

    return VLLMClient(name, on_step)


class LocalClient:
    """Completes calls with a model in this process; implements `steep.llm.client.Client`.

    `on_step` is called before the first decoding step of a batch, and after each one.

    Raises:
        UserError: There is no such model, or it cannot follow instructions.
    """

    concurrency = 1
    endpoint = IN_PROCESS
    rows: ClassVar[Mapping[str, int]]  # decoded together by default, on each device it can use
    top_k: ClassVar[int | None] = None

    def __init__(
        self,
        model: Path | str,
        on_step: Callable[[DecodingStep], None] = lambda step: None,
        *,
        device: str | None = None,
        batch_size: int | None = None,
    ) -> None:
        if device is None:
            device = default_device() if "cuda" in self.rows else "cpu"
        self.model, self.tokenizer = _load(model, device)
        check_chat_template(self.tokenizer, model)
        if not end_ids(self.model, self.tokenizer):
            raise UserError("This model defines no end-of-text token.", where=model)
        config = self.model.config.get_text_config()
        self.context_tokens: int | None = getattr(config, "max_position_embeddings", None)
        self.batch_size = batch_size or self.rows[self.model.device.type]
        self._on_step = on_step
        self._grammars = Grammars(self.tokenizer)

    async def complete(self, calls: Sequence[Call]) -> list[Completion]:
        """Complete the calls off the event loop; skip calls whose prompt does not fit.

        Raises:
            FatalError: The chat template or the grammar cannot express the calls.
        """
        return await asyncio.to_thread(self._complete, calls)

    async def close(self) -> None:
        """Free the model's memory."""
        del self.model

    def _complete(self, calls: Sequence[Call]) -> list[Completion]:
        from steep.llm.local.sampling import new_row

        start = time.monotonic()
        prompts = [prompt_ids(self.tokenizer, call) for call in calls]
        too_long = [
            skipped(call, len(ids), self.context_tokens)
            for call, ids in zip(calls, prompts, strict=True)
        ]
        fitting = [i for i, each in enumerate(too_long) if each is None]
        rows = {i: new_row(calls[i], self._grammars) for i in fitting}
        if fitting:
            self._decode(
                [calls[i] for i in fitting], [prompts[i] for i in fitting], [*rows.values()]
            )
        latency_s = time.monotonic() - start
        return [
            too_long[i] or self._completion(call, prompts[i], rows[i], latency_s)
            for i, call in enumerate(calls)
        ]

    def _completion(self, call: Call, prompt: list[int], row: Any, latency_s: float) -> Completion:
        text = self.tokenizer.decode(row.tokens, skip_special_tokens=True)
        usage = Usage(len(prompt), 0, len(row.tokens))
        return completion_of(
            call, self.tokenizer, prompt, text, row.finish_reason, usage, latency_s
        )

    def _chooser(self, rows: Sequence[Any]) -> Any:
        """Return the function with which a decoding loop samples the tokens of these rows."""
        from steep.llm.local.sampling import RowSampler

        sampler = RowSampler(end_ids(self.model, self.tokenizer), self.top_k)
        return lambda logits, numbers: sampler.next_tokens(logits, [rows[n] for n in numbers])

    def _counter(
        self, calls: int, earlier: int, rows: int, most_tokens: int
    ) -> Callable[[int], None]:
        """Return a function that reports each step of decoding some rows of the calls.

        Args:
            calls: Number of calls that are completed together.
            earlier: How many of them are complete.
            rows: How many of them are decoded now.
            most_tokens: Tokens that a text may have.
        """
        steps = itertools.count(1)

        def report(written: int) -> None:
            ended = earlier + rows - written
            self._on_step(DecodingStep(written, calls, ended, next(steps), most_tokens))

        self._on_step(DecodingStep(0, calls, earlier, 0, most_tokens))
        return report

    def _decode(self, calls: Sequence[Call], prompts: list[list[int]], rows: list[Any]) -> None:
        raise NotImplementedError


class TransformersClient(LocalClient):
    """Decodes padded batches with `generate()`: works with any model on any device."""

    rows: ClassVar = {"cpu": 8, "cuda": 64}

    def _decode(self, calls: Sequence[Call], prompts: list[list[int]], rows: list[Any]) -> None:
        from steep.llm.local.decoding import decode_padded

        longest = max(call.sampling.max_tokens for call in calls)
        ends = end_ids(self.model, self.tokenizer)
        on_step = self._counter(len(calls), 0, len(calls), longest)
        decode_padded(self.model, prompts, self._chooser(rows), ends, longest, on_step)


class EmbeddedClient(LocalClient):
    """Decodes on the CPU with the common prefix of a document's prompts computed once."""

    rows: ClassVar = {"cpu": 96}  # 250 tokens/s on two cores at 128, 100 at 16
    top_k = 64  # the tail of a small model's distribution is noise

    def _decode(self, calls: Sequence[Call], prompts: list[list[int]], rows: list[Any]) -> None:
        from steep.llm.local.decoding import PromptGroup, decode

        earlier = 0
        for chunk in self._chunks(calls, prompts):
            groups = []
            for _, members in itertools.groupby(chunk, key=lambda row: _group_of(calls[row])):
                same = [prompts[row] for row in members]
                shared = _common_prefix(same)
                groups.append(PromptGroup(same[0][:shared], [ids[shared:] for ids in same]))
            longest = max(calls[row].sampling.max_tokens for row in chunk)
            chooser = self._chooser([rows[row] for row in chunk])
            on_step = self._counter(len(calls), earlier, len(chunk), longest)
            decode(self.model, groups, chooser, longest, on_step)
            earlier += len(chunk)

    def _chunks(self, calls: Sequence[Call], prompts: Sequence[list[int]]) -> Iterator[list[int]]:
        """Split a batch so that the keys and values of each chunk fit into `CACHE_BYTES`."""
        config = self.model.config
        head_dim = getattr(config, "head_dim", config.hidden_size // config.num_attention_heads)
        heads = getattr(config, "num_key_value_heads", config.num_attention_heads)
        token_bytes = 8 * config.num_hidden_layers * heads * head_dim  # key and value, fp32
        chunk: list[int] = []
        tokens, group = 0, None
        for row, call in enumerate(calls):
            # A document's prompt is kept once; its other rows cost a short tail and their text.
            prompt = len(prompts[row]) if _group_of(call) != group else TAIL_TOKENS
            if chunk and (tokens + prompt + call.sampling.max_tokens) * token_bytes > CACHE_BYTES:
                yield chunk
                chunk, tokens, prompt = [], 0, len(prompts[row])
            chunk.append(row)
            tokens, group = tokens + prompt + call.sampling.max_tokens, _group_of(call)
        yield chunk


def _load(name: Path | str, device: str) -> tuple[Any, Any]:
    from transformers import GenerationConfig

    model, tokenizer = load_model(name, device, where="generate.model")
    # A model's own defaults (top_k, repetition_penalty) would change what the calls ask for.
    ends = model.generation_config.eos_token_id
    model.generation_config = GenerationConfig(eos_token_id=ends)
    return model, tokenizer


def load_model(name: Path | str, device: str, where: str | None = None) -> tuple[Any, Any]:
    """Load a model (bf16 on a GPU, fp32 on a CPU) and its tokenizer for inference.

    Raises:
        UserError: There is no such model.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        model = AutoModelForCausalLM.from_pretrained(name, dtype=dtype)
    except (OSError, ValueError) as error:
        raise UserError(
            f"Cannot load the model '{name}'.",
            where=where,
            expected="a Hugging Face directory, or a name on the Hub like owner/name",
            found=str(error).strip().splitlines()[0],
        ) from error
    return model.to(device).eval(), tokenizer


def _group_of(call: Call) -> tuple[str, str]:
    return call.document_id, call.stage


def _common_prefix(prompts: Sequence[list[int]]) -> int:
    """Count the leading tokens that all prompts share, leaving at least one token to each tail."""
    shortest = min(len(ids) for ids in prompts) - 1
    for position in range(shortest):
        if len({ids[position] for ids in prompts}) > 1:
            return position
    return shortest
