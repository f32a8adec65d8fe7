"""Who is asked: the base, what was trained from it, and models behind servers.

A model is opened when something is first asked of it, and once for all that is asked.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steep.config import Config
from steep.core.artifacts import Artifact, Project
from steep.core.errors import UserError
from steep.ledger.config import ServerConfig
from steep.llm.model_names import model_directory
from steep.stages.callers import Callers
from steep.training.loading import load_tokenizer
from steep.training.models import BASE, MODEL_NAME, load_for_scoring, scoring_fields

if TYPE_CHECKING:
    from steep.evaluation.engines import AnswerEngine


@dataclass
class EvalModel:
    """A model by the name that tables call it, and where it is to be had.

    Attributes:
        name: "base", the name of an arm, or that of a server.
        config: The configuration, for the base and for batch sizes.
        project: Where things lie.
        trained: The artifact that it lies in, where this project trained it.
        server: The endpoint that serves it; else it is loaded here.
        callers: Opens such endpoints.
    """

    name: str
    config: Config
    project: Project
    trained: Artifact | None = None
    server: ServerConfig | None = None
    callers: Callers | None = None
    _opened: dict[str, Any] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, Any]:
        """What makes its answers other than another's, for the identity of an artifact."""
        if self.server is not None:
            named = ("base_url", "model", "endpoint")
            served = {f"server.{each}": getattr(self.server, each) for each in named}
            return {"arm": self.name, **served}
        base = {} if self.trained else {"train.model": self.config.train.model}
        return {"arm": self.name, **base, **scoring_fields(self._where, self.project)}

    @property
    def inputs(self) -> dict[str, Artifact]:
        """The same of what is an artifact."""
        return {"trained": self.trained} if self.trained else {}

    @property
    def gives_likelihoods(self) -> bool:
        """Whether options can be scored; a chat endpoint tells nothing of a prompt."""
        return self.server is None or self.server.endpoint == "completions"

    @property
    def directory(self) -> Path | str:
        """Where a model that is loaded here lies, or its name on the Hub.

        Raises:
            UserError: It was trained, and is not there any more.
        """
        path = self._where
        if self.trained is not None and not Path(path).is_dir():
            raise UserError(
                f"The model of the arm '{self.name}' is not there any more.",
                where=path,
                hint=f"move {self.trained.path} away and run the same command again: "
                "it trains it again",
            )
        return path

    @property
    def _where(self) -> Path | str:
        """The same, whether it is there or not."""
        if self.trained is None:
            return model_directory(self.config.train.model, self.project)
        return self.trained.path / MODEL_NAME

    @property
    def loaded(self) -> tuple[Any, Any]:
        """The model and its tokenizer, of one that is loaded here."""
        if "model" not in self._opened:
            where = self.directory
            self._opened["model"] = (load_for_scoring(where), load_tokenizer(where))
        model, tokenizer = self._opened["model"]
        return model, tokenizer

    @property
    def engine(self) -> AnswerEngine:
        """What answers, loaded or connected to when first asked for.

        Raises:
            UserError: It cannot be.
        """
        if "engine" not in self._opened:
            self._opened["engine"] = self._served() if self.server else self._here()
        engine: AnswerEngine = self._opened["engine"]
        return engine

    @property
    def asked_without(self) -> list[str]:
        """The parameters of requests that its server does not accept."""
        return list(getattr(self._opened.get("engine"), "asked_without", ()))

    def _served(self) -> AnswerEngine:
        assert self.callers is not None
        return self.callers.engine(f"evaluate.servers.{self.name}", f"evaluate {self.name}")

    def _here(self) -> AnswerEngine:
        from steep.evaluation.hf_engine import HuggingFaceEngine

        return HuggingFaceEngine(*self.loaded, self.config.evaluate.batch_tokens)

    def close(self) -> None:
        """Let the model go: two at once need not fit into memory."""
        self._opened.clear()
        gc.collect()


@contextmanager
def asked(eval_model: EvalModel) -> Iterator[EvalModel]:
    """Ask what is to be asked of one model, then let it go."""
    try:
        yield eval_model
    finally:
        eval_model.close()


def eval_models(
    config: Config,
    project: Project,
    trained: Mapping[str, Artifact],
    callers: Callers | None = None,
) -> list[EvalModel]:
    """The base first, then what was trained, then those that are only served."""
    servers = config.evaluate.servers
    names = dict.fromkeys([BASE, *trained, *servers])
    return [EvalModel(n, config, project, trained.get(n), servers.get(n), callers) for n in names]


def name_of(artifact: Artifact) -> str:
    """What the tables call the model that an artifact is about."""
    return str(artifact.manifest["identity"]["fields"]["arm"])
