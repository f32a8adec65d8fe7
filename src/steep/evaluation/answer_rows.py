"""One row a model, question and sample, as Parquet: all that is needed to count answers again.

A row holds what was sent and what came back, so that any parser or vote can be applied to it later
(`answer_scores.rescore`); what was read of it names options, not the letters that stood for them.
Prompts that samples share are stored once, as Parquet keeps a dictionary of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from steep.core.files import read_parquet, write_parquet


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One text that one model wrote about one question.

    Attributes:
        model: What the tables call the model.
        question_id: The question's id.
        document_id: The whole document that it is about.
        kind: The question's kind.
        sample: Which of the question's texts, counted from 0.
        seed: Of its random numbers.
        prompt: What was sent.
        prompt_hash: Of the prompt, to see at a glance that two models were asked the same.
        output: What came back.
        finish_reason: "stop" or "length" as a rule; "error" with an empty output.
        options: In the order of the file; empty for a short answer.
        order: The option that was shown at each place.
        gold: The right options; empty for a short answer.
        answers: The accepted texts of a short answer.
        parsed: The options chosen under the parser that the run used; None where it read none.
        why_not: Why it read none.
        logprob: Of the output, where the engine tells it.
    """

    model: str
    question_id: str
    document_id: str
    kind: str
    sample: int
    seed: int
    prompt: str
    prompt_hash: str
    output: str
    finish_reason: str
    options: tuple[str, ...]
    order: tuple[int, ...]
    gold: tuple[int, ...]
    answers: tuple[str, ...]
    parsed: tuple[int, ...] | None
    why_not: str | None
    logprob: float | None


def prompt_hash(prompt: str) -> str:
    """Name a prompt in 16 digits."""
    return hashlib.blake2b(prompt.encode(), digest_size=8).hexdigest()


def write_answers(path: Path, rows: Sequence[AnswerRow]) -> None:
    """Write rows atomically."""
    write_parquet(path, [asdict(row) for row in rows], _schema())


def read_answers(path: Path) -> list[AnswerRow]:
    """Read what `write_answers` wrote."""
    return [_row(row) for row in read_parquet(path)]


def _row(row: dict[str, Any]) -> AnswerRow:
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in row.items()
    }
    return AnswerRow(**values)


def _schema() -> Any:
    import pyarrow as pa

    columns = {
        pa.string(): (
            *("model", "question_id", "document_id", "kind", "prompt", "prompt_hash", "output"),
            *("finish_reason", "why_not"),
        ),
        pa.list_(pa.string()): ("options", "answers"),
        pa.list_(pa.int32()): ("order", "gold", "parsed"),
        pa.int32(): ("sample",),
        pa.int64(): ("seed",),
        pa.float64(): ("logprob",),
    }
    by_name = {name: kind for kind, names in columns.items() for name in names}
    order = AnswerRow.__dataclass_fields__
    return pa.schema([(name, by_name[name]) for name in order])
