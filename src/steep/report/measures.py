"""From the tables of `scores.json` to frozen data: what every way of asking has in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steep.report.view_models import Compared, Estimate, ModelScore, PairScore, Scores


def scores(measured: Mapping[str, Any]) -> Scores | None:
    """The choices by likelihood, where options were scored."""
    table = measured.get("likelihood")
    if table is None:
        return None
    return Scores(table["normalizer"], table.get("chance"), compared(table))


def compared(table: Mapping[str, Any]) -> Compared:
    """Models and pairs of any table of grades."""
    return Compared(
        models=[_model_score(row) for row in table["models"]],
        pairs=[_pair_score(row) for row in table.get("pairs") or []],
        minimum_detectable_difference=table.get("minimum_detectable_difference"),
        chance_by_kind=table.get("chance_by_kind") or {},
    )


def estimate(row: Mapping[str, Any] | None, key: str) -> Estimate | None:
    """A figure with its interval; None where there is no such figure."""
    if row is None or row.get(key) is None:
        return None
    return Estimate(row.get("n", 0), row[key], row.get("low"), row.get("high"))


def mean(row: Mapping[str, Any] | None) -> Estimate | None:
    """The same of an interval, whose figure is its mean."""
    return estimate(row, "mean")


def _model_score(row: Mapping[str, Any]) -> ModelScore:
    return ModelScore(
        name=row["name"],
        documents=row["documents"],
        overall=estimate(row, "accuracy"),
        by_kind=_by_kind(row, "accuracy"),
        by_normalizer=row.get("by_normalizer") or {},
    )


def _pair_score(row: Mapping[str, Any]) -> PairScore:
    overall = estimate(row, "difference")
    assert overall is not None, row
    return PairScore(
        a=row["a"],
        b=row["b"],
        planned=row["planned"],
        overall=overall,
        by_kind=_by_kind(row, "difference"),
        p=row["p"],
        p_holm=row["p_holm"],
        p_mcnemar=row["p_mcnemar"],
    )


def _by_kind(row: Mapping[str, Any], key: str) -> dict[str, Estimate]:
    found = {kind: estimate(each, key) for kind, each in (row.get("by_kind") or {}).items()}
    return {kind: each for kind, each in found.items() if each is not None}
