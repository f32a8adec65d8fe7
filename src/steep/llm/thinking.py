"""Separate an answer from the model's thinking, its chat template's tokens, and a repeated prompt.

Models that reason write a thought before their answer. A server that knows the model sends it in a
field of its own; others, and models in this process, send it as part of the text: in tags
(`<think>...</think>`), with the closing tag only (the prompt has opened it), without an end (the
limit came first), or as a channel of OpenAI's harmony format. `separate` is the one place that
takes a text apart, for all clients.

A tag counts as markup only where a model would put it: an opening tag at the start of a line and
outside of a code block, a closing tag that is not quoted. A text *about* such tags stays whole.
"""

from __future__ import annotations

import re
from typing import NamedTuple

THOUGHT_ONLY = "reasoning"  # the finish reason of an answer that holds a thought and nothing else

_NAMES = "think|thinking|thought|thoughts|reasoning|seed:think"
_OPENING = re.compile(
    rf"^[ \t]*(?:<({_NAMES})>|(\[THINK\])|(◁think▷)|(<\|START_THINKING\|>)"
    r"|(<\|begin_of_thought\|>))",
    re.IGNORECASE | re.MULTILINE,
)
_CLOSING = re.compile(
    rf"</(?:{_NAMES})>|\[/THINK\]|◁/think▷|<\|END_THINKING\|>|<\|end_of_thought\|>", re.IGNORECASE
)
_ANY_OPENING = re.compile(
    rf"<(?:{_NAMES})>|\[THINK\]|◁think▷|<\|START_THINKING\|>|<\|begin_of_thought\|>", re.IGNORECASE
)
_QUOTES = frozenset("`'\"\u201c\u2018")

# Harmony: <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...
_CHANNEL = re.compile(
    r"(?:<\|start\|>)?(?:assistant)?<\|channel\|>\s*(\w+)[^<]*?"
    r"(?:<\|constrain\|>[^<]*)?<\|message\|>"
)
_FINAL_WITHOUT_TOKENS = re.compile(r"\A\s*analysis(?=\S)(.*?)assistantfinal", re.DOTALL)
_ANALYSIS_WITHOUT_TOKENS = re.compile(r"\A\s*analysis(?=[A-Z])")

_BAR = "\uff5c"  # the bar of DeepSeek's tokens
_END = (
    r"(?:<\|(?:im_end|eot_id|eom_id|end|endoftext|end_of_text|eot|eos|im_sep|return|call|user"
    r"|assistant|system|end_of_turn|END_OF_TURN_TOKEN|END_RESPONSE|end_of_solution"
    r"|end_of_role|im_start)\|>"
    rf"|<{_BAR}(?:end▁of▁sentence|User|Assistant){_BAR}>|<end_of_turn>|<eos>|<\|end_header_id\|>"
    r"|\[/INST\]|</s>|\[EOS\]|<end_of_utterance>)"
)
LAST_CHARACTERS, LAST_WORDS = 200, 3  # of the prompt; a text that repeats it holds these
# What a chat template writes between a prompt and the answer, as far as servers leave it there.
_TURN = re.compile(r"\A\s*(?:\[/INST\]|(?:assistant|model)[ \t]*\n)\s*")
_LAST = re.compile(rf"{_END}\Z")
LONGEST_TOKEN = 64  # characters of a token's name
_MARKS = ("<", "[", "◁")  # with which tags and tokens begin
_LEADING = re.compile(
    r"\A(?:\s*(?:<\|im_start\|>\s*assistant|<\|start_header_id\|>\s*assistant\s*<\|end_header_id\|>"
    r"|<start_of_turn>\s*model|<\|assistant\|>|<\|START_RESPONSE\|>|<\|begin_of_solution\|>"
    rf"|<{_BAR}Assistant{_BAR}>|<\|start_of_role\|>\s*assistant\s*<\|end_of_role\|>))+[ \t]*\n*"
)
# A model that does not stop goes on with a turn of the user.
_NEXT_TURN = re.compile(
    r"(?:<\|(?:im_end|eot_id|end|endoftext)\|>|<end_of_turn>|</s>)\s*"
    r"(?:<\|im_start\|>|<\|start_header_id\|>|<start_of_turn>|<\|user\|>|<\|system\|>|<\|start\|>"
    r"|\[INST\])"
)


class Separated(NamedTuple):
    """A text taken apart. `ended` is False where a thought has no end, so no answer followed."""

    answer: str
    thought: str
    ended: bool = True


def separate(text: str) -> Separated:
    """Take the thinking and the template's tokens off a text."""
    if not ("<" in text or "[" in text or "◁" in text or "analysis" in text):  # nearly all
        return Separated(text, "")
    text = _LEADING.sub("", text)
    separated = _channels(text)
    if separated is None:
        separated = _tags(text)
    return separated._replace(answer=_without_template_tokens(separated.answer))


class StreamedAnswer:
    """Tells an answer from its thinking while both are written.

    What may yet turn out to be markup is held back. A thought whose opening tag stands nowhere is
    known at its closing tag only, when it has been shown.
    """

    def __init__(self, opened: str) -> None:
        """Begin; `opened` is what `opened_thought` found in the prompt."""
        self._text, self._shown = opened, ""
        self.separated = separate(opened)
        self.withdrawn = False  # whether text that was shown has turned out to be a thought

    @property
    def thinks(self) -> bool:
        """Whether there was a thought so far."""
        return bool(self.separated.thought) or not self.separated.ended

    def add(self, piece: str) -> str:
        """Take what was written next; return what there is more of the answer."""
        self._text += piece
        return self._more(_certain(self._text))

    def end(self) -> str:
        """Return the rest of the answer."""
        return self._more(self._text)

    def _more(self, text: str) -> str:
        self.separated = separate(text)
        answer = self.separated.answer.rstrip()
        if answer and self._shown.startswith(answer):
            return ""
        if not answer.startswith(self._shown):
            self.withdrawn, self._shown = True, ""
        more = answer[len(self._shown) :]
        self._shown = answer
        return more


def _certain(text: str) -> str:
    """The text without an end, or a beginning, that may become a tag or a token of a template."""
    start = text.lstrip()
    begins = start.startswith(_MARKS) and len(start) < LONGEST_TOKEN and not _OPENING.match(start)
    if begins or "analysis".startswith(start):
        return ""
    place = max(text.rfind(mark, len(text) - LONGEST_TOKEN) for mark in _MARKS)
    return text[:place] if place >= 0 and not re.search(r"[>\]▷]", text[place:]) else text


def final_reason(answer: str, finish_reason: str, thought: bool) -> str:
    """Return the finish reason; a thought without an answer has its own, `THOUGHT_ONLY`."""
    if thought and not answer.strip() and finish_reason in ("stop", "length", "unknown"):
        return THOUGHT_ONLY
    return finish_reason


def opened_thought(prompt: str) -> str:
    """Return the opening tag that a prompt ends with, as templates of models that reason do."""
    line = prompt.rstrip().rpartition("\n")[2]
    found = _ANY_OPENING.search(line)
    return found.group() + "\n" if found and found.end() == len(line) else ""


def _channels(text: str) -> Separated | None:
    """Take OpenAI's harmony format apart; None where it is not used."""
    marks = list(_CHANNEL.finditer(text))
    if not marks:
        return _channels_without_tokens(text)
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    thoughts, answers = [text[: marks[0].start()]], list[str]()
    for mark, end in zip(marks, ends, strict=True):
        is_answer = mark.group(1) == "final"
        (answers if is_answer else thoughts).append(text[mark.end() : end])
    return Separated("".join(answers[-1:]).strip(), "".join(thoughts).strip(), bool(answers))


def _channels_without_tokens(text: str) -> Separated | None:
    """Read the harmony format of servers that drop its special tokens and leave its words."""
    if found := _FINAL_WITHOUT_TOKENS.match(text):
        return Separated(text[found.end() :].strip(), found.group(1).strip())
    if found := _ANALYSIS_WITHOUT_TOKENS.match(text):
        return Separated("", text[found.end() :].strip(), ended=False)
    return None


def _tags(text: str) -> Separated:
    thoughts: list[str] = []
    while True:
        opening = next((each for each in _OPENING.finditer(text) if not _in_code(text, each)), None)
        closing = _lone_closing(text, opening)
        if closing is not None:  # its opening tag stands in the prompt
            thoughts.append(text[: closing.start()])
            text = text[closing.end() :].lstrip()
        elif opening is None:
            break
        else:
            end = _CLOSING.search(text, opening.end())
            before = text[: opening.start()]
            if end is None:
                thoughts.append(text[opening.end() :])
                return Separated(before.rstrip(), _joined(thoughts), ended=False)
            thoughts.append(text[opening.end() : end.start()])
            text = (before.rstrip() + "\n\n" + text[end.end() :].lstrip()).lstrip()
    return Separated(text, _joined(thoughts))


def _lone_closing(text: str, opening: re.Match[str] | None) -> re.Match[str] | None:
    """Find a closing tag that no opening tag precedes."""
    first = _CLOSING.search(text)
    if first is None or (opening is not None and opening.start() < first.start()):
        return None
    mentioned = _ANY_OPENING.search(text, 0, first.start())
    quoted = text[first.start() - 1 : first.start()] in _QUOTES
    return None if mentioned or quoted or _in_code(text, first) else first


def _in_code(text: str, tag: re.Match[str]) -> bool:
    return text.count("```", 0, tag.start()) % 2 == 1


def _joined(thoughts: list[str]) -> str:
    return "\n\n".join(each.strip() for each in thoughts if each.strip())


def _without_template_tokens(text: str) -> str:
    turn = _NEXT_TURN.search(text)
    if turn and not _in_code(text, turn):
        text = text[: turn.start()]
    kept = text.rstrip()
    while found := _LAST.search(kept, max(0, len(kept) - LONGEST_TOKEN)):
        if found.group() == "</s>" and "<s>" in kept:
            break  # a passage that is struck out, in HTML
        kept = text = kept[: found.start()].rstrip()
    return text


def answer_after(prompt: str, text: str) -> str:
    """Return what follows the prompt in a text, or the whole text if the prompt is not in it.

    White space may differ: a tokenizer need not preserve it.
    """
    last_words = prompt[-LAST_CHARACTERS:].split()[-LAST_WORDS:]
    if not all(word in text for word in last_words):
        return text  # nearly always, and this check is cheap
    prompt = prompt.strip()
    if prompt and prompt in text:
        return _TURN.sub("", text.partition(prompt)[2]).strip()
    words = prompt.split()
    before, repeated, _ = " ".join(text.split()).partition(" ".join(words))
    if not (words and repeated):
        return text
    skipped = len(before.split()) + len(words)
    return _TURN.sub("", "".join(text.split(maxsplit=skipped)[skipped:])).strip()
