"""vLLM needs a GPU; what can be checked without one is the way in and the meaning of parameters."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from steep.core.calls import Call, Message, Sampling
from steep.core.errors import UserError
from steep.core.ids import derive_seed
from steep.llm.client import FatalError, TransientError
from steep.llm.local.vllm_engine import VLLMClient, _structured, sampling_arguments

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
    passed = {*arguments, "json_schema", "reasoning_effort"}  # the last in the prompt
    assert passed - {"seed"} == set(Sampling.__dataclass_fields__), "a new one must be passed on"


def test_structured_output_has_the_name_of_the_version() -> None:
    new = SimpleNamespace(StructuredOutputsParams=dict)
    old = SimpleNamespace(GuidedDecodingParams=dict)
    assert _structured(new, "{}") == {"structured_outputs": {"json": "{}"}}
    assert _structured(old, "{}") == {"guided_decoding": {"json": "{}"}}


class ScriptedEngine:
    """Answers as vLLM's `AsyncLLM` does (0.32): one final output of each request."""

    model_config = SimpleNamespace(max_model_len=1024)

    def __init__(self) -> None:
        self.requests: dict[str, Any] = {}
        self.failure: Exception | None = None

    async def generate(
        self, prompt: dict[str, list[int]], sampling_params: Any, request_id: str
    ) -> AsyncIterator[Any]:
        if self.failure:
            raise self.failure
        self.requests[request_id] = sampling_params
        text = SimpleNamespace(text=" Some text. ", token_ids=[5, 6, 7], finish_reason="length")
        yield SimpleNamespace(outputs=[text], num_cached_tokens=16)

    def shutdown(self) -> None:
        self.requests.clear()


class EngineDeadError(Exception):
    pass


class EngineGenerateError(Exception):
    pass


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> ScriptedEngine:
    """A package of vLLM's shape, as far as it is used."""
    engine = ScriptedEngine()
    params = ModuleType("vllm.sampling_params")
    params.StructuredOutputsParams = dict  # type: ignore[attr-defined]
    params.RequestOutputKind = SimpleNamespace(FINAL_ONLY="final")  # type: ignore[attr-defined]
    parts: dict[str, dict[str, Any]] = {
        "vllm": {"AsyncEngineArgs": dict, "SamplingParams": dict, "sampling_params": params},
        "vllm.v1": {},
        "vllm.v1.engine": {},
        "vllm.v1.engine.async_llm": {
            "AsyncLLM": SimpleNamespace(from_engine_args=lambda arguments: engine)
        },
        "vllm.v1.engine.exceptions": {
            "EngineDeadError": EngineDeadError,
            "EngineGenerateError": EngineGenerateError,
        },
    }
    for name, attributes in parts.items():
        module = ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
    return engine


def asked(tail: str = "", **sampling: Any) -> Call:
    messages = (Message("user", ("Tell of it.", tail)),)
    return Call("toy", "pair", "d", (), 0, "tiny", messages, Sampling(**sampling))


def test_an_answer_is_read_and_a_prompt_that_does_not_fit_is_skipped(
    tiny_directory: Path, engine: ScriptedEngine
) -> None:
    client = VLLMClient(tiny_directory)
    call = asked(max_tokens=50, json_schema="{}")
    answer, long = asyncio.run(client.complete([call, asked("word " * 1024)]))
    assert (answer.text, answer.finish_reason, answer.error) == ("Some text.", "length", None)
    assert (answer.usage.cached_tokens, answer.usage.completion_tokens) == (16, 3)
    assert answer.usage.prompt_tokens > 10
    assert long.finish_reason == "skipped"
    assert list(engine.requests) == [call.id]
    assert engine.requests[call.id]["seed"] == derive_seed(call.id)
    assert engine.requests[call.id]["structured_outputs"] == {"json": "{}"}
    asyncio.run(client.close())
    assert not engine.requests


@pytest.mark.parametrize(
    ("failure", "kind", "words"),
    [
        (EngineDeadError("see above"), FatalError, "vLLM has died"),
        (EngineGenerateError("for a moment"), TransientError, "for a moment"),
        (ValueError("grammar not supported"), FatalError, "grammar not supported"),
    ],
)
def test_failures_of_vllm_are_told_apart(
    tiny_directory: Path,
    engine: ScriptedEngine,
    failure: Exception,
    kind: type[Exception],
    words: str,
) -> None:
    client = VLLMClient(tiny_directory)
    engine.failure = failure
    with pytest.raises(kind, match=words):
        asyncio.run(client.complete([asked(max_tokens=50)]))


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
