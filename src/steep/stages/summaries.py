"""Stage 6, summaries: models write from memory, and a judge weighs it beside what people wrote.

What was written and what was judged are artifacts of their own, so another judge needs no text
written again. The judge itself is measured first, on claims that we labeled.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steep.config import Config
from steep.core.artifacts import Artifact, Identity, Project, build
from steep.core.errors import UserError
from steep.core.files import content_hash, read_json, write_json
from steep.core.progress import Progress
from steep.documents.document import Document
from steep.documents.split import whole_documents
from steep.evaluation.config import SummariesConfig
from steep.evaluation.engines import AnswerEngine, Decoding, no_progress
from steep.evaluation.engines import Progress as ToldProgress
from steep.evaluation.summaries.claims import Judged, judge_summaries
from steep.evaluation.summaries.judging import EngineJudge, Judge
from steep.evaluation.summaries.prompts import MAX_TOKENS, Kind, in_chat_form, summary_prompt
from steep.evaluation.summaries.references import Reference, read_references
from steep.evaluation.summaries.rows import (
    HUMAN,
    ClaimRow,
    PassageRow,
    SummaryRow,
    read_rows,
    write_rows,
)
from steep.evaluation.summaries.writing import human_summaries, write_summaries
from steep.stages import documents as documents_stage
from steep.stages.callers import Callers
from steep.stages.closed_book import OUTPUTS_NAME, kept, told
from steep.stages.eval_models import EvalModel

log = logging.getLogger("steep")

if TYPE_CHECKING:  # it loads scipy
    from steep.evaluation.summaries.judge_agreement import JudgeAgreement

VERSION = 1
WRITTEN, JUDGED, AGREEMENT = "summary", "judged", "judge"  # stages, as artifacts are named
TEXTS_NAME, PASSAGES_NAME, CLAIMS_NAME = "texts.parquet", "passages.parquet", "claims.parquet"
AGREEMENT_NAME = "agreement.json"
SHOWN_SKIPPED = 5


def check(config: Config, documents: Artifact) -> None:
    """Refuse what cannot be studied, before anything is spent.

    Raises:
        UserError: There is no judge, or no summary by a person of any document.
    """
    settings = config.summaries
    if settings.references is None:
        return
    if settings.judge is None:
        raise UserError(
            "A study of summaries needs a judge.",
            where="summaries.judge",
            expected="base_url and model of an endpoint, with endpoint: chat",
        )
    found = read_references(settings.references, documents_stage.load(documents))
    for skipped in found.skipped[:SHOWN_SKIPPED]:
        log.warning("  no reference: %s, %s", skipped.source, skipped.reason)
    if (more := len(found.skipped) - SHOWN_SKIPPED) > 0:
        log.warning("  and %d lines more", more)


@dataclass
class SummaryStudy:
    """The references and the judge of a run."""

    config: Config
    project: Project
    documents: Artifact
    callers: Callers

    def judge(self) -> Iterator[Artifact]:
        """Measure the judge, and let it weigh what people wrote."""

        def make(directory: Path) -> dict[str, Any]:
            judge = self.open_judge()
            found = measure(judge, self.config.summaries)
            if sum(found.unread.values()) == found.claims:
                log.warning(
                    "judge: not one of its verdicts could be read, nor will be in the table"
                )
            write_json(directory / AGREEMENT_NAME, asdict(found))
            return {"judge": judge.name}

        yield build(self.project, Identity(AGREEMENT, VERSION, self._judge_fields(), {}), make)

        yield self._judged(
            HUMAN, HUMAN, self.human_rows, {"summaries.references": self._content}, {}
        )

    def ask(self, eval_model: EvalModel) -> Iterator[Artifact]:
        """Let one model write summaries of every kind, and the judge weigh them."""
        settings = self.config.summaries
        if settings.models and eval_model.name not in settings.models:
            return
        for kind in settings.kinds:
            written = self._written(eval_model, kind)
            yield written

            texts = partial(read_texts, written)
            yield self._judged(eval_model.name, kind, texts, {}, {"summary": written})

    def _written(self, eval_model: EvalModel, kind: Kind) -> Artifact:
        settings = self.config.summaries
        max_tokens = settings.max_tokens or MAX_TOKENS[kind]
        fields = {
            **eval_model.fields,
            "summaries.references": self._content,
            "summaries.kind": kind,
            "summaries.temperature": settings.temperature,
            "summaries.max_tokens": max_tokens,
        }

        def make(directory: Path) -> dict[str, Any]:
            with_progress = told(f"summaries {eval_model.name} {kind}", len(self._references))
            rows = self.write(eval_model, kind, with_progress, kept(eval_model, directory))
            write_rows(directory / TEXTS_NAME, SummaryRow, rows)
            (directory / OUTPUTS_NAME).unlink(missing_ok=True)
            return {"kind": kind, "texts": len(rows)}

        inputs = {"documents": self.documents, **eval_model.inputs}
        return build(
            self.project, Identity(WRITTEN, VERSION, fields, inputs), make, one_of_many=True
        )

    def human_rows(self) -> list[SummaryRow]:
        """What people wrote."""
        return human_summaries(self._references)

    def write(
        self,
        eval_model: EvalModel,
        kind: Kind,
        on_progress: ToldProgress,
        engine: AnswerEngine | None = None,
    ) -> list[SummaryRow]:
        """Let one model write summaries of one kind."""
        settings = self.config.summaries
        ids = [reference.document_id for reference in self._references]
        tokens = settings.max_tokens or MAX_TOKENS[kind]
        decoding = Decoding(1, settings.temperature, tokens, (), self.config.evaluate.seed)
        prompts = self._prompts(eval_model, ids, kind)
        writer = engine or eval_model.engine
        return write_summaries(writer, eval_model.name, ids, kind, prompts, decoding, on_progress)

    def _prompts(self, eval_model: EvalModel, ids: Sequence[str], kind: Kind) -> list[str]:
        """In the chat format of models that have one; others continue a text."""
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
        """What the judge says of some texts."""

        def make(directory: Path) -> dict[str, Any]:
            rows = texts()
            progress = _calls(f"judge {writer} {kind}")
            found = judged(self.open_judge(), rows, self.sources, self.config.summaries, progress)
            write_rows(directory / TEXTS_NAME, SummaryRow, rows)
            write_rows(directory / PASSAGES_NAME, PassageRow, found.passages)
            write_rows(directory / CLAIMS_NAME, ClaimRow, found.claims)
            return {"texts": len(rows), "claims": len(found.claims)}

        named = {"arm": writer, "summaries.kind": kind, **self._judge_fields(), **fields}
        every = {"documents": self.documents, **inputs}
        return build(self.project, Identity(JUDGED, VERSION, named, every), make, one_of_many=True)

    def _judge_fields(self) -> dict[str, Any]:
        judge = self.config.summaries.judge
        assert judge is not None
        named = {f"judge.{key}": getattr(judge, key) for key in ("base_url", "model", "endpoint")}
        return named | {"summaries.claims_a_call": self.config.summaries.claims_per_call}

    def open_judge(self) -> EngineJudge:
        """The judge; what it has answered is in the ledger."""
        judge = self.config.summaries.judge
        assert judge is not None
        return EngineJudge(self.callers.engine("summaries.judge", "judge"), judge.model)

    @cached_property
    def _content(self) -> str:
        assert self.config.summaries.references is not None
        return content_hash(self.config.summaries.references)

    @cached_property
    def _references(self) -> Sequence[Reference]:
        assert self.config.summaries.references is not None
        return read_references(self.config.summaries.references, self._texts).references

    @cached_property
    def sources(self) -> dict[str, Document]:
        """The whole document of each id."""
        return whole_documents(self._texts)

    @cached_property
    def _texts(self) -> Sequence[Document]:
        return documents_stage.load(self.documents)


def measure(judge: Judge, settings: SummariesConfig) -> JudgeAgreement:
    """Let the judge weigh claims that we labeled."""
    from steep.evaluation.summaries.judge_agreement import measure_judge

    return measure_judge(judge, claims_per_call=settings.claims_per_call)


def judged(
    judge: Judge,
    rows: Sequence[SummaryRow],
    sources: Mapping[str, Document],
    settings: SummariesConfig,
    on_progress: ToldProgress = no_progress,
) -> Judged:
    """Let the judge take texts apart and weigh their claims."""
    each = settings.claims_per_call
    return judge_summaries(judge, rows, sources, claims_per_call=each, on_progress=on_progress)


def read_texts(artifact: Artifact) -> list[SummaryRow]:
    """The texts of an artifact."""
    return read_rows(artifact.path / TEXTS_NAME, SummaryRow)


def table(judged: Sequence[Artifact], agreements: Sequence[Artifact]) -> dict[str, Any]:
    """The study as `scores.json` has it, and how far the judge can be believed."""
    from steep.evaluation.summaries.scores import SummaryScores as Scored

    texts = [row for artifact in judged for row in read_texts(artifact)]
    passages = [r for each in judged for r in read_rows(each.path / PASSAGES_NAME, PassageRow)]
    claims = [row for each in judged for row in read_rows(each.path / CLAIMS_NAME, ClaimRow)]
    found = Scored(texts, Judged(passages, claims)).table()
    return {"judge": [read_json(each.path / AGREEMENT_NAME) for each in agreements], **found}


def _calls(label: str) -> Callable[[int, int], None]:
    """A progress line for the two rounds of a judge."""
    progress = Progress(label, None, "calls")
    return lambda done, total: progress.update(done, of=total)
