"""A whole run on disk with plausible numbers, made by arithmetic: what the report tests render."""

from __future__ import annotations

import json
import math
import re
from itertools import combinations, pairwise
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fixture_tables import choices

from steep.core.files import read_json, write_json, write_jsonl, write_text
from steep.core.ids import stable_hash
from steep.report.render import render_report

ENTITIES = {
    "The Veldmar Tide Engine": [
        "Veldmar Tide Engine",
        "Ottoline Brask",
        "Harrow Point",
        "Korrin & Vale",
        "the Moon Valve",
        "Council of Sennet",
        "Isla Thorne",
        "Sennet Harbour",
        "the 1931 flood",
    ],
    "Ottoline Brask": [
        "Ottoline Brask",
        "Sennet Harbour",
        "Lund Academy of Waterworks",
        "Piet Brask",
        "the Moon Valve",
        "Veldmar",
        "The Patient Sea",
        "Gullholm",
    ],
    "Korrin & Vale": [
        "Korrin & Vale",
        "Tobias Korrin",
        "Mirelle Vale",
        "Gullholm",
        "Foundry Nine",
        "blue bronze",
        "Council of Sennet",
        "the Larch Strike",
        "Arno Pell",
        "Sennet Harbour",
    ],
    "The Lantern Ferry of Gullholm": [
        "Lantern Ferry",
        "Gullholm",
        "Skipper Dane Orrey",
        "Isla Thorne",
        "the Grey Narrows",
        "Foundry Nine",
        "Harrow Point",
        "Saint Eda's Night",
    ],
    "Foundry Nine": [
        "Foundry Nine",
        "blue bronze",
        "Arno Pell",
        "Mirelle Vale",
        "the Larch Strike",
        "Quill Street",
        "the Bell of Veldmar",
        "Dr Ines Caldwell-Moravec of the Royal Institute",
    ],
    "The Bell of Veldmar": [
        "the Bell of Veldmar",
        "Veldmar",
        "Saint Eda's Night",
        "Piet Brask",
        "Tobias Korrin",
        "Quill Street",
        "the Grey Narrows",
        "Harrow Point",
    ],
}
KINDS = ("near the text", "backwards", "two facts")
SENTENCES = (
    "{0} and {1} are joined by a quiet piece of engineering history.",
    "When {1} first came into view, the people around {0} did not know what to make of it.",
    "The record says that {0} depended on {1} for longer than anybody had planned.",
    "What {0} gave to {1} was time, and time was what the harbour lacked.",
    "Later writers treat {1} as a mere detail in the story of {0}, which is a mistake.",
    "It is said that {0} was the reason why {1} could be built at all.",
    "In the years that followed, {1} changed hands, and {0} changed with it.",
)
REASONS = ("truncated", "repetition", "empty", "language")
USAGE = {"prompt_tokens": 118_406, "cached_tokens": 61_240, "completion_tokens": 52_911}
COUNTS = {
    "planned": 283,
    "done": 257,
    "refused": 2,
    "truncated": 15,
    "empty": 3,
    "failed": 4,
    "skipped": 0,
    "to_do": 2,
}
BY_STEP = [  # of `COUNTS` and `USAGE`
    ("entities", {"done": 6}, (9_000, 0, 900)),
    ("pairs", {"done": 200, "refused": 2, "truncated": 10, "empty": 3, "failed": 4, "to_do": 2},
     (87_406, 50_240, 40_011)),
    ("triplets", {"done": 51, "truncated": 5}, (22_000, 11_000, 12_000)),
]  # fmt: skip
RECORDED = "entigraph-large"
CONFIG = """\
name: demo
documents:
  path: /home/me/articles
generate:
  recipes: {entigraph: {}}
  engine: embedded
  model: SmolLM2-135M-Instruct
  temperature: 0.5
  seed: 7
train:
  model: embedded
  arms:
    raw: [documents]
    entigraph: [entigraph]
  tokens: 16384
  learning_rate: 0.0003
  seed: 11
evaluate:
  questions: /home/me/questions.jsonl
  normalizer: per_token
"""


def write_run(root: Path, **tables: Any) -> Path:
    """Write a run with every part, and return its directory.

    Args:
        root: Of the project.
        tables: More of `scores.json`, beside the likelihoods.
    """
    titles = list(ENTITIES)
    artifacts: dict[str, Any] = {
        "documents": _write(root, "documents", _documents_manifest()),
        "generate": _write(root, "generate", _generate_manifest()),
        "corpus": _write(root, "corpus", _corpus_manifest()),
        "tokenize": {arm: _write(root, "tokenize", _shard(arm)) for arm in ("raw", "entigraph")},
        "train": {arm: _write(root, "train", _trained(arm)) for arm in ("raw", "entigraph")},
        "evaluate": _write(root, "evaluate", {"models": 3}),
    }
    documents = [
        {"id": f"doc{i}", "title": title, "text": _document(title), "metadata": {}}
        for i, title in enumerate(titles)
    ]
    write_jsonl(root / artifacts["documents"] / "documents.jsonl", documents)
    entities = [
        {"document_id": f"doc{i}", "entities": ENTITIES[title], "summary": "..."}
        for i, title in enumerate(titles)
    ]
    write_jsonl(root / artifacts["generate"] / "entities.jsonl", entities)
    pq.write_table(_passages(), root / artifacts["corpus"] / "passages.parquet")
    pq.write_table(_rejected(), root / artifacts["corpus"] / "rejected.parquet")
    for arm, path in artifacts["train"].items():
        write_jsonl(root / path / "metrics.jsonl", _metrics(arm))
        write_jsonl(root / path / "validation.jsonl", VALIDATION[arm])
    write_json(root / artifacts["evaluate"] / "scores.json", _scores() | tables)
    return _write_run_directory(root, artifacts)


def words(root: Path, run_directory: Path) -> str:
    """Return the text of the report, without its markup."""
    page = render_report(root, run_directory).read_text().partition("<main")[2]
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def edit(path: Path, **changes: Any) -> None:
    """Change keys at the top of a JSON file."""
    write_json(path, read_json(path) | changes)


def drop_artifact(run_directory: Path, *stages: str) -> None:
    """Make the run one that never had these stages."""
    run = read_json(run_directory / "run.json")
    kept = {stage: path for stage, path in run["artifacts"].items() if stage not in stages}
    edit(run_directory / "run.json", artifacts=kept)


def artifact(root: Path, run_directory: Path, stage: str) -> Path:
    """Where an artifact of the run lies."""
    path: Path = root / read_json(run_directory / "run.json")["artifacts"][stage]
    return path


def rewrite_passage(root: Path, run_directory: Path, text: str) -> None:
    """Give every passage this text."""
    path = artifact(root, run_directory, "corpus") / "passages.parquet"
    table = pq.read_table(path)
    column = pa.array([text] * table.num_rows)
    pq.write_table(table.set_column(table.column_names.index("text"), "text", column), path)


def _write(root: Path, stage: str, manifest: dict[str, Any]) -> str:
    relative = f".steep/{stage}-{stable_hash([stage, manifest], 8)}"
    write_json(root / relative / "manifest.json", manifest)
    return relative


def _write_run_directory(root: Path, artifacts: dict[str, Any]) -> Path:
    directory = root / "runs" / "demo"
    wall_s = {
        "documents": 0.2,
        "generate": 311.0,
        "corpus": 1.4,
        "tokenize raw": 0.3,
        "tokenize entigraph": 0.6,
        "train raw": 198.1,
        "train entigraph": 204.4,
        "evaluate": 38.2,
    }
    run = {
        "name": "demo",
        "created": "2026-03-01T10:00:00+00:00",
        "artifacts": artifacts,
        "hardware": "2 CPU cores, 4 GB, no GPU",
        "wall_s": wall_s,
        "versions": {"steep": "0.1.0", "python": "3.12.1", "torch": "2.9.1"},
        "inputs": {"documents": "d" * 64, "questions": "e" * 64},
        "changed": {"documents": {"path": "/home/me/articles"}, "train": {"tokens": 16_384}},
        **_spending(),
    }
    write_json(directory / "run.json", run)
    write_text(directory / "config.yaml", CONFIG)
    return directory


def _spending() -> dict[str, Any]:
    """What texts and endpoints took: of 271 answers, 236 became passages and 6 prepare texts."""
    answers = {"": (236, 44_011), "truncated": (15, 5_000), "repetition": (8, 3_000)}
    return {
        "outcomes": [
            {"reason": reason, "calls": calls, "completion_tokens": tokens, "known_usd": 0.0,
             "unpriced": 0}
            for reason, (calls, tokens) in answers.items()
        ],
        "endpoints": [
            {"endpoint": "in process", "model": "SmolLM2-135M-Instruct", "answered": 277,
             "failed": 4, "attempts": 310, "usage": USAGE, "known_usd": 0.0, "unpriced": 0,
             "latency_s": [1.1, 2.5, 9.0]}
        ],
        "lost": {"attempts": 12, "tokens": 5_400, "cost_usd": 0.0, "unpriced": 0},
    }  # fmt: skip


def _steps() -> list[dict[str, Any]]:
    return [
        {
            "recipe": "entigraph",
            "step": step,
            "counts": {"planned": sum(counts.values()), **counts},
            "usage": dict(zip(USAGE, usage, strict=True)),
            "known_usd": 0.0,
            "unpriced": 0,
        }
        for step, counts, usage in BY_STEP
    ]


def _documents_manifest() -> dict[str, Any]:
    counts = {"files": 7, "documents": 6, "parts": 9, "skipped": 1}
    return {"counts": counts, "skipped": [{"source": "notes.txt", "reason": "the file is empty"}]}


def _generate_manifest() -> dict[str, Any]:
    return {
        "model": "SmolLM2-135M-Instruct",
        "endpoint": "in process",
        "counts": COUNTS,
        "usage": USAGE,
        "cost_usd": 0.0,
        "known_usd": 0.0,
        "unpriced": 0,
        "by_step": _steps(),
        "failures": [{"reason": "no answer within 300 s", "calls": 4}],
        "busy_s": 301.5,
    }


def _corpus_manifest() -> dict[str, Any]:
    counts = {"candidates": 269, "passages": 242, "rejected": 27, "trimmed": 4}
    example = {"document_id": "one", "recipe": "entigraph", "excerpt": "The bell & the bell ..."}
    examples = [{"call_id": f"c-loop-{n}", **example} for n in range(2)]
    return {"counts": counts, "rejected_examples": {"repetition": examples}}


def _shard(arm: str) -> dict[str, Any]:
    raw = {"arm": "raw", "passages": 6, "tokens": 1_021}
    return raw if arm == "raw" else {"arm": arm, "passages": 223, "tokens": 31_877}


def _trained(arm: str) -> dict[str, Any]:
    epochs, loss = (14.4, 0.812) if arm == "raw" else (0.46, 1.934)
    return {
        "arm": arm,
        "tokens": 16_384,
        "steps": 64,
        "replayed_tokens": 1_638,
        "epochs": epochs,
        "final_loss": loss,
        "wall_s": 196.0 if arm == "raw" else 201.3,
        "last": {"elapsed_s": 64.0 if arm == "raw" else 128.0},
    }


def import_recorded_texts(passages: Path) -> None:
    """Add a recorded text beside every pair of the run, and one on another subject."""
    rows = pq.read_table(passages).to_pylist()
    pairs = [row for row in rows if len(row["subset"]) == 2]
    for number, row in enumerate(pairs):
        first, second = row["subset"]
        text = f"Recorded: {first} and {second} belong together, as everybody in the town knows."
        rows.append(_row(row["document_id"], f"import{number}", number, RECORDED, (), text))
    rows.append(_row("doc0", "import", 999, RECORDED, (), "Recorded: about nothing of this."))
    pq.write_table(pa.Table.from_pylist(rows, schema=PASSAGE_SCHEMA), passages)


def _subsets(title: str) -> list[tuple[str, ...]]:
    entities = ENTITIES[title]
    pairs: list[tuple[str, ...]] = list(combinations(entities, 2))
    triplets: list[tuple[str, ...]] = list(combinations(entities, 3))
    return pairs + triplets[:: max(1, len(triplets) // 8)]


def _document(title: str) -> str:
    """Return a text about the entities, two in each sentence, with some years."""
    entities = ENTITIES[title]
    sentences = [
        f"{line.format(*pair)} That was in {1900 + 7 * number}."
        for number, (line, pair) in enumerate(zip(SENTENCES, pairwise(entities), strict=False))
    ]
    return "\n\n".join(sentences)


def _text(subset: tuple[str, ...], rank: int) -> str:
    random = Random(rank)
    chosen = random.sample(SENTENCES, 4)
    names = [random.sample(subset, 2) for _ in chosen]
    sentences = [line.format(*pair) for line, pair in zip(chosen, names, strict=True)]
    return " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)


def _passages() -> pa.Table:
    rows = []
    for number, title in enumerate(ENTITIES):
        rows.append(_row(f"doc{number}", None, 0, "documents", (), f"{title} is a text. " * 25))
        for rank, subset in enumerate(_subsets(title)):
            text = _text(subset, rank)
            if rank == 5:
                text = "\n\n".join([text] * 6)
            call_id = stable_hash(["call", number, rank])
            rows.append(_row(f"doc{number}", call_id, rank, "entigraph", subset, text))
    return pa.Table.from_pylist(rows, schema=PASSAGE_SCHEMA)


PASSAGE_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("document_id", pa.string()),
        ("call_id", pa.string()),
        ("rank", pa.int64()),
        ("recipe", pa.string()),
        ("subset", pa.list_(pa.string())),
        ("words", pa.int64()),
    ]
)


def _row(
    document_id: str,
    call_id: str | None,
    rank: int,
    recipe: str,
    subset: tuple[str, ...],
    text: str,
) -> dict[str, Any]:
    return {
        "id": stable_hash([document_id, recipe, rank]),
        "text": text,
        "document_id": document_id,
        "call_id": call_id,
        "rank": rank,
        "recipe": recipe,
        "subset": list(subset),
        "words": len(text.split()),
    }


def _rejected() -> pa.Table:
    texts = {
        "truncated": "The Lantern Ferry crosses the Grey Narrows and then the",
        "repetition": "Harrow Point is a point. " * 30,
        "empty": "",
        "language": "Der Hafen liegt still, und niemand weiß mehr, wer ihn gebaut hat.",
    }
    names = ["truncated"] * 15 + ["repetition"] * 8 + ["empty"] * 3 + ["language"]
    rows = [
        {
            "call_id": stable_hash(["aside", i]),
            "document_id": f"doc{i % 6}",
            "recipe": "entigraph",
            "reason": reason,
            "text": texts[reason],
        }
        for i, reason in enumerate(names)
    ]
    return pa.Table.from_pylist(rows)


# Losses on texts kept out, before the first and after the last step.
VALIDATION = {
    "raw": [
        {"step": 0, "synthetic": 3.1, "replay": 2.8},
        {"step": 64, "synthetic": 2.9, "replay": 3.3},
    ],
    "entigraph": [
        {"step": 0, "synthetic": 3.1, "replay": 2.8},
        {"step": 64, "synthetic": 2.2, "replay": 3.0},
    ],
}


def _metrics(arm: str) -> list[dict[str, float]]:
    floor = 0.75 if arm == "raw" else 1.9
    rows = []
    for step in range(1, 65):
        share = step / 64
        warm = min(1.0, step / 4)
        noise = 0.3 * (math.sin(step * 12.9898) * 43758.5453 % 1 - 0.5)
        rows.append(
            {
                "step": step,
                "tokens": step * 256,
                "loss": floor + 2.4 * math.exp(-4.5 * share) + noise,
                "learning_rate": 3e-4 * warm * (0.5 + 0.5 * math.cos(math.pi * share)),
                "grad_norm": 1.0,
                "tokens_per_s": 83.0,
                "elapsed_s": 3.1 * step,
            }
        )
    return rows


def _scores() -> dict[str, Any]:
    accuracies = {
        "base": (0.283, 0.30, 0.25, 0.30),
        "raw": (0.467, 0.80, 0.30, 0.30),
        "entigraph": (0.683, 0.75, 0.65, 0.65),
    }
    likelihood = {
        "normalizer": "per_token",
        "models": [_model(name, *values) for name, values in accuracies.items()],
        "pairs": [
            _pair("raw", "base", (0.184, 0.067, 0.302, 0.021, 0.042), (0.50, 0.05, 0.0)),
            _pair("entigraph", "base", (0.40, 0.267, 0.533, 0.00001, 0.00003), (0.45, 0.40, 0.35)),
            _pair("entigraph", "raw", (0.216, -0.017, 0.40, 0.034, 0.042), (-0.05, 0.35, 0.35)),
        ],
        "chance": 0.25,
        "chance_by_kind": dict.fromkeys(KINDS, 0.25),
        "several_right": 0,
        **choices(),
        "minimum_detectable_difference": 0.183,
    }
    return {
        "likelihood": likelihood,
        "skipped": [{"question_id": "q61", "reason": "its document was not read"}],
    }


def _model(name: str, overall: float, *kinds: float) -> dict[str, Any]:
    return {
        "name": name,
        "documents": 6,
        **_spread("accuracy", overall, 60, 0.11),
        "by_kind": {
            kind: _spread("accuracy", value, 20, 0.19)
            for kind, value in zip(KINDS, kinds, strict=True)
        },
        "by_normalizer": {
            "sum": overall - 0.05,
            "per_token": overall,
            "per_character": overall - 0.017,
            "per_byte": overall - 0.017,
        },
        "ties": 0,
    }


def _pair(a: str, b: str, overall: tuple[float, ...], kinds: tuple[float, ...]) -> dict[str, Any]:
    difference, low, high, p_mcnemar, p_holm = overall
    return {
        "a": a,
        "b": b,
        "planned": True,
        "n": 60,
        "difference": difference,
        "low": low,
        "high": high,
        "bootstrap_low": low,
        "bootstrap_high": high,
        "p": p_mcnemar,
        "p_mcnemar": p_mcnemar,
        "p_holm": p_holm,
        "by_kind": {
            kind: _spread("difference", value, 20, 0.24)
            for kind, value in zip(KINDS, kinds, strict=True)
        },
    }


def _spread(key: str, value: float, n: int, half: float) -> dict[str, Any]:
    low, high = value - half, value + half
    if key == "accuracy":
        low, high = max(0.0, low), min(1.0, high)
    return {"n": n, key: value, "low": round(low, 4), "high": round(high, 4)}


if __name__ == "__main__":  # python tests/report/fixture_run.py DIR: a run to look at
    import sys

    from fixture_tables import tables

    from steep.report.render import render_report

    directory = write_run(Path(sys.argv[1]), **tables())
    sys.stdout.write(json.dumps(str(render_report(Path(sys.argv[1]), directory))) + "\n")
