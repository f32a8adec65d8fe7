"""Questions/s of likelihood scoring on this machine, against lm-evaluation-harness, in one run.

    pip install lm-eval[hf]==0.4.13 torch==2.13.0     # in an environment that also has Steep
    python -m benchmarks.likelihood documents.jsonl questions.jsonl [--first 40] [--repeats 3]
    python -m benchmarks.likelihood quality.dev quality.dev --device cuda --precision tf32

Both sides score the same prompts and options with the same model (the embedded one), in the same
precision. The harness runs a task made here from the questions, in the batch size that is fastest
for it on the first eight; only its `loglikelihood` is timed, against all of `score_questions`. They
take turns, each time is printed at once, and the median counts; the first turn on a GPU also warms
it up. Choices are compared by sum (`acc`), characters (`acc_norm`) and bytes (`acc_bytes`), and so
is right or wrong as the harness itself counts it, question by question.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

from transformers import AutoTokenizer
from transformers.utils import logging

from steep.documents.reading import read_documents
from steep.evaluation.engines import Normalizer
from steep.evaluation.likelihood import score_questions
from steep.evaluation.local_model import load_for_scoring
from steep.evaluation.prompts import closed_book_prompt, short_answer_prompt
from steep.evaluation.questions import Question, read_questions
from steep.evaluation.rows import QuestionRow, make_rows
from steep.llm.local.devices import PrecisionSetting, default_device, scoring_precision
from steep.llm.model_names import embedded_directory

METRICS: dict[str, Normalizer] = {
    "acc": "sum",
    "acc_norm": "per_character",
    "acc_bytes": "per_byte",
}
BATCH_SIZES = (1, 8, 32, 128)
TRIAL_QUESTIONS = 8
BATCH_TOKENS = 2048  # the default of evaluate.batch_tokens


class Exam(NamedTuple):
    """Questions and the prompts that both sides get."""

    questions: Sequence[Question]
    prompts: Sequence[str]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("documents", type=Path)
    parser.add_argument("questions", type=Path)
    parser.add_argument("--first", type=int, default=None, help="only so many questions")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--prompt", choices=["closed-book", "five-shot"], default="closed-book")
    parser.add_argument("--device", default=default_device())
    parser.add_argument("--precision", choices=get_args(PrecisionSetting), default="auto")
    parser.add_argument("--batch-tokens", type=int, default=BATCH_TOKENS, help="of our batches")
    options = parser.parse_args()
    question_set = read_question_set(
        options.documents, options.questions, options.first, options.prompt
    )
    logging.disable_progress_bar()
    precision = scoring_precision(options.precision, options.device)
    model = load_for_scoring(embedded_directory(), options.device, precision).eval()
    tokenizer = AutoTokenizer.from_pretrained(embedded_directory())
    count = len(question_set.questions)
    print(f"{count} questions on {options.device} in {precision}", flush=True)
    harness = Harness(model, tokenizer, question_set)
    print(f"the harness in batches of {harness.batch_size}", flush=True)
    ours_s, theirs_s = [], []
    for _ in range(options.repeats):
        start = time.perf_counter()
        choices = [question.options for question in question_set.questions]
        scores = score_questions(
            model, tokenizer, question_set.prompts, choices, options.batch_tokens
        )
        ours_s.append(time.perf_counter() - start)
        print(f"  steep {ours_s[-1]:.2f} s", flush=True)
        samples, seconds = harness.run()
        theirs_s.append(seconds)
        print(f"  harness {seconds:.2f} s", flush=True)
    report(question_set, ours_s, theirs_s)
    compare(make_rows(question_set.questions, scores), samples)


def read_question_set(documents: Path, questions: Path, first: int | None, prompt: str) -> Exam:
    """Read questions and write their prompts."""
    known = read_documents(documents).documents
    by_id = {document.whole_id: document for document in known}
    asked = read_questions(questions, known).questions[:first]
    write = closed_book_prompt if prompt == "closed-book" else short_answer_prompt
    return Exam(asked, [write(each, by_id[each.document_id]) for each in asked])


class Harness:
    """The same exam as a task of lm-evaluation-harness."""

    def __init__(self, model: Any, tokenizer: Any, question_set: Exam) -> None:
        """Write the task and find the fastest batch size."""
        self._model, self._tokenizer, self._question_set = model, tokenizer, question_set
        self.batch_size = 1
        seconds = {}
        for self.batch_size in BATCH_SIZES:
            seconds[self.batch_size] = self.run(TRIAL_QUESTIONS)[1]
        self.batch_size = min(seconds, key=lambda size: seconds[size])

    def run(self, first: int | None = None) -> tuple[list[dict[str, Any]], float]:
        """The harness's samples, in order, and the seconds of its likelihoods."""
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager

        class Timed(HFLM):  # type: ignore[misc]
            seconds = 0.0

            def loglikelihood(self, *arguments: Any, **named: Any) -> Any:
                start = time.perf_counter()
                found = super().loglikelihood(*arguments, **named)
                self.seconds = time.perf_counter() - start
                return found

        with tempfile.TemporaryDirectory() as folder:
            self._write_task(Path(folder))
            lm = Timed(self._model, tokenizer=self._tokenizer, batch_size=self.batch_size)
            found = simple_evaluate(
                lm,
                tasks=["steep_exam"],
                task_manager=TaskManager(include_path=folder, include_defaults=False),
                limit=first,
                bootstrap_iters=0,
                verbosity="ERROR",
            )
        samples = sorted(found["samples"]["steep_exam"], key=lambda sample: sample["doc_id"])
        return samples, lm.seconds

    def _write_task(self, folder: Path) -> None:
        bos = self._tokenizer.bos_token or ""  # the harness adds none where the tokenizer does not
        rows = [
            {"prompt": bos + prompt, "options": list(each.options), "gold": each.gold[0]}
            for each, prompt in zip(
                self._question_set.questions, self._question_set.prompts, strict=True
            )
        ]
        data = folder / "exam.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        task = {
            "task": "steep_exam",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(data)}},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "{{prompt}}",
            "doc_to_choice": "{{options}}",
            "doc_to_target": "{{gold}}",
            "metric_list": [{"metric": metric} for metric in METRICS],
        }
        (folder / "exam.yaml").write_text(json.dumps(task))  # JSON is YAML


def report(question_set: Exam, ours_s: list[float], theirs_s: list[float]) -> None:
    """Print the rates."""
    ours, theirs = statistics.median(ours_s), statistics.median(theirs_s)
    count = len(question_set.questions)
    print(f"steep    {count / ours:7.2f} questions/s  ({', '.join(f'{s:.1f}' for s in ours_s)} s)")
    print(
        f"harness  {count / theirs:7.2f} questions/s  ({', '.join(f'{s:.1f}' for s in theirs_s)} s)"
    )
    print(f"ratio    {theirs / ours:7.2f}")


def compare(rows: Sequence[QuestionRow], samples: Sequence[dict[str, Any]]) -> None:
    """Print how many choices, and rights and wrongs, are the same."""
    furthest = max(
        abs(ours - float(theirs[0]))
        for row, sample in zip(rows, samples, strict=True)
        for ours, theirs in zip(row.sum_logprob, sample["filtered_resps"], strict=True)
    )
    print(f"largest difference of a log-likelihood: {furthest:.5f}")
    for metric, normalizer in METRICS.items():
        same_choice = same_right = 0
        for row, sample in zip(rows, samples, strict=True):
            lengths = {"sum": [1] * len(row.options), "per_character": row.characters}.get(
                normalizer, row.bytes
            )
            values = [
                float(r[0]) / n for r, n in zip(sample["filtered_resps"], lengths, strict=True)
            ]
            same_choice += values.index(max(values)) == row.likeliest(normalizer)[0]
            same_right += bool(sample[metric]) == row.right(normalizer)
        print(f"{metric:9} same choice {same_choice} of {len(rows)}, same verdict {same_right}")


if __name__ == "__main__":
    main()
