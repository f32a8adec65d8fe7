"""Whether a score prefers short or long options: which ones it chooses, beside which are right.

A sum of log-probabilities favors short options, a mean over tokens often long ones. Accuracy does
not show it, so each normalizer's choices are counted by the length of the option, in characters.
Counted are questions with one right option whose options differ in length; of options that are
equally short (or long) each is a shortest (longest) one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steep.evaluation.normalizers import NORMALIZERS
from steep.evaluation.rows import QuestionRow


def length_table(rows_by_model: Mapping[str, Sequence[QuestionRow]]) -> dict[str, Any] | None:
    """Return the shares of questions whose right, and whose chosen, option is of extreme length.

    Args:
        rows_by_model: Of the same questions for each model.

    Returns:
        `n`, `gold` and, for each model and normalizer, the shares; None without such questions.
    """
    counted = {name: [row for row in rows if _counts(row)] for name, rows in rows_by_model.items()}
    first = next(iter(counted.values()))
    if not first:
        return None
    return {
        "n": len(first),
        "gold": _shares(first, [row.gold[0] for row in first]),
        "models": {
            name: {
                each: _shares(rows, [_choice(row, each) for row in rows]) for each in NORMALIZERS
            }
            for name, rows in counted.items()
        },
    }


def _counts(row: QuestionRow) -> bool:
    return len(row.gold) == 1 and len(set(row.characters)) > 1


def _choice(row: QuestionRow, normalizer: str) -> int:
    choice: int = getattr(row, f"choice_{normalizer}")
    return choice


def _shares(rows: Sequence[QuestionRow], options: Sequence[int]) -> dict[str, float]:
    lengths = [(row.characters[o], row.characters) for row, o in zip(rows, options, strict=True)]
    return {
        "shortest": sum(own == min(every) for own, every in lengths) / len(rows),
        "longest": sum(own == max(every) for own, every in lengths) / len(rows),
    }
