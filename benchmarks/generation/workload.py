"""The calls of the throughput measurements: 4 KB of prompt, most of it shared by 100 calls.

Like EntiGraph's: instructions, a document that many calls send, and a tail that varies. Only the
standard library is used here, since contestants run it in environments of their own.
"""

from __future__ import annotations

import json
from functools import lru_cache

MODEL = "instant"
CALLS_PER_DOCUMENT = 100
SYSTEM = "Discuss how the two named entities interact in the context of the text. " * 2
DOCUMENT_CHARACTERS = 3600
MAX_TOKENS = 600
SENTENCE = "In year {year} the company of {name} moved {tons} tons of grain past the old light. "


@lru_cache(maxsize=4)
def document(number: int) -> str:
    """The text that a hundred calls share."""
    sentences: list[str] = []
    length = 0
    while length < DOCUMENT_CHARACTERS:
        index = len(sentences)
        name = f"Marlow {number}-{index}"
        sentences.append(SENTENCE.format(year=1600 + index, name=name, tons=number * 7 + index))
        length += len(sentences[-1])
    return "".join(sentences)[:DOCUMENT_CHARACTERS]


def tail(number: int, rank: int) -> str:
    """What one call adds: the entities that it is about."""
    pair = f"Marlow {number}-{rank} and Marlow {number}-{rank + 1}"
    return (
        f"\n\nNow write about the relation of {pair}, "
        "at length, in the light of the text above and of nothing else; name both of them often."
    )


def prompt(index: int) -> str:
    """The user message of a call."""
    number, rank = divmod(index, CALLS_PER_DOCUMENT)
    return document(number) + tail(number, rank)


def messages(index: int) -> list[dict[str, str]]:
    """The messages of a call."""
    return [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": prompt(index)},
    ]


def body(index: int) -> bytes:
    """The request of a call, as it goes over the wire."""
    request = {
        "model": MODEL,
        "messages": messages(index),
        "temperature": 1.0,
        "max_tokens": MAX_TOKENS,
    }
    return json.dumps(request).encode()
