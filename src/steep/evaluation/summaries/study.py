"""The study of summaries: models write from memory, and a judge compares them with human ones.

Written texts and verdicts are artifacts of their own, so another judge needs no text written again.
The judge itself is measured first, on claims that we labeled.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from steep.core.artifacts import Artifact, Identity, build
from steep.core.config import identity_fields
from steep.core.errors import UserError
from steep.core.files import content_hash, read_json, read_rows, write_json, write_rows
from steep.core.progress import Progress
from steep.documents.document import Document
from steep.documents.split import whole_documents
from steep.documents.store import documents_of
from steep.evaluation.callers import Callers
from steep.evaluation.engines import Decoding
from steep.evaluation.eval_models import EvalModel
from steep.evaluation.methods.common import (
    Method,
    Session,
    remove_outputs,
    resumable,
    text_progress,
)
from steep.evaluation.results import from_json
from steep.evaluation.setup import EvaluationSetup
from steep.evaluation.study_results import HUMAN, JudgeAgreement, SummariesResult
from steep.evaluation.summaries.claims import Judged, judge_summaries, measure_judge
from steep.evaluation.summaries.judging import Judge
from steep.evaluation.summaries.scores import SummaryScores
from steep.evaluation.summaries.texts import (
    MAX_TOKENS,
    ClaimRow,
    Kind,
    PassageRow,
    Reference,
    SummaryRow,
    human_summaries,
    in_chat_form,
    read_references,
    summary_prompt,
    write_summaries,
)

log = logging.getLogger("steep")

VERSION = 2
WRITTEN, JUDGED, AGREEMENT = "summary", "judged", "judge"  # stages, as artifacts are named
TEXTS_NAME, PASSAGES_NAME, CLAIMS_NAME = "texts.parquet", "passages.parquet", "claims.parquet"
AGREEMENT_NAME = "agreement.json"
SHOWN_SKIPPED = 5


def check(setup: EvaluationSetup, documents: Artifact) -> None:
    """Check the settings of the study, before anything is spent."""
    settings = setup.summaries
    if settings.references is None:
        return
    if settings.judge is None:
        raise UserError(
            "A study of summaries needs a judge.",
            where="summaries.judge",
            expected="base_url and model of an endpoint, with endpoint: chat",
        )
    found = read_references(settings.references, documents_of(documents))
    for skipped in found.skipped[:SHOWN_SKIPPED]:
        log.warning("  no reference: %s, %s", skipped.source, skipped.reason)
    if (more := len(found.skipped) - SHOWN_SKIPPED) > 0:
        log.warning("  and %d more lines", more)


@dataclass
class SummaryStudy:
    """The human summaries and the judge of a run."""

    setup: EvaluationSetup
    documents: Artifact
    callers: Callers

    def judge(self) -> Iterator[Artifact]:
        """Measure the judge, and let it judge the human summaries."""

        def make(directory: Path) -> dict[str, Any]:
            judge = self.open_judge()
            claims_per_call = self.setup.summaries.claims_per_call
            found = measure_judge(judge, claims_per_call=claims_per_call)
            if sum(found.unread.values()) == found.claims:
                log.warning("judge: none of its verdicts could be read; the scores will be empty")
            write_json(directory / AGREEMENT_NAME, asdict(found))
            return {"judge": judge.name}

        yield build(
            self.setup.project, Identity(AGREEMENT, VERSION, self._judge_fields(), {}), make
        )
        yield self._judged(
            HUMAN, HUMAN, self.human_rows, {"summaries.references": self._content}, {}
        )

    def ask(self, eval_model: EvalModel) -> Iterator[Artifact]:
        """Let one model write summaries of every kind, and judge them."""
        settings = self.setup.summaries
        if settings.models and eval_model.name not in settings.models:
            return
        for kind in settings.kinds:
            written = self._written(eval_model, kind)
            yield written

            texts = partial(read_texts, written)
            yield self._judged(eval_model.name, kind, texts, {}, {"summary": written})

    def _written(self, eval_model: EvalModel, kind: Kind) -> Artifact:
        settings = self.setup.summaries
        max_tokens = settings.max_tokens or MAX_TOKENS[kind]
        fields = {
            "summaries.references": self._content,
            "summaries.kind": kind,
            "summaries.temperature": settings.temperature,
            "summaries.max_tokens": max_tokens,
        }

        def make(directory: Path) -> dict[str, Any]:
            rows = self.write(eval_model, kind, directory)
            write_rows(directory / TEXTS_NAME, rows, SummaryRow)
            remove_outputs(directory)
            return {"kind": kind, "texts": len(rows)}

        inputs = {"documents": self.documents}
        return eval_model.build(WRITTEN, VERSION, fields, make, inputs, one_of_many=True)

    def human_rows(self) -> list[SummaryRow]:
        """Return the human summaries as rows."""
        return human_summaries(self._references)

    def write(self, eval_model: EvalModel, kind: Kind, directory: Path) -> list[SummaryRow]:
        """Let one model write summaries of one kind, for the artifact in a directory."""
        settings, name = self.setup.summaries, eval_model.name
        ids = [reference.document_id for reference in self._references]
        tokens = settings.max_tokens or MAX_TOKENS[kind]
        return write_summaries(
            resumable(eval_model, directory),
            name,
            ids,
            kind,
            self._prompts(eval_model, ids, kind),
            Decoding(1, settings.temperature, tokens, (), self.setup.evaluate.seed),
            text_progress(f"summaries {name} {kind}", len(ids)),
        )

    def _prompts(self, eval_model: EvalModel, ids: Sequence[str], kind: Kind) -> list[str]:
        """Return the prompts, in the chat format of a model that has one."""
        tokenizer = None if eval_model.server else eval_model.loaded[1]
        served_chat = eval_model.server is not None and eval_model.server.endpoint == "chat"
        chat = served_chat or bool(tokenizer and tokenizer.chat_template)
        prompts = [summary_prompt(self.sources[each], kind, chat) for each in ids]
        return in_chat_form(tokenizer, prompts) if chat and tokenizer else prompts

    def _judged(
        self,
        writer: str,
        kind: str,
        texts: Callable[[], Sequence[SummaryRow]],
        fields: dict[str, Any],
        inputs: dict[str, Artifact],
    ) -> Artifact:
        """Build the artifact with the verdicts on some texts."""

        def make(directory: Path) -> dict[str, Any]:
            rows = texts()
            with Progress(f"judge {writer} {kind}", None, "calls") as progress:
                found = judge_summaries(
                    self.open_judge(),
                    rows,
                    self.sources,
                    claims_per_call=self.setup.summaries.claims_per_call,
                    on_progress=progress.update,
                )
            write_rows(directory / TEXTS_NAME, rows, SummaryRow)
            write_rows(directory / PASSAGES_NAME, found.passages, PassageRow)
            write_rows(directory / CLAIMS_NAME, found.claims, ClaimRow)
            return {"texts": len(rows), "claims": len(found.claims)}

        named = {"arm": writer, "summaries.kind": kind, **self._judge_fields(), **fields}
        every = {"documents": self.documents, **inputs}
        return build(
            self.setup.project, Identity(JUDGED, VERSION, named, every), make, one_of_many=True
        )

    def _judge_fields(self) -> dict[str, Any]:
        judge = self.setup.summaries.judge
        assert judge is not None
        named = identity_fields("judge", judge)
        return named | {"summaries.claims_a_call": self.setup.summaries.claims_per_call}

    def open_judge(self) -> Judge:
        """Return the judge; its answers are in the ledger."""
        judge = self.setup.summaries.judge
        assert judge is not None
        return Judge(self.callers.engine("summaries.judge", "judge"), judge.model)

    @cached_property
    def _content(self) -> str:
        assert self.setup.summaries.references is not None
        return content_hash(self.setup.summaries.references)

    @cached_property
    def _references(self) -> Sequence[Reference]:
        assert self.setup.summaries.references is not None
        return read_references(self.setup.summaries.references, self._texts).references

    @cached_property
    def sources(self) -> dict[str, Document]:
        """The whole documents by id."""
        return whole_documents(self._texts)

    @cached_property
    def _texts(self) -> Sequence[Document]:
        return documents_of(self.documents)


def read_texts(artifact: Artifact) -> list[SummaryRow]:
    """Read the texts of an artifact."""
    return read_rows(artifact.path / TEXTS_NAME, SummaryRow)


def result_of(
    artifacts: Sequence[Artifact], rows: Sequence[Artifact], setup: EvaluationSetup
) -> SummariesResult:
    """Compute the result from the artifacts of verdicts, and those of the judge."""
    texts = [row for artifact in artifacts for row in read_texts(artifact)]
    passages = [r for each in artifacts for r in read_rows(each.path / PASSAGES_NAME, PassageRow)]
    claims = [row for each in artifacts for row in read_rows(each.path / CLAIMS_NAME, ClaimRow)]
    judges = [
        from_json(JudgeAgreement, read_json(each.path / AGREEMENT_NAME))
        for each in rows
        if each.stage == AGREEMENT
    ]
    return SummaryScores(texts, Judged(passages, claims)).result(judges)


def ask(session: Session, eval_model: EvalModel) -> Iterator[Artifact]:
    """Let one model write summaries, and judge them."""
    if session.study is not None:
        yield from session.study.ask(eval_model)


METHOD = Method(JUDGED, ask, result_of, chosen=False, about=None)
