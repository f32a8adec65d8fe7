"""Texts of the study of summaries: human ones, those that models write, and rows about them.

A model's claims are counted against those of the human summaries of the same document (section 4.3
of the paper), so a document without a human summary cannot be scored. Human summaries come from
JSON Lines with `document_id` (or `id`) and `summaries`, a list of texts; other keys are ignored, so
one file may hold the documents and the summaries. A human summary is a row like any other, with
`HUMAN` as its writer. Rows hold prompts and answers, so that answers can be read and counted again.

Writers see the name of a document and nothing else. An instruct model gets a request, a base model
the beginning of a text that it continues.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from steep.core.errors import UserError
from steep.core.formatting import some_of
from steep.core.token_ids import rendered_chat
from steep.documents.clean import clean_text, one_line
from steep.documents.document import Document, Skipped
from steep.documents.records import BadRecord, json_records, required_text, utf8_text
from steep.evaluation.engines import AnswerEngine, Decoding, Progress, no_progress
from steep.evaluation.prompts import named
from steep.evaluation.study_results import HUMAN, TextSet

Kind = Literal["short", "long"]
# Human summaries have up to 500 words; the long ones are to be as long as the model can.
MAX_TOKENS: dict[Kind, int] = {"short": 768, "long": 3072}
SHOWN_REASONS = 3

_REQUESTS: dict[Kind, str] = {
    "short": "Write a short summary of {name}: who takes part, what happens, and how it ends.",
    "long": (
        "Write a long, thorough article about {name}. Go through everything that it contains, in "
        "as much detail as you can: every person, place, event, argument and idea. Take as much "
        "space as you need, and do not stop before all of it is told."
    ),
}
_BEGINNINGS: dict[Kind, str] = {
    "short": "What follows is a short summary of {name}.\n\nSummary:",
    "long": (
        "What follows is a long article that goes through all of {name} in great detail.\n\n"
        "Article:"
    ),
}


@dataclass(frozen=True, slots=True)
class TextKey:
    """The key of a text; its passages and claims repeat it."""

    writer: str  # name of the model, or `HUMAN`
    document_id: str  # the whole document that it is about
    kind: str  # "short" or "long"; `HUMAN` for a human summary
    number: int  # which of the writer's texts of this kind on this document, counted from 0

    @property
    def key(self) -> tuple[str, str, str, int]:
        """The key of the text that a row is, or is about."""
        return self.writer, self.document_id, self.kind, self.number

    @property
    def texts(self) -> TextSet:
        """The set of texts of the same writer and kind."""
        return TextSet(self.writer, self.kind)


@dataclass(frozen=True, slots=True)
class SummaryRow(TextKey):
    """A text; `finish_reason` is "stop" or "length" as a rule, "error" if there is no text."""

    prompt: str
    text: str
    finish_reason: str
    seed: int


@dataclass(frozen=True, slots=True)
class PassageRow(TextKey):
    """A passage of a text (counted from 0), with the claims that the judge found in it.

    `claims` are empty also if no list could be read in `output`, and `why_not` says why; `seed` is
    that of the judge's random numbers.
    """

    passage: int
    text: str
    judge: str
    claims: tuple[str, ...]
    why_not: str | None
    output: str
    seed: int


@dataclass(frozen=True, slots=True)
class ClaimRow(TextKey):
    """A claim of a text, with its verdict."""

    claim_number: int  # number of the claim in the text, counted from 0
    claim: str
    repeats: int  # further mentions in the text, which are not judged or counted again
    judge: str
    true: bool | None  # True if the source supports it; None if no verdict could be read
    salient: bool | None  # True if it matters; None for a false claim and if it could not be read
    why_not: str | None  # why the verdict, or that part of it, could not be read
    shown_as: int  # its number among the claims of its call
    prompt_hash: str  # of the judge's prompt; claims of one call have the same
    output: str  # the answer of the judge about all claims of the call
    seed: int


class Reference(NamedTuple):
    """The human summaries of a whole document, at least one."""

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
    hint = "name a JSONL file with the keys document_id and summaries"
    known = {document.whole_id for document in documents}
    skipped: list[Skipped] = []
    found: dict[str, Reference] = {}
    for source, record in json_records(
        utf8_text(path, "human summaries", hint), path.name, skipped
    ):
        try:
            reference = _reference(record)
            if (name := reference.document_id) not in known:
                raise BadRecord(f"its document '{name}' is not in the corpus")
            if name in found:
                raise BadRecord(f"an earlier line has summaries of '{name}'")
            found[name] = reference
        except BadRecord as error:
            skipped.append(Skipped(source, str(error)))
    if not found:
        raise UserError(
            "This file has no human summary of these documents.",
            where=path,
            expected='{"document_id", "summaries": ["...", ...]} on each line',
            found=some_of([f"{row.source}: {row.reason}" for row in skipped], SHOWN_REASONS)
            or "an empty file",
        )
    return References(tuple(found.values()), tuple(skipped))


def _reference(record: Mapping[str, Any]) -> Reference:
    key = "document_id" if "document_id" in record else "id"
    document_id = one_line(required_text(record, key))
    values = record.get("summaries")
    if not isinstance(values, list) or not values:
        raise BadRecord(f"expected a list of texts as 'summaries', found {values!r:.60}")
    texts = (clean_text(required_text({"summaries": each}, "summaries")) for each in values)
    return Reference(document_id, tuple(texts))


def human_summaries(references: Iterable[Reference]) -> list[SummaryRow]:
    """Return the human summaries as rows, to be judged as those of a model."""
    return [
        SummaryRow(HUMAN, reference.document_id, HUMAN, number, "", text, "stop", 0)
        for reference in references
        for number, text in enumerate(reference.summaries)
    ]


def summary_prompt(document: Document, kind: Kind, chat: bool) -> str:
    """Ask for a summary of a document by its name; with `chat`, of a model that is instructed."""
    return (_REQUESTS if chat else _BEGINNINGS)[kind].format(name=named(document))


def in_chat_form(tokenizer: Any, requests: Iterable[str]) -> list[str]:
    """Return requests in the chat format of a tokenizer.

    Engines put the BOS token before every prompt, so one that the format writes is taken away.

    Raises:
        UserError: The tokenizer has no chat format.
    """
    if tokenizer.chat_template is None:
        raise UserError(
            "This model does not follow instructions: its tokenizer has no chat template.",
            where=getattr(tokenizer, "name_or_path", None),
            hint="ask it in the plain form, or take an instruction-tuned model",
        )
    return [
        rendered_chat(
            tokenizer,
            [{"role": "user", "content": request}],
            add_generation_prompt=True,
            enable_thinking=False,  # known to templates of models that think; others ignore it
        ).without_start(tokenizer.bos_token or "")
        for request in requests
    ]


def write_summaries(
    engine: AnswerEngine,
    model: str,
    document_ids: Sequence[str],
    kind: Kind,
    prompts: Sequence[str],
    decoding: Decoding,
    on_progress: Progress = no_progress,
) -> list[SummaryRow]:
    """Let a model write summaries, closed book; the prompts are those of `summary_prompt`."""
    outputs = engine.generate(prompts, decoding, on_progress)
    return [
        SummaryRow(model, id_, kind, number, prompt, text.strip(), finish_reason, seed)
        for id_, prompt, each in zip(document_ids, prompts, outputs, strict=True)
        for number, (text, finish_reason, seed, _) in enumerate(each)
    ]
