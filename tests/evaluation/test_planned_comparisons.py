"""`evaluate.comparisons`: which pairs are planned, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from steep.config import Config
from steep.core.artifacts import Identity, Project, build
from steep.core.errors import UserError
from steep.evaluation.compare import Grade, compare
from steep.evaluation.results import ModelComparison
from steep.evaluation.run import check
from steep.evaluation.setup import EvaluationSetup, PlannedComparisons
from steep.report.comparisons import difference_table
from steep.report.conclusions import headline
from steep.stages.evaluate import setup_of

ARMS = {"raw": ["documents"], "synthetic": ["entigraph"]}


def setup(root: Path, comparisons: Any = None) -> EvaluationSetup:
    sections = {
        "documents": {"path": "documents"},
        "train": {"model": "model", "arms": ARMS},
        "evaluate": {"comparisons": comparisons},
    }
    return setup_of(Config.model_validate(sections), Project(root))


def test_by_default_each_model_is_compared_with_the_base_and_synthetic_with_raw(
    tmp_path: Path,
) -> None:
    assert setup(tmp_path).planned_comparisons(["base", "raw", "synthetic"]).pairs == {
        ("raw", "base"),
        ("synthetic", "base"),
        ("synthetic", "raw"),
    }


def test_only_named_comparisons_are_planned(tmp_path: Path) -> None:
    named = setup(tmp_path, [["synthetic", "raw"]])
    assert named.planned_comparisons(["base", "raw", "synthetic"]).pairs == {("synthetic", "raw")}
    assert setup(tmp_path, []).planned_comparisons(["base", "raw"]).pairs == set()


@pytest.mark.parametrize(
    ("comparisons", "found"),
    [
        ([["synthetic", "bse"]], "bse"),
        ([["raw", "raw"]], "[raw, raw]"),
        ([["raw", "base"], ["base", "raw"]], "[base, raw] again"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    tmp_path: Path, comparisons: list[list[str]], found: str
) -> None:
    identity = Identity("documents", 1, {}, {})
    documents = build(Project(tmp_path), identity, lambda _: {})
    with pytest.raises(UserError) as error:
        check(setup(tmp_path, comparisons), documents)
    assert error.value.fields["where"] == "evaluate.comparisons"
    assert error.value.fields["found"] == found


def compared(planned: set[tuple[str, str]]) -> ModelComparison:
    grades = {
        name: [Grade(f"q{n}", f"d{n % 6}", "near", float(n % 10 < right)) for n in range(60)]
        for name, right in (("base", 2), ("raw", 4), ("synthetic", 9))
    }
    return compare(grades, PlannedComparisons(planned, {}))


def test_the_table_names_the_family_and_what_is_exploratory() -> None:
    table = difference_table(compared({("synthetic", "raw")}))
    assert table.caption is not None
    assert "covers 1 planned comparison: synthetic \N{MINUS SIGN} raw." in table.caption
    assert "2 comparisons are exploratory" in table.caption
    corrected = [row[5] for row in table.rows]
    assert corrected[0] == "<0.001" and corrected[1:] == ["exploratory"] * 2


def test_without_a_planned_comparison_the_page_claims_none() -> None:
    found = compared(set())
    assert "No planned comparison was made." in str(difference_table(found).caption)
    assert "no planned comparison was made" in headline(found, "luck")


def test_a_planned_comparison_that_was_not_made_is_said() -> None:
    found = compared({("synthetic", "raw"), ("served", "base")})
    assert found.not_compared == (("served", "base"),)
    caption = str(difference_table(found).caption)
    assert "covers 1 planned comparison" in caption
    assert "Planned but not made: served \N{MINUS SIGN} base (" in caption
