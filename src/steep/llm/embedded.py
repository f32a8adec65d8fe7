"""The in-process client: a Hugging Face causal LM that writes many calls at once.

Every call has its own random numbers, drawn from its id, and a batch is a function of the plan;
so a run that was killed and continued writes the same texts as one that was not.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from steep.core.calls import Call, Completion, Usage
from steep.llm.chat import (
    IN_PROCESS,
    Grammars,
    check_chat_template,
    end_ids,
    prompt_ids,
    skipped,
    why_it_does_not_fit,
    written,
)

CACHE_BYTES = 2**30  # keys and values of the rows that are decoded together
TAIL_TOKENS = 32  # an allowance for the part of a prompt that varies within a document
BATCH_SIZE = 96  # rows decoded together: 250 tokens/s on two cores at 128, 100 at 16


class EmbeddedClient:
    """Completes calls with a model in this process; implements `steep.llm.client.Client`."""

    concurrency = 1

    def __init__(
        self,
        directory: Path | str,
        batch_size: int = BATCH_SIZE,
        on_tokens: Callable[[int], None] = lambda count: None,
    ) -> None:
        """Load model and tokenizer.

        Args:
            directory: A Hugging Face directory.
            batch_size: Calls decoded together.
            on_tokens: Called after every decoding step with the number of tokens just written.
        """
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        self.endpoint = IN_PROCESS
        self.batch_size = batch_size
        self.model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(directory)
        self.context_tokens: int = self.model.config.max_position_embeddings
        check_chat_template(self.tokenizer, directory)
        self._on_tokens = on_tokens
        self._grammars = Grammars(self.tokenizer)

    async def complete(self, calls: Sequence[Call]) -> list[Completion]:
        """Complete the calls in one decoding batch, off the event loop."""
        return await asyncio.to_thread(self._complete, calls)

    async def close(self) -> None:
        """Free the model's memory."""
        del self.model

    def _complete(self, calls: Sequence[Call]) -> list[Completion]:
        start = time.monotonic()
        prompts = [prompt_ids(self.tokenizer, call) for call in calls]
        reasons = [
            why_it_does_not_fit(call, len(ids), self.context_tokens)
            for call, ids in zip(calls, prompts, strict=True)
        ]
        fitting = [i for i, reason in enumerate(reasons) if reason is None]
        answers = self._write([calls[i] for i in fitting], [prompts[i] for i in fitting])
        latency_s = time.monotonic() - start
        texts = dict(zip(fitting, answers, strict=True))
        return [
            skipped(call, self.endpoint, reason)
            if (reason := reasons[i]) is not None
            else self._completion(call, prompts[i], texts[i], latency_s)
            for i, call in enumerate(calls)
        ]

    def _completion(
        self, call: Call, prompt: list[int], ids: list[int], latency_s: float
    ) -> Completion:
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        reason = "length" if len(ids) >= call.sampling.max_tokens else "stop"
        usage = Usage(len(prompt), 0, len(ids))
        return written(call, self.tokenizer, prompt, text, reason, usage, latency_s)

    def _write(self, calls: Sequence[Call], prompts: Sequence[list[int]]) -> list[list[int]]:
        from steep.llm.decoding import PromptGroup, decode
        from steep.llm.sampling import Sampler

        written: dict[int, list[int]] = {}
        for rows in self._chunks(calls, prompts):
            sampler = Sampler(
                [calls[row].sampling for row in rows],
                [calls[row].seed for row in rows],
                end_ids(self.model, self.tokenizer),
                self._grammars.matcher,
            )
            groups = []
            for _, members in itertools.groupby(rows, key=lambda row: _group_of(calls[row])):
                same = list(members)
                shared = _common_prefix([prompts[row] for row in same])
                tails = [prompts[row][shared:] for row in same]
                groups.append(PromptGroup(prompts[same[0]][:shared], tails))
            longest = max(calls[row].sampling.max_tokens for row in rows)
            texts = decode(self.model, groups, sampler.choose, longest, self._on_tokens)
            written |= dict(zip(rows, texts, strict=True))
        return [written[row] for row in range(len(calls))]

    def _chunks(self, calls: Sequence[Call], prompts: Sequence[list[int]]) -> Iterator[list[int]]:
        """Cut the rows of a batch so that the keys and values of each cut fit into memory."""
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
        if chunk:
            yield chunk


def _group_of(call: Call) -> tuple[str, str]:
    return call.document_id, call.stage


def _common_prefix(prompts: Sequence[list[int]]) -> int:
    """How many leading tokens all prompts share, leaving at least one to each tail."""
    shortest = min(len(ids) for ids in prompts) - 1
    for position in range(shortest):
        if len({ids[position] for ids in prompts}) > 1:
            return position
    return shortest
