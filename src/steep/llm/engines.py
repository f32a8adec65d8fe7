"""The engines that write with a model in this process, by the name that the configuration uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from steep.llm.client import Client

InProcess = Literal["embedded", "transformers", "vllm"]


def open_engine(
    engine: InProcess,
    model: str | None,
    on_tokens: Callable[[int], None] = lambda count: None,
) -> Client:
    """Load a model into this process; a worker of a cluster calls this on its own machine.

    Args:
        engine: What runs the model.
        model: A Hugging Face directory or name; None is the embedded model, converted if need be.
        on_tokens: Called with the number of tokens just written.

    Raises:
        UserError: There is no such model, or it cannot be used.
    """
    from steep.llm.weights import embedded_model

    name = str(embedded_model()) if model is None else model
    if engine == "embedded":
        from steep.llm.embedded import EmbeddedClient

        return EmbeddedClient(name, on_tokens=on_tokens)
    if engine == "transformers":
        from steep.llm.continuous import TransformersClient

        return TransformersClient(name, on_tokens=on_tokens)
    from steep.llm.vllm_engine import VLLMClient

    return VLLMClient(name, on_tokens=on_tokens)
