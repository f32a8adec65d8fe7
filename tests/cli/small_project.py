"""A project small enough to run whole in a few seconds: three documents, a two-layer model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from steep.testing.tiny_corpus import write_tiny_corpus

EVERY_STEP = 1e-9  # minutes between checkpoints
SMALL: dict[str, dict[str, Any]] = {
    "generate": {
        "model": "scripted",
        "concurrency": 4,
        "max_tokens": 300,
        "timeout_s": 30,
        "max_attempts": 2,
        "recipes": {"entigraph": {"pairs": 5}},
        "usd_per_million_input_tokens": 1.0,
        "usd_per_million_output_tokens": 2.0,
    },
    "train": {
        "context_tokens": 64,
        "batch_sequences": 4,
        "tokens": 6 * 4 * 64,
        "learning_rate": 1e-3,
        "checkpoint_minutes": 60,
    },
}


def write_project(folder: Path, base_url: str, model: Path, **sections: dict[str, Any]) -> Path:
    """Write documents, questions and a configuration that names them; return the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tiny_corpus(folder)
    config = folder / "steep.yaml"
    tree: dict[str, dict[str, Any]] = {
        "documents": {"path": "documents"},
        "evaluate": {"questions": "questions.jsonl"},
    }
    config.write_text(yaml.safe_dump(tree, sort_keys=False))
    settle(config, **SMALL)
    settle(config, generate={"base_url": base_url}, train={"model": str(model)})
    settle(config, **sections)
    return config


def settle(config: Path, **sections: dict[str, Any]) -> None:
    """Set fields of a configuration file, as its user would with an editor."""
    tree = yaml.safe_load(config.read_text())
    for name, fields in sections.items():
        tree[name] = (tree.get(name) or {}) | fields
    config.write_text(yaml.safe_dump(tree, sort_keys=False))


def pairs(number: int | str, triplets: int | str = 0) -> dict[str, Any]:
    """The settings of EntiGraph with so many pairs and triplets per document."""
    return {"recipes": {"entigraph": {"pairs": number, "triplets": triplets}}}


def run_record(project: Path) -> dict[str, Any]:
    """The artifacts that the only run used, and more."""
    record: dict[str, Any] = json.loads(next(project.glob("runs/*/run.json")).read_text())
    return record


def manifest(project: Path, relative: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project / relative / "manifest.json").read_text())
    return found


def results(project: Path) -> dict[str, Any]:
    """What a run found: everything that must not depend on when it was killed."""
    artifacts = run_record(project)["artifacts"]
    losses = {
        arm: [
            (row["step"], row["tokens"], row["loss"], row["grad_norm"])
            for row in map(json.loads, (project / path / "metrics.jsonl").read_text().splitlines())
        ]
        for arm, path in artifacts["train"].items()
    }
    return {
        "artifacts": artifacts,
        "passages": (project / artifacts["corpus"] / "passages.parquet").read_bytes(),
        "rejected": (project / artifacts["corpus"] / "rejected.parquet").read_bytes(),
        "losses": losses,
        "scores": json.loads((project / artifacts["evaluate"] / "scores.json").read_text()),
    }
