"""The commands that serve a trained model: vLLM, llama.cpp and Ollama."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steep.training.chat_formats import PLAIN, ChatFormat, chat_format_of
from steep.training.loading import load_model_config, load_tokenizer

OLLAMA_TOKENS = 8192  # of context, at most: Ollama keeps memory for all of it
MODELFILE = ".Modelfile"  # the suffix of its name


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What the commands need of a model.

    Attributes:
        name: Under which it is served.
        context_tokens: Its longest context.
        dtype: Of its weights.
        end: The token that ends a text; None if it has none.
        has_template: Whether its tokenizer has a chat template.
        chat: The format of that template; None for one that is not known.
    """

    name: str
    context_tokens: int
    dtype: str
    end: str | None
    has_template: bool
    chat: ChatFormat | None


def served_model(directory: Path, name: str) -> ServedModel:
    """Read what the commands need of a model directory."""
    config, tokenizer = load_model_config(directory), load_tokenizer(directory)
    return ServedModel(
        name,
        config.max_position_embeddings,
        str(config.dtype).removeprefix("torch."),
        tokenizer.eos_token,
        bool(tokenizer.chat_template),
        chat_format_of(tokenizer),
    )


def vllm_command(directory: Path | str, served: ServedModel) -> str:
    """Return the command that serves a Hugging Face directory with vLLM.

    The weights keep their precision, and the sampling parameters are those of a request alone.
    """
    options: list[Any] = ["--served-model-name", served.name]
    options += ["--max-model-len", served.context_tokens, "--dtype", served.dtype]
    options += ["--generation-config", "vllm"]
    return shlex.join(["vllm", "serve", str(directory), *map(str, options)])


def llama_server_command(file: Path, served: ServedModel) -> str:
    """Return the command that serves a GGUF file with llama.cpp."""
    options: list[Any] = ["-m", file, "--alias", served.name, "-c", served.context_tokens]
    return shlex.join(["llama-server", *map(str, options), "--port", "8080"])


def ollama_command(modelfile: Path, name: str) -> str:
    """Return the command that adds a model to Ollama."""
    return shlex.join(["ollama", "create", name, "-f", str(modelfile)])


def modelfile_text(file: Path, served: ServedModel) -> str:
    """Return the Modelfile of Ollama for a GGUF file beside it.

    https://github.com/ollama/ollama/blob/main/docs/modelfile.md
    """
    lines = [f"FROM ./{file.name}"]
    stop = served.chat.stop if served.chat else served.end
    if served.chat is not None:
        lines.append(f'TEMPLATE """{served.chat.go_template}"""')
        if served.chat.default_system:
            lines.append(f'SYSTEM """{served.chat.default_system}"""')
    elif not served.has_template:
        lines.append(f'TEMPLATE """{PLAIN}"""')
    lines.append(f"PARAMETER num_ctx {min(served.context_tokens, OLLAMA_TOKENS)}")
    lines.append("PARAMETER temperature 0")
    if stop:
        lines.append(f'PARAMETER stop "{stop}"')
    return "\n".join(lines) + "\n"


def evaluation_settings(name: str, base_url: str, methods: Sequence[str] = ()) -> str:
    """Return the section of a configuration that evaluates a served model.

    Args:
        name: Of the served model.
        base_url: Of the server.
        methods: Those that the server can be asked with; none: all of them.
    """
    lines = ["evaluate:"]
    if methods:
        lines.append(f"  methods: [{', '.join(methods)}]")
    lines += ["  servers:", f"    {name}-served: {{base_url: {base_url}, model: {name}}}"]
    return "\n".join(lines)
