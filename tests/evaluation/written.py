"""Documents and candidates that the tests of written questions share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from steep.documents.document import Document
from steep.evaluation.engines import (
    Decoding,
    OnOutput,
    OptionScores,
    Output,
    Progress,
    keep_nothing,
    no_progress,
)
from steep.evaluation.writing.candidates import QuestionCandidate
from steep.evaluation.writing.sources import Sources

FERRY = Document(
    "quillon",
    "The Quillon Ferry",
    "Edda Varnholt built it in 1887.\n\nA steel rope, laid by the firm of Hask, pulls it.",
    "Harris, Larry M.",
    1961,
)
FIRM = Document("hask", "Hask and Daughters", "Orla Hask founded the firm of Hask in Tessel.")
SOURCES = Sources((FERRY, FIRM))


def candidate(**fields: Any) -> QuestionCandidate:
    usual: dict[str, Any] = {
        "kind": "choice",
        "part_ids": ("quillon",),
        "document_ids": ("quillon",),
        "question": "Who built the Quillon Ferry?",
        "answers": ("Edda Varnholt",),
        "wrong": ("Orla Hask", "Joren Pell", "Ines Hask"),
        "quotes": ("Edda Varnholt built it in 1887.",),
    }
    return QuestionCandidate(**{**usual, **fields}).identified()


SHORT = candidate(kind="short-answer", wrong=(), answers=("Edda Varnholt", "Varnholt"))
ACROSS = candidate(
    kind="across",
    part_ids=("quillon", "hask"),
    document_ids=("quillon", "hask"),
    question="Who founded the firm that laid the rope of the Quillon Ferry?",
    answers=("Orla Hask",),
    wrong=("Edda Varnholt", "Joren Pell", "Ines Hask"),
    quotes=("A steel rope, laid by the firm of Hask, pulls it.", "Orla Hask founded the firm"),
)


@dataclass
class FunctionEngine:
    """Answers prompts by a function of prompt and sample, and scores options by another."""

    reply: Callable[[str, int], str] = lambda prompt, sample: ""
    score: Callable[[str, str], float] = lambda prompt, option: 0.0
    reason: str = "stop"
    prompts: list[str] = field(default_factory=list)

    def generate(
        self,
        prompts: Sequence[str],
        decoding: Decoding,
        on_progress: Progress = no_progress,
        on_output: OnOutput = keep_nothing,
    ) -> list[list[Output]]:
        self.prompts += prompts
        samples = range(decoding.samples)
        return [[Output(self.reply(p, n), self.reason, 0, None) for n in samples] for p in prompts]

    def logprobs(
        self,
        prompts: Sequence[str],
        options: Sequence[Sequence[str]],
        on_progress: Progress = no_progress,
    ) -> list[OptionScores]:
        return [
            OptionScores.of(own, [self.score(prompt, each) for each in own], [1] * len(own))
            for prompt, own in zip(prompts, options, strict=True)
        ]
