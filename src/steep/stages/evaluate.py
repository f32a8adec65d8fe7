"""Stage 6: checkpoints become scores: one artifact of rows a model, one of comparisons."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steep.config import Config
from steep.core.files import write_json
from steep.core.progress import Progress
from steep.documents.document import Document
from steep.evaluation.compare import compare_models
from steep.evaluation.questions import Question, read_questions
from steep.evaluation.rows import make_rows, read_rows, write_rows
from steep.project import Artifact, Project
from steep.stages import documents as documents_stage
from steep.stages.documents import content_hash
from steep.stages.harness import Identity, build
from steep.stages.models import load_model, load_tokenizer, model_directory

VERSION = 1
BASE = "base"
ROWS_NAME = "rows.parquet"
SCORES_NAME = "scores.json"


def run(
    config: Config, project: Project, documents: Artifact, trained: Mapping[str, Artifact]
) -> Artifact | None:
    """Score base and arms on the same questions and compare them; None without questions."""
    path = config.evaluate.questions
    if path is None:
        return None
    loaded = documents_stage.load(documents)
    questions = read_questions(path, loaded)
    scored = {
        name: _score(config, project, loaded, questions.questions, documents, name, artifact)
        for name, artifact in {BASE: None, **trained}.items()
    }
    fields = {
        "evaluate.questions": content_hash(path),
        "evaluate.normalizer": config.evaluate.normalizer,
    }

    def make(directory: Path) -> dict[str, Any]:
        rows = {name: read_rows(artifact.path / ROWS_NAME) for name, artifact in scored.items()}
        scores = compare_models(rows, config.evaluate.normalizer, questions.skipped)
        write_json(directory / SCORES_NAME, scores)
        counts = {"questions": len(questions.questions), "skipped": len(questions.skipped)}
        return {"counts": counts, "models": list(scored)}

    return build(project, Identity("evaluate", VERSION, fields, scored), make)


def _score(
    config: Config,
    project: Project,
    documents: Sequence[Document],
    questions: Sequence[Question],
    documents_artifact: Artifact,
    name: str,
    trained: Artifact | None,
) -> Artifact:
    assert config.evaluate.questions is not None
    fields = {"arm": name, "evaluate.questions": content_hash(config.evaluate.questions)}
    inputs = {"documents": documents_artifact}
    if trained is None:
        fields["train.model"] = config.train.model
    else:
        inputs["trained"] = trained

    def make(directory: Path) -> dict[str, Any]:
        from steep.evaluation.likelihood import score_questions
        from steep.evaluation.prompts import closed_book_prompt

        path = trained.path / "model" if trained else model_directory(config.train.model)
        by_id = {document.whole_id: document for document in documents}
        prompts = [closed_book_prompt(each, by_id[each.document_id]) for each in questions]
        progress = Progress(f"score {name}", len(questions), "questions")
        model = load_model(path)
        scores = score_questions(
            model,
            load_tokenizer(path),
            prompts,
            [question.options for question in questions],
            config.evaluate.batch_tokens,
            lambda done, total: progress.update(done),
        )
        write_rows(directory / ROWS_NAME, make_rows(questions, scores))
        del model
        gc.collect()
        progress.finish(f"{len(questions)} questions")
        return {"model": str(path if trained is None else name), "questions": len(questions)}

    return build(project, Identity("score", VERSION, fields, inputs), make)
