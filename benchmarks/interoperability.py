"""Do lm-evaluation-harness and inspect-ai, given our exported questions, choose as we do?

    pip install 'lm-eval[hf]==0.4.13' inspect-ai==0.3.285    # in an environment that has Steep
    python benchmarks/interoperability.py documents.jsonl questions.jsonl --first 40
    python benchmarks/interoperability.py quality.dev quality.dev --first 20 [--generation]

Exports the questions, runs the commands that the export names, in processes of their own, on the
model (the embedded one), and compares question by question: the largest difference of an option's
log-likelihood, the option chosen under each normaliser, and right or wrong as they count it. With
`--generation` the thought processes are compared too, of which only the prompts are sure to be the
same: greedy texts part where two tokens are equally likely to the last digits.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steep.documents.document import Document
from steep.documents.reading import read_documents
from steep.evaluation.engines import NORMALIZERS, Normalizer, OptionScores
from steep.evaluation.exports import (
    MODEL,
    Exported,
    ExportedQuestions,
    export_inspect,
    export_lm_eval,
    export_questions,
)
from steep.evaluation.hf_engine import HuggingFaceEngine
from steep.evaluation.likelihood import score_questions
from steep.evaluation.methods.answers import verdicts
from steep.evaluation.protocols import PROTOCOLS
from steep.evaluation.questions import read_questions
from steep.evaluation.rows import QuestionRow, ask_choices, make_rows
from steep.llm.model_names import embedded_directory

HARNESS_METRICS: dict[Normalizer, str] = {
    "sum": "acc",
    "per_character": "acc_norm",
    "per_byte": "acc_bytes",
}
BATCH_TOKENS = 2048


@dataclass(frozen=True, slots=True)
class Answered:
    """What another package made of one question; by normaliser, where it knows it."""

    question_id: str
    sum_logprob: tuple[float, ...]
    chosen: Mapping[str, int]
    right: Mapping[str, bool]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("documents", type=Path)
    parser.add_argument("questions", type=Path)
    parser.add_argument("--first", type=int, default=None, help="only so many questions")
    parser.add_argument("--model", type=Path, default=None, help="instead of the embedded one")
    parser.add_argument("--generation", action="store_true")
    options = parser.parse_args()
    documents = {each.whole_id: each for each in read_documents(options.documents).documents}
    asked = read_questions(options.questions, [*documents.values()]).questions[: options.first]
    question_set, model = (
        export_questions("interoperability", asked, documents),
        options.model or embedded_directory(),
    )
    print(f"{len(asked)} questions on {model.name}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        harness = export_lm_eval(Path(folder) / "lm-eval", question_set)
        inspect = export_inspect(Path(folder) / "inspect", question_set)
        rows = our_rows(model, question_set)
        print(*compare("lm-eval", rows, harness_likelihoods(harness, model)), sep="\n", flush=True)
        print(*compare("inspect", rows, inspect_likelihoods(inspect, model)), sep="\n", flush=True)
        if options.generation:
            ours = our_answers(model, question_set, documents)
            for name, theirs in (
                ("lm-eval", harness_answers(harness, model)),
                ("inspect", inspect_answers(inspect, model)),
            ):
                same = sum(ours[key] == theirs[key] for key in ours)
                print(f"{name:8} answers: same verdict {same} of {len(ours)}", flush=True)


def our_rows(model: Path, question_set: ExportedQuestions) -> list[QuestionRow]:
    """Score the questions ourselves."""
    loaded, tokenizer = _load(model)
    options = [question.options for question in question_set.questions]
    scores = score_questions(loaded, tokenizer, question_set.prompts, options, BATCH_TOKENS)
    return make_rows(question_set.questions, scores)


def our_answers(
    model: Path, question_set: ExportedQuestions, documents: Mapping[str, Document]
) -> dict[str, bool]:
    """Ask for thought processes ourselves: right or wrong of each question."""
    engine = HuggingFaceEngine(*_load(model))
    rows = ask_choices(engine, model.name, question_set.questions, documents, PROTOCOLS["default"])
    found = verdicts(rows, "strict", "first-valid")
    return {each.row.question_id: each.right for each in found}


def _load(model: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    loaded = AutoModelForCausalLM.from_pretrained(model, dtype="float32").eval()
    return loaded, AutoTokenizer.from_pretrained(model)


def harness_likelihoods(exported: Exported, model: Path) -> list[Answered]:
    """Run the harness's task of likelihoods."""
    return [_harness_row(sample) for sample in _harness_samples(exported.commands[0], model)]


def harness_answers(exported: Exported, model: Path) -> dict[str, bool]:
    """Run the harness's task of thought processes."""
    samples = _harness_samples(exported.commands[1], model)
    return {sample["doc"]["id"]: sample["exact_match"] == 1 for sample in samples}


def _harness_samples(command: str, model: Path) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        run(command, model, "--device", "cpu", "--log_samples", "--output_path", folder)
        (path,) = Path(folder).rglob("samples_*.jsonl")
        return [json.loads(line) for line in path.read_text().split("\n") if line]


def _harness_row(sample: Mapping[str, Any]) -> Answered:
    """The harness tells no choice, so it is made of its likelihoods; right or wrong is its own."""
    sums = tuple(float(response[0]) for response in sample["filtered_resps"])
    options = sample["doc"]["options"]
    scores = OptionScores.of(options, sums, (1,) * len(options))
    return Answered(
        sample["doc"]["id"],
        sums,
        {each: scores.likeliest(each)[0] for each in HARNESS_METRICS},
        {each: sample[metric] == 1 for each, metric in HARNESS_METRICS.items()},
    )


def inspect_likelihoods(exported: Exported, model: Path) -> list[Answered]:
    """Run the task `likelihood` of inspect-ai."""
    rows = []
    for sample in _inspect_samples(exported.commands[0], model):
        score = sample["scores"]["likeliest_option"]
        found, right = score["metadata"], {key: each == 1 for key, each in score["value"].items()}
        rows.append(Answered(sample["id"], tuple(found["sum_logprob"]), found["chosen"], right))
    return rows


def inspect_answers(exported: Exported, model: Path) -> dict[str, bool]:
    """Run the task `generation` of inspect-ai."""
    samples = _inspect_samples(exported.commands[1], model)
    return {each["id"]: each["scores"]["answer_line"]["value"] == 1 for each in samples}


def _inspect_samples(command: str, model: Path) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        run(command, model, "--display", "none", "--log-format", "json", "--log-dir", folder)
        (path,) = Path(folder).glob("*.json")
        log = json.loads(path.read_text())
    assert log["status"] == "success", log.get("error")
    samples: list[dict[str, Any]] = log["samples"]
    return samples


def run(command: str, model: Path, *more: str) -> None:
    """Run a command as an export names it, with this environment's packages, offline."""
    program, *arguments = shlex.split(command.replace(MODEL, str(model)))
    ended = subprocess.run(
        [Path(sys.executable).parent / program, *arguments, *more],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    if ended.returncode:
        raise RuntimeError(f"{program} ended with {ended.returncode}: {ended.stderr[-3000:]}")


def compare(name: str, rows: Sequence[QuestionRow], answered: Iterable[Answered]) -> list[str]:
    """Lines on how far apart likelihoods are, and how many choices and verdicts are the same."""
    theirs = {each.question_id: each for each in answered}
    assert theirs.keys() == {row.question_id for row in rows}
    furthest = max(
        abs(a - b)
        for row in rows
        for a, b in zip(row.sum_logprob, theirs[row.question_id].sum_logprob, strict=True)
    )
    lines = [f"{name:8} largest difference of a log-likelihood: {furthest:.6f}"]
    for normalizer in NORMALIZERS:
        known = [(row, theirs[row.question_id]) for row in rows]
        known = [(row, each) for row, each in known if normalizer in each.chosen]
        if not known:
            lines.append(f"{name:8} {normalizer:13} not known there")
            continue
        choice = sum(row.likeliest(normalizer)[0] == each.chosen[normalizer] for row, each in known)
        verdict = sum(row.right(normalizer) == each.right[normalizer] for row, each in known)
        right = sum(row.right(normalizer) for row in rows)
        lines.append(
            f"{name:8} {normalizer:13} same choice {choice} of {len(rows)}, "
            f"same verdict {verdict} ({right} right)"
        )
    return lines


if __name__ == "__main__":
    main()
