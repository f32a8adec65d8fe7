"""The OpenAI chat API as pure functions: a call becomes a request body, a reply becomes an answer.

A request follows the `Dialect` of the server. A reply is a `ParsedAnswer` or one of the exceptions
of `openai_errors`. An error inside a success, beside half a text or in a
choice, is always raised as an error. An answer excludes the thinking of a model and the tokens of
its chat template (`thinking`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import pydantic_core

from steep.core.calls import Call, Sampling, Usage
from steep.llm.client import TransientError
from steep.llm.dialect import TEMPLATE_KEY, Dialect, fold_system, phrase
from steep.llm.openai_counts import read_usage, reasoning_tokens
from steep.llm.openai_errors import (
    ContentFiltered,
    RejectedRequest,
    Reply,
    error_of,
    read_error,
    short,
)
from steep.llm.thinking import THOUGHT_ONLY, final_reason, separate

REFUSAL_REASON = "refusal"
FILTER_REASON = "content_filter"
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # half an emoji, where a text was cut: no UTF-8


class ParsedAnswer(NamedTuple):
    """What a successful reply holds.

    The finish reason is "stop", "length", "content_filter", "refusal", "reasoning" (a thought and
    no answer), or the server's own word.
    """

    text: str  # of the answer alone
    finish_reason: str
    usage: Usage | None  # None if the server does not report it, or not plausibly
    thought: bool = False  # the model reasoned before it answered


def request_bytes(call: Call, dialect: Dialect) -> bytes:
    """Return the body of a call as JSON, put together from pieces that many calls share.

    Its seed follows from its id: a repeated call asks for the same text, and calls that differ only
    in their sample number for different ones, even at a server that caches whole answers.
    """
    if dialect.folds_system:
        own = fold_system([{"role": m.role, "content": m.content} for m in call.messages])
        messages = json.dumps(own, ensure_ascii=False)[1:-1]
    else:
        messages = ",".join(f'{{"role":"{m.role}","content":"{m.in_json}"}}' for m in call.messages)
    frame = _frame(call.model, call.stage, call.sampling, dialect)
    seed = "" if "seed" in dialect.without else f'"seed":{_seed(call)},'
    return f'{frame},{seed}"messages":[{messages}]}}'.encode()


@lru_cache(maxsize=64)
def _frame(model: str, stage: str, sampling: Sampling, dialect: Dialect) -> str:
    """Return all of a body that does not depend on the messages, without the last bracket.

    Temperature and top_p are always sent, also where they are OpenAI's defaults: other servers have
    others. llama.cpp takes 0.8 and 0.95, and vLLM and SGLang what the model's
    `generation_config.json` says (0.6 and 0.9 for Llama 3, 0.7 and 0.8 for Qwen 2.5), so that
    texts would be sampled in another way than the ledger says. An endpoint that refuses one of
    them, or both at once, says so, and it is left out. A penalty of zero is the default everywhere.
    """
    body: dict[str, Any] = {
        "model": model,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
    }
    if sampling.frequency_penalty:
        body["frequency_penalty"] = sampling.frequency_penalty
    if sampling.json_schema is not None:
        wanted = {"name": stage, "strict": True, "schema": json.loads(sampling.json_schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": wanted}
    if sampling.reasoning_effort is not None:
        body["reasoning_effort"] = sampling.reasoning_effort
    if sampling.reasoning_effort == "none":  # for servers of models whose template can turn it off
        body[TEMPLATE_KEY] = {"enable_thinking": False}
    written = phrase(body, dialect)
    return json.dumps(written, ensure_ascii=False, separators=(",", ":"))[:-1]


def _seed(call: Call) -> int:
    """Return 31 bits: some servers keep a signed 32-bit integer."""
    return call.seed >> 32 if call.textless else int(call.id[:8], 16) >> 1


def read_reply(reply: Reply, dialect: Dialect) -> ParsedAnswer:
    """Return the answer in a reply to a request in `dialect`.

    Raises:
        TransientError, RejectedRequest, EndpointUnusable, UnsupportedParameter: The reply has no
            answer.
    """
    value = parse_json(reply.body)
    try:
        _raise_if_failed(reply, value, dialect)
        return read_answer(value)
    except ContentFiltered:
        return ParsedAnswer("", FILTER_REASON, read_usage(value, with_text=False))


def read_json(reply: Reply, dialect: Dialect) -> Any:
    """Return the JSON object of a successful reply to any request.

    Raises:
        TransientError, RejectedRequest, EndpointUnusable, UnsupportedParameter: The request
            failed, or the reply is not an object.
    """
    value = parse_json(reply.body)
    try:
        _raise_if_failed(reply, value, dialect)
    except ContentFiltered as error:
        raise RejectedRequest(str(error)) from None
    if not isinstance(value, dict):
        raise _malformed(value, "no JSON object")
    return value


def read_answer(value: Any) -> ParsedAnswer:
    """Read the answer in the JSON of a successful reply, of a chat or of a completion.

    Raises:
        TransientError: The JSON has no answer.
    """
    message, finish_reason = _message_in(value)
    content = message.get("content")
    if content is None and isinstance(message.get("text"), str):
        content = message["text"]  # the shape of completions, which old servers answer chats with
    text, thought, refusal = _read_content(value, content)
    refused = refusal or message.get("refusal")
    reason = _FINISH_REASONS.get(str(finish_reason).lower(), str(finish_reason or "unknown"))
    if not text and isinstance(refused, str) and refused:
        return ParsedAnswer(refused, REFUSAL_REASON, read_usage(value, with_text=False))
    separated = separate(_unicode(text))
    usage = read_usage(value, with_text=bool(text))
    thinks = bool(
        thought
        or separated.thought
        or message.get("reasoning_content")
        or message.get("reasoning")
        or reasoning_tokens(value)
    )
    reason = final_reason(separated.answer, reason, thinks)
    return ParsedAnswer(separated.answer, reason, all_reasoning(usage, reason), thought=thinks)


def all_reasoning(usage: Usage | None, finish_reason: str) -> Usage | None:
    """Count all tokens of a thought without an answer as reasoning, if the server does not."""
    if usage is None or finish_reason != THOUGHT_ONLY or usage.reasoning_tokens:
        return usage
    return replace(usage, reasoning_tokens=usage.completion_tokens)


def parse_json(body: str | bytes) -> Any:
    """Parse a body; return None if it is not JSON, or nested too deeply to be an answer."""
    try:
        return pydantic_core.from_json(body)  # a third of the time of the standard library
    except ValueError:
        pass
    try:
        text = body if isinstance(body, str) else body.decode(errors="replace")
        return json.loads(text)  # it also takes half an emoji, which is no Unicode
    except (ValueError, RecursionError):
        return None


def _raise_if_failed(reply: Reply, value: Any, dialect: Dialect) -> None:
    """Raise an exception for an error anywhere in the reply."""
    if reply.status != 200:
        error = read_error(reply, value, dialect)
    elif (inside := _error_inside(value)) is not None:
        error = read_error(reply, inside, dialect)
    else:
        return
    if isinstance(error, TransientError) and reply.status == 200:
        error.usage = read_usage(value, with_text=False)
        error.billed = error.usage is not None or _holds_text(value)
    raise error


def _error_inside(value: Any) -> Any:
    """Return the error in a reply that claims to be a success, or None."""
    if isinstance(value, list):
        return value if value and _is_not_empty(error_of(value)) else None
    if not isinstance(value, dict):
        return None
    choice = _first_choice(value)
    for place in (value, choice):
        error = place.get("error")
        if error and isinstance(error, str | dict) and _is_not_empty(error):
            return {"error": error}
    if value.get("object") == "error" or value.get("type") == "error":
        return value
    finish_reason = choice.get("finish_reason")
    if finish_reason != "stop" and str(finish_reason).lower() in _FAILED_REASONS:
        return {"message": f"the server aborted the answer: finish_reason '{finish_reason}'"}
    if "choices" not in value and isinstance(value.get("message"), str) and value.get("code"):
        return value
    return None


def _is_not_empty(error: str | Mapping[str, Any]) -> bool:
    return bool(error) if isinstance(error, str) else any(error.values())


def _first_choice(value: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = value.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


def _holds_text(value: Any) -> bool:
    choice = _first_choice(value) if isinstance(value, dict) else {}
    message = choice.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    return bool(content or choice.get("text"))


def _message_in(value: Any) -> tuple[Mapping[str, Any], Any]:
    """Find the message and the reason why it ended, in the shapes that gateways pass on."""
    if isinstance(value, dict):
        choice = _first_choice(value)
        if isinstance(choice.get("message"), dict):
            return choice["message"], choice.get("finish_reason")
        if isinstance(choice.get("text"), str):
            return choice, choice.get("finish_reason")
        if isinstance(value.get("content"), list) and "stop_reason" in value:  # Anthropic's own
            return value, value["stop_reason"]
        if isinstance(value.get("message"), dict):  # Ollama's own
            return value["message"], value.get("done_reason")
    raise _malformed(value, str(error_of(value).get("message") or "not a chat completion"))


def _read_content(value: Any, content: Any) -> tuple[str, bool, str]:
    """Read text, whether there was a thought, and a refusal from a content of one or more parts."""
    if content is None or isinstance(content, str):
        return content or "", False, ""
    parts: Sequence[Any] = [content] if isinstance(content, dict) else content
    if not isinstance(parts, list):
        raise _malformed(value, f"content is a {type(content).__name__}")
    texts, thought, refusal = [], False, ""
    for part in parts:
        kind = str(part.get("type") or "text") if isinstance(part, dict) else "text"
        said = part.get("text") if isinstance(part, dict) else part
        if kind in _THOUGHTS:
            thought = True
        elif kind == "refusal":
            refusal = str(part.get("refusal") or said or "")
        elif isinstance(said, str):
            texts.append(said)
        elif isinstance(said, dict) and isinstance(said.get("value"), str):
            texts.append(said["value"])
        else:
            raise _malformed(value, f"content has a part of the type '{short(kind)}'")
    return "".join(texts), thought, refusal


def _malformed(value: Any, found: str) -> TransientError:
    usage = read_usage(value, with_text=False)
    return TransientError(f"malformed reply: {short(found)}", billed=True, usage=usage)


def _unicode(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return _LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
    return text


_THOUGHTS = frozenset({"thinking", "redacted_thinking", "reasoning", "thought", "reasoning_text"})
_FAILED_REASONS = frozenset({
    "error", "network_error", "abort", "aborted", "failed", "cancelled", "other",
    "insufficient_system_resource", "malformed_response",
})  # fmt: skip
_STOPPED = (
    "stop", "end_turn", "eos", "eos_token", "stop_sequence", "stop_token", "complete", "completed",
    "finished", "end", "finish_reason_stop", "normal",
)  # fmt: skip
_CUT = (
    "length", "max_tokens", "max_output_tokens", "max_length", "model_length", "token_limit",
    "max_completion_tokens", "model_context_window_exceeded", "max_tokens_reached", "incomplete",
)  # fmt: skip
_FILTERED = (
    "content_filter", "content_filtered", "contentfilter", "safety", "recitation", "blocklist",
    "prohibited_content", "spii", "sensitive", "data_inspection_failed", "guardrail_intervened",
    "language", "image_safety", "error_toxic",
)  # fmt: skip
_FINISH_REASONS = {
    "none": "unknown",
    **dict.fromkeys(_STOPPED, "stop"),
    **dict.fromkeys(_CUT, "length"),
    **dict.fromkeys(_FILTERED, FILTER_REASON),
    "refusal": REFUSAL_REASON,
}
