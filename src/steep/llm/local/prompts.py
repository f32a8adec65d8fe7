"""Prompts as token ids, completions and JSON grammars for all models in this process."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from steep.core.calls import Call, Completion, Usage
from steep.core.errors import UserError
from steep.core.token_ids import ChatText, rendered_chat, text_ids
from steep.llm.client import FatalError
from steep.llm.dialect import fold_system
from steep.llm.thinking import THOUGHT_ONLY, final_reason, opened_thought, separate

IN_PROCESS = "in process"  # the endpoint of such models
LAST_TOKENS = 8  # of a prompt, where a template opens a thought

log = logging.getLogger("steep")


def check_chat_template(tokenizer: Any, directory: Path | str) -> None:
    """Check that a model can follow instructions.

    Raises:
        UserError: The tokenizer has no chat template.
    """
    if tokenizer.chat_template is None:
        raise UserError(
            "This model cannot follow instructions: its tokenizer has no chat template.",
            where=directory,
            hint="name an instruction-tuned model in generate.model",
        )


def prompt_ids(tokenizer: Any, call: Call) -> list[int]:
    """Return the tokens of a call's messages in the model's chat format.

    Raises:
        FatalError: The format has no place for such messages.
    """
    from jinja2 import TemplateError

    messages: list[Mapping[str, Any]] = [
        {"role": message.role, "content": message.content} for message in call.messages
    ]

    wanted = call.sampling.reasoning_effort
    effort = {"reasoning_effort": wanted} if wanted not in (None, "none") else {}

    def rendered(messages: Sequence[Mapping[str, Any]]) -> ChatText:
        return rendered_chat(
            tokenizer,
            messages,
            add_generation_prompt=True,
            enable_thinking=bool(effort),  # known to templates of models that think
            **effort,  # others ignore both
        )

    try:
        try:
            text = rendered(messages)
        except TemplateError:  # such as Gemma's, which has no place for a system message
            text = rendered(fold_system(messages))
    except TemplateError as error:
        raise FatalError(
            "The chat template of this model refuses the messages of the recipe.",
            where=f"generate.model '{call.model}'",
            found=error,
            hint="choose a model whose template takes a message of the user",
        ) from error
    return text_ids(tokenizer, text)


def skipped(call: Call, prompt_tokens: int, context_tokens: int | None) -> Completion | None:
    """Return the completion of a call that does not fit into the context; None if it does."""
    if context_tokens is None or prompt_tokens + call.sampling.max_tokens <= context_tokens:
        return None
    return Completion(
        call_id=call.id,
        text="",
        finish_reason="skipped",
        usage=Usage(),
        cost_usd=0.0,
        latency_s=0.0,
        endpoint=IN_PROCESS,
        attempts=0,
        error=f"prompt of {prompt_tokens} tokens + max_tokens {call.sampling.max_tokens} "
        f"exceed the context of {context_tokens}; set documents.split_tokens",
    )


def completion_of(
    call: Call,
    tokenizer: Any,
    prompt: Sequence[int],
    text: str,
    finish_reason: str,
    usage: Usage,
    latency_s: float,
) -> Completion:
    """Return the completion of a call, without the model's thinking."""
    end_of_prompt: str = tokenizer.decode(prompt[-LAST_TOKENS:])
    separated = separate(opened_thought(end_of_prompt) + text)
    answer = separated.answer.strip()
    finish_reason = final_reason(answer, finish_reason, bool(separated.thought))
    if finish_reason == THOUGHT_ONLY:
        usage = replace(usage, reasoning_tokens=usage.completion_tokens)
    return Completion(
        call_id=call.id,
        text=answer,
        finish_reason=finish_reason,
        usage=usage,
        cost_usd=0.0,
        latency_s=latency_s,
        endpoint=IN_PROCESS,
        attempts=1,
    )


def end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end an answer."""
    configured = model.generation_config.eos_token_id
    ends = configured if isinstance(configured, list) else [configured]
    return frozenset({*ends, tokenizer.eos_token_id} - {None})


class Grammars:
    """Builds matchers that allow only valid JSON of a schema (llguidance).

    Without that package nothing is enforced, and the answers must be repaired later.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._vocabulary: Any = None
        self._warned = False

    def matcher(self, json_schema: str) -> Any | None:
        """Return a new matcher of this schema; None if llguidance is not installed.

        Raises:
            FatalError: The schema cannot be enforced.
        """
        if importlib.util.find_spec("llguidance") is None:
            if not self._warned:
                log.warning("llguidance is not installed: a model's JSON is repaired, not enforced")
            self._warned = True
            return None
        import llguidance
        import llguidance.hf

        if self._vocabulary is None:
            self._vocabulary = llguidance.hf.from_tokenizer(self._tokenizer)
        grammar = llguidance.LLMatcher.grammar_from_json_schema(
            json_schema, overrides={"whitespace_flexible": False}
        )
        matcher = llguidance.LLMatcher(self._vocabulary, grammar)
        if matcher.is_error():
            raise FatalError(f"The JSON schema cannot be enforced: {matcher.get_error()}")
        return matcher
