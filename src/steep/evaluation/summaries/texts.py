"""Texts of the study of summaries: human ones, those that models write, and rows about them.

A model's claims are counted against those of the human summaries of the same document (section 4.3
of the paper), so a document without a human summary cannot be scored. Human summaries come from
JSON Lines with `document_id` (or `id`) and `summaries`, a list of texts; other keys are ignored, so
one file may hold the documents and the summaries. A human summary is a row like any other, with
`HUMAN` as its writer. Rows hold prompts and answers, so that answers can be read and counted again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from steep.core.errors import UserError
from steep.core.formatting import some_of
from steep.documents.clean import clean_text, one_line
from steep.documents.document import Document, Skipped
from steep.documents.records import BadRecord, json_records, required_text, utf8_text
from steep.evaluation.engines import AnswerEngine, Decoding, Progress, no_progress
from steep.evaluation.summaries.prompts import Kind

HUMAN = "human"
SHOWN_REASONS = 3


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One text about one document; passages and claims of it repeat its first four fields.

    Attributes:
        writer: Name of the model, or `HUMAN`.
        document_id: The whole document that it is about.
        kind: "short" or "long"; `HUMAN` for a human summary.
        number: Which of the writer's texts of this kind on this document, counted from 0.
        finish_reason: "stop" or "length" as a rule; "error" if there is no text.
    """

    writer: str
    document_id: str
    kind: str
    number: int
    prompt: str
    text: str
    finish_reason: str
    seed: int


@dataclass(frozen=True, slots=True)
class PassageRow:
    """A passage of a text (counted from 0), with the claims that the judge found in it.

    `claims` are empty also if no list could be read in `output`, and `why_not` says why; `seed` is
    that of the judge's random numbers.
    """

    writer: str
    document_id: str
    kind: str
    number: int
    passage: int
    text: str
    judge: str
    claims: tuple[str, ...]
    why_not: str | None
    output: str
    seed: int


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """One claim of one text, with its verdict.

    Attributes:
        claim_number: Number of the claim in the text, counted from 0.
        repeats: Further mentions in the text, which are not judged or counted again.
        true: True if the source supports it; None if no verdict could be read.
        salient: True if it matters; None for a false claim and if it could not be read.
        why_not: Why the verdict, or that part of it, could not be read.
        shown_as: Its number among the claims of its call.
        prompt_hash: Of the judge's prompt; claims of one call have the same.
        output: The answer of the judge about all claims of the call.
    """

    writer: str
    document_id: str
    kind: str
    number: int
    claim_number: int
    claim: str
    repeats: int
    judge: str
    true: bool | None
    salient: bool | None
    why_not: str | None
    shown_as: int
    prompt_hash: str
    output: str
    seed: int


class TextKey(NamedTuple):
    """The key of a text."""

    writer: str
    document_id: str
    kind: str
    number: int


def text_of(row: SummaryRow | PassageRow | ClaimRow) -> TextKey:
    """Return the key of the text that a row is, or is about."""
    return TextKey(row.writer, row.document_id, row.kind, row.number)


@dataclass(frozen=True, slots=True)
class Reference:
    """The human summaries of one whole document, at least one."""

    document_id: str
    summaries: tuple[str, ...]


class References(NamedTuple):
    """The summaries of a file, in its order, and its unusable lines: `file:line` and reason."""

    references: tuple[Reference, ...]
    skipped: tuple[Skipped, ...]


def read_references(path: Path, documents: Sequence[Document]) -> References:
    """Read the human summaries of these documents (or of the wholes of which they are parts).

    Raises:
        UserError: The file cannot be read, or holds no summary of any of the documents.
    """
    skipped: list[Skipped] = []
    known = {document.whole_id for document in documents}
    hint = "name a JSONL file with the keys document_id and summaries"
    rows = _rows(utf8_text(path, "human summaries", hint), path.name, skipped)
    references = tuple(_on_known_documents(rows, known, skipped))
    if not references:
        raise _nothing_to_compare(path, skipped)
    return References(references, tuple(skipped))


def _rows(text: str, name: str, skipped: list[Skipped]) -> Iterator[tuple[str, Reference]]:
    for source, record in json_records(text, name, skipped):
        try:
            key = "document_id" if "document_id" in record else "id"
            document_id = one_line(required_text(record, key))
            yield source, Reference(document_id, _summaries(record))
        except BadRecord as error:
            skipped.append(Skipped(source, str(error)))


def _summaries(record: Mapping[str, Any]) -> tuple[str, ...]:
    values = record.get("summaries")
    if not isinstance(values, list) or not values:
        raise BadRecord(f"expected a list of texts as 'summaries', found {values!r:.60}")
    return tuple(clean_text(required_text({"summaries": each}, "summaries")) for each in values)


def _on_known_documents(
    rows: Iterable[tuple[str, Reference]], known: set[str], skipped: list[Skipped]
) -> Iterator[Reference]:
    seen: set[str] = set()
    for source, reference in rows:
        name = reference.document_id
        if name not in known:
            skipped.append(Skipped(source, f"its document '{name}' is not in the corpus"))
        elif name in seen:
            skipped.append(Skipped(source, f"an earlier line has summaries of '{name}'"))
        else:
            yield reference
        seen.add(name)


def _nothing_to_compare(path: Path, skipped: Sequence[Skipped]) -> UserError:
    reasons = [f"{row.source}: {row.reason}" for row in skipped]
    return UserError(
        "This file has no human summary of these documents.",
        where=path,
        expected='{"document_id", "summaries": ["...", ...]} on each line',
        found=some_of(reasons, SHOWN_REASONS) or "an empty file",
    )


def write_summaries(
    engine: AnswerEngine,
    model: str,
    document_ids: Sequence[str],
    kind: Kind,
    prompts: Sequence[str],
    decoding: Decoding,
    on_progress: Progress = no_progress,
) -> list[SummaryRow]:
    """Let a model write summaries, closed book; the prompts are those of `summary_prompt`.

    Raises:
        UserError: The engine fails, or the prompts outgrow its context.
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
    """Return the human summaries as rows, to be judged as those of a model."""
    return [
        SummaryRow(HUMAN, reference.document_id, HUMAN, number, "", text, "stop", 0)
        for reference in references
        for number, text in enumerate(reference.summaries)
    ]
