"""The form of requests that a server accepts; each objection of the server makes it simpler.

Servers that call themselves compatible differ in what they accept. A request is written in full
first and then adapted to a `Dialect`: a parameter that the server objected to is left out,
`response_format` goes from json_schema over json_object to nothing (recipes check what they get
anyway), `max_tokens` is renamed for models that insist on `max_completion_tokens`, and a system
message moves into the user's where the chat template has no place for it. The limit on the length
of an answer is left out only where it is refused under both of its names. Nothing but the context
of the model bounds an answer then, so that a hard limit on tokens or dollars cannot be kept and a
run with such a limit ends (`ENDLESS`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

TEMPLATE_KEY = "chat_template_kwargs"  # options of the chat template, for vLLM and SGLang
LENGTH_KEYS = ("max_tokens", "max_completion_tokens")
ENDLESS = (
    "The endpoint takes no limit on the length of an answer, so that a hard limit cannot be kept.",
    "remove generate.max_cost_usd and generate.max_total_tokens, or choose another endpoint",
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """The form of requests that a server accepts."""

    response_format: Literal["json_schema", "json_object", "none"] = "json_schema"  # the strongest
    length_key: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    without: frozenset[str] = frozenset()  # parameters that are left out
    folds_system: bool = False  # a system message is sent as the beginning of the user's
    usual_temperature: bool = False  # any temperature is sent as 1

    @property
    def limits_answers(self) -> bool:
        """Whether the length of answers is limited by the requests."""
        return "max_tokens" not in self.without

    def difference(self, before: Dialect) -> str:
        """Describe what differs from the dialect before."""
        changes = [f"'{name}' is left out" for name in sorted(self.without - before.without)]
        if self.response_format != before.response_format:
            instead = "nothing" if self.response_format == "none" else f"'{self.response_format}'"
            changes.append(f"'response_format' asks for {instead} instead of a schema")
        if not self.limits_answers and before.limits_answers:
            changes.append("only the context of the model limits its answers")
        elif self.length_key != before.length_key:
            changes.append(f"'{before.length_key}' is sent as '{self.length_key}'")
        if self.folds_system and not before.folds_system:
            changes.append("the system message is sent as the beginning of the user's")
        if self.usual_temperature and not before.usual_temperature:
            changes.append("'temperature' is sent as 1")
        return ", ".join(changes)


def phrase(body: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    """Adapt a request's body, or a part of it, that was written in full."""
    phrased: dict[str, Any] = {}
    for key, value in body.items():
        if key == "response_format" and isinstance(value, Mapping):
            if value.get("type") == "json_schema" and dialect.response_format != "json_schema":
                value = {"type": "json_object"}
            if dialect.response_format == "none":
                continue
        elif key == "messages" and dialect.folds_system:
            value = fold_system(value)
        elif key in LENGTH_KEYS:
            if not dialect.limits_answers:
                continue
            key = dialect.length_key
        elif key in dialect.without:
            continue
        elif key == "temperature" and dialect.usual_temperature:
            value = 1
        phrased[key] = value
    return phrased


def fold_system(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Put system messages at the beginning of the user's message that follows."""
    folded: list[Mapping[str, Any]] = []
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "system":
            waiting.append(str(message["content"]))
        elif waiting and message["role"] == "user":
            content = "\n\n".join([*waiting, str(message["content"])])
            folded.append({**message, "content": content})
            waiting = []
        else:
            folded.append(message)
    return folded + [{"role": "user", "content": content} for content in waiting]


def weaken(dialect: Dialect, objection: str) -> Dialect | None:
    """Return the dialect without what an objection of the server names first, or None."""
    text = objection.lower()
    found = sorted(
        (match.start(), number)
        for number, (pattern, _) in enumerate(_GIVING_UP)
        for match in [pattern.search(text)]
        if match
    )
    for _, number in found:
        plainer = _GIVING_UP[number][1](dialect, text)
        if plainer != dialect:
            return plainer
    return None


def objects_to_format(objection: str) -> bool:
    """Return whether an objection is about structured output."""
    return _FORMAT.search(objection.lower()) is not None


def _without(name: str) -> Callable[[Dialect, str], Dialect]:
    def give_up(dialect: Dialect, text: str) -> Dialect:
        dropped = name
        if name in ("temperature", "top_p") and not {"temperature", "top_p"} & dialect.without:
            both = _named("top_p").search(text) and _named("temperature").search(text)
            dropped = "top_p" if both else name  # not both at once: the weaker one goes
        if dropped == "temperature" and not dialect.usual_temperature and _ONLY_ONE.search(text):
            return replace(dialect, usual_temperature=True)
        return replace(dialect, without=dialect.without | {dropped})

    return give_up


def _weaker_format(dialect: Dialect, text: str) -> Dialect:
    weaker: Literal["json_object", "none"] = "none"
    if dialect.response_format == "json_schema":
        weaker = "json_object"
    return replace(dialect, response_format=weaker)


def _other_length_key(dialect: Dialect, text: str) -> Dialect:
    refused = _REFUSED.search(text)
    if dialect.length_key == "max_tokens":
        if "max_completion_tokens" in text or refused:
            return replace(dialect, length_key="max_completion_tokens")
    elif refused and not _TOO_MUCH.search(text):
        return replace(dialect, without=dialect.without | {"max_tokens"})
    return dialect


def _folded(dialect: Dialect, text: str) -> Dialect:
    return replace(dialect, folds_system=True)


def _named(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![a-z_]){name}(?![a-z_])")


_REFUSED = re.compile(
    r"unsupported|not support|unknown|unrecogni[sz]ed|unexpected|extra|not permitted|not allowed"
    r"|forbidden|deprecated|invalid (?:parameter|argument|field)"
)
# An objection to how long an answer may be, not to the parameter that says so.
_TOO_MUCH = re.compile(
    r"too (?:large|high|big|many|small|low)|at (?:most|least)|maximum|minimum|exceed|greater|less"
    r"|larger|between|range|above|below|up to|[<>]=?"
)
_ONLY_ONE = re.compile(r"default \(1(?:\.0)?\)|only (?:the )?(?:value )?1\b|must be 1\b")
_FORMAT = re.compile(
    r"response_?format|json[_ -]?schema|json[_ -]?object|json mode|structured[_ -]outputs?|guided"
    r"|grammar|\bschema\b|outlines"
)
_SYSTEM = re.compile(
    r"system[_ '\"`]+(?:role|message|prompt|instruction)|roles?\b[^.]{0,30}\bsystem\b"
    r"|roles must alternate|developer instruction|only[^.]{0,40}\buser\b[^.]{0,20}\bassistant\b"
)
# A word of everyday language, so only where it surely is the name of a parameter.
_STOP = re.compile(
    r"['\"`]stop['\"`]|(?:param\w*|field|argument|property|keyword|input)s?:? stop\b"
    r"|^stop\b|\bstop (?:sequences?|strings?|words?|parameter)|body\.stop\b"
)
# "none" and "minimal" are refused as values, with or without the name of the parameter.
_EFFORT = re.compile(r"(?<![a-z_])reasoning[_. ]effort(?![a-z_])")
_NAMES = (
    "temperature", "top_p", "top_k", "min_p", "seed", "frequency_penalty", "presence_penalty",
    "repetition_penalty", "logprobs", "top_logprobs", "logit_bias", TEMPLATE_KEY,
)  # fmt: skip
_GIVING_UP: tuple[tuple[re.Pattern[str], Callable[[Dialect, str], Dialect]], ...] = (
    (_FORMAT, _weaker_format),
    (_named("(?:max_tokens|max_completion_tokens)"), _other_length_key),
    (_SYSTEM, _folded),
    (_STOP, _without("stop")),
    (_EFFORT, _without("reasoning_effort")),
    *((_named(name), _without(name)) for name in _NAMES),
)
