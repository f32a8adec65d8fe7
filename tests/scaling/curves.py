"""Simulated curves whose truth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from steep.scaling.curve import AccuracyCurve, Numbers

MILLION = 1e6


def paper(tokens: Numbers) -> Numbers:
    """The fit of the paper, section 6: accuracy from 0 to 1 by tokens."""
    x = np.asarray(tokens) / MILLION
    percent = 64.5456 - 13.8352 * 0.9989**x - 8.4705 * 0.8961**x - 3.932 * 0.0546**x
    return np.asarray(percent / 100, np.float64)


def simulated(
    truth: Callable[[Numbers], Numbers],
    sizes: Numbers,
    *,
    seed: int,
    questions: int = 600,
    documents: int = 40,
    models: int = 2,
    document_spread: float = 0.0,
    model_spread: float = 0.0,
) -> AccuracyCurve:
    """Draw right and wrong answers of models whose mean accuracy is `truth` of their tokens.

    Documents differ by `document_spread` and models by `model_spread` (standard deviations).
    """
    random = np.random.default_rng(seed)
    of_question = np.arange(questions) % documents
    easier = random.normal(0, document_spread, documents)
    tokens, grades = [], []
    for size, mean in zip(sizes, truth(sizes), strict=True):
        for _ in range(models):
            chance = mean + easier[of_question] + random.normal(0, model_spread)
            tokens.append(round(float(size)))
            grades.append(random.random(questions) < chance)
    names = [f"document-{each}" for each in of_question]
    return AccuracyCurve(tokens, np.array(grades, np.float64), names)
