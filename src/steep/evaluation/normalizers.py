"""From the log-likelihoods of a question's options to a choice, under a named normalizer.

A sum favors short options, so it is usually divided by a length; whose length is part of the
metric's name, because published figures differ in it (`per_character` is the usual `acc_norm`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Normalizer = Literal["sum", "per_token", "per_character", "per_byte"]
NORMALIZERS: tuple[Normalizer, ...] = ("sum", "per_token", "per_character", "per_byte")


@dataclass(frozen=True, slots=True)
class OptionScores:
    """What was measured of one question's options: natural log-likelihoods, and lengths.

    Characters and UTF-8 bytes are those of the option itself, without the blank before it.
    """

    sum_logprob: tuple[float, ...]
    tokens: tuple[int, ...]
    characters: tuple[int, ...]
    bytes: tuple[int, ...]


class Choices(NamedTuple):
    """The chosen option of each question, and how many questions had a tie for the best."""

    options: tuple[int, ...]
    ties: int


def choose(scores: Sequence[OptionScores], normalizer: Normalizer) -> Choices:
    """Choose the likeliest option of each question; of equal ones the first."""
    normalized = [_normalized(each, normalizer) for each in scores]
    ties = sum(values.count(max(values)) > 1 for values in normalized)
    return Choices(tuple(values.index(max(values)) for values in normalized), ties)


def likeliest(scores: OptionScores, normalizer: Normalizer, count: int) -> frozenset[int]:
    """Return the `count` likeliest options of a question; of equal ones the first."""
    values = _normalized(scores, normalizer)
    ranked = sorted(range(len(values)), key=lambda option: -values[option])
    return frozenset(ranked[:count])


def _normalized(scores: OptionScores, normalizer: Normalizer) -> list[float]:
    lengths = {
        "sum": (1,) * len(scores.sum_logprob),
        "per_token": scores.tokens,
        "per_character": scores.characters,
        "per_byte": scores.bytes,
    }[normalizer]
    return [value / length for value, length in zip(scores.sum_logprob, lengths, strict=True)]
