"""What each page of the documentation finds when its first command runs.

A page that is not named starts in a copy of a finished project: documents, texts, two trained
models, scores and a report. `words` replaces what stands for a value of the reader, and numbers
that would take hours.
"""

from __future__ import annotations

import io
import json
import re
import runpy
import shutil
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from documentation import ROOT


def nothing(folder: Path) -> None:
    """Add no file."""


@dataclass(frozen=True, slots=True)
class Setup:
    """The start of a page.

    Attributes:
        start: The project: none at all, documents alone, a configuration in which nothing was done,
            or a finished run.
        prepare: Adds files to the folder.
        words: Parts of commands, and what is typed in their place.
        keep: Settings that hold whatever the page says.
    """

    start: Literal["empty", "documents", "configured", "finished"] = "finished"
    prepare: Callable[[Path], None] = nothing
    words: Mapping[str, str] = field(default_factory=dict)
    keep: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def write_handbook(folder: Path) -> None:
    """Write the document that docs/documents.md shows."""
    days = "They have the days off that they want. " * 20
    (folder / "docs").mkdir()
    (folder / "docs" / "handbook.md").write_text(f"# Handbook\n\n{days}\n\n## Leave\n\n{days}\n")


def write_points(folder: Path) -> None:
    """Write the curve that docs/theory.md fits."""
    tokens = [1000 * 3**power for power in range(8)]
    points = [{"tokens": each, "accuracy": 0.3 + 0.04 * n} for n, each in enumerate(tokens)]
    (folder / "points.json").write_text(json.dumps(points))


def copy_example(name: str) -> Callable[[Path], None]:
    """Return a function that puts an example where its page expects it."""

    def copy(folder: Path) -> None:
        target = folder / "examples" / name
        ignored = shutil.ignore_patterns("__pycache__", "data", "runs", ".steep", "source")
        shutil.copytree(ROOT / "examples" / name, target, ignore=ignored)

    return copy


def copy_quality(folder: Path) -> None:
    """Write the example, and invented stories in place of QuALITY's files."""
    copy_example("quality")(folder)
    example = folder / "examples" / "quality"
    with redirect_stdout(io.StringIO()):
        runpy.run_path(str(example / "tiny_data.py"))["main"](example / "data")
    rows = (example / "data" / "quality.jsonl").read_text().splitlines(keepends=True)
    for part, half in (("train", rows[:2]), ("dev", rows[2:])):
        (example / f"QuALITY.v1.0.1.htmlstripped.{part}").write_text("".join(half))


def write_script(folder: Path) -> None:
    """Write the script that docs/many-gpus.md shows."""
    page = (ROOT / "docs" / "many-gpus.md").read_text(encoding="utf-8")
    (folder / "train.sh").write_text(re.findall("```shell\n(.*?)```", page, re.DOTALL)[0])


def copy_configuration(folder: Path) -> None:
    """Copy the configuration to the name that docs/view.md has for another one."""
    (folder / "other.yaml").write_text((folder / "steep.yaml").read_text())


ELSEWHERE = Setup("empty")  # pages whose commands are not those of a project
FEW = {"tokens": [100, 200, 400], "seeds": 1, "epochs": 1}  # points of a study

# The protocols and the grid of the paper take hours also on a tiny model.
QUALITY: dict[str, dict[str, Any]] = {
    "evaluate": {"methods": ["likelihood"], "limit": 4},
    "open_book": {"preset": None, "chunk_characters": [99], "shown": [2]},
    "scale": FEW,
}

SETUPS: dict[str, Setup] = {
    "CONTRIBUTING.md": ELSEWHERE,
    "docs/batch.md": Setup("configured"),
    "docs/cloud.md": Setup("configured"),
    "docs/compare.md": Setup(
        words={
            "entigraph,qa,rephrase": "entigraph,qa",
            "2000000": "600",
            "--cost 5": "--cost 0.003",
        },
        keep={"scale": FEW},
    ),
    "docs/docker.md": ELSEWHERE,
    "docs/documents.md": Setup("empty", write_handbook),
    # The tiny model's context is too short for a prompt with five solved examples.
    "docs/evaluation.md": Setup(keep={"evaluate": {"methods": ["likelihood"]}}),
    "docs/formats.md": ELSEWHERE,
    "docs/generation.md": Setup("configured"),
    "docs/install.md": ELSEWHERE,
    "docs/many-gpus.md": Setup(prepare=write_script),
    "docs/quickstart.md": Setup("documents"),
    "docs/report.md": Setup(words={"/tmp/page.html": "page.html"}),
    "docs/scaling.md": Setup(keep={"scale": FEW}),
    "docs/theory.md": Setup(
        "empty", write_points, words={"PROJECT": "points.json", "100000": "1000"}
    ),
    "docs/instruct.md": Setup("configured"),
    # 120 variants with prompts that are longer than the context of the model here.
    "docs/retrieval.md": Setup(
        words={"open_book.preset=paper": "open_book.chunk_characters=[99]"},
        keep={"evaluate": {"limit": 4}},
    ),
    "docs/reproduce.md": Setup("empty", copy_quality, keep=QUALITY),
    "examples/handbook/README.md": Setup("empty", copy_example("handbook")),
    "examples/quality/README.md": Setup("empty", copy_quality, keep=QUALITY),
    "docs/view.md": Setup(prepare=copy_configuration),
    "docs/vllm-ray.md": Setup("configured"),
    "examples/world/README.md": ELSEWHERE,
    "README.md": Setup("documents", words={"DIR": "documents"}),
}
