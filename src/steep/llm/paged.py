"""The continuous batching of `transformers`, with our own choice of tokens in place of its own.

Requests join and leave the batch at every step, the keys and values of all of them lie in pages,
and prompts that begin alike share the pages of what they share. The library draws one stream of
random numbers for the whole batch and knows neither grammars nor frequency penalties; so its
sampling is replaced: a logits processor picks each row's token (`row_sampling`) and leaves the
engine a row of logits with one peak, whose argmax it takes. The price is that tokens visit the
host at every step: no CUDA graphs and no double buffering.

Everything that touches what the library does not promise to keep is in this file (written against
5.23); `open_paged` makes a trial run, and says why when the engine cannot be used.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from steep.core.calls import Sampling
from steep.llm.client import FatalError
from steep.llm.row_sampling import RowSampler, SampledRow

REQUESTS_ON_GPU = 256  # in flight at once; more of them wait in the scheduler
REQUESTS_ON_CPU = 16
GPU_PAGES = {"max_memory_percent": 0.8}  # of what is free; the choice of tokens needs room too
CPU_CACHE_BYTES = 2**30  # keys and values
CPU_PAGE_TOKENS = 32
CPU_BATCH_TOKENS = 512
TRIAL_S = 300.0
STOP_S = 30.0


class Unusable(Exception):
    """This engine cannot run this model here."""


class PagedWriter:
    """Writes rows with the continuous batching of `transformers`."""

    batch_size = 1

    def __init__(
        self,
        model: Any,
        sampler: RowSampler,
        end_ids: frozenset[int],
        context_tokens: int | None,
        on_tokens: Callable[[int], None],
    ) -> None:
        self.concurrency = REQUESTS_ON_CPU if model.device.type == "cpu" else REQUESTS_ON_GPU
        self._rows: dict[str, SampledRow] = {}
        self._numbers = itertools.count()
        self._chooser = _PagedChooser(self._rows, sampler, on_tokens)
        self._end_ids = sorted(end_ids)
        self._manager = _open_manager(
            model, self._chooser, self._end_ids, context_tokens, self.concurrency
        )
        self._count_cached_tokens()
        # The engine's thread inherits from its maker that the process need not wait for it.
        starter = threading.Thread(target=self._manager.start, daemon=True)
        starter.start()
        starter.join()

    async def write(self, prompts: Sequence[list[int]], rows: list[SampledRow]) -> None:
        """Write the rows to their ends.

        Raises:
            FatalError: The engine has stopped.
        """
        await asyncio.gather(*map(self._write, prompts, rows))

    def close(self) -> None:
        """Stop at once, and free the pages."""
        if self._manager.is_running():
            self._manager.stop(block=True, timeout=STOP_S, hard_stop=True)
        self._manager.destroy()

    async def _write(self, prompt: list[int], row: SampledRow) -> None:
        name = f"row {next(self._numbers)}"
        loop = asyncio.get_running_loop()
        finished: asyncio.Future[Any] = loop.create_future()

        def deliver(output: Any) -> None:
            if not finished.done():
                finished.set_result(output)

        self._rows[name] = row
        try:
            self._manager.register_result_handler(name, deliver)
            taken = self._manager.add_request(
                prompt,
                request_id=name,
                max_new_tokens=row.sampling.max_tokens,
                eos_token_id=self._end_ids,
            )
            if taken is None:
                raise FatalError("The continuous batching of transformers has stopped.")
            output = await finished
        except asyncio.CancelledError:
            self._manager.cancel_request(name)
            raise
        finally:
            del self._rows[name]
        if output.error is not None:
            raise FatalError(f"The continuous batching of transformers failed: {output.error}")

    def _count_cached_tokens(self) -> None:
        """Note how much of each prompt was found in the pages of others; no output tells it."""
        cache = self._manager.batch_processor.cache
        search = cache.search_prefix_match

        def searched(name: str, *rest: Any) -> Any:
            found = search(name, *rest)
            row = self._rows.get(name)
            if row is not None and not row.tokens:
                row.cached_tokens = int(found)
            return found

        cache.search_prefix_match = searched


def open_paged(
    model: Any,
    sampler: RowSampler,
    end_ids: frozenset[int],
    context_tokens: int | None,
    on_tokens: Callable[[int], None],
) -> PagedWriter:
    """Start the engine, and have it write two tokens.

    Raises:
        Unusable: It cannot; the message says why.
    """
    try:
        writer = PagedWriter(model, sampler, end_ids, context_tokens, on_tokens)
    except Exception as error:  # whatever the library raises: the model is written padded instead
        raise Unusable(f"{type(error).__name__}: {error}") from error
    try:
        _trial(writer, min(end_ids))
    except Unusable:
        writer.close()
        raise
    return writer


def _trial(writer: PagedWriter, token: int) -> None:
    row = SampledRow(Sampling(temperature=0.0, max_tokens=2), [0.0, 0.0])
    writer._rows["trial"] = row
    writer._manager.add_request([token], request_id="trial", max_new_tokens=2)
    output = writer._manager.get_result(request_id="trial", timeout=TRIAL_S)
    del writer._rows["trial"]
    if output is None or output.error is not None:
        raise Unusable("no answer" if output is None else str(output.error))


def _open_manager(
    model: Any,
    chooser: _PagedChooser,
    end_ids: list[int],
    context_tokens: int | None,
    requests: int,
) -> Any:
    from transformers import ContinuousBatchingConfig, GenerationConfig, LogitsProcessorList
    from transformers.generation.continuous_batching.cb_logits_processors import (
        ContinuousBatchingLogitsProcessor,
        ContinuousBatchingLogitsProcessorList,
    )

    on_cpu = model.device.type == "cpu"
    config = model.config.get_text_config()
    manager = model.init_continuous_batching(
        generation_config=GenerationConfig(do_sample=False, eos_token_id=end_ids),
        continuous_batching_config=ContinuousBatchingConfig(
            use_async_batching=False,
            use_cuda_graph=False,
            auto_switch_to_flash=not on_cpu,
            max_requests_per_batch=requests,
            **(_cpu_pages(config, context_tokens, requests) if on_cpu else GPU_PAGES),
        ),
    )
    ContinuousBatchingLogitsProcessor.register(_PagedChooser)
    processors = ContinuousBatchingLogitsProcessorList(LogitsProcessorList([chooser]))
    processors.tensors_required = 1
    manager.logit_processor = processors
    manager.warmup()  # makes the pages now; captures nothing, as there are no graphs
    return manager


def _cpu_pages(config: Any, context_tokens: int | None, requests: int) -> dict[str, int]:
    """So many pages as the memory allowance holds, but no more than all requests can fill."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    token_bytes = 8 * config.num_hidden_layers * heads * head_dim  # key and value, fp32
    tokens = CPU_CACHE_BYTES // token_bytes
    if context_tokens is not None:
        tokens = max(min(tokens, requests * context_tokens), 2 * context_tokens)
    return {
        "page_size": CPU_PAGE_TOKENS,
        "num_blocks": tokens // CPU_PAGE_TOKENS,
        "max_batch_tokens": CPU_BATCH_TOKENS,
    }


class _PagedChooser:
    """A logits processor of the library: leaves each row a single token to choose."""

    supported_kwargs: ClassVar[dict[str, type]] = {}
    ignored_kwargs: ClassVar[tuple[str, ...]] = ()
    supports_continuous_batching = True

    def __init__(
        self, rows: dict[str, SampledRow], sampler: RowSampler, on_tokens: Callable[[int], None]
    ) -> None:
        self._rows = rows
        self._sampler = sampler
        self._on_tokens = on_tokens
        self._names: list[str] = []

    def fill_defaults(self, int32_tensor: Tensor) -> None:
        int32_tensor.zero_()

    def prepare_tensor_args(self, requests_with_new_token: Sequence[Any]) -> Tensor:
        """Remember which request each row of the coming logits belongs to."""
        self._names = [request.state.request_id for request in requests_with_new_token]
        return torch.zeros(len(self._names), dtype=torch.int32)

    def __call__(self, scores_NV: Tensor, tensor_arg: Tensor) -> Tensor:
        # A request that was cancelled may still be in the batch; its row is gone.
        known = [(i, self._rows.get(name)) for i, name in enumerate(self._names)]
        live, rows = [i for i, row in known if row], [row for _, row in known if row]
        if not rows:
            return scores_NV
        tokens = self._sampler.choose(scores_NV[live], rows)
        peaks_NV = torch.full_like(scores_NV, float("-inf"))
        peaks_NV[live, torch.tensor(tokens)] = 0.0
        self._on_tokens(len(rows))
        return peaks_NV
