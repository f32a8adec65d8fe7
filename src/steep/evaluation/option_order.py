"""In which order a question's options are shown, and what a letter then stands for.

A model that likes a letter would be rewarded where the right answer often stands there, so options
can be shown in an order of each question's own. It follows from seed and question id alone, and
rows keep it: what is scored is always the option, never its letter.
"""

from __future__ import annotations

import string
from collections.abc import Sequence

from steep.core.errors import UserError
from steep.core.ids import derive_seed
from steep.core.permutation import Permutation

LETTERS = string.ascii_uppercase


def option_order(question_id: str, options: int, seed: int | None) -> tuple[int, ...]:
    """The option shown at each place; as in the file without a seed.

    Raises:
        UserError: There are more options than letters.
    """
    if options > len(LETTERS):
        raise UserError(
            "A question has more options than there are letters.",
            where=f"the question '{question_id}'",
            expected=f"at most {len(LETTERS)}",
            found=options,
        )
    if seed is None:
        return tuple(range(options))
    permutation = Permutation(options, derive_seed(seed, "shown order", question_id))
    return tuple(permutation[place] for place in range(options))


def letters_of(chosen: Sequence[int], order: Sequence[int]) -> str:
    """The letters under which these options are shown, in alphabetical order."""
    return "".join(LETTERS[place] for place in sorted(order.index(option) for option in chosen))


def options_of(letters: str, order: Sequence[int]) -> tuple[int, ...]:
    """The options that these letters stand for, in the order of the question."""
    return tuple(sorted(order[LETTERS.index(letter)] for letter in letters))
