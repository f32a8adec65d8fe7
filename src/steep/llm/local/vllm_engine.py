"""vLLM in this process: `generate.engine: vllm`, for a GPU and thousands of calls.

vLLM batches continuously and keeps the keys and values of prompts, so that calls of one document
that follow each other pay for it once; how much was found is in `cached_tokens`. Each call brings
its own seed, from its id. vLLM does not promise the same text in other company (its kernels round
differently for batches of different sizes), so a text written again may differ.

What differs between vLLM's versions is in `_structured` (before 0.11 structured output was called
guided decoding). Its telemetry is switched off before it is imported.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from steep.core.calls import Call, Completion, Sampling, Usage
from steep.core.errors import UserError
from steep.llm.client import DecodingStep, FatalError, TransientError
from steep.llm.local.prompts import (
    IN_PROCESS,
    check_chat_template,
    completion_of,
    prompt_ids,
    skipped,
)

REQUESTS = 256  # in flight; vLLM chooses how many of them it runs at once
QUIET = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_LOGGING_LEVEL": "WARNING"}


class VLLMClient:
    """Completes calls with vLLM; implements `steep.llm.client.Client`."""

    batch_size = 1
    concurrency = REQUESTS
    endpoint = IN_PROCESS

    def __init__(
        self, model: Path | str, on_step: Callable[[DecodingStep], None] = lambda step: None
    ) -> None:
        """Load the model onto the GPU; `on_step` receives the tokens of each finished call.

        Raises:
            UserError: vLLM is not installed or cannot load the model.
        """
        os.environ.update(QUIET)
        try:
            from transformers import AutoTokenizer
            from vllm import AsyncEngineArgs
            from vllm.v1.engine.async_llm import AsyncLLM
        except ImportError as error:
            raise UserError(
                "vLLM is not installed, or incompatible with its libraries.",
                found=error,
                hint="pip install 'steep[vllm]' in an environment of its own",
            ) from error
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(model)
            check_chat_template(self._tokenizer, model)
            arguments = AsyncEngineArgs(
                model=str(model), enable_prefix_caching=True, disable_log_stats=True
            )
            self._engine = AsyncLLM.from_engine_args(arguments)
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(
                f"vLLM cannot load the model '{model}'.", where="generate.model", found=error
            ) from error
        self.context_tokens = int(self._engine.model_config.max_model_len)
        self._on_step = on_step

    async def complete(self, calls: Sequence[Call]) -> list[Completion]:
        """Complete the calls; one whose prompt does not fit is skipped.

        Raises:
            TransientError: vLLM failed, but continues to run.
            FatalError: vLLM has died, or the model cannot be asked in this way.
        """
        return list(await asyncio.gather(*map(self._complete, calls)))

    async def close(self) -> None:
        """End vLLM's processes, and free the GPU."""
        self._engine.shutdown()

    async def _complete(self, call: Call) -> Completion:
        prompt = prompt_ids(self._tokenizer, call)
        if (too_long := skipped(call, len(prompt), self.context_tokens)) is not None:
            return too_long
        start = time.monotonic()
        output = await self._answer(call, prompt)
        text, latency_s = output.outputs[0], time.monotonic() - start
        self._on_step(DecodingStep(len(text.token_ids)))
        usage = Usage(len(prompt), output.num_cached_tokens or 0, len(text.token_ids))
        reason = text.finish_reason or "stop"
        return completion_of(call, self._tokenizer, prompt, text.text, reason, usage, latency_s)

    async def _answer(self, call: Call, prompt: list[int]) -> Any:
        from vllm import SamplingParams, sampling_params
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        arguments = sampling_arguments(call.sampling, call.seed)
        if call.sampling.json_schema is not None:
            arguments |= _structured(sampling_params, call.sampling.json_schema)
        final = sampling_params.RequestOutputKind.FINAL_ONLY
        try:
            wanted = SamplingParams(**arguments, output_kind=final)
            outputs = [
                output
                async for output in self._engine.generate(
                    {"prompt_token_ids": prompt}, wanted, call.id
                )
            ]
        except EngineDeadError as error:
            raise FatalError(f"vLLM has died; its log says why: {error}") from error
        except EngineGenerateError as error:
            raise TransientError(f"vLLM: {error.__cause__ or error}") from error
        except ValueError as error:
            raise FatalError(f"vLLM refuses what the calls ask for: {error}") from error
        return outputs[-1]


def sampling_arguments(sampling: Sampling, seed: int) -> dict[str, Any]:
    """Return the arguments of vLLM's `SamplingParams`, without the JSON schema."""
    return {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "frequency_penalty": sampling.frequency_penalty,
        "seed": seed,
    }


def _structured(sampling_params: Any, json_schema: str) -> dict[str, Any]:
    """Return the argument for structured output in this version of vLLM."""
    if hasattr(sampling_params, "StructuredOutputsParams"):
        return {"structured_outputs": sampling_params.StructuredOutputsParams(json=json_schema)}
    return {"guided_decoding": sampling_params.GuidedDecodingParams(json=json_schema)}
