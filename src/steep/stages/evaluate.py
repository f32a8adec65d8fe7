"""Stage 6: checkpoints become scores: one artifact of rows a model, one of comparisons."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steep.config import Config
from steep.core.errors import UserError
from steep.core.files import write_json
from steep.core.progress import Progress
from steep.documents.document import Document
from steep.evaluation.prompts import closed_book_prompt
from steep.evaluation.questions import Question, Questions, read_questions
from steep.evaluation.rows import make_rows, read_rows, write_rows
from steep.project import Artifact, Project
from steep.stages import documents as documents_stage
from steep.stages.documents import content_hash
from steep.stages.harness import Identity, build, log
from steep.stages.models import BASE, load_for_scoring, model_directory
from steep.stages.train import MODEL_NAME
from steep.training.loading import load_tokenizer

VERSION = 1
ROWS_NAME = "rows.parquet"
SCORES_NAME = "scores.json"
SHOWN_SKIPPED = 5


@dataclass(frozen=True, slots=True)
class _Exam:
    """What every model is asked: `content` is the hash of the file, `prompts` go with questions."""

    documents: Artifact
    content: str
    questions: Sequence[Question]
    prompts: Sequence[str]


def check(config: Config, documents: Artifact) -> None:
    """Read the questions, so that bad ones are known before anything is spent.

    Raises:
        UserError: They cannot be read, or none of them is about these documents.
    """
    if config.evaluate.questions is None:
        return
    skipped = read_questions(config.evaluate.questions, documents_stage.load(documents)).skipped
    for question_id, reason in skipped[:SHOWN_SKIPPED]:
        log.warning("  not asked: %s, %s", question_id, reason)
    if len(skipped) > SHOWN_SKIPPED:
        log.warning("  and %d questions more, see the report", len(skipped) - SHOWN_SKIPPED)


def run(
    config: Config, project: Project, documents: Artifact, trained: Mapping[str, Artifact]
) -> Artifact | None:
    """Score base and arms on the same questions and compare them; None without questions."""
    path = config.evaluate.questions
    if path is None:
        log.info("evaluate: nothing to ask, evaluate.questions is null")
        return None
    loaded = documents_stage.load(documents)
    questions = read_questions(path, loaded)
    exam = _Exam(documents, content_hash(path), questions.questions, _prompts(questions, loaded))
    scored = {
        name: _score(config, project, exam, name, artifact)
        for name, artifact in {BASE: None, **trained}.items()
    }
    fields = {
        "evaluate.questions": exam.content,
        "evaluate.normalizer": config.evaluate.normalizer,
    }

    def make(directory: Path) -> dict[str, Any]:
        from steep.evaluation.compare import compare_models

        rows = {name: read_rows(artifact.path / ROWS_NAME) for name, artifact in scored.items()}
        scores = compare_models(rows, config.evaluate.normalizer, questions.skipped)
        write_json(directory / SCORES_NAME, scores)
        counts = {"questions": len(questions.questions), "skipped": len(questions.skipped)}
        wall_s = sum(artifact.manifest["wall_s"] for artifact in scored.values())
        return {"counts": counts, "models": list(scored), "wall_s": wall_s}

    return build(project, Identity("evaluate", VERSION, fields, scored), make)


def _prompts(questions: Questions, documents: Sequence[Document]) -> list[str]:
    by_id = {document.whole_id: document for document in documents}
    return [closed_book_prompt(each, by_id[each.document_id]) for each in questions.questions]


def _score(
    config: Config, project: Project, exam: _Exam, name: str, trained: Artifact | None
) -> Artifact:
    fields = {"arm": name, "evaluate.questions": exam.content}
    inputs = {"documents": exam.documents}
    if trained is None:
        fields["train.model"] = config.train.model
    else:
        inputs["trained"] = trained

    def make(directory: Path) -> dict[str, Any]:
        from steep.evaluation.likelihood import score_questions

        path = _exported(trained) if trained else model_directory(config.train.model, project)
        options = [question.options for question in exam.questions]
        progress = Progress(f"score {name}", sum(map(len, options)), "options")
        scores = score_questions(
            load_for_scoring(path),
            load_tokenizer(path),
            exam.prompts,
            options,
            config.evaluate.batch_tokens,
            lambda done, total: progress.update(done),
        )
        gc.collect()  # two models at once need not fit into memory
        write_rows(directory / ROWS_NAME, make_rows(exam.questions, scores))
        progress.finish(f"{len(exam.questions)} questions")
        return {"model": name if trained else str(path), "questions": len(exam.questions)}

    return build(project, Identity("score", VERSION, fields, inputs), make)


def _exported(trained: Artifact) -> Path:
    path = trained.path / MODEL_NAME
    if not path.is_dir():
        raise UserError(
            f"The model of the arm '{trained.manifest['arm']}' is not there any more.",
            where=path,
            hint=f"move {trained.path} away and run the same command again: it trains it anew",
        )
    return path
