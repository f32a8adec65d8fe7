"""What the tests of models in this process share: calls about tiny documents, and running them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from steep.core.calls import Call, Completion, Message, Sampling
from steep.llm.client import Client
from steep.testing.tiny_corpus import DOCUMENTS


def call(number: int = 0, document: int = 0, stage: str = "pair", **sampling: Any) -> Call:
    return Call(
        recipe="toy",
        stage=stage,
        document_id=DOCUMENTS[document].id,
        subset=(),
        sample=0,
        model="tiny",
        messages=(
            Message("system", ("Be brief.",)),
            Message("user", (DOCUMENTS[document].text, f"\nTell of {'x' * number}.")),
        ),
        sampling=Sampling(**{"max_tokens": 12, **sampling}),
    )


def complete(client: Client, calls: Sequence[Call]) -> list[Completion]:
    return asyncio.run(client.complete(calls))


def texts(completions: Sequence[Completion]) -> list[str]:
    return [each.text for each in completions]
