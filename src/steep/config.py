"""The whole configuration: one section per package, frozen and typed; an unknown key is an error.

Every field has a description with its unit; `steep init` prints the same tree with comments.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from steep.core.config import Section
from steep.corpus.config import CorpusConfig
from steep.documents.config import DocumentsConfig
from steep.evaluation.config import (
    PAPER_OPEN_BOOK,
    ContaminationConfig,
    EvaluateConfig,
    FaithfulnessConfig,
    ForgettingConfig,
    OpenBookConfig,
    SummariesConfig,
)
from steep.evaluation.writing.config import QuestionsConfig
from steep.generation.config import GenerateConfig
from steep.scaling.config import ScaleConfig
from steep.tokens.config import TokenizeConfig
from steep.training.config import InstructConfig, TrainConfig
from steep.training.presets import PRESETS as TRAINING_PRESETS


class Config(Section):
    """The whole of a `steep.yaml`."""

    name: str = Field("default", pattern=r"^[\w.-]+$", description="of the run: runs/<name>/")
    remark: str | None = Field(None, description="shown at the top of the report")
    documents: DocumentsConfig
    generate: GenerateConfig = GenerateConfig()
    corpus: CorpusConfig = CorpusConfig()
    tokenize: TokenizeConfig = TokenizeConfig()
    train: TrainConfig = TrainConfig()
    instruct: InstructConfig = InstructConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    open_book: OpenBookConfig = OpenBookConfig()
    summaries: SummariesConfig = SummariesConfig()
    forgetting: ForgettingConfig = ForgettingConfig()
    contamination: ContaminationConfig = ContaminationConfig()
    faithfulness: FaithfulnessConfig = FaithfulnessConfig()
    questions: QuestionsConfig = QuestionsConfig()
    scale: ScaleConfig = ScaleConfig()


PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "train": TRAINING_PRESETS,
    "open_book": {"paper": PAPER_OPEN_BOOK},
}
