"""Accuracy over training tokens on the demo's articles: raw documents against EntiGraph texts.

    steep demo --directory DIR
    python -m benchmarks.demo_curve --directory DIR --out docs/demo-curve.svg

Trains both arms of the demo at every budget and seed that is asked for (the default takes two to
three hours on two cores; finished trainings are not repeated), asks each model all questions, and
prints the tables of LOG.md. The picture shows the budgets of the first seed.
"""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from steep.config_loading import CONFIG_NAME, load_config
from steep.core.artifacts import Project
from steep.core.files import read_rows
from steep.evaluation.compare import Grade, compare
from steep.evaluation.eval_models import name_of
from steep.evaluation.methods.common import ROWS_NAME
from steep.evaluation.methods.likelihood import STAGE as LIKELIHOOD
from steep.evaluation.methods.likelihood import likelihood_grades
from steep.evaluation.results import Comparison, ModelScore
from steep.evaluation.rows import QuestionRow
from steep.evaluation.setup import PlannedComparisons
from steep.stages import pipeline
from steep.stages.evaluate import setup_of

POINTS = ("4096:0", "16384:0", "49152:0", "98304:0", "49152:1", "49152:2")
FIRST_QUESTIONS = 60  # those that were there before any recorded text
SYNTHETIC, RAW, BASE = "entigraph", "raw", "base"
COLORS = {SYNTHETIC: "#0f766e", RAW: "#b45309", BASE: "#57534e"}


class Point(NamedTuple):
    """What the models of one budget and seed answered."""

    tokens: int
    seed: int
    grades: Mapping[str, Sequence[Grade]]
    planned: PlannedComparisons


def main() -> None:
    """Train, ask, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=Path, required=True, help="the project of the demo")
    parser.add_argument("--points", nargs="+", default=POINTS, help="TOKENS:SEED ...")
    parser.add_argument("--out", type=Path, help="where the picture goes")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    named = [tuple(map(int, each.split(":"))) for each in options.points]
    points = [measure(options.directory, tokens, seed) for tokens, seed in named]
    print("\n".join(tables(points)))
    if options.out:
        first = [point for point in points if point.seed == points[0].seed]
        options.out.write_text(picture(sorted(first)), encoding="utf-8")


def measure(directory: Path, tokens: int, seed: int) -> Point:
    """Train both arms, unless that is done, and ask them."""
    overrides = (f"train.tokens={tokens}", f"train.seed={seed}", f"name=curve-{tokens}-{seed}")
    config = load_config(directory / CONFIG_NAME, overrides)
    project = Project(directory.resolve())
    evaluated = pipeline.run(config, project, until="evaluate").evaluate
    assert evaluated is not None, "the demo has questions"
    grades = {}
    for name in evaluated.manifest["identity"]["inputs"].values():
        stage, _, hash8 = str(name).rpartition("-")
        artifact = project.find(stage, hash8)
        if stage == LIKELIHOOD and artifact is not None:
            rows = read_rows(artifact.path / ROWS_NAME, QuestionRow)
            grades[name_of(artifact)] = likelihood_grades(rows, config.evaluate.normalizer)
    return Point(tokens, seed, grades, setup_of(config, project).planned_comparisons(grades))


def tables(points: Sequence[Point]) -> list[str]:
    """Lines of Markdown: all questions, by kind and by part."""
    lines = [
        "| training tokens, seed | base | raw | EntiGraph | EntiGraph - raw | Holm p |"
        " EntiGraph - base | raw - base |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for point in points:
        found = compare(point.grades, point.planned)
        models = {model.name: model for model in found.models}
        pairs = {(pair.a, pair.b): pair for pair in found.pairs}
        cells = [_accuracy(models[name]) for name in (BASE, RAW, SYNTHETIC)]
        main = pairs[SYNTHETIC, RAW]
        cells += [_difference(main), f"{main.p_holm:.2g}"]
        cells += [_difference(pairs[SYNTHETIC, BASE]), _difference(pairs[RAW, BASE])]
        lines.append(f"| {point.tokens:,}, {point.seed} | {' | '.join(cells)} |")
    kinds = list(dict.fromkeys(grade.kind for grade in points[0].grades[BASE]))
    parts = [*kinds, f"first {FIRST_QUESTIONS}", "the others"]
    lines += ["", "Base / raw / EntiGraph:", ""]
    lines += [f"| training tokens, seed | {' | '.join(parts)} |", "|---" * (len(parts) + 1) + "|"]
    for point in points:
        cells = [
            " / ".join(f"{_share(point.grades[name], part):.1f}" for name in (BASE, RAW, SYNTHETIC))
            for part in parts
        ]
        lines.append(f"| {point.tokens:,}, {point.seed} | {' | '.join(cells)} |")
    return lines


def _share(grades: Sequence[Grade], part: str) -> float:
    if part.startswith("first"):
        chosen = grades[:FIRST_QUESTIONS]
    elif part == "the others":
        chosen = grades[FIRST_QUESTIONS:]
    else:
        chosen = [grade for grade in grades if grade.kind == part]
    return 100 * sum(grade.value or 0 for grade in chosen) / len(chosen)


def _accuracy(model: ModelScore) -> str:
    assert model.accuracy is not None and model.low is not None and model.high is not None
    return f"{100 * model.accuracy:.1f} ({100 * model.low:.1f}-{100 * model.high:.1f})"


def _difference(pair: Comparison) -> str:
    low, high = 100 * pair.low, 100 * pair.high
    return f"{100 * pair.difference:+.1f} [{low:+.1f}, {high:+.1f}]"


WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 400, 64, 130, 28, 56


def picture(points: Sequence[Point]) -> str:
    """An SVG: accuracy with 95% intervals over the logarithm of training tokens."""
    found = [compare(point.grades, point.planned).models for point in points]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="system-ui, sans-serif" font-size="14" role="img" '
        'aria-label="Accuracy over training tokens: raw documents and EntiGraph texts">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for percent in range(20, 101, 20):
        y = _y(percent / 100)
        parts.append(_line(LEFT, y, WIDTH - RIGHT, y, "#e7e5e4"))
        parts.append(_text(LEFT - 10, y + 5, f"{percent}%", "end"))
    budgets = [point.tokens for point in points]
    for point in points:
        x = _x(point.tokens, budgets)
        parts.append(_text(x, HEIGHT - BOTTOM + 24, f"{point.tokens:,}", "middle"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(_text(middle, HEIGHT - 8, "training tokens of each model", "middle"))
    for name in (BASE, RAW, SYNTHETIC):
        parts += _curve(name, [_named(models, name) for models in found], budgets)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _named(models: Sequence[ModelScore], name: str) -> ModelScore:
    return next(model for model in models if model.name == name)


def _curve(name: str, models: Sequence[ModelScore], budgets: Sequence[int]) -> list[str]:
    color = COLORS[name]
    shift = {RAW: -4.0, SYNTHETIC: 4.0}.get(name, 0.0)  # so that intervals do not hide each other
    places = [
        (_x(tokens, budgets) + shift, _y(model.accuracy or 0))
        for tokens, model in zip(budgets, models, strict=True)
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dashes = ' stroke-dasharray="6 5"' if name == BASE else ""
    parts = [f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2.5"{dashes}/>']
    if name != BASE:
        for (x, y), model in zip(places, models, strict=True):
            parts.append(_line(x, _y(model.low or 0), x, _y(model.high or 0), color))
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{color}"/>')
    label = {RAW: "raw articles", SYNTHETIC: "EntiGraph", BASE: "base"}[name]
    x, y = places[-1]
    label += f" {100 * (models[-1].accuracy or 0):.0f}%"
    return [*parts, _text(x + 14, y + 5, label, "start", color)]


def _x(tokens: int, budgets: Sequence[int]) -> float:
    """On a logarithmic axis."""
    inner, margin = WIDTH - RIGHT - LEFT - 60, 30
    first, last = math.log(budgets[0]), math.log(budgets[-1])
    return LEFT + margin + inner * (math.log(tokens) - first) / max(last - first, 1e-9)


def _y(fraction: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * fraction


def _line(x1: float, y1: float, x2: float, y2: float, color: str) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{color}" stroke-width="1.5"/>'
    )


def _text(x: float, y: float, text: str, anchor: str, color: str = "#44403c") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{text}</text>'


if __name__ == "__main__":
    main()
