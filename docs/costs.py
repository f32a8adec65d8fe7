"""Writes the tables of `costs.md` from the planner itself, with the list prices of genai-prices.

python docs/costs.py
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from steep.config_loading import load_config
from steep.core.artifacts import Project
from steep.stages.plan import make_plan
from steep.stages.training_plan import forecast

PAGE = Path(__file__).with_name("costs.md")
WORDS = 1000  # of each document
BEGINNINGS = ("Mar", "Tes", "Quil", "Ost", "Var", "Pel")
ENDINGS = ("row", "selm", "lond", "rel", "holt")  # with the beginnings: 30 names in each document
SENTENCE = "kept the books of the ferry and wrote down how many people it carried."
SIZES = (10, 100, 1000)  # documents
PLANNED = 10  # documents
GENERATORS = (
    ("gpt-4.1-nano", "openai"),
    ("gpt-4.1-mini", "openai"),
    ("gpt-4.1-mini", "openai-batch"),
    ("gpt-4.1", "openai-batch"),
)
RECIPES: dict[str, dict[str, Any]] = {
    "10 pairs": {"entigraph": {"pairs": 10}},
    "all pairs (45)": {"entigraph": {"pairs": "all"}},
    "all pairs, 100 triplets": {"entigraph": {"pairs": "all", "triplets": 100}},
    "rephrase, 4 samples": {"rephrase": {"samples": 4}},
}
GPUS = ("1xA100", "1xH100", "8xH100")
TOKENS = (10_000_000, 100_000_000, 1_000_000_000)
LLAMA_3_8B = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096,
    "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
}  # fmt: skip


def page(text: str) -> str:
    """Return the page with its tables computed again."""
    with tempfile.TemporaryDirectory() as folder:
        tables = {"generation": generation(Path(folder)), "training": training(Path(folder))}
    for name, lines in tables.items():
        pattern = rf"(<!-- {name}: python docs/costs\.py -->\n\n).*?(\n\n)(?=[^|])"
        table = "\n".join(lines)
        text = re.sub(pattern, lambda found, t=table: f"{found[1]}{t}{found[2]}", text, flags=re.S)
    return text


def generation(folder: Path) -> list[str]:
    """Return the table of expected dollars by corpus, recipe and generator.

    Each document of a recipe without links is planned by itself, so a corpus of ten times as many
    equal documents costs ten times as much: the planner is asked for ten of them.
    """
    names = [f"{model}{', batch' if 'batch' in engine else ''}" for model, engine in GENERATORS]
    lines = [f"| words | recipe | calls | tokens of text | {' | '.join(names)} |"]
    lines.append("|" + "---|" * (4 + len(names)))
    project = write_documents(folder / "generation", PLANNED)
    for name, recipes in RECIPES.items():
        plans = [planned(project, recipes, *generator).forecast.to_do for generator in GENERATORS]
        for documents in SIZES:
            times = documents / PLANNED
            calls, out = plans[0].calls.expected, plans[0].completion_tokens.expected
            cells = [f"${plan.cost_usd.expected * times:,.2f}" for plan in plans]
            shown = [f"{documents * WORDS:,}", name, f"{calls * times:,.0f}"]
            shown += [f"{out * times / 1e6:,.2f} M", *cells]
            lines.append(f"| {' | '.join(shown)} |")
    return lines


def write_documents(folder: Path, number: int) -> Path:
    """Write documents of 1,000 words with 30 names, each with another title."""
    names = [beginning + ending for beginning in BEGINNINGS for ending in ENDINGS]
    text = " ".join(
        " ".join(f"In that year {name} {SENTENCE}" for name in names * 3).split()[:WORDS]
    )
    (folder / "documents").mkdir(parents=True)
    for each in range(number):
        (folder / "documents" / f"{each}.md").write_text(f"# Year {1000 + each}\n\n{text}\n")
    return folder


def planned(folder: Path, recipes: dict[str, Any], model: str, engine: str) -> Any:
    """Return the plan of a project."""
    tree = {
        "documents": {"path": "documents"},
        "generate": {
            "base_url": "https://api.openai.com/v1", "model": model, "engine": engine,
            "recipes": recipes,
        },
    }  # fmt: skip
    (folder / "steep.yaml").write_text(json.dumps(tree))
    return make_plan(load_config(folder / "steep.yaml"), Project(folder), None)


def training(folder: Path) -> list[str]:
    """Return the table of hours of Llama 3 8B by tokens and GPUs."""
    project = folder / "training"
    (project / "model").mkdir(parents=True)
    (project / "model" / "config.json").write_text(json.dumps(LLAMA_3_8B))
    write_documents(project, 1)
    lines = [f"| training tokens | {' | '.join(GPUS)} |", "|" + "---|" * (1 + len(GPUS))]
    for tokens in TOKENS:
        cells = [hours(project, tokens, gpus) for gpus in GPUS]
        lines.append(f"| {tokens // 1_000_000:,} M | {' | '.join(cells)} |")
    return lines


def hours(folder: Path, tokens: int, gpus: str) -> str:
    """Return the hours of training one model, with the range that the planner gives."""
    tree = {
        "documents": {"path": "documents"},
        "generate": {"recipes": {}},
        "train": {
            "model": "model", "preset": "8b-one-gpu", "tokens": tokens,
            "arms": {"raw": ["documents"]},
        },
    }  # fmt: skip
    (folder / "steep.yaml").write_text(json.dumps(tree))
    found = forecast(load_config(folder / "steep.yaml"), Project(folder), None, gpus)
    assert found is not None
    left = found.to_do[0].hours
    assert left is not None
    return f"{left.expected:,.1f} h ({left.low:,.1f} to {left.high:,.1f})"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
