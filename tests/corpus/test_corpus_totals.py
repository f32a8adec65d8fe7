"""What `steep corpus` prints of its totals."""

from __future__ import annotations

from pathlib import Path

from built import built

from steep.core.artifacts import Artifact
from steep.corpus.artifact import totals_of
from steep.corpus.passage import Candidate
from steep.documents.document import Document

FERRY = Document(
    "ferry", "The Marlin", "The Marlin is a ferry that was launched in Velmora in 2014."
)


def test_totals_name_all_reasons_and_add_up_for_each_recipe() -> None:
    texts = ["Too short.", "Short.", "The bell rings over the harbor wall. " * 9]
    sound = "Sure! Here is the text:\n\nIn that year the ferry carried a bell of silver to Pell."
    rows = [Candidate(text, "ferry", f"c{n}", "mine") for n, text in enumerate([*texts, sound])]
    rows.append(Candidate("", "ferry", "c9", "other", status="refused"))
    corpus = built([FERRY], rows).totals
    manifest = {
        "counts": corpus.counts,
        "rejected": corpus.reasons,
        "by_recipe": corpus.by_recipe,
        "rejected_by_recipe": corpus.reasons_by_recipe,
    }
    assert totals_of(Artifact("corpus", Path("corpus-0"), manifest)) == [
        "all texts: 6 candidates = 2 passages + 4 rejected (2 short, 1 repetition, 1 refused)",
        "documents: 1 candidates = 1 passages + 0 rejected",
        "mine: 4 candidates = 1 passages + 3 rejected (2 short, 1 repetition)",
        "other: 1 candidates = 0 passages + 1 rejected (1 refused)",
        "assistant phrases around the text were removed from 1",
    ]
