"""Remove the prompt that some servers repeat before the answer."""

from __future__ import annotations

import re

LAST_CHARACTERS, LAST_WORDS = 200, 3  # of the prompt; a text that repeats it holds these
# What a chat template writes between a prompt and the answer, as far as servers leave it there.
_TURN = re.compile(r"\A\s*(?:\[/INST\]|(?:assistant|model)[ \t]*\n)\s*")


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
