"""Recipes on real documents: what `steep plan` expected, what came, and what the corpus kept.

    python -m benchmarks.recipes DOCUMENTS RECIPE[={options}] ... [--documents N] [--words N]
        [--base-url URL --model NAME | --embedded] [--set KEY=VALUE ...] [--show N]

Without an endpoint, the scripted server answers. `--embedded` asks the embedded model, which is
slow: give few documents, `--words`, few samples, and `--set generate.max_tokens=200`. Options are
YAML: `'spa={samples: 1, max_tokens: 200}'`. Each recipe is a project of its own, in a temporary
folder. The plan is made before any call, and again after the first two documents (`--probe 2`).
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from steep.config_loading import load_config
from steep.core.artifacts import Project
from steep.core.calls import STATUSES
from steep.corpus.passage import PASSAGES_NAME, read_passages
from steep.generation.setup import plan_view
from steep.ledger.ledger import Ledger
from steep.stages import documents as documents_stage
from steep.testing.scripted_server import ScriptedServer

PROBED = 2  # documents of the second plan
SHOWN_CHARACTERS = 400  # of a text


def steep(folder: Path, *arguments: str) -> str:
    """Run a command of Steep in a project, and return what it prints."""
    command = [sys.executable, "-m", "steep", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"steep {' '.join(arguments)}: exit {done.returncode}\n{done.stderr.strip()}")
    return done.stdout


def write_project(folder: Path, source: Path, given: argparse.Namespace, recipe: str) -> None:
    """Write the first documents, each cut to its first words, and a configuration."""
    lines = source.read_text(encoding="utf-8").splitlines()[: given.documents]
    with (folder / "documents.jsonl").open("w", encoding="utf-8") as file:
        for line in lines:
            row = json.loads(line)
            if given.words:
                row["text"] = " ".join(row["text"].split()[: given.words])
            kept = {key: row[key] for key in ("id", "title", "text")}
            file.write(json.dumps(kept, ensure_ascii=False) + "\n")
    name, _, options = recipe.partition("=")
    generate: dict[str, Any] = {"recipes": {name: yaml.safe_load(options or "{}")}}
    if given.embedded:
        generate["engine"] = "embedded"
    else:
        generate |= {"base_url": given.base_url, "model": given.model}
    tree = {"documents": {"path": "documents.jsonl"}, "generate": generate}
    (folder / "steep.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")


def plan(folder: Path, changes: Sequence[str], *probe: str) -> list[dict[str, Any]]:
    """Return the steps of a plan, after a few calls if `probe` asks for them."""
    said = steep(folder, "plan", "--json", *probe, *changes)
    steps: list[dict[str, Any]] = json.loads(said)["steps"] if said else []
    return steps


def expected(step: dict[str, Any], field: str, made: float = 0) -> str:
    """Return low, expected and high of the calls or tokens of a step, those made included."""
    low, usual, high = (made + step["to_do"][field][case] for case in ("low", "expected", "high"))
    return f"{low:,.0f}" if low == high else f"{low:,.0f}..{usual:,.0f}..{high:,.0f}"


def outcomes(folder: Path, changes: Sequence[str]) -> dict[str, Counter[str]]:
    """Return the statuses and tokens of the calls of each step."""
    config = load_config(folder / "steep.yaml", tuple(changes))
    documents = documents_stage.peek(config, Project(folder))
    found: dict[str, Counter[str]] = {}
    with Ledger(folder / ".steep/ledger.db", read_only=True) as ledger:
        for call, record in plan_view(config.generate, documents, ledger).ended():
            if record is not None:
                counted = found.setdefault(call.stage, Counter())
                counted[record.status] += 1
                counted["prompt tokens"] += record.completion.usage.prompt_tokens
                counted["tokens"] += record.completion.usage.completion_tokens
    return found


def report(folder: Path, recipe: str, given: argparse.Namespace) -> None:
    """Run one recipe, and print its table."""
    write_project(folder, given.source, given, recipe)
    changes = [part for each in given.set for part in ("--set", each)]
    first = plan(folder, changes)
    probed = plan(folder, changes, "--probe", str(PROBED)) if not given.embedded else []
    later = {step["step"]: step for step in probed}
    earlier = outcomes(folder, given.set) if probed else {}
    began = time.monotonic()
    steep(folder, "generate", "--yes", *changes)
    seconds = time.monotonic() - began
    steep(folder, "corpus", *changes)
    found = outcomes(folder, given.set)
    print(f"\n## {recipe} ({seconds:.0f} s)\n")
    print("| step | expected calls | calls | expected tokens | tokens | after a probe | statuses |")
    print("|---|---|---|---|---|---|---|")
    for step in first:
        name = step["step"]
        came = found.get(name, Counter())
        statuses = {status: came[status] for status in STATUSES if came[status]}
        calls, tokens = sum(statuses.values()), came["tokens"]
        corrected = later.get(name)
        made = earlier.get(name, Counter())["tokens"]
        again = expected(corrected, "completion_tokens", made) if corrected else "-"
        said = ", ".join(f"{number:,} {status}" for status, number in statuses.items())
        wanted = expected(step, "completion_tokens")
        print(f"| {name} | {expected(step, 'calls')} | {calls:,} | {wanted} "
              f"| {tokens:,} | {again} | {said} |")  # fmt: skip
    print_corpus(folder, recipe.partition("=")[0], given.show)


def print_corpus(folder: Path, recipe: str, shown: int) -> None:
    """Print what the corpus kept and rejected, and some of the texts."""
    for path in sorted(folder.glob(".steep/corpus-*/manifest.json")):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        kept = manifest["by_recipe"].get(recipe, {"passages": 0, "words": 0})
        rejected = manifest["rejected_by_recipe"].get(recipe, {})
        print(f"\nkept {kept['passages']:,} ({kept['words']:,} words), rejected {rejected}")
        own = (each for each in read_passages(path.parent / PASSAGES_NAME))
        texts = [each.text for each in own if each.recipe == recipe]
        for text in texts[:shown]:
            print(f"\n> {' '.join(text.split())[:SHOWN_CHARACTERS]}")


def main() -> None:
    """Print a table of plans and outcomes, and the outcomes of the texts."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", type=Path, help="JSONL with id, title and text")
    parser.add_argument("recipes", nargs="+", help="a recipe, with options after '='")
    parser.add_argument("--documents", type=int, help="the first so many; default: all")
    parser.add_argument("--words", type=int, help="the first so many of each document")
    parser.add_argument("--base-url", help="of an endpoint; default: the scripted server")
    parser.add_argument("--model", default="scripted")
    parser.add_argument("--embedded", action="store_true")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--show", type=int, default=0, help="texts of each recipe to print")
    given = parser.parse_args()
    with ExitStack() as stack:
        if given.base_url is None and not given.embedded:
            given.base_url = stack.enter_context(ScriptedServer()).base_url
        for recipe in given.recipes:
            with tempfile.TemporaryDirectory() as folder:
                report(Path(folder), recipe, given)


if __name__ == "__main__":
    main()
