"""A simulated prefix cache of an inference server.

As in llama.cpp, the server keeps the last prompts, and a new prompt need not be read again as far
as it begins like one of them. A prompt that differs from a kept one only in its tail takes its
place; any other takes the place of the one that was not used for longest.
"""

from __future__ import annotations

CHARACTERS_PER_TOKEN = 4
LONGEST_TAIL = 1 / 8  # of a prompt: the names at the end of a call, against document and demand


class PrefixCache:
    """The most recent prompts, the latest at the end."""

    def __init__(self) -> None:
        self._prompts: list[str] = []

    def cached_tokens(self, prompt: str) -> int:
        """Return how many whole tokens of a prompt are cached."""
        longest = max((common_characters(each, prompt) for each in self._prompts), default=0)
        return longest // CHARACTERS_PER_TOKEN

    def keep(self, prompt: str, most: int) -> None:
        """Remember a prompt that has been read, and no more than `most` in all."""
        tail = len(prompt) * LONGEST_TAIL
        self._prompts = [
            each for each in self._prompts if len(prompt) - common_characters(each, prompt) > tail
        ]
        self._prompts.append(prompt)
        del self._prompts[: len(self._prompts) - most]


def common_characters(one: str, other: str) -> int:
    """Return the length of the longest common prefix, by bisection: prompts are long."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
