"""Exact match and F1 of short answers, compared case by case with the SQuAD metric of torchmetrics.

    pip install torchmetrics
    python benchmarks/metric_agreement.py documents.jsonl questions.jsonl

Every question gives six cases: its own answer dressed up (case, articles, punctuation, blanks), a
part of it, the answer and more, the answers to two other questions, and a sentence. The parsers of
letters have no published twin to be compared with; the choices of likelihoods are compared with
lm-evaluation-harness in `benchmarks/likelihood.py`.
"""

from __future__ import annotations

import argparse
import importlib
import random
from collections.abc import Iterator
from pathlib import Path

from steep.documents.reading import read_documents
from steep.evaluation.methods.short_answers import exact_match, f1
from steep.evaluation.questions import Question, read_short_answers

TOLERANCE = 1e-6  # the reference computes in single precision, and in percent


def main() -> None:
    """Compare, and print every case that differs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("documents", type=Path)
    parser.add_argument("questions", type=Path)
    options = parser.parse_args()
    known = read_documents(options.documents).documents
    questions = read_short_answers(options.questions, known).questions
    count, same_match, same_f1, matches = 0, 0, 0, 0
    for said, accepted in cases(questions):
        expected_match, expected_f1 = reference(said, accepted)
        found_match, found_f1 = exact_match(said, accepted), f1(said, accepted)
        count, matches = count + 1, matches + int(found_match)
        same_match += abs(found_match - expected_match) <= TOLERANCE
        same_f1 += (agrees := abs(found_f1 - expected_f1) <= TOLERANCE)
        if not agrees:
            print(f"{said!r} for {accepted}: f1 {found_f1}, the reference's {expected_f1}")
    print(f"{count} cases, {matches} exact matches: exact match agrees {same_match}, f1 {same_f1}")


def cases(questions: tuple[Question, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What might be said, and what is accepted."""
    rng = random.Random(0)
    for question in questions:
        answer, others = rng.choice(question.answers), rng.sample(questions, 2)
        words = answer.split()
        dressed = f" {rng.choice(['The', 'a', 'An'])}  {answer.upper()}{rng.choice('.,!?')} "
        part = " ".join(rng.sample(words, rng.randint(1, len(words))))
        said = [dressed, part, f"{answer} and {others[0].answers[0]}", question.question]
        for text in (*said, *(other.answers[0] for other in others)):
            yield text, question.answers


def reference(said: str, accepted: tuple[str, ...]) -> tuple[float, float]:
    """The exact match and F1 of torchmetrics."""
    squad = importlib.import_module("torchmetrics.functional.text").squad
    answers = {"answer_start": [0] * len(accepted), "text": list(accepted)}
    predicted = [{"prediction_text": said, "id": "q"}]
    found = squad(predicted, [{"answers": answers, "id": "q"}])
    return float(found["exact_match"]) / 100, float(found["f1"]) / 100


if __name__ == "__main__":
    main()
