"""Settings of a search: how a question is turned into a ranking of chunks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from steep.core.config import Section
from steep.ledger.config import EndpointConfig

SearchName = Literal["bm25", "embeddings", "fused"]
EmbedderKind = Literal["wordllama", "endpoint", "sentence-transformers"]
RerankerKind = Literal["none", "likelihood", "cross-encoder", "endpoint"]


class RetrievalConfig(Section):
    """Search, embedder and reranker."""

    search: SearchName = Field(
        "bm25",
        description="by words (best on unseen passages), by vectors (paper), or both with "
        "their ranks fused",
    )
    found: int = Field(128, ge=1, description="chunks that the search returns; paper: 128")
    reranked: int = Field(
        128, ge=1, description="number of found chunks that the reranker scores; the others follow"
    )
    embedder: EmbedderKind = Field(
        "wordllama", description="wordllama: static vectors, no network; the others need a model"
    )
    embedder_model: str = Field("", description="directory of a sentence-transformers model")
    embedder_server: EndpointConfig | None = Field(
        None, description="the endpoint of embedder: endpoint (base_url, model, ...)"
    )
    question_prefix: str = Field("", description="text before each embedded question")
    chunk_prefix: str = Field("", description="text before each embedded chunk")
    reranker: RerankerKind = Field(
        "none",
        description="likelihood: the likelihood of the question after a chunk, under the model "
        "under evaluation",
    )
    reranker_model: str = Field("", description="directory of a cross-encoder")
    reranker_server: EndpointConfig | None = Field(
        None, description="the endpoint of reranker: endpoint (base_url, model, ...)"
    )
