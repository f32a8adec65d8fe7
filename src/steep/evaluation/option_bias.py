"""Whether models choose options by their length or place instead of their content.

A sum of log-probabilities favors short options, a mean over tokens often long ones, and a model
that writes letters may prefer one of them. Accuracy does not show it: a question set whose right
options are often the longest rewards such a model. So the shares of the chosen options stand beside
those of the right options and those of a random choice.

Only questions with one right option count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import NamedTuple

from steep.evaluation.prompts import LETTERS
from steep.evaluation.results import ChosenOptions, LetterShares, OptionBias, OptionShares


class ShownOptions(NamedTuple):
    """A question with one right option."""

    characters: Sequence[int]  # length of each option
    order: Sequence[int]  # the option that is shown at each place
    gold: int  # the right option

    @property
    def differ(self) -> bool:
        """True if its options differ in length."""
        return len(set(self.characters)) > 1


def option_bias(
    questions: Sequence[ShownOptions], models: Sequence[ChosenOptions]
) -> OptionBias | None:
    """Return the shares of chosen options beside chance and gold; None without questions."""
    if not questions:
        return None
    return OptionBias(
        chance=_shares(questions, [range(len(each.order)) for each in questions]),
        gold=_shares(questions, [[each.gold] for each in questions]),
        models=tuple(models),
    )


def chosen_options(
    name: str, normalizer: str | None, questions: Sequence[ShownOptions], chosen: Sequence[int]
) -> ChosenOptions:
    """Return the shares of a model's choices, one option per question."""
    shares = _shares(questions, [[each] for each in chosen])
    return ChosenOptions(name=name, normalizer=normalizer, **asdict(shares))


def _shares(questions: Sequence[ShownOptions], drawn: Sequence[Sequence[int]]) -> OptionShares:
    """Return the shares of one option per question, each of those drawn equally likely."""
    every = list(zip(questions, drawn, strict=True))
    lengths = [each for each in every if each[0].differ]
    return OptionShares(
        n=len(every),
        first=_mean([_share(own, each.order[:1]) for each, own in every]),
        last=_mean([_share(own, each.order[-1:]) for each, own in every]),
        n_lengths=len(lengths),
        shortest=_mean([_share(own, _of_length(each, min)) for each, own in lengths]),
        longest=_mean([_share(own, _of_length(each, max)) for each, own in lengths]),
    )


def letter_shares(
    letters: Iterable[str], gold: Sequence[str], options: Sequence[int], *, several: bool
) -> dict[str, LetterShares]:
    """Return how often each combination of letters is a random choice, and is right.

    Args:
        letters: The combinations, such as "B" or "BD".
        gold: The letters of the right options of each question.
        options: The number of options of each question.
        several: True if a random choice is any selection of options; otherwise it is one option.
    """
    return {
        each: LetterShares(
            chance=sum(_letter_chance(each, n, several) for n in options) / len(options),
            gold=sum(each == own for own in gold) / len(gold),
        )
        for each in letters
    }


def _letter_chance(letters: str, options: int, several: bool) -> float:
    if not {*letters} <= {*LETTERS[:options]} or (len(letters) > 1 and not several):
        return 0.0
    return selection_chance(options, several=several)


def selection_chance(options: int, *, several: bool) -> float:
    """Return the probability of one choice out of all that a prompt allows."""
    return 1 / (2**options - 1 if several else options)


def _share(drawn: Sequence[int], of: Sequence[int]) -> float:
    return sum(option in of for option in drawn) / len(drawn)


def _of_length(question: ShownOptions, extreme: Callable[[Sequence[int]], int]) -> list[int]:
    """Return the shortest (`min`) or longest (`max`) options."""
    length = extreme(question.characters)
    return [option for option, own in enumerate(question.characters) if own == length]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
