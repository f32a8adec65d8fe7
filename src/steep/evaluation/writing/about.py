"""What the counts of a writing of questions say: rows of gates, and what to know before use."""

from __future__ import annotations

from collections.abc import Iterator

from steep.core.formatting import count, percent, plural, some_of
from steep.evaluation.writing.results import WritingResult, is_same_model

OFF = "off"
SHOWN_DOCUMENTS = 5


def gate_rows(result: WritingResult) -> Iterator[tuple[str, str, str, str]]:
    """Yield a row per gate: checked and rejected candidates, and the share."""
    for each in result.gates:
        if each.checked is None:
            if each.gate != "rejected in review":
                yield each.gate, OFF, "", ""
        else:
            share = percent(each.rejected / each.checked) if each.checked else ""
            yield each.gate, count(each.checked), count(each.rejected), share


def cautions(result: WritingResult, generator: str) -> Iterator[str]:
    """Yield what the user should know before using the questions."""
    if result.accepted < result.wanted:
        why = (
            "questions.max_cost_usd ended the work; a higher limit continues it"
            if result.limit_reached
            else "the gates rejected the others, or the documents give no more; with more "
            "questions.rounds, further ones are written"
        )
        yield f"{count(result.accepted)} of {count(result.wanted)} wanted questions: {why}"
    if result.without_questions:
        number = plural(len(result.without_questions), "document")
        yield f"{number} without a question ({some_of(result.without_questions, SHOWN_DOCUMENTS)})"
    if result.is_public_knowledge():
        yield (
            "the blind gate rejected most questions: models know these documents without reading "
            "them (public knowledge, such as Wikipedia), so questions about them measure little. "
            "Use documents that models have not seen, or set questions.blind_gate=false (and "
            "base_gate=false) and compare arms with each other only"
        )
    yield from same_model(result.writer, generator)


def same_model(writer: str, generator: str) -> Iterator[str]:
    """Yield a sentence if one model writes questions and corpus."""
    if is_same_model(writer, generator):
        yield (
            f"the writer, {writer}, also generates the corpus (generate.model); that favors what "
            "it finds notable itself: use another model as questions.writer"
        )
