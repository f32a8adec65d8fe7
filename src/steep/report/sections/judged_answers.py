"""Short answers graded by a judge: its agreement with labels, then the verdicts by model."""

from __future__ import annotations

from collections.abc import Iterator

from steep.core.formatting import count, reasons
from steep.evaluation.judged_results import (
    Agreement,
    JudgedAnswersResult,
    VerdictAgreement,
    VerdictShares,
)
from steep.report.blocks import (
    Block,
    Cell,
    Column,
    Fold,
    Model,
    Part,
    Stacked,
    Table,
    share_cell,
    table,
    value_cell,
)
from steep.report.comparisons import scores_part
from steep.report.sections.summaries import confusions, reliability


def judged_answers(found: JudgedAnswersResult) -> Iterator[Block]:
    """Yield the agreement of the judge, the verdicts, and the models compared by them."""
    if found.agreement is None:
        yield Part("Judge of short answers", ["The judge was not measured."])
    else:
        yield _agreement(found.agreement)
    columns: tuple[Column[VerdictShares], ...] = (
        ("model", lambda each: Model(each.model)),
        ("unreadable verdicts", lambda each: reasons(each.unread)),
        ("answers", lambda each: each.answers),
        ("correct", lambda each: share_cell(each.correct, "none judged")),
        ("incorrect", lambda each: share_cell(each.incorrect, "none judged")),
        ("not attempted", lambda each: share_cell(each.not_attempted, "none judged")),
        (
            ("correct", "of those attempted"),
            lambda each: share_cell(each.correct_if_attempted, "none attempted"),
        ),
    )
    caption = (
        "Shares of the answers with a verdict, with 95% intervals clustered by document. An answer "
        "is not attempted if it says nothing wrong, and not what was asked for."
    )
    yield Part("Short answers by a judge", [table(found.verdicts, columns, caption, range(2))])
    for name, compared in found.metrics.items():
        yield scores_part(f"Short answers, {name}", compared)


def _agreement(found: VerdictAgreement) -> Part:
    named: list[tuple[str, Agreement | VerdictAgreement]] = [("all", found)]
    named += list(found.by_verdict.items())
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            confusions(each) if isinstance(each, Agreement) else "",
            Stacked(count(found.read), f"of {count(found.answers)}"),
            share_cell(each.accuracy, "none"),
            value_cell(each.kappa, 2, "undefined"),
        )
        for name, each in named
    ]
    headings = ("verdict", "label\u2013judge", "labeled answers", "agreement", "Cohen's kappa")
    caption = (
        f"The judge {found.judge} on labeled answers about invented documents. Verdicts that could "
        f"not be read: {reasons(found.unread)}."
    )
    blocks: list[Block] = [Table(headings, rows, caption, range(2))]
    blocks.append(reliability(f"the verdicts of {found.judge}", found.kappa))
    if found.disagreements:
        wrong = [
            (each.kind, each.question, each.answer, each.label, each.verdict)
            for each in found.disagreements
        ]
        headings = ("kind", "question", "answer", "label", "judge")
        shown = Table(headings, wrong, texts=range(5))
        blocks.append(Fold(f"{len(wrong)} answers judged otherwise than labeled", [shown]))
    return Part("Judge of short answers", blocks)
