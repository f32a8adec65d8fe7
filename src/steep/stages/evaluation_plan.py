"""What an evaluation will send to servers, before it does: requests, tokens and dollars.

The evaluation runs with endpoints that send nothing. What the ledger holds is answered from there;
for the rest, stand-ins are returned, so that the requests that follow are the real ones as far as
they can be known. Only what a judge will be asked depends on texts that do not exist yet; these are
expected to be as long as the summaries written by people, with two claims per sentence.
"""

from __future__ import annotations

import base64
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from steep.config import Config
from steep.core.artifacts import Artifact, Project
from steep.core.calls import Completion, Usage
from steep.core.errors import UserError
from steep.core.formatting import dollars, some_of
from steep.core.ranges import Range
from steep.documents.sentences import ends_sentence
from steep.evaluation.answering import ask, ask_short
from steep.evaluation.engines import Progress, no_progress
from steep.evaluation.http_engine import HttpEngine
from steep.evaluation.normalizers import OptionScores
from steep.evaluation.summaries.judging import (
    ClaimBatch,
    ClaimSplit,
    EngineJudge,
    JudgedPassage,
    Ruling,
)
from steep.evaluation.summaries.rows import SummaryRow
from steep.generation.estimate import PromptSize, answer_tokens, prompt_tokens
from steep.ledger import requests as table
from steep.ledger.caller import OnDone, ignore
from steep.ledger.ledger import Ledger
from steep.llm.address import checked_url
from steep.llm.dialect import Dialect
from steep.llm.prices import Prices
from steep.llm.requests import Request
from steep.stages import callers, closed_book, instruct, open_book, summaries
from steep.stages import documents as documents_stage
from steep.stages.callers import Callers, Used, prices_at, used_endpoints
from steep.stages.document_index import DocumentIndex
from steep.stages.eval_models import EvalModel, name_of
from steep.stages.pricing import project_budget
from steep.stages.question_set import QuestionSet, protocol_of, read_question_set
from steep.stages.status import open_ledger
from steep.training.models import BASE

CLAIMS_PER_SENTENCE = 2
SHOWN_SKIPPED = 3


@dataclass(frozen=True, slots=True)
class EvaluationCalls:
    """What one endpoint is asked.

    Attributes:
        section: Of the configuration.
        requests: All requests of this evaluation.
        completed: Those whose answers are in the ledger; they cost nothing more.
        tokens_in: Tokens that the others read.
        tokens_out: Tokens that they write.
        cost_usd: Of the others; None where the price is not known.
    """

    section: str
    model: str
    base_url: str
    prices: Prices
    requests: int
    completed: int
    tokens_in: Range
    tokens_out: Range
    cost_usd: Range | None


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """What an evaluation sends, endpoint by endpoint, and what will keep it from being complete."""

    calls: tuple[EvaluationCalls, ...] = ()
    warnings: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Everything, as a script would read it."""
        return asdict(self)


def plan_evaluation(config: Config, project: Project) -> EvaluationPlan:
    """Plan what an evaluation sends, without sending or writing anything.

    Raises:
        UserError: There are no documents.
    """
    if not any(used_endpoints(config)) and config.evaluate.questions is None:
        return EvaluationPlan()
    with tempfile.TemporaryDirectory() as folder, open_ledger(project) as ledger:
        documents = documents_stage.run(config, Project(Path(folder)))
        try:
            question_set = read_question_set(config, project, documents, check_length=False)
            with _Counters(config, project, ledger) as counters:
                _evaluate(config, project, documents, question_set, counters)
                calls = counters.sums()
            warnings = (*_skipped(question_set), *_over_limit(config, ledger, calls))
            callers.check(config)  # a limit without a price
            return EvaluationPlan(calls, warnings)
        except UserError as error:
            problem, *about = (" ".join(line.split()) for line in str(error).splitlines())
            said = f"evaluate will refuse to start: {problem.rstrip('.')} ({'; '.join(about)})"
            return EvaluationPlan(warnings=(said,))


def _over_limit(config: Config, ledger: Ledger, calls: Sequence[EvaluationCalls]) -> Iterator[str]:
    """Say when what is left of the limit in dollars does not suffice."""
    budget = project_budget(config.generate, ledger)
    costs = [each.cost_usd for each in calls if each.cost_usd is not None]
    expected = sum(each.expected for each in costs)
    if budget.max_cost_usd is None or not expected:
        return
    left_usd = max(0.0, budget.max_cost_usd - budget.spent_usd)
    if expected > left_usd:
        yield (
            f"the evaluation takes about {dollars(expected)} more, and {dollars(left_usd)} is left "
            "of generate.max_cost_usd, of which generation takes its part first"
        )


def _skipped(question_set: QuestionSet | None) -> Iterator[str]:
    if question_set is None or not question_set.skipped:
        return
    names = some_of([f"{id_}: {reason}" for id_, reason in question_set.skipped], SHOWN_SKIPPED)
    asked = len(question_set.questions) or len(question_set.short)
    skipped = len(question_set.skipped)
    yield f"{skipped} of {asked + skipped} questions cannot be asked ({names})"


class _Counter:
    """An endpoint that counts requests; implements `steep.ledger.caller.Sends`."""

    dialect = Dialect()

    def __init__(self, used: Used, ledger: Ledger) -> None:
        self.endpoint = checked_url(used.settings.base_url, used.section)
        self.section, self.used = used.section, used
        self.requests: dict[str, Request] = {}
        self.completed: set[str] = set()
        self._ledger = ledger

    def complete(self, requests: Sequence[Request], on_done: OnDone = ignore) -> list[Completion]:
        """Return what the ledger holds, and stand-ins for the rest."""
        by_id = {each.id: each for each in requests}
        known = table.completed(self._ledger, by_id)
        self.requests |= by_id
        self.completed |= known.keys()
        return [known.get(each.id) or _stand_in(each) for each in requests]

    def sums(self) -> EvaluationCalls:
        """Sum up what was asked of this endpoint."""
        settings, prices = self.used.settings, prices_at(self.used)
        missing = [each for id_, each in self.requests.items() if id_ not in self.completed]
        characters = sum(len(part) for each in missing for part in each.parts)
        bound = sum(each.prompt_bound for each in missing)
        written = sum(each.answer_bound for each in missing if each.kind != "echo")
        tokens_in = prompt_tokens(PromptSize(characters, 0, bound), None)
        tokens_out = answer_tokens(written, None)
        echoed = sum(each.kind == "echo" for each in missing)  # one token each
        tokens_out += Range.exactly(echoed)
        return EvaluationCalls(
            self.section,
            settings.model,
            settings.base_url,
            prices,
            len(self.requests),
            len(self.completed),
            tokens_in,
            tokens_out,
            _cost(prices, tokens_in, tokens_out),
        )


class _CountingEngine(HttpEngine):
    """Sends what likelihoods take, and computes none: some parts of them are stand-ins."""

    def logprobs(
        self,
        prompts: Sequence[str],
        options: Sequence[Sequence[str]],
        on_progress: Progress = no_progress,
    ) -> list[OptionScores]:
        """Count the requests; return scores of 0."""
        self._caller.complete(self.echoes(prompts, options))
        return [
            OptionScores((0.0,) * len(each), (1,) * len(each), (1,) * len(each), (1,) * len(each))
            for each in options
        ]


class _Counters(Callers):
    """Opens endpoints that send nothing."""

    def __init__(self, config: Config, project: Project, ledger: Ledger) -> None:
        super().__init__(config, project)
        self._counters = {each.section: _Counter(each, ledger) for each in used_endpoints(config)}

    def open(self, section: str) -> _Counter:
        """Return the endpoint of a section of the configuration."""
        return self._counters[section]

    def engine(self, section: str, purpose: str) -> HttpEngine:
        """Return an engine that only counts."""
        settings: Any = self.open(section).used.settings
        return _CountingEngine(self.open(section), settings.model, purpose, settings.endpoint)

    def sums(self) -> tuple[EvaluationCalls, ...]:
        """What each endpoint is asked."""
        return tuple(each.sums() for each in self._counters.values())


def _evaluate(
    config: Config,
    project: Project,
    documents: Artifact,
    question_set: QuestionSet | None,
    counters: _Counters,
) -> None:
    served = [
        EvalModel(name, config, project, None, server, counters)
        for name, server in config.evaluate.servers.items()
    ]
    if question_set is not None:
        for eval_model in served:
            _ask_closed_book(question_set, eval_model)
        if config.open_book.chunk_characters:
            with DocumentIndex(
                config, project, question_set, counters, in_memory=True
            ) as doc_index:
                _ask_open_book(question_set, served, doc_index)
    if config.summaries.references is not None:
        _study(summaries.SummaryStudy(config, project, documents, counters), served)


def _ask_closed_book(question_set: QuestionSet, eval_model: EvalModel) -> None:
    engine, settings = eval_model.engine, eval_model.config.evaluate
    for method in dict.fromkeys(settings.methods):
        if method == "likelihood" and eval_model.gives_likelihoods:
            closed_book.option_scores(question_set, engine)
        elif method == "answers":
            protocol = protocol_of(settings)
            ask(
                engine, "", question_set.questions, question_set.by_id, protocol, seed=settings.seed
            )
        elif method == "short-answers":
            ask_short(engine, "", question_set.short, question_set.by_id)
            if eval_model.gives_likelihoods:
                closed_book.accepted_scores(question_set, engine)


def _ask_open_book(
    question_set: QuestionSet, served: Sequence[EvalModel], doc_index: DocumentIndex
) -> None:
    config = doc_index.config
    settings, variants = config.open_book, open_book.variants_of(config)
    if not doc_index.is_slow and settings.reranker != "likelihood":
        here = EvalModel(BASE, config, doc_index.project)
        for size in settings.chunk_characters:
            doc_index.rank(size, here, question_set.everything)
    splits = ["validation"] if settings.choose_on_validation else [question_set.split]
    cells = [(variant, split) for variant in variants for split in splits]
    last = "test" if settings.choose_on_validation else question_set.split
    if settings.choose_on_validation:
        cells.append((variants[0], last))
    if settings.oracle:
        cells.append(
            (open_book.RetrievalVariant(None, 1, settings.orders[0], variants[0].temperature), last)
        )
    for eval_model in served:
        if settings.models and eval_model.name not in settings.models:
            continue
        if settings.method == "likelihood" and not eval_model.gives_likelihoods:
            continue
        for variant, split in cells:
            questions = (
                question_set.questions if split == question_set.split else question_set.side(split)
            )
            contexts = open_book.contexts(doc_index, eval_model, variant, questions)
            protocol = open_book.protocol_at(config, variant)
            if protocol is None:
                open_book.option_scores(question_set, eval_model.engine, questions, contexts)
            else:
                ask(
                    eval_model.engine, "", questions, question_set.by_id, protocol,
                    seed=config.evaluate.seed, contexts=contexts,
                )  # fmt: skip


def _study(study: summaries.SummaryStudy, served: Sequence[EvalModel]) -> None:
    config = study.config
    settings = config.summaries
    judge = _ExpectedJudge(replace(study.open_judge(), attempts=1))
    people = study.human_rows()
    summaries.measure(judge, settings)
    summaries.judged(judge, people, study.sources, settings)
    expected = {row.document_id: row.text for row in people}
    names = [BASE, *config.train.arms, *(f"{a}{instruct.SUFFIX}" for a in instruct.arms_of(config))]
    here = [name for name in names if name not in config.evaluate.servers]
    for kind in settings.kinds:
        written = {each.name: study.write(each, kind, no_progress) for each in served}
        written |= {name: _written_here(study.project, name, kind) for name in here}
        for name, rows in written.items():
            if settings.models and name not in settings.models:
                continue
            texts = [
                # Not the human text itself, of which the judge is asked once.
                replace(row, text=row.text or f"{name}, {kind}: {expected[row.document_id]}")
                for row in rows or _unwritten(name, kind, list(expected))
            ]
            summaries.judged(judge, texts, study.sources, settings)


def _written_here(project: Project, name: str, kind: str) -> list[SummaryRow]:
    """The latest texts of a model of this machine."""
    found = [
        each
        for each in project.finished(summaries.WRITTEN)
        if name_of(each) == name and each.manifest["kind"] == kind
    ]
    return summaries.read_texts(found[-1]) if found else []


def _unwritten(name: str, kind: str, document_ids: Sequence[str]) -> Iterator[SummaryRow]:
    for document_id in document_ids:
        yield SummaryRow(name, document_id, kind, 0, "", "", "stop", 0)


class _ExpectedJudge:
    """A judge that is expected to find so many claims per sentence where it was not asked yet."""

    def __init__(self, judge: EngineJudge) -> None:
        self._judge, self.name = judge, judge.name

    def split(
        self, passages: Sequence[JudgedPassage], on_progress: Progress = no_progress
    ) -> list[ClaimSplit]:
        """The claims of each passage."""
        splits = self._judge.split(passages)
        return [
            split if split.why_not is None else replace(split, claims=_expected_claims(passage))
            for passage, split in zip(passages, splits, strict=True)
        ]

    def rule(
        self, batches: Sequence[ClaimBatch], on_progress: Progress = no_progress
    ) -> list[Ruling]:
        """The verdicts on each batch."""
        return self._judge.rule(batches)


def _expected_claims(passage: JudgedPassage) -> tuple[str, ...]:
    words = passage.text.split()
    sentences = max(1, sum(map(ends_sentence, words)))
    each = " ".join(words[: max(1, len(words) // sentences)])
    return tuple(f"{each} ({n})" for n in range(CLAIMS_PER_SENTENCE * sentences))


def _stand_in(request: Request) -> Completion:
    match request.kind:
        case "echo":
            result: dict[str, Any] = {"tokens": 0, "logprobs": []}
        case "embedding":
            vector = base64.b64encode(array("f", [1.0]).tobytes()).decode()
            result = {"vectors": [vector] * len(request.parts)}
        case "rerank":
            result = {"scores": [0.0] * (len(request.parts) - 1)}
        case _:
            result = {"text": "", "finish_reason": "length", "logprob": None}
    reason = str(result.get("finish_reason", "stop"))
    return Completion(
        request.id, "", reason, Usage(), None, 0.0, request.endpoint, 0, result=result
    )


def _cost(prices: Prices, tokens_in: Range, tokens_out: Range) -> Range | None:
    if not prices.known:
        return None
    cases = [
        prices.cost_usd(Usage(round(read), 0, round(written))) or 0.0
        for read, written in zip(
            (tokens_in.low, tokens_in.expected, tokens_in.high),
            (tokens_out.low, tokens_out.expected, tokens_out.high),
            strict=True,
        )
    ]
    return Range(*cases)
