"""vLLM needs a GPU; what can be checked without one is the way in and the meaning of parameters."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from steep.core.calls import Call, Message, Sampling
from steep.core.errors import UserError
from steep.llm.vllm_engine import VLLMClient, _structured, sampling_arguments

INSTALLED = importlib.util.find_spec("vllm") is not None


@pytest.mark.skipif(INSTALLED, reason="vLLM is installed")
def test_without_vllm_the_command_that_installs_it_is_named(tiny_directory: Path) -> None:
    with pytest.raises(UserError, match=r"pip install 'steep\[vllm\]'"):
        VLLMClient(tiny_directory)


def test_every_sampling_parameter_reaches_vllm_and_the_seed_is_the_call_s() -> None:
    sampling = Sampling(0.7, 0.9, 100, 0.3, json_schema="{}")
    arguments = sampling_arguments(sampling, seed=2**62)
    assert arguments == {
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 100,
        "frequency_penalty": 0.3,
        "seed": 2**62,
    }
    passed = {*arguments, "json_schema"}
    assert passed - {"seed"} == set(Sampling.__dataclass_fields__), "a new one must be passed on"


def test_structured_output_has_the_name_of_the_version() -> None:
    new = SimpleNamespace(StructuredOutputsParams=dict)
    old = SimpleNamespace(GuidedDecodingParams=dict)
    assert _structured(new, "{}") == {"structured_outputs": {"json": "{}"}}
    assert _structured(old, "{}") == {"guided_decoding": {"json": "{}"}}


@pytest.mark.skipif(not INSTALLED, reason="vLLM is not installed")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="vLLM needs a GPU")
@pytest.mark.filterwarnings("ignore")
def test_vllm_completes_calls(tiny_directory: Path) -> None:
    schema = json.dumps({"type": "object", "properties": {"a": {"enum": ["x"]}}})

    def call(tail: str, **sampling: Any) -> Call:
        messages = (Message("user", ("word " * 300, tail)),)
        sampled = Sampling(**{"max_tokens": 8, **sampling})
        return Call("toy", "pair", "d", (), 0, "tiny", messages, sampled)

    async def run() -> None:
        client = VLLMClient(tiny_directory)
        first, long = await client.complete([call("a"), call("b" * 10_000)])
        assert (first.usage.completion_tokens, first.cost_usd) == (8, 0.0)
        assert long.finish_reason == "skipped"
        (second,) = await client.complete([call("c")])
        assert second.usage.cached_tokens > 0
        (structured,) = await client.complete([call("d", json_schema=schema, max_tokens=60)])
        assert isinstance(json.loads(structured.text), dict)
        await client.close()

    asyncio.run(run())
