"""Engines write summaries of documents that they do not see; human ones become rows of the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from steep.evaluation.engines import AnswerEngine, Decoding, Progress, no_progress
from steep.evaluation.summaries.prompts import Kind
from steep.evaluation.summaries.references import Reference
from steep.evaluation.summaries.rows import HUMAN, SummaryRow


def write_summaries(
    engine: AnswerEngine,
    model: str,
    document_ids: Sequence[str],
    kind: Kind,
    prompts: Sequence[str],
    decoding: Decoding,
    on_progress: Progress = no_progress,
) -> list[SummaryRow]:
    """Let a model write, closed book.

    Args:
        engine: Who writes.
        model: What rows and tables call it.
        document_ids: The whole document of each prompt.
        kind: What the prompts ask for.
        prompts: Of `summary_prompt`; for an instruct model in this process, `in_chat_form`.
        decoding: `MAX_TOKENS` says how long texts of each kind should be allowed to get.
        on_progress: Told the texts done and their total.

    Raises:
        UserError: The engine cannot be asked, or the prompts outgrow its context.
    """
    outputs = engine.generate(prompts, decoding, on_progress)
    return [
        SummaryRow(
            writer=model,
            document_id=document_id,
            kind=kind,
            number=number,
            prompt=prompt,
            text=output.text.strip(),
            finish_reason=output.finish_reason,
            seed=output.seed,
        )
        for document_id, prompt, each in zip(document_ids, prompts, outputs, strict=True)
        for number, output in enumerate(each)
    ]


def human_summaries(references: Iterable[Reference]) -> list[SummaryRow]:
    """The human summaries, to be judged as a model's are."""
    return [
        SummaryRow(HUMAN, reference.document_id, HUMAN, number, "", text, "stop", 0)
        for reference in references
        for number, text in enumerate(reference.summaries)
    ]
