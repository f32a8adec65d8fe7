"""What a rearrangement of the code must not change: calls, texts, counts, losses, scores."""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from small_project import manifest, run_record

from steep.corpus.passage import read_passages
from steep.ledger.ledger import Ledger


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def calls_of(project: Path) -> dict[str, str]:
    """Return the digest of the text of every call, by call id."""
    with Ledger(project / ".steep/ledger.db", read_only=True) as ledger:
        ids = [call_id for (call_id,) in ledger.select("SELECT id FROM calls")]
        found = ledger.get_many(ids)
    return {call_id: digest(found[call_id].text or "") for call_id in sorted(found)}


def corpus_of(project: Path) -> dict[str, Any]:
    """Return the corpus counts and a digest of the passages, in their order."""
    path = run_record(project)["artifacts"]["corpus"]
    kept = manifest(project, path)
    passages = [
        [passage.id, passage.text, passage.recipe, passage.rank]
        for passage in read_passages(project / path / "passages.parquet")
    ]
    return {
        "counts": kept["counts"],
        "by_recipe": kept["by_recipe"],
        "passages": digest(json.dumps(passages)),
    }


def shards_of(project: Path) -> dict[str, Any]:
    """Return the number of tokens and the checksum of every shard."""
    shards = run_record(project)["artifacts"]["tokenize"]
    found = {}
    for name, path in shards.items():
        kept = manifest(project, path)
        found[name] = {"tokens": kept["tokens"], "sha256": kept.get("sha256")}
    return found


def losses_of(project: Path) -> dict[str, list[list[float]]]:
    """Return step, tokens, loss and gradient norm of every training step, by arm."""
    arms = run_record(project)["artifacts"]["train"]
    return {
        arm: [
            [row["step"], row["tokens"], row["loss"], row["grad_norm"]]
            for row in map(json.loads, (project / path / "metrics.jsonl").read_text().splitlines())
        ]
        for arm, path in arms.items()
    }


def option_scores_of(project: Path) -> dict[str, list[float]]:
    """Return the log-likelihood sums of all options of all questions, by model."""
    found = {}
    for path in sorted(project.glob(".steep/score-*")):
        rows = pq.read_table(path / "rows.parquet").to_pylist()
        rows.sort(key=lambda row: str(row["question_id"]))
        name = manifest(project, str(path.relative_to(project)))["model"]
        found[name] = [value for row in rows for value in row["sum_logprob"]]
    return found


def page_of(project: Path) -> list[list[Any]]:
    """Return every section of the report: its id, its tables, rows and figures."""
    page = next(project.glob("runs/*/report.html")).read_text()
    parts = re.split(r'<section id="([a-z-]+)">', page)[1:]
    return [
        [name, *(len(re.findall(f"<{tag}[ >]", body)) for tag in ("table", "tr", "figure"))]
        for name, body in zip(parts[::2], parts[1::2], strict=True)
    ]


def frozen_results(project: Path) -> dict[str, Any]:
    """Return everything that a rearrangement of the code must leave as it is."""
    path = run_record(project)["artifacts"]["evaluate"]
    scores = json.loads((project / path / "scores.json").read_text())
    del scores["environments"]  # of this machine
    return {
        "calls": calls_of(project),
        "corpus": corpus_of(project),
        "shards": shards_of(project),
        "losses": losses_of(project),
        "option scores": option_scores_of(project),
        "scores": scores,
        "page": page_of(project),
    }


def differences(expected: Any, found: Any, path: str = "") -> list[str]:
    """Return where two results differ; numbers may differ by what processors differ."""
    if isinstance(expected, dict) and isinstance(found, dict):
        keys = sorted(expected.keys() | found.keys())
        return [
            line
            for key in keys
            for line in differences(expected.get(key), found.get(key), f"{path}/{key}")
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return [line for at, (a, b) in pairs for line in differences(a, b, f"{path}/{at}")]
    if isinstance(expected, float) and isinstance(found, float):
        same = math.isclose(expected, found, rel_tol=1e-4, abs_tol=1e-6)
        return [] if same else [f"{path}: {expected} became {found}"]
    return [] if expected == found else [f"{path}: {expected} became {found}"]


def check_results(project: Path, name: str) -> None:
    """Compare the results of a project with a golden file.

    To accept a change of results on purpose, delete the golden file and run the test twice.
    """
    golden = Path(__file__).parent / "golden" / name
    found = json.loads(json.dumps(frozen_results(project)))
    if not golden.exists():
        golden.write_text(json.dumps(found, indent=1) + "\n")
        pytest.fail(f"{golden} was missing and has been written: look at it, then commit it")
    assert not differences(json.loads(golden.read_text()), found)
