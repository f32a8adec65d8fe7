"""The parser `paper-code` and its vote, compared with the authors' own code on made-up answers.

    git clone https://github.com/ZitongYang/Synthetic_Continued_Pretraining FOLDER
    python benchmarks/parser_agreement.py FOLDER [--cases 5000]

Theirs is read as vLLM runs it: a text ends with the first of their stop strings, which belongs to
it, and a text without one is discarded; then the character before the last is the answer. Texts
are thought processes with answer lines of many shapes, right and wrong ones. Those that end with
the full stop itself, where a model stopped by itself, are told apart: theirs discards them, since
its stop strings end with a line break; ours reads them, since our own stop string took the break.
"""

from __future__ import annotations

import argparse
import importlib
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from steep.evaluation.parsers import parse
from steep.evaluation.prompts import LETTERS

OPTIONS = 4
SHAPES = (
    "Answer: {a}.\n", "Answer: {a}.", "Answer: {a}", "answer: {a}.\n", "Answer: {a}{b}.\n",
    "Answer: {a}, {b}.\n", "Answer: {a}. Or not.\n", "Answer:{a}.\n", "Answer: {a}.\n\n## 7",
    "Answer: {a}{a}.\n", "Answer: E.\n", "**Answer: {a}.**\n", "Answer: {a}.\nAnswer: {b}.\n",
    "The answer is {a}.\n", "Answer: {a}.\r\n", "Answer: {c}.\n",
)  # fmt: skip
THOUGHTS = (
    "It was so. ", "A and B are wrong. ", "Answer: none of these yet. ", "\n", "So C is right. ",
    "Answer: D is what some say.\n", "",
)  # fmt: skip


def main() -> None:
    """Compare, and print what differs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--cases", type=int, default=5000)
    options = parser.parse_args()
    sys.path.insert(0, str(options.checkout))
    theirs = importlib.import_module("utils.prompt_utils")
    found: Counter[str] = Counter()
    for text in texts(options.cases):
        ours, reference = our_answer(text), their_answer(text, theirs)
        kind = "at the very end" if text.endswith(".") else "elsewhere"
        found[f"{kind}: {'same' if ours == reference else 'different'}"] += 1
        if ours != reference and not text.endswith("."):
            print(f"{text!r}: ours {ours}, theirs {reference}")
    print(f"{options.cases} texts:", ", ".join(f"{n} {kind}" for kind, n in sorted(found.items())))


def texts(count: int) -> list[str]:
    """Made-up answers, the same ones every time."""
    draw = random.Random(0)
    return [_text(draw) for _ in range(count)]


def _text(draw: random.Random) -> str:
    thoughts = "".join(draw.choices(THOUGHTS, k=draw.randrange(4)))
    a, b = draw.sample(LETTERS[:OPTIONS], 2)
    shapes = draw.choices(SHAPES, k=draw.choice((1, 1, 1, 2)))
    c = "".join(draw.sample(LETTERS[:OPTIONS], draw.randint(1, OPTIONS)))
    return thoughts + "".join(shape.format(a=a, b=b, c=c) for shape in shapes)


def our_answer(text: str) -> int | None:
    """The option that we read, counted from 0."""
    letters, why_not = parse(text, OPTIONS, "paper-code")
    return None if why_not else LETTERS.index(letters)


def their_answer(text: str, theirs: Any) -> int | None:
    """The option that they read, from a text as vLLM cuts it."""
    places = [
        (place, stop)
        for stop in theirs.generate_all_answer_strings()
        if (place := text.find(stop)) >= 0
    ]
    if not places:
        return None
    place, stop = min(places)
    answer: int | None = theirs.second_last_character(text[:place] + stop)
    return answer


if __name__ == "__main__":
    main()
