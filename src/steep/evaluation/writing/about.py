"""What the counts of a writing of questions say: rows of gates, and what to know before use."""

from __future__ import annotations

from collections.abc import Iterator

from steep.core.formatting import count, listing, percent, plural, reasons, some_of
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
        if each.gate == "duplicate" and result.spare:
            yield "spare: not needed, not asked", count(result.spare), "", ""


def cautions(result: WritingResult, generator: str) -> Iterator[str]:
    """Yield what the user should know before using the questions."""
    yield from _missing(result)
    if result.unrelated:
        yield unrelated(result.unrelated, result.documents)
    if result.without_questions:
        number = plural(len(result.without_questions), "document")
        yield f"{number} without a question ({some_of(result.without_questions, SHOWN_DOCUMENTS)})"
    yield from _guessed(result)
    yield from same_model(result.writer, generator)


def _guessed(result: WritingResult) -> Iterator[str]:
    """Yield a sentence if the blind gate rejected most questions: known facts, or guessed options.

    A short answer can hardly be guessed; an option can.
    """
    if not result.is_public_knowledge():
        return
    shares = ", ".join(
        f"{count(each.rejected)} of {count(each.checked)} {each.kind}"
        for each in result.blind_kinds
    )
    if result.are_options_guessed():
        yield (
            f"the blind gate rejected most questions ({shares}), but few short answers: the right "
            "options are guessed, not known. Ask for more short answers (questions.shares), or use "
            "a writer whose wrong options are harder to tell"
        )
        return
    yield (
        f"the blind gate rejected most questions ({shares}): models know these documents without "
        "reading them (public knowledge, such as Wikipedia), so questions about them measure "
        "little. Use documents that models have not seen, or set questions.blind_gate=false (and "
        "base_gate=false) and compare arms with each other only"
    )


def _missing(result: WritingResult) -> Iterator[str]:
    """Yield which kinds and documents fell short, and why."""
    kinds = {each.kind: each.wanted - each.accepted for each in result.kinds}
    short = reasons({kind: number for kind, number in kinds.items() if number > 0})
    if result.accepted >= result.wanted:
        if short != "none":
            yield f"fewer than wanted of some kinds: {short}; other kinds have their places"
        return
    if result.limit_reached:
        why = "questions.max_cost_usd ended the work; a higher limit continues it"
    else:
        why = (
            f"the writer gave {count(result.candidates)} of the {count(result.asked_for)} that it "
            f"was asked for, and the gates rejected {count(result.rejected)}; "
        ) + (
            "in the last round it gave none"
            if result.exhausted
            else "with more questions.rounds, further ones are written"
        )
        none = [each.kind for each in result.kinds if each.wanted and not each.accepted]
        if none and result.accepted:
            why += f"; none of {listing(none)} passed: questions.shares can leave such kinds out"
    yield (
        f"{count(result.accepted)} of {count(result.wanted)} wanted questions (missing: {short}; "
        f"in {some_of(result.short, SHOWN_DOCUMENTS)}): {why}"
    )


def unrelated(number: int, documents: int) -> str:
    """Return a sentence about documents that no question joins with another one."""
    return (
        f"{count(number)} of {plural(documents, 'document')} share too few names with any other: "
        "they have questions of other kinds in place of across"
    )


def same_model(writer: str, generator: str) -> Iterator[str]:
    """Yield a sentence if one model writes questions and corpus."""
    if is_same_model(writer, generator):
        yield (
            f"the writer, {writer}, also generates the corpus (generate.model); that favors what "
            "it finds notable itself: use another model as questions.writer"
        )
