"""A model that writes questions about the tiny corpus and answers them, by the prompt alone."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

NOT_STATED = "Answer: NOT STATED"

# What the writer writes about each document, by kind.
GOOD: dict[str, dict[str, list[dict[str, Any]]]] = {
    "The Quillon Ferry": {
        "choice": [
            {
                "question": "Who built the Quillon Ferry?",
                "answer": "Edda Varnholt",
                "wrong": ["Orla Hask", "Joren Pell", "Ines Hask"],
                "quote": "Edda Varnholt built it in 1887 from the hull of a grain barge.",
            },
            {
                "question": "How long does the crossing of the Quillon Ferry take?",
                "answer": "eleven minutes",
                "wrong": ["nine minutes", "forty minutes", "seven minutes"],
                "quote": "The crossing takes eleven minutes and costs two copper marks.",
            },
        ],
        "short-answer": [
            {
                "question": "Which lake does the Quillon Ferry cross?",
                "answer": "Lake Ostrel",
                "aliases": ["Ostrel"],
                "quote": "The Quillon Ferry crosses Lake Ostrel between Marrowgate and Tessel.",
            }
        ],
    },
    "Joren Pell": {
        "choice": [
            {
                "question": "What did the town give Joren Pell for the rescue of 1902?",
                "answer": "a silver oar",
                "wrong": ["a steel rope", "a blue thread", "a copper mark"],
                "quote": "For the rescue of 1902 the town gave him a silver oar, which hangs in "
                "the Guildhall.",
            }
        ],
        "joined": [
            {
                "question": "Who taught the author of the Almanac of Still Water to row?",
                "answer": "Edda Varnholt",
                "wrong": ["Orla Hask", "Bram Ostrel", "Ines Hask"],
                "quotes": [
                    "He learned to row from his aunt, Edda Varnholt.",
                    "Pell later wrote the Almanac of Still Water, a book about fog on Lake Ostrel.",
                ],
            }
        ],
    },
    "Hask and Daughters": {
        "choice": [
            {
                "question": "What did Ines Hask invent?",
                "answer": "the double strand",
                "wrong": ["the grain barge", "the silver oar", "the blue lamp"],
                "quote": "After the rope of the ferry broke, Ines Hask invented the double strand, "
                "and every rope of the firm carried a blue thread from then on.",
            }
        ],
        "across": [
            {
                "question": "Which founder's firm laid the rope that pulls the Quillon Ferry?",
                "answer": "Orla Hask",
                "wrong": ["Edda Varnholt", "Joren Pell", "Ines Hask"],
                "quotes": [
                    "Its founder, Orla Hask, twisted nettle fibre before she turned to steel.",
                    "A steel rope, laid by the firm of Hask and Daughters, pulls the ferry along.",
                ],
            }
        ],
    },
}
# Questions that a gate rejects; only the first document has them.
BAD: Mapping[str, dict[str, Any]] = {
    "span not in the document": {
        "question": "Who painted the Quillon Ferry?",
        "answer": "Ole Brand",
        "wrong": ["Orla Hask", "Joren Pell", "Ines Hask"],
        "quote": "Ole Brand painted the ferry in a bright red.",
    },
    "answer not in the span": {
        "question": "Who rowed forty passengers of the Quillon Ferry ashore?",
        "answer": "Bram Tessel",
        "wrong": ["Orla Hask", "Edda Varnholt", "Ines Hask"],
        "quote": "In the winter of 1902 the rope broke, and Joren Pell rowed all forty passengers "
        "ashore.",
    },
    "not standing alone": {
        "question": "According to the text, when did the rope break?",
        "answer": "in the winter of 1902",
        "wrong": ["in the winter of 1890", "in the summer of 1902", "in the winter of 1887"],
        "quote": "In the winter of 1902 the rope broke",
    },
    "giveaway": {
        "question": "Between which towns does the Quillon Ferry cross Lake Ostrel?",
        "answer": "between Marrowgate and Tessel",
        "wrong": ["Bram", "Pell", "Hask"],
        "quote": "crosses Lake Ostrel between Marrowgate and Tessel",
    },
    "options": {
        "question": "In which year was the Quillon Ferry built?",
        "answer": "1887",
        "wrong": ["1887", "1902", "1861"],
        "quote": "Edda Varnholt built it in 1887",
    },
    "duplicate": {
        "question": "Who was it that built the Quillon Ferry?",
        "answer": "Edda Varnholt",
        "wrong": ["Orla Hask", "Joren Pell", "Bram Ostrel"],
        "quote": "Edda Varnholt built it in 1887 from the hull of a grain barge.",
    },
    "ambiguous between documents": {
        "question": "Where was the rope of the Quillon Ferry made by Hask?",
        "answer": "Marrowgate",
        "wrong": ["Bram", "Ostrel", "Pell"],
        "quote": "The Quillon Ferry crosses Lake Ostrel between Marrowgate and Tessel.",
    },
    "one sentence is enough": {
        "question": "Who rowed the passengers of the Quillon Ferry ashore when the rope broke?",
        "answer": "Joren Pell",
        "wrong": ["Orla Hask", "Edda Varnholt", "Ines Hask"],
        "quotes": [
            "In the winter of 1902 the rope broke, and Joren Pell rowed all forty passengers "
            "ashore.",
            "A steel rope, laid by the firm of Hask and Daughters, pulls the ferry along.",
        ],
    },
    "not answerable with the document": {
        "question": "Which firm owns the Quillon Ferry today?",
        "answer": "Hask and Daughters",
        "wrong": ["Pell and Sons", "Ostrel and Company", "Varnholt and Nieces"],
        "quote": "A steel rope, laid by the firm of Hask and Daughters, pulls the ferry along.",
    },
    "answerable without the document": {
        "question": "What pulls a cable ferry such as the Quillon Ferry along?",
        "answer": "A steel rope",
        "wrong": ["A wet horse", "A big kite", "A long pole"],
        "quote": "A steel rope, laid by the firm of Hask and Daughters, pulls the ferry along.",
    },
}
EVERY = [
    *(each for kinds in GOOD.values() for own in kinds.values() for each in own),
    *BAD.values(),
]
TITLES = {
    each["question"]: title
    for title, kinds in GOOD.items()
    for own in kinds.values()
    for each in own
} | dict.fromkeys((each["question"] for each in BAD.values()), "The Quillon Ferry")


def reply(prompt: str, *, bad: bool = True) -> str:
    """Write questions, or answer one."""
    if "Write questions for a test" in prompt:
        return write(prompt, bad)
    return answer(prompt)


def write(prompt: str, bad: bool) -> str:
    """Write what is asked for and was not asked before; bad questions first."""
    title = re.findall("Title: (.*)", prompt)[0]
    count = int(re.findall(r"Number of questions: (\d+)", prompt)[0])
    own = GOOD.get(title, {}).get(kind_in(prompt), [])
    form = {"choice": "quote", "joined": "quotes"}.get(kind_in(prompt))
    if bad and title == "The Quillon Ferry":
        own = [*(each for each in BAD.values() if form in each), *own]
    earlier = prompt.split("### Asked before")[-1] if "### Asked before" in prompt else ""
    fresh = [each for each in own if each["question"] not in earlier][:count]
    if not fresh and kind_in(prompt) == "short-answer":
        return "I have no further questions."
    return f"Here they are:\n```json\n{json.dumps(fresh)}\n```"


def kind_in(prompt: str) -> str:
    if "<second text>" in prompt:
        return "across"
    if '"aliases"' in prompt:
        return "short-answer"
    return "joined" if '"quotes"' in prompt else "choice"


def answer(prompt: str) -> str:
    """Answer with the document, and without it only what anybody would know."""
    shown = re.findall(r"### Question\n(.*)", prompt)[0]
    if "### Sentences" in prompt:
        return "Answer: 1" if shown == BAD["one sentence is enough"]["question"] else "Answer: both"
    known = next(e for e in EVERY if shown.casefold().endswith(e["question"].casefold()))
    asked = known["question"]
    options = dict(reversed(pair) for pair in re.findall(r"^([A-D])\. (.*)$", prompt, re.MULTILINE))
    has_text = "<text>" in prompt or "<first text>" in prompt
    if not has_text and asked != BAD["answerable without the document"]["question"]:
        return "Answer: A" if options else "Answer: I do not know"
    if asked == BAD["not answerable with the document"]["question"]:
        return NOT_STATED
    if has_text and f"Title: {TITLES[asked]}" not in prompt:
        other = asked == BAD["ambiguous between documents"]["question"]
        return "Answer: Tessel" if other and "Title: Hask" in prompt else NOT_STATED
    return f"Let me see.\nAnswer: {options[known['answer']] if options else known['answer']}."
