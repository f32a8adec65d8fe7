"""The world of `examples/world`: its texts say what its graph says, and no more."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
PATH = Path(__file__).parents[2] / "examples" / "world" / "world.py"


@pytest.fixture(scope="module")
def example() -> Any:
    spec = importlib.util.spec_from_file_location("example_world", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["example_world"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["example_world"]


def test_following_the_words_of_a_chain_leads_to_its_end(example: Any) -> None:
    named = example.named_world(3)
    by_word = {(x, named.chains[x, y]): y for x, y in named.stated}
    assert len(by_word) == len(named.stated), "a person has two of the same relation"
    for (x, y), chain in named.chains.items():
        place = x
        for word in reversed(chain.split(" of the ")):
            place = by_word[place, word]
        assert place == y
    assert len(set(named.names)) == example.ENTITIES


def test_texts_without_steps_are_the_stated_links_and_grow_to_all_paths(example: Any) -> None:
    named = example.named_world(3)
    raw = example.written_links(named, 0, seed=0)
    some, every = (example.written_links(named, steps, seed=0) for steps in (50, 30_000))
    assert raw == named.stated < some < every == set(named.chains)
    texts = example.texts_of(named, raw)
    assert len(texts) == len(set(texts)) == 2 * len(raw)
    assert not any("of the" in text for text in texts)
    words = set(example.word_tokenizer(named).get_vocab())
    assert all(set(text.split()) <= words for text in example.texts_of(named, every))


def test_a_study_trains_with_the_loop_and_scores_every_pair(example: Any, tmp_path: Path) -> None:
    named = example.named_world(0)
    (score,) = example.study(named, 5, tmp_path, asked_at=[2048])
    assert score.training_tokens == 2048
    assert 0 <= score.known <= score.density <= 1 and score.written is not None
    assert score.predicted > len(named.stated) / named.world.pairs
    assert len(example.table_of([score])) == 3
    assert "<circle" in example.picture(named, [score])
