"""What the writing of questions is given: documents, models, limits, progress and cost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property

from steep.core.errors import UserError
from steep.core.formatting import dollars
from steep.core.progress import Progress
from steep.evaluation.callers import Callers, EndpointUse, PurposeLimit, check_price
from steep.evaluation.config import BASE
from steep.evaluation.engines import AnswerEngine
from steep.evaluation.eval_models import EvalModel
from steep.evaluation.http_engine import HttpEngine
from steep.evaluation.setup import EvaluationSetup
from steep.evaluation.writing.asked_gates import Checks
from steep.evaluation.writing.config import QuestionsConfig
from steep.evaluation.writing.sources import Sources
from steep.ledger.requests import PurposeCost
from steep.llm.model_names import missing_libraries

log = logging.getLogger("steep")

PURPOSE = "questions"  # of all requests in the ledger
WRITER, BLIND, BASE_SERVER = "questions.writer", "questions.blind", f"evaluate.servers.{BASE}"
INSTALL = "pip install 'steep[train]', or set questions.base_gate: false"


def endpoints(setup: EvaluationSetup, settings: QuestionsConfig) -> Iterator[EndpointUse]:
    """Yield the endpoints that the writing of questions asks.

    Raises:
        UserError: No writer is configured.
    """
    if settings.writer is None:
        raise UserError(
            "No model is configured to write questions.",
            where="questions.writer",
            expected="base_url and model of a chat endpoint, preferably a different model from "
            "the one that generates the corpus",
            found="null",
            hint="set questions.writer in steep.yaml, see docs/questions.md",
        )
    yield EndpointUse(WRITER, settings.writer, False)
    if settings.blind_gate and settings.blind is not None:
        yield EndpointUse(BLIND, settings.blind, False)
    if settings.base_gate and (served := setup.evaluate.servers.get(BASE)) is not None:
        yield EndpointUse(BASE_SERVER, served, False)


def check(setup: EvaluationSetup, settings: QuestionsConfig) -> None:
    """Check that there is a writer, and that limits in dollars can be kept.

    Raises:
        UserError: There is none, or the price of an endpoint is unknown.
    """
    for used in endpoints(setup, settings):
        for limit, most in (
            ("questions.max_cost_usd", settings.max_cost_usd),
            ("generate.max_cost_usd", setup.max_cost_usd),
        ):
            if most is not None:
                check_price(used, limit)


def missing_packages(setup: EvaluationSetup, settings: QuestionsConfig) -> tuple[str, ...]:
    """Return the packages that the base model needs in this process and that are not installed."""
    if not settings.base_gate or BASE in setup.evaluate.servers:
        return ()
    return tuple(missing_libraries())


def without_packages(packages: Sequence[str]) -> str:
    """Return a sentence about packages that the base model needs."""
    names = ", ".join(packages)
    return f"The base model (train.model) needs Python packages that are not installed: {names}."


def check_base(setup: EvaluationSetup, settings: QuestionsConfig) -> None:
    """Check that the base model can be asked, before calls are paid for.

    Raises:
        UserError: It would run in this process, and packages are not installed.
    """
    if missing := missing_packages(setup, settings):
        raise UserError(without_packages(missing), where="questions.base_gate", hint=INSTALL)


@dataclass
class WritingSession:
    """The documents and models of one writing of questions; opened by `open_session`."""

    settings: QuestionsConfig
    sources: Sources
    callers: Callers
    limit: PurposeLimit
    setup: EvaluationSetup
    _calls: int = field(default=0, init=False)

    @cached_property
    def writer(self) -> AnswerEngine:
        """The model that writes questions, and answers them with a text."""
        assert self.settings.writer is not None
        return self._chat(WRITER, self.settings.writer.model)

    @cached_property
    def blind(self) -> AnswerEngine:
        """The model that answers questions without a text."""
        blind = self.settings.blind
        return self.writer if blind is None else self._chat(BLIND, blind.model)

    @property
    def base_is_served(self) -> bool:
        """Whether an endpoint serves the base model."""
        return BASE in self.setup.evaluate.servers

    @cached_property
    def base(self) -> AnswerEngine:
        """The base model, in this process or served."""
        if self.base_is_served:
            return self.callers.engine(BASE_SERVER, PURPOSE)
        return EvalModel(BASE, self.setup).engine

    @cached_property
    def checks(self) -> Checks:
        """The gates that ask a model."""
        own = self.settings
        return Checks(self.sources, self.writer, self.blind, own.answer_tokens, own.seed)

    def costs(self) -> Sequence[PurposeCost]:
        """Return what was spent on questions in the project."""
        return [each for each in self.callers.costs() if each.purpose == PURPOSE]

    def progress(
        self, step: str, sends: bool, accepted: int, wanted: int
    ) -> Callable[[float, int], None]:
        """Return a function that shows how much of a step of a round is completed.

        All steps share one task: the questions that are accepted so far, of those wanted. What is
        not sent to an endpoint (`sends`) is not counted as a call.
        """
        before = self._calls

        def update(done: float, total: int) -> None:
            self._calls = before + (int(done) if sends else 0)
            cost = dollars(self.callers.spent_usd) if self._is_priced else "unknown"
            self._shown.update(
                accepted,
                wanted,
                facts={
                    "round": f"{step} {done:,.0f}/{total:,}",
                    "calls": f"{self._calls:,}",
                    "project cost": cost,
                },
            )

        return update

    @cached_property
    def _shown(self) -> Progress:
        return Progress("questions", None, "questions")

    @cached_property
    def _is_priced(self) -> bool:
        return all(each.prices.known for each in endpoints(self.setup, self.settings))

    def _chat(self, section: str, model: str) -> HttpEngine:
        return HttpEngine(self.callers.open(section), model, PURPOSE, "chat")


@contextmanager
def open_session(
    setup: EvaluationSetup, settings: QuestionsConfig, sources: Sources
) -> Iterator[WritingSession]:
    """Open the endpoints and the ledger.

    Raises:
        UserError: An address or key is invalid, or the ledger cannot be written.
    """
    limit = PurposeLimit(setup, PURPOSE, settings.max_cost_usd)
    own = replace(setup, open_budget=limit.open_budget)
    with Callers(own, endpoints(setup, settings)) as callers:
        yield WritingSession(settings, sources, callers, limit, setup)
