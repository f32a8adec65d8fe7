"""The answers of the scripted server, a pure function of seed and request, so runs can be compared.

The answers are short but honest: entity lists name phrases that the prompt's document contains, and
texts quote its sentences. A prompt with "Number of strategies: 3." gets so many second-level
headings with a strategy each, one with "Number of questions: 3." a numbered list.

Misbehaviour comes in two kinds. Accidents of transport (rate limits, errors, broken bodies) are
drawn from the request *and the number of the attempt*, so that a retry succeeds. How an answer ends
(cut off, refused, empty) is drawn from the request alone, as it would be paid only once: a
disturbed run then ends with the same texts as an undisturbed one.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, TypeVar, get_args

from steep.core.ids import derive_seed, stable_hash

Accident = Literal[
    "rate_limited", "server_error", "html", "invalid_json", "cut_off", "disconnected", "slow",
    "overloaded", "hang", "reset",
]  # fmt: skip
Ending = Literal["truncated", "refusing", "empty"]
ACCIDENTS: tuple[Accident, ...] = get_args(Accident)
ENDINGS: tuple[Ending, ...] = get_args(Ending)

Kind = TypeVar("Kind", bound=str)

MOST_ENTITIES = 12
LISTED = 5  # items of a list
CHARACTERS_PER_TOKEN = 4
_PHRASE = re.compile(r"[A-Z][\w'-]+(?: (?:of |the |de )?[A-Z][\w'-]+)*")
_SENTENCE_END = re.compile("(?<=[.!?]) +|(?<=[\u3002\uff01\uff1f])")
_OPENING_WORD = re.compile(
    "a|after|an|and|as|at|but|by|each|every|for|from|he|her|his|if|in|it|its|json|list|no|of|on|one|or"
    "|she|since|so|that|the|their|then|there|these|they|this|those|to|when|while|with|write"
)
_LIST_ASKED = re.compile(r"Number of (strategies|questions): (\d+)\.")
_OPENERS = (
    "{name} has its own place in this account.",
    "Anyone who asks about {name} should begin here.",
    "Much of the story can be told from the side of {name}.",
    "What is known of {name} fits in a few lines.",
    "The record speaks plainly about {name}.",
)
_LINKS = (
    "Seen together, {names} explain each other.",
    "It would be hard to tell of {names} apart.",
    "The connection between {names} runs through the whole account.",
    "Neither chance nor custom alone brought {names} together.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How the server misbehaves; rates are shares of attempts (accidents) or requests (endings)."""

    rate_limited: float = 0.0  # HTTP 429, with Retry-After as below
    server_error: float = 0.0  # HTTP 500
    html: float = 0.0  # HTTP 200 with a web page
    invalid_json: float = 0.0  # HTTP 200 with a body that is no JSON
    cut_off: float = 0.0  # connections closed in the middle of the body
    disconnected: float = 0.0  # connections closed before any answer
    slow: float = 0.0  # answers that come `slow_s` late
    overloaded: float = 0.0  # HTTP 503, with Retry-After as below
    hang: float = 0.0  # requests that get no answer until the client gives up
    reset: float = 0.0  # connections that break (TCP RST), as when a machine crashes
    truncated: float = 0.0  # answers that are cut off, with finish_reason "length"
    refusing: float = 0.0
    empty: float = 0.0
    delay_s: float = 0.0  # how long every answer takes
    slow_s: float = 1.0  # how much longer a slow one takes
    retry_after_s: float = 0.0  # the wait in Retry-After of a rate-limited client
    retry_after: str | None = None  # the literal header in its place: a date, an invalid text, ...
    clock_ahead_s: float = 0.0  # how wrong the server's clock is, in its Date header
    busy_above: int | None = None  # with more requests in progress, a further one gets HTTP 429
    dead: bool = False  # close every connection without an answer
    dead_after: int | None = None  # the same, after so many answers
    out_of_quota: bool = False  # answer HTTP 429 insufficient_quota
    credit_calls: int | None = None  # the same, after so many answers
    api_key: str | None = None  # the only key accepted; None accepts all
    model: str | None = None  # the only model known; None knows all
    context_tokens: int | None = None  # a longer prompt gets HTTP 400 context_length_exceeded
    structured_output: Literal["json_schema", "json_object", "none"] = "json_schema"  # the best
    cache_prefixes: int = 4  # prompts whose beginnings the server need not read again

    def __post_init__(self) -> None:
        for kinds in (ACCIDENTS, ENDINGS):
            rates = [getattr(self, kind) for kind in kinds]
            if min(rates) < 0 or sum(rates) > 1:
                raise ValueError(
                    f"the rates of {', '.join(kinds)} must add up to at most 1: {rates}"
                )


@dataclass(frozen=True, slots=True)
class Script:
    """The seed of all answers, and how the server behaves."""

    seed: int = 0
    behaviour: Behaviour = Behaviour()


class ScriptedAnswer(NamedTuple):
    """The text of an answer and its finish reason."""

    text: str
    finish_reason: str


def request_hash(body: Mapping[str, Any]) -> str:
    """Return the hash of a request's body."""
    return stable_hash(dict(body))


def accident(script: Script, request: str, attempt: int) -> Accident | None:
    """Return the accident of this attempt at the request, if any."""
    rates = {kind: getattr(script.behaviour, kind) for kind in ACCIDENTS}
    return _draw(rates, derive_seed(script.seed, request, attempt))


def answer(script: Script, body: Mapping[str, Any]) -> ScriptedAnswer:
    """Answer a chat request."""
    request = request_hash(body)
    rates = {kind: getattr(script.behaviour, kind) for kind in ENDINGS}
    ending = _draw(rates, derive_seed(script.seed, request, "ending"))
    if ending == "refusing":
        return ScriptedAnswer("I'm sorry, but I can't assist with that request.", "stop")
    if ending == "empty":
        return ScriptedAnswer("", "stop")
    rng = random.Random(derive_seed(script.seed, request, "text"))
    words = _write(body, rng).split(" ")
    limit = int(body.get("max_tokens") or body.get("max_completion_tokens") or 2048)
    if ending == "truncated":
        limit = min(limit, max(1, len(words) // 2))
    return ScriptedAnswer(" ".join(words[:limit]), "stop" if len(words) <= limit else "length")


def count_tokens(text: str) -> int:
    """Count tokens as the scripted server does: four characters each."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def prompt_text(body: Mapping[str, Any]) -> str:
    """Return all messages of a request as one text."""
    return "\n".join(str(message.get("content", "")) for message in body["messages"])


def named_phrases(text: str) -> list[str]:
    """Return capitalized phrases by first mention, without words that only start a sentence."""
    found: dict[str, None] = {}
    for match in _PHRASE.finditer(text):
        words = match[0].split(" ")
        while words and _OPENING_WORD.fullmatch(words[0].lower()):
            words.pop(0)
        if words:
            found[" ".join(words)] = None
    return list(found)


def behaviour_from(arguments: Mapping[str, Any]) -> Behaviour:
    """Build a behaviour from those command-line arguments that were given."""
    names = {field.name for field in fields(Behaviour)}
    return Behaviour(**{k: v for k, v in arguments.items() if k in names and v is not None})


def _draw(rates: Mapping[Kind, float], seed: int) -> Kind | None:
    point = seed / 2**63
    for kind, rate in rates.items():
        if point < rate:
            return kind
        point -= rate
    return None


def _write(body: Mapping[str, Any], rng: random.Random) -> str:
    user = [m for m in body["messages"] if m.get("role") == "user"] or list(body["messages"])
    document = str(user[-1].get("content", ""))
    prompt = prompt_text(body)
    if asked := _LIST_ASKED.search(prompt):
        names = named_phrases(document)
        return _listing(asked[1], rng.sample(names, min(int(asked[2]), len(names))))
    format_ = (body.get("response_format") or {}).get("type", "text")
    if format_ != "text" or ("JSON" in prompt and "entities" in prompt.lower()):
        names = named_phrases(document)[:MOST_ENTITIES]
        summary = " ".join(_sentences(document)[:2])
        return json.dumps({"summary": summary, "entities": names}, ensure_ascii=False)
    return _in_form(document, rng) or _prose(document, rng)


def _in_form(prompt: str, rng: random.Random) -> str | None:
    """Write verdicts, questions, a list or a text with a lead-in, if a prompt asks for them."""
    above, *after = re.split(r"^### Task\n", prompt, maxsplit=1, flags=re.MULTILINE)
    task = "".join(after)
    if "`1: yes`" in task:
        items = re.findall(r"^(\d+)\. Question:", task, re.MULTILINE)
        return "\n".join(f"{number}: {'no' if rng.random() < 0.2 else 'yes'}" for number in items)
    lead_in = re.search(r'Begin with the line "(.+?)"', task)
    if not (lead_in or "\nQuestion: ...\nAnswer: ..." in task or 'begins with "- "' in task):
        return None
    found = _sentences(above) or re.findall("^- (.+)", task, re.MULTILINE)
    sentences = rng.sample(found, min(LISTED, len(found)))
    if "\nQuestion: ...\nAnswer: ..." in task:
        return "\n\n".join(f"Question: What is told here?\nAnswer: {each}" for each in sentences)
    if 'begins with "- "' in task:
        return "\n".join(f"- {each}" for each in sentences)
    return f"{lead_in[1]}\n{' '.join(sentences)}" if lead_in else None


def _listing(kind: str, names: list[str]) -> str:
    """List strategies, each under a heading, or numbered questions: one about each name."""
    if kind == "strategies":
        return "\n\n".join(f"## Follow {each}\nRetell all that concerns {each}." for each in names)
    numbered = enumerate(names, start=1)
    return "\n".join(f"{i}. What is said about {each}, and why?" for i, each in numbered)


def _prose(document: str, rng: random.Random) -> str:
    """Write about the names at the end of the prompt, quoting the sentences that mention them."""
    names, sentences = _subject(document)
    paragraphs = []
    for name in names:
        mentions = [sentence for sentence in sentences if name in sentence] or sentences
        quoted = rng.sample(mentions, min(2, len(mentions)))
        paragraphs.append(" ".join([rng.choice(_OPENERS).format(name=name), *quoted]))
    paragraphs.append(rng.choice(_LINKS).format(names=_listed(names)))
    return "\n\n".join(paragraphs)


def _subject(document: str) -> tuple[list[str], list[str]]:
    """Return the names that a prompt asks about, and the sentences of its document.

    Prompts end with the names: as a bulleted list, or in a last line that says what to do.
    """
    lines = [line for line in document.splitlines() if line.strip()]
    bullets = [line[2:].strip() for line in lines if line.startswith("- ")]
    if bullets:
        return bullets, _sentences(document)
    _, _, asked = lines[-1].partition(" ") if len(lines) > 1 else ("", "", "")
    named = named_phrases(asked)
    if named:
        return named, _sentences("\n".join(lines[:-1]))
    return named_phrases(document)[:2] or ["this"], _sentences(document)


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _sentences(text: str) -> list[str]:
    body = " ".join(line for line in text.splitlines() if not line.startswith(("#", "- ")))
    return [sentence for sentence in _SENTENCE_END.split(body) if sentence.strip()]
