"""How a run was done: how to repeat it, its settings, its machine, times and artifacts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from steep.core.formatting import UNKNOWN, duration, listing, plural
from steep.evaluation.environment import described
from steep.report.blocks import (
    Block,
    Bullets,
    Column,
    Fold,
    PageSection,
    Part,
    Table,
    count_table,
    facts,
    table,
)
from steep.report.html import Html, el
from steep.report.run_data import ArtifactRef, ReportData, without_passwords

EQUAL = (
    "Equal bit for bit: documents, prompts and their ids, the order of calls, filters, passages, "
    "tokens and the order of training data, given the same answers of the generator; and all "
    "tables, given the same rows of the evaluation (steep evaluate --rescore).",
    "Equal up to rounding: losses, weights and likelihoods. Other hardware, numbers of threads or "
    "versions of torch add up in another order, which can change a choice between options of "
    "nearly equal likelihood.",
)
SAMPLED = (
    "Not equal: texts that a model is asked for again. Sampling at a temperature, and batching in "
    "servers, give other texts; the exported corpus, or the ledger, keeps those of this run."
)


def reproduction(run: ReportData) -> PageSection:
    """Return the section with the commands that repeat a run."""
    blocks: list[Block] = [
        Part("Commands", [el("pre", "\n".join(_commands(run)))]),
        Part("What will be equal", [Bullets([*EQUAL, *([SAMPLED] if run.generation else [])])]),
        Part("Versions", [_versions(run)]) if run.versions else None,
        _inputs(run),
    ]
    opening = (
        "The same documents, questions, settings and versions give this run again. The documents "
        "and the texts are not part of this page: whoever has them can share the exported corpus."
    )
    return PageSection("reproduce", "How to reproduce", opening, blocks)


def _commands(run: ReportData) -> Iterator[str]:
    yield "# The person who has this project writes its texts to a directory:"
    yield "steep export corpus CORPUS --documents"
    yield "# With the settings below as steep.yaml, and paths of the machine it runs on:"
    if run.corpus:
        yield "steep import --corpus CORPUS"
    none = " --set generate.recipes={}" if run.generation else ""
    yield f"steep run{none}"
    if run.generation:
        yield "# Or generate texts again, at the cost above (steep plan shows it first):"
        yield "steep run"
    if run.study:
        yield "steep scale"
    if run.compared:
        yield f"steep compare --recipes {','.join(run.compared.recipes)} {_size(run)}"


def _size(run: ReportData) -> str:
    assert run.compared is not None
    if run.compared.tokens is not None:
        return f"--tokens {run.compared.tokens}"
    return f"--cost {run.compared.cost_usd:g}"


def _versions(run: ReportData) -> Html:
    lines = [f"{name}=={number}" for name, number in run.versions.items()]
    return el("pre", "\n".join(lines))


def _inputs(run: ReportData) -> Part | None:
    """Return the hashes of all that a run reads."""
    rows = [*run.inputs.items(), *_weights(run)]
    if not rows:
        return None
    shown = [(name, el("code", digest)) for name, digest in rows]
    caption = (
        "SHA-256 of the documents as they were read (documents.jsonl of the first artifact), and "
        "of the files of questions and replay; weights by their own hash, or the Hub's commit."
    )
    return Part("Inputs", [Table(("input", "hash"), shown, caption, texts=range(2))])


def _weights(run: ReportData) -> Iterator[tuple[str, str]]:
    found: dict[str, str] = {}
    for each in run.tables.environments:
        for name, digest in each.weights.items():
            found.setdefault(f"weights of {name}", digest)
    yield from found.items()


# ---- settings ------------------------------------------------------------------------------------


def configuration(run: ReportData) -> PageSection:
    """Return the section with all settings, those that were changed first."""
    whole = el("pre", run.config_text)
    if run.changed is None:
        fold = Fold("All settings", [whole])
        return PageSection("configuration", "Configuration", None, [fold])
    changed: Mapping[str, Any] = {"name": run.name, **run.changed}
    text = yaml.safe_dump(dict(changed), sort_keys=False, allow_unicode=True)
    number = plural(sum(map(_leaves, run.changed.values())), "setting")
    opening = f"{number} differ from the defaults. As steep.yaml, they give this configuration."
    blocks: list[Block] = [
        el("pre", without_passwords(text)),
        Fold("All settings, defaults included", [whole]),
    ]
    return PageSection("configuration", "Configuration", opening, blocks)


def _leaves(value: Any) -> int:
    return sum(map(_leaves, value.values())) if isinstance(value, dict) and value else 1


# ---- machine, times, artifacts -------------------------------------------------------------------


def provenance(run: ReportData) -> PageSection:
    """Return the section of times, machine, seeds and artifacts."""
    machine = [
        ("run", run.name),
        ("created", run.created or UNKNOWN),
        ("hardware", run.hardware or UNKNOWN),
        ("seeds", ", ".join(_seeds(run.config)) or UNKNOWN),
        *(("evaluated on", described(each)) for each in run.tables.environments),
    ]
    total = f"{duration(sum(run.wall_s.values()))} in total."
    times = count_table("stage", "wall time", [*run.wall_s.items()], total, duration)
    columns: tuple[Column[ArtifactRef], ...] = (
        ("artifact", lambda ref: ref.stage if ref.arm is None else f"{ref.stage}, {ref.arm}"),
        ("hash", lambda ref: el("code", ref.path.name.rsplit("-", 1)[-1])),
        ("path", lambda ref: el("code", ref.shown_path)),
    )
    opening = (
        "Artifacts are named by a hash of the settings and inputs that determine their data."
        + _missing(run)
    )
    return PageSection(
        "provenance",
        "Provenance",
        opening,
        [
            facts(machine),
            times if run.wall_s else None,
            table(run.artifacts, columns, texts=range(3)),
        ],
    )


def _missing(run: ReportData) -> str:
    """Return which parts this run does not have, so that no section speaks of them."""
    parts = {
        "planned no calls": run.generation is None,
        "has no corpus": run.corpus is None,
        "trained no model": not run.arms,
        "asked no questions": not run.tables,
    }
    found = [part for part, is_missing in parts.items() if is_missing]
    return f" This run {listing(found)}." if found else ""


def _seeds(config: Mapping[str, object]) -> Iterator[str]:
    for name, section in config.items():
        if isinstance(section, dict) and "seed" in section:
            yield f"{name}.seed = {section['seed']}"
