"""The models under evaluation: the base, what was trained from it, and models behind servers.

A model is loaded on first use, and once for everything that it is asked.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steep.core.artifacts import Artifact, Identity, Project, build
from steep.core.config import identity_fields
from steep.core.errors import UserError
from steep.core.progress import Progress
from steep.evaluation.callers import Callers
from steep.evaluation.config import BASE
from steep.evaluation.environment import environment_fields, environments_of, find_finished
from steep.evaluation.local_model import load_for_scoring
from steep.evaluation.setup import EvaluationSetup
from steep.ledger.config import ServerConfig
from steep.llm.local.devices import scoring_device
from steep.training.loading import load_model_config, load_tokenizer
from steep.training.models import directory_hash

if TYPE_CHECKING:
    from steep.evaluation.engines import AnswerEngine

log = logging.getLogger("steep")

MODEL_NAME = "model"  # the directory of a trained model in its artifact


@dataclass
class EvalModel:
    """A model under evaluation: the name that tables call it, and how to load it.

    Attributes:
        server: The endpoint that serves it; if None, it is loaded in this process.
    """

    name: str  # "base", the name of an arm, or that of a server
    setup: EvaluationSetup  # the settings of the evaluation
    trained: Artifact | None = None  # the artifact that holds it, if this project trained it
    server: ServerConfig | None = None
    callers: Callers | None = None  # opens such endpoints
    _opened: dict[str, Any] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, Any]:
        """The identity fields of its answers."""
        if self.server is not None:
            return {"arm": self.name, **identity_fields("server", self.server)}
        base = {} if self.trained else {"train.model": self.setup.base_name}
        weights = _weights(self._where, self.setup.project)
        where = environment_fields(*scoring_device(self.setup.evaluate.precision))
        return {"arm": self.name, **base, "weights": weights, **where}

    @property
    def inputs(self) -> dict[str, Artifact]:
        """The input artifacts of its answers."""
        return {"trained": self.trained} if self.trained else {}

    def build(
        self,
        stage: str,
        version: int,
        fields: Mapping[str, Any],
        make: Callable[[Path], dict[str, Any]],
        inputs: Mapping[str, Artifact] | None = None,
        *,
        one_of_many: bool = False,
    ) -> Artifact:
        """Build an artifact of rows; its identity holds these fields and inputs and the model.

        An artifact that was finished in another environment is not built again.
        """
        every = {**(inputs or {}), **self.inputs}
        identity = Identity(stage, version, {**self.fields, **fields}, every)
        project, configured = self.setup.project, self.setup.evaluate.precision
        found = None if self.server else find_finished(project, identity, configured)
        if found is None or found.hash8 == identity.hash8:
            return build(project, identity, make, one_of_many=one_of_many)
        (where,) = environments_of([found])
        log.info(
            "%s: done before on %s, torch %s (%s)",
            identity.label,
            where.device,
            where.torch,
            found.path.name,
        )
        return found

    @property
    def gives_likelihoods(self) -> bool:
        """True if options can be scored; a chat endpoint returns no likelihoods of a prompt."""
        return self.server is None or self.server.endpoint == "completions"

    @property
    def directory(self) -> Path | str:
        """The directory of a local model, or its name on the Hub.

        Raises:
            UserError: The model was trained and then removed.
        """
        path = self._where
        if self.trained is not None and not Path(path).is_dir():
            raise UserError(
                f"The model of the arm '{self.name}' is missing.",
                where=path,
                hint=f"move {self.trained.path} away and rerun: the arm is trained again",
            )
        return path

    @property
    def _where(self) -> Path | str:
        """The directory, whether it exists or not."""
        return self.trained.path / MODEL_NAME if self.trained else self.setup.base_directory()

    @property
    def loaded(self) -> tuple[Any, Any]:
        """The model and the tokenizer of a local model."""
        if "model" not in self._opened:
            where = self.directory
            with Progress(f"loading {self.name}", None, "models"):
                model = load_for_scoring(where, *scoring_device(self.setup.evaluate.precision))
                self._opened["model"] = (model, load_tokenizer(where))
        model, tokenizer = self._opened["model"]
        return model, tokenizer

    @property
    def engine(self) -> AnswerEngine:
        """The engine of the model, loaded or connected on first use."""
        if "engine" not in self._opened:
            if self.server is not None:
                assert self.callers is not None
                section, purpose = f"evaluate.servers.{self.name}", f"evaluate {self.name}"
                self._opened["engine"] = self.callers.engine(section, purpose)
            else:
                from steep.evaluation.hf_engine import HuggingFaceEngine

                tokens = self.setup.evaluate.batch_tokens
                self._opened["engine"] = HuggingFaceEngine(*self.loaded, tokens)
        engine: AnswerEngine = self._opened["engine"]
        return engine

    @property
    def asked_without(self) -> list[str]:
        """The parameters of requests that its server does not accept."""
        return list(getattr(self._opened.get("engine"), "asked_without", ()))

    def close(self) -> None:
        """Release the model: memory may not hold two at once."""
        self._opened.clear()
        gc.collect()


def eval_models(
    setup: EvaluationSetup, trained: Mapping[str, Artifact], callers: Callers | None = None
) -> list[EvalModel]:
    """Return the base, then the trained models, then those that are only served."""
    servers = setup.evaluate.servers
    names = dict.fromkeys([BASE, *trained, *servers])
    return [EvalModel(n, setup, trained.get(n), servers.get(n), callers) for n in names]


def name_of(artifact: Artifact) -> str:
    """Return the name of the model that an artifact is about."""
    return str(artifact.manifest["identity"]["fields"]["arm"])


def _weights(where: Path | str, project: Project) -> str:
    """Return the hash of a model in a directory, or the commit of one on the Hub."""
    if isinstance(where, Path):
        return directory_hash(where, project)
    return str(load_model_config(where)._commit_hash)
