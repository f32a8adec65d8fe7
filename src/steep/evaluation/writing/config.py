"""Settings of the writing of questions (`steep questions`)."""

from __future__ import annotations

from pydantic import Field, model_validator

from steep.core.config import Section
from steep.ledger.config import EndpointConfig


class KindShares(Section):
    """Shares of the kinds of questions; any scale."""

    choice: float = Field(4, ge=0, description="share: four options, one of them right")
    short_answer: float = Field(2, ge=0, description="share: the answer is a short text")
    joined: float = Field(1, ge=0, description="share: four options; joins two facts of a document")
    across: float = Field(
        1, ge=0, description="share: four options; joins facts of two related documents"
    )

    @model_validator(mode="after")
    def _some(self) -> KindShares:
        if not any((self.choice, self.short_answer, self.joined, self.across)):
            raise ValueError("at least one kind needs a share above 0")
        return self


class QuestionsConfig(Section):
    """Questions that a model writes about the documents (`steep questions`; docs/questions.md)."""

    writer: EndpointConfig | None = Field(
        None,
        description="the chat endpoint that writes and checks questions (base_url, model, ...); "
        "a different model from generate.model; null: steep questions is refused",
    )
    blind: EndpointConfig | None = Field(
        None,
        description="the chat endpoint that is asked without the document; null: the writer",
    )
    per_1000_words: float = Field(5, gt=0, description="questions per 1,000 words of a document")
    max_per_document: int = Field(
        40, ge=1, description="maximum number of questions per document; the minimum is 1"
    )
    shares: KindShares = KindShares()
    rounds: int = Field(
        3, ge=1, description="times that questions are written until enough pass the gates"
    )
    open_book_samples: int = Field(
        3, ge=1, description="answers with the document per question; more than half must be right"
    )
    blind_gate: bool = Field(
        True,
        description="reject what the blind model answers without the document; false: for "
        "documents that are public knowledge",
    )
    blind_samples: int = Field(
        4, ge=1, description="answers without the document; over half of them right: rejected"
    )
    base_gate: bool = Field(
        True, description="reject what the base model (train.model) answers closed book"
    )
    max_tokens: int = Field(4096, ge=256, description="of one answer of the writer")
    answer_tokens: int = Field(
        512, ge=16, description="of one answer to a question; more for models that think"
    )
    max_cost_usd: float | None = Field(
        None,
        gt=0,
        description="maximum dollars for this in the project, within generate.max_cost_usd; "
        "null: only that limit",
    )
    seed: int = Field(0, description="of samples, order of options and choice of duplicates")
