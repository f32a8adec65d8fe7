"""Checkpoints become scores: artifacts of rows for each model, and one artifact of tables.

Each model is loaded once and asked everything: closed book, open book, summaries from memory, and
what it could do before. Rows are kept for good, and tables are computed from them
(`methods/registry.py`), so `rescore` needs neither a model nor a question.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from steep.core.artifacts import MANIFEST, Artifact, Identity, Project, build
from steep.core.errors import UserError
from steep.core.progress import parts
from steep.evaluation import faithfulness
from steep.evaluation.callers import SHORT_ANSWER_JUDGE, Callers, check_prices, used_endpoints
from steep.evaluation.config import BASE
from steep.evaluation.contamination.artifact import contamination_artifacts
from steep.evaluation.document_index import DocumentIndex
from steep.evaluation.environment import environments_of, mixed
from steep.evaluation.eval_models import EvalModel, eval_models
from steep.evaluation.methods import (
    answers,
    general_text,
    harness_tasks,
    judged_answers,
    open_book,
)
from steep.evaluation.methods.common import Session
from steep.evaluation.methods.registry import ask, check_methods, scores_of
from steep.evaluation.protocols import asking_fields, check_protocol, protocol_of, reading_fields
from steep.evaluation.question_set import QuestionSet, read_question_set
from steep.evaluation.results import Scores, SkippedQuestion
from steep.evaluation.setup import SCORES_NAME, STAGE, EvaluationSetup
from steep.evaluation.study_results import write_scores
from steep.evaluation.summaries import study as summaries
from steep.evaluation.synthetic_texts import SyntheticTexts

log = logging.getLogger("steep")

VERSION = 7
SHOWN_SKIPPED = 5


def check(setup: EvaluationSetup, documents: Artifact) -> None:
    """Read the questions and check the settings, before anything is spent.

    Raises:
        UserError: The questions cannot be read, no question is about these documents, or the
            settings name an unknown model.
    """
    _check_names(setup)
    check_methods(setup)
    check_protocol(setup.evaluate)
    for line in _disclosures(setup):
        log.info("evaluate: %s", line)
    general_text.check(setup)
    harness_tasks.check(setup)
    summaries.check(setup, documents)
    faithfulness.check(setup)
    judged_answers.check(setup)
    check_prices(setup)
    question_set = read_question_set(setup, documents)
    if question_set is None:
        if setup.open_book.chunk_characters:
            raise UserError("An open book needs questions.", where="evaluate.questions")
        return
    for question_id, reason in question_set.skipped[:SHOWN_SKIPPED]:
        log.warning("  not asked: %s, %s", question_id, reason)
    if len(question_set.skipped) > SHOWN_SKIPPED:
        log.warning("  and %d more, see the report", len(question_set.skipped) - SHOWN_SKIPPED)
    if setup.open_book.chunk_characters:
        open_book.check(setup, question_set)


def evaluate(
    setup: EvaluationSetup,
    documents: Artifact,
    trained: Mapping[str, Artifact],
    texts: SyntheticTexts | None = None,
) -> Artifact | None:
    """Ask all models everything that is configured, and compare them.

    With `texts`, the questions are also searched for in the texts that models were trained on.

    Returns:
        The artifact with the tables; None if nothing is configured.
    """
    question_set = read_question_set(setup, documents)
    rows = ask_all(setup, documents, trained, question_set)
    if texts is not None and question_set is not None:
        with Callers(setup) as callers:
            rows += contamination_artifacts(setup, question_set, texts, callers)
    if texts is not None and setup.faithfulness.judge is not None:
        rows.append(faithfulness.faithfulness_artifact(setup, documents, texts))
    if not rows:
        log.info("evaluate: nothing to ask, evaluate.questions is null")
        return None
    inputs = {f"{artifact.stage}-{artifact.hash8}": artifact for artifact in rows}
    skipped = question_set.skipped if question_set else ()

    if (warning := mixed(environments_of(rows))) is not None:
        log.warning("evaluate: %s", warning)

    def make(directory: Path) -> dict[str, Any]:
        write_scores(directory / SCORES_NAME, scores_of(list(inputs.values()), setup, skipped))
        questions = len(question_set.questions) if question_set else 0
        return {
            "counts": {"questions": questions, "skipped": len(skipped)},
            "skipped": [each._asdict() for each in skipped],
            "wall_s": sum(artifact.manifest["wall_s"] for artifact in inputs.values()),
        }

    pairs = setup.evaluate.model_dump(mode="json")["comparisons"]
    fields = {**reading_fields(setup.evaluate), "evaluate.comparisons": pairs}
    return build(setup.project, Identity(STAGE, VERSION, fields, inputs), make)


def rescore(setup: EvaluationSetup, evaluated: Artifact) -> Scores:
    """Return the tables of an evaluation, computed again from its rows alone.

    Settings of prompts and sampling that have changed since are not applied; each one is logged.
    """
    rows = rows_of(setup.project, evaluated)
    log.info(
        "evaluate: computing the tables again from the rows of %s; nothing is asked",
        evaluated.path.name,
    )
    for line in dict.fromkeys(_asked_otherwise(setup, rows)):
        log.warning("evaluate: %s", line)
    skipped = [SkippedQuestion(**each) for each in evaluated.manifest["skipped"]]
    return scores_of(rows, setup, skipped)


def find_evaluation(project: Project, name: str | None) -> Artifact:
    """Return the evaluation of this name, or by default the newest one of the project.

    Raises:
        UserError: There is none.
    """
    if name is not None:
        return _finished(project, name)
    if found := project.finished(STAGE):
        return found[-1]
    raise UserError(
        "This run has not been evaluated yet, so there are no answers to show.",
        where=project.store,
        hint="run steep evaluate (without --rescore) or steep run first",
    )


def rows_of(project: Project, evaluated: Artifact) -> list[Artifact]:
    """Return the artifacts of rows that an evaluation was computed from."""
    names = evaluated.manifest["identity"]["inputs"].values()
    return [_finished(project, str(name)) for name in names]


def ask_all(
    setup: EvaluationSetup,
    documents: Artifact,
    trained: Mapping[str, Artifact],
    question_set: QuestionSet | None,
    only: str | None = None,
) -> list[Artifact]:
    """Ask the base and all trained models, or only the one of this name.

    Returns:
        The artifacts of rows, model by model.
    """
    with Callers(setup) as callers:
        models = eval_models(setup, trained, callers)
        asked = [each for each in models if only in (None, each.name)]
        return _rows(setup, documents, asked, question_set, callers)


def _rows(
    setup: EvaluationSetup,
    documents: Artifact,
    models: Sequence[EvalModel],
    question_set: QuestionSet | None,
    callers: Callers,
) -> list[Artifact]:
    asks_summaries = setup.summaries.references is not None
    study = summaries.SummaryStudy(setup, documents, callers) if asks_summaries else None
    judge = [*study.judge()] if study else []
    judging = judged_answers.answer_judging(setup, question_set, callers)
    if judging is not None:
        judge.append(judging.measured())
    by_model: dict[str, list[Artifact]] = {}
    with ExitStack() as resources:
        doc_index = None
        if question_set is not None and setup.open_book.chunk_characters:
            doc_index = resources.enter_context(DocumentIndex(setup, question_set, callers))
        session = Session(question_set, doc_index, study, judging)
        # Served models come first: a server that fails is noticed within seconds.
        served_first = sorted(models, key=lambda each: each.server is None)
        for eval_model in parts("evaluate", served_first, "models"):
            with closing(eval_model):
                by_model[eval_model.name] = [*ask(session, eval_model)]
    return judge + [artifact for each in models for artifact in by_model[each.name]]


def _asked_otherwise(setup: EvaluationSetup, rows: Sequence[Artifact]) -> Iterator[str]:
    """Yield each setting under which answers were asked that has another value now."""
    wanted = asking_fields(protocol_of(setup.evaluate), setup.evaluate.seed)
    wanted |= {"evaluate.split": setup.evaluate.split}
    for artifact in rows:
        if artifact.stage != answers.STAGE:
            continue
        asked = {"evaluate.split": "all"} | artifact.manifest["identity"]["fields"]
        for name, value in wanted.items():
            if name in asked and asked[name] != value:
                yield f"answers were asked with {name} {asked[name]!r}, not {value!r}"


def _disclosures(setup: EvaluationSetup) -> Iterator[str]:
    """Yield which host will see which questions and documents."""
    shown = setup.open_book.chunk_characters
    texts = "the questions, and the passages found for them" if shown else "the questions"
    for used in used_endpoints(setup):
        url, name = used.settings.base_url, used.section.rpartition(".")[2]
        host = urlsplit(url).hostname or url
        if used.reads_only and not shown:
            yield f"{host} will see the questions, and those in the synthetic texts (embedder)"
        elif used.reads_only:
            part = name.removesuffix("_server")
            yield f"{host} will see the questions and all documents, in passages ({part})"
        elif used.section == faithfulness.SECTION:
            yield f"{host} will see synthetic texts, and their documents whole (judge)"
        elif used.section == SHORT_ANSWER_JUDGE:
            yield f"{host} will see the questions with all their answers (judge)"
        elif used.section == "summaries.judge":
            yield f"{host} will see the summaries, and their documents whole (judge)"
        else:
            yield f"{host} will see {texts} (model '{name}')"


def _check_names(setup: EvaluationSetup) -> None:
    known = {BASE, *setup.arms, *setup.evaluate.servers}
    # Arms are compared as the means of their models.
    compared = known - {model for models in setup.seeds.values() for model in models[1:]}
    pairs = setup.evaluate.comparisons or ()
    named = [("evaluate.comparisons", name, compared) for pair in pairs for name in pair]
    for section in ("open_book", "summaries"):
        named += [(f"{section}.models", name, known) for name in getattr(setup, section).models]
    for where, name, expected in named:
        if name not in expected:
            raise UserError(
                f"There is no model '{name}' to ask.",
                where=where,
                expected=", ".join(sorted(expected)),
                found=name,
            )
    _check_comparisons(pairs)


def _check_comparisons(pairs: Sequence[tuple[str, str]]) -> None:
    seen: set[frozenset[str]] = set()
    for a, b in pairs:
        if a == b or {a, b} in seen:
            raise UserError(
                "A planned comparison is of two different models, and is named once.",
                where="evaluate.comparisons",
                found=f"[{a}, {b}]" + (" again" if a != b else ""),
                hint=f"remove it; [{a}, {b}] and [{b}, {a}] are the same comparison",
            )
        seen.add(frozenset((a, b)))


def _finished(project: Project, name: str) -> Artifact:
    stage, _, hash8 = name.rpartition("-")
    if artifact := project.find(stage, hash8):
        return artifact
    raise UserError(
        "Rows of this evaluation are missing.",
        where=project.artifact_path(stage, hash8) / MANIFEST,
        hint="run steep evaluate without --rescore: it asks again what is missing",
    )
