"""Plan an evaluation: the requests, tokens and dollars that it sends to servers.

The evaluation runs in a temporary project, with endpoints that send nothing. Answers in the ledger
are used; others are replaced by placeholders, so that the requests that follow are the real ones as
far as they can be known. Only the requests of a judge depend on texts that do not exist yet; these
are expected to be as long as the human summaries, with two claims per sentence.
Synthetic texts, too, are expected to have two; their number of words is `EXPECTED_WORDS`.
"""

from __future__ import annotations

import base64
import io
import logging
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr
from dataclasses import asdict, dataclass, replace
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from steep.core.artifacts import Artifact, Project
from steep.core.calls import Completion, Usage
from steep.core.errors import UserError
from steep.core.files import read_rows
from steep.core.formatting import dollars, some_of
from steep.core.ranges import CASES, Range
from steep.documents.sentences import ends_sentence
from steep.documents.split import whole_documents
from steep.documents.store import documents_of
from steep.evaluation import faithfulness
from steep.evaluation.callers import Callers, EndpointUse, check_prices, used_endpoints
from steep.evaluation.config import BASE
from steep.evaluation.document_index import DocumentIndex
from steep.evaluation.engines import OptionScores, Progress, no_progress
from steep.evaluation.eval_models import EvalModel, name_of
from steep.evaluation.http_engine import HttpEngine
from steep.evaluation.methods import short_answers
from steep.evaluation.methods.common import ROWS_NAME, Session
from steep.evaluation.methods.judged_answers import AnswerJudging, answer_judging
from steep.evaluation.methods.registry import ask, check_methods
from steep.evaluation.question_set import SHORT_ONLY, QuestionSet, read_question_set
from steep.evaluation.questions import Question
from steep.evaluation.rows import AnswerRow
from steep.evaluation.setup import EvaluationSetup
from steep.evaluation.summaries import study as summaries
from steep.evaluation.summaries.claims import judge_summaries, measure_judge
from steep.evaluation.summaries.judging import ClaimSplit, Judge, JudgedPassage
from steep.evaluation.summaries.study import SummaryStudy
from steep.evaluation.summaries.texts import Kind, SummaryRow
from steep.evaluation.verdicts import AnswerJudge
from steep.ledger import requests as table
from steep.ledger.budget import MOST_CHARACTERS_PER_TOKEN, USUAL_CHARACTERS_PER_TOKEN, USUAL_SHARE
from steep.ledger.caller import OnDone, ignore
from steep.ledger.ledger import Ledger
from steep.llm.address import checked_url
from steep.llm.dialect import Dialect
from steep.llm.prices import Prices
from steep.llm.requests import Request
from steep.retrieval.index import Hit

log = logging.getLogger("steep")

STAND_IN = "Answer: A."  # in place of a text: as a choice, it is read
CLAIMS_PER_SENTENCE = 2
EXPECTED_WORDS = 400  # of a synthetic text
SHOWN_SKIPPED = 3


@dataclass(frozen=True, slots=True)
class EvaluationCalls:
    """The requests to one endpoint."""

    section: str
    model: str
    base_url: str
    prices: Prices
    requests: int  # all requests of this evaluation
    completed: int  # requests whose answers are in the ledger; they cost nothing more
    tokens_in: Range  # input tokens of the other requests
    tokens_out: Range  # output tokens of the other requests
    cost_usd: Range | None  # of the other requests; None if the price is unknown


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """The requests of an evaluation by endpoint, and reasons why it will not be complete."""

    calls: tuple[EvaluationCalls, ...] = ()
    warnings: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        return asdict(self)


def asks_anything(setup: EvaluationSetup) -> bool:
    """Return whether an evaluation asks anything."""
    return any(used_endpoints(setup)) or setup.evaluate.questions is not None


def plan_evaluation(setup: EvaluationSetup, documents: Artifact, ledger: Ledger) -> EvaluationPlan:
    """Plan what an evaluation sends, without sending or writing anything."""
    try:
        check_methods(setup)
        question_set = read_question_set(setup, documents, check_length=False)
        written = setup.project.finished(summaries.WRITTEN)
        answered = setup.project.finished(short_answers.STAGE)
        with TemporaryDirectory() as folder, _Counters(setup, ledger) as counters, _quiet():
            elsewhere = replace(setup, project=Project(Path(folder)))
            _evaluate(elsewhere, documents, question_set, counters, written, answered)
            _judge_faithfulness(setup, documents, counters)
            calls = counters.sums()
        warnings = (*_skipped(question_set), *_over_limit(setup, ledger, calls))
        check_prices(setup)  # a limit without a price
        return EvaluationPlan(calls, warnings)
    except UserError as error:
        problem, *about = (" ".join(line.split()) for line in str(error).splitlines())
        refusal = f"evaluate will refuse to start: {problem.rstrip('.')} ({'; '.join(about)})"
        return EvaluationPlan(warnings=(refusal,))


@contextmanager
def _quiet() -> Iterator[None]:
    """Show no log lines and no progress."""
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        log.setLevel(level)


def _over_limit(
    setup: EvaluationSetup, ledger: Ledger, calls: Sequence[EvaluationCalls]
) -> Iterator[str]:
    """Warn if the rest of the limit in dollars is not enough."""
    budget = setup.open_budget(ledger)
    costs = [each.cost_usd for each in calls if each.cost_usd is not None]
    expected = sum(each.expected for each in costs)
    if budget.max_cost_usd is None or not expected:
        return
    left_usd = max(0.0, budget.max_cost_usd - budget.spent_usd)
    if expected > left_usd:
        yield (
            f"the evaluation costs about {dollars(expected)} more, and {dollars(left_usd)} of "
            "generate.max_cost_usd is left, which generation uses first"
        )


def _skipped(question_set: QuestionSet | None) -> Iterator[str]:
    if question_set is None:
        return
    reasons = [each for each in question_set.skipped if not each.reason.endswith(SHORT_ONLY)]
    if not reasons:
        return
    names = some_of([f"{id_}: {reason}" for id_, reason in reasons], SHOWN_SKIPPED)
    asked = len({each.id for each in (*question_set.questions, *question_set.short)})
    skipped = len(reasons)
    yield f"{skipped} of {asked + skipped} questions cannot be asked ({names})"


class _Counter:
    """An endpoint that counts requests; implements `steep.ledger.caller.Sends`."""

    dialect = Dialect()

    def __init__(self, used: EndpointUse, ledger: Ledger) -> None:
        self.endpoint = checked_url(used.settings.base_url, used.section)
        self.section, self.used = used.section, used
        self.requests: dict[str, Request] = {}
        self.completed: set[str] = set()
        self._ledger = ledger

    def complete(self, requests: Sequence[Request], on_done: OnDone = ignore) -> list[Completion]:
        """Return answers from the ledger, and placeholders for the rest."""
        by_id = {each.id: each for each in requests}
        known = table.completed(self._ledger, by_id)
        self.requests |= by_id
        self.completed |= known.keys()
        return [known.get(each.id) or _stand_in(each) for each in requests]

    def sums(self) -> EvaluationCalls:
        """Sum up the requests to this endpoint."""
        missing = [each for id_, each in self.requests.items() if id_ not in self.completed]
        characters = sum(len(part) for each in missing for part in each.parts)
        bound = sum(each.prompt_bound for each in missing)
        written = sum(each.answer_bound for each in missing if each.kind != "echo")
        echoed = sum(each.kind == "echo" for each in missing)  # one token each
        usual = characters / USUAL_CHARACTERS_PER_TOKEN
        tokens_in = Range(characters / MOST_CHARACTERS_PER_TOKEN, usual, max(usual, bound))
        tokens_out = Range(*(share * written for share in USUAL_SHARE)) + Range.exactly(echoed)
        return EvaluationCalls(
            section=self.section,
            model=self.used.settings.model,
            base_url=self.used.settings.base_url,
            prices=self.used.prices,
            requests=len(self.requests),
            completed=len(self.completed),
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            cost_usd=_cost(self.used.prices, tokens_in, tokens_out),
        )


class _CountingEngine(HttpEngine):
    """Counts the requests of likelihoods, and returns scores of 0."""

    def logprobs(
        self,
        prompts: Sequence[str],
        options: Sequence[Sequence[str]],
        on_progress: Progress = no_progress,
    ) -> list[OptionScores]:
        """Count the requests; return scores of 0."""
        self._caller.complete(self.echoes(prompts, options))
        return [OptionScores.of(each, [0.0] * len(each), [1] * len(each)) for each in options]


class _Counters(Callers):
    """Opens endpoints that send nothing."""

    def __init__(self, setup: EvaluationSetup, ledger: Ledger) -> None:
        super().__init__(setup)
        self._counters = {each.section: _Counter(each, ledger) for each in used_endpoints(setup)}

    def open(self, section: str) -> _Counter:
        """Return the endpoint of a section of the configuration."""
        return self._counters[section]

    def engine(self, section: str, purpose: str) -> HttpEngine:
        """Return an engine that only counts."""
        settings: Any = self.open(section).used.settings
        return _CountingEngine(self.open(section), settings.model, purpose, settings.endpoint)

    def sums(self) -> tuple[EvaluationCalls, ...]:
        """Return the requests to each endpoint."""
        return tuple(each.sums() for each in self._counters.values())


def _evaluate(
    setup: EvaluationSetup,
    documents: Artifact,
    question_set: QuestionSet | None,
    counters: _Counters,
    written: Sequence[Artifact],
    answered: Sequence[Artifact],
) -> None:
    """Ask every served model by every method, and judge the summaries of all models."""
    settings, study = setup.open_book, None
    if setup.summaries.references is not None:
        study = _PlannedStudy(setup, documents, counters, written)
        deque(study.judge(), maxlen=0)
        for name in (BASE, *setup.arms):
            if name not in setup.evaluate.servers:
                deque(study.ask(_LocalModel(name, setup)), maxlen=0)
    judging = None
    if answer_judging(setup, question_set, counters) is not None and question_set is not None:
        judging = _PlannedJudging(setup, question_set, counters, answered)
        judging.measured()
        for name in (BASE, *setup.arms):
            if name not in setup.evaluate.servers:
                judging.grade(name, judging.expected(name))
    with ExitStack() as resources:
        doc_index = None
        if question_set is not None and settings.chunk_characters:
            doc_index = resources.enter_context(_PlannedIndex(setup, question_set, counters))
            # The likelihoods of local models send nothing, but the search before them may.
            reranker = "none" if settings.reranker == "likelihood" else settings.reranker
            searched = settings.model_copy(update={"reranker": reranker})
            index = _PlannedIndex(replace(setup, open_book=searched), question_set, counters)
            with index:
                for size in settings.chunk_characters:
                    index.rank(size, _LocalModel(BASE, setup), question_set.everything)
        session = Session(question_set, doc_index, study, judging)
        for name, server in setup.evaluate.servers.items():
            deque(ask(session, EvalModel(name, setup, None, server, counters)), maxlen=0)


def _judge_faithfulness(setup: EvaluationSetup, documents: Artifact, counters: _Counters) -> None:
    """Count the requests of judging as many texts as configured.

    The texts may not exist yet, so the beginnings of documents stand for them.
    """
    settings = setup.faithfulness
    if settings.judge is None or faithfulness.is_finished(setup):
        return
    engine = counters.engine(faithfulness.SECTION, faithfulness.PURPOSE)
    judge = _ExpectedJudge(engine, settings.judge.model, attempts=1)
    measure_judge(judge, settings.claims_per_call)
    sources = whole_documents(documents_of(documents))
    rows = [
        SummaryRow("texts", each.id, "synthetic", number, "", f"{number}: {beginning}", "stop", 0)
        for number, each in zip(range(settings.max_texts), cycle(sources.values()), strict=False)
        for beginning in [" ".join(each.text.split()[:EXPECTED_WORDS])]
    ]
    judge_summaries(judge, rows, sources, claims_per_call=settings.claims_per_call)


class _PlannedIndex(DocumentIndex):
    """An index that runs no local model: it ranks chunks in file order instead."""

    @property
    def cache_path(self) -> None:
        """Nothing is kept."""
        return None

    def rank(
        self, chunk_characters: int, eval_model: EvalModel, questions: Sequence[Question]
    ) -> list[list[Hit]]:
        """Return the ranking of each question."""
        settings = self.setup.open_book
        embeds = settings.search != "bm25" and settings.embedder == "sentence-transformers"
        if not embeds and settings.reranker != "cross-encoder":
            return super().rank(chunk_characters, eval_model, questions)
        count = min(settings.found, len(self.chunking(chunk_characters).chunks))
        return [[Hit(place, 0.0) for place in range(count)]] * len(questions)


class _LocalModel(EvalModel):
    """A local model, which a plan does not load."""

    @property
    def fields(self) -> dict[str, Any]:
        """The identity fields of its answers, without its weights."""
        return {"arm": self.name}


@dataclass
class _PlannedStudy(SummaryStudy):
    """A study in which texts that do not exist yet are expected to be as long as human ones."""

    before: Sequence[Artifact] = ()  # the artifacts of texts that exist

    def write(self, eval_model: EvalModel, kind: Kind, directory: Path) -> list[SummaryRow]:
        """Return the texts that exist, and human ones in place of the others."""
        name = eval_model.name
        expected = {row.document_id: row.text for row in self.human_rows()}
        if eval_model.server is None:
            rows = self._written_here(name, kind)
        else:
            rows = super().write(eval_model, kind, directory)
        written = {row.document_id: row.text for row in rows if row.text != STAND_IN}
        # Not the human text itself, of which the judge is asked once.
        texts = {id_: written.get(id_) or f"{name}, {kind}: {expected[id_]}" for id_ in expected}
        return [SummaryRow(name, id_, kind, 0, "", text, "stop", 0) for id_, text in texts.items()]

    def _written_here(self, name: str, kind: str) -> list[SummaryRow]:
        """Return the latest texts of a local model."""
        found = [
            each for each in self.before if name_of(each) == name and each.manifest["kind"] == kind
        ]
        return summaries.read_texts(found[-1]) if found else []

    def open_judge(self) -> Judge:
        """Return a judge whose claims are expected where it has not split a text yet."""
        judge = super().open_judge()
        return _ExpectedJudge(judge.engine, judge.name, attempts=1)


@dataclass
class _PlannedJudging(AnswerJudging):
    """A judging in which answers that do not exist yet are expected to be the accepted ones."""

    before: Sequence[Artifact] = ()  # the artifacts of answers that exist

    def rows(self, model: str, answers: Artifact) -> list[AnswerRow]:
        """Return the answers that exist, and expected ones in place of the others."""
        rows = super().rows(model, answers)
        expected = {row.question_id: row for row in self.expected(model)}
        return [expected[row.question_id] if row.output == STAND_IN else row for row in rows]

    def open_judge(self) -> AnswerJudge:
        """Return a judge that is asked once, as placeholders are not verdicts."""
        return replace(super().open_judge(), attempts=1)

    def expected(self, model: str) -> list[AnswerRow]:
        """Return the latest answers of a model, or else an accepted one to each question."""
        ids = [each.id for each in self.questions.short]
        for artifact in reversed(self.before):
            if name_of(artifact) == model:
                rows = read_rows(artifact.path / ROWS_NAME, AnswerRow)
                if [row.question_id for row in rows] == ids:
                    return rows
        # With the name of the model, as models answer differently.
        return [
            AnswerRow(
                model, each.id, each.document_id, each.kind, 0, 0, "",
                f"{model}: {each.answers[0]}", "stop", (), (), (), each.answers, None,
            )
            for each in self.questions.short
        ]  # fmt: skip


class _ExpectedJudge(Judge):
    """A judge that expects a number of claims per sentence where there is no answer yet."""

    def split(
        self, passages: Sequence[JudgedPassage], on_progress: Progress = no_progress
    ) -> list[ClaimSplit]:
        """Split each passage into claims."""
        return [
            split if split.why_not is None else split._replace(claims=_expected_claims(passage))
            for passage, split in zip(passages, super().split(passages), strict=True)
        ]


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
            result = {"text": STAND_IN, "finish_reason": "length", "logprob": None}
    text, reason = str(result.get("text", "")), str(result.get("finish_reason", "stop"))
    return Completion(
        request.id, text, reason, Usage(), None, 0.0, request.endpoint, 0, result=result
    )


def _cost(prices: Prices, tokens_in: Range, tokens_out: Range) -> Range | None:
    if not prices.known:
        return None
    usages = (Usage(round(tokens_in[each]), 0, round(tokens_out[each])) for each in CASES)
    return Range(*(prices.cost_usd(usage) or 0.0 for usage in usages))
