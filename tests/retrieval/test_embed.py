from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_corpus import Letters

from steep.core.errors import UserError
from steep.retrieval import embed
from steep.retrieval.cache import RetrievalCache
from steep.retrieval.config import RetrievalConfig
from steep.retrieval.embed import embed_texts, open_embedder
from steep.retrieval.index import Vectors


@dataclass
class Fixed:
    """Embeds any text as the same vector."""

    vector: Sequence[float]
    name: str = "fixed"

    def embed(self, texts: Sequence[str]) -> Vectors:
        return np.array([self.vector] * len(texts), dtype=np.float32)


def test_vectors_have_length_one_and_the_order_of_texts() -> None:
    with RetrievalCache() as cache:
        vectors = embed_texts(Letters(), ["aab", "b", "aab"], cache)
    assert vectors.dtype == np.float32
    expected = np.array([[2, 1], [0, 5**0.5], [2, 1]]) / 5**0.5
    np.testing.assert_allclose(vectors[:, :2], expected, rtol=1e-6)


def test_what_is_kept_is_never_embedded_again(tmp_path: Path) -> None:
    first, second, other = Letters(), Letters(), Letters()
    with RetrievalCache(tmp_path / "new" / "cache.db") as cache:
        before = embed_texts(first, ["a", "b", "a"], cache)
    other.name = "other letters"
    with RetrievalCache(tmp_path / "new" / "cache.db") as cache:
        after = embed_texts(second, ["a", "b", "a", "c"], cache)
        embed_texts(other, ["a"], cache)
    assert (first.embedded, second.embedded, other.embedded) == (["a", "b"], ["c"], ["a"])
    assert np.array_equal(before, after[:3])


def test_what_was_embedded_before_a_failure_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(Letters):
        def embed(self, texts: Sequence[str]) -> Vectors:
            if "e" in texts:
                raise UserError("The endpoint is gone.")
            return super().embed(texts)

    monkeypatch.setattr(embed, "SAVED_AT_ONCE", 2)
    again = Letters()
    with RetrievalCache(tmp_path / "cache.db") as cache:
        with pytest.raises(UserError, match="gone"):
            embed_texts(Failing(), list("abcdef"), cache)
        embed_texts(again, list("abcdef"), cache)
    assert again.embedded == ["e", "f"]


@pytest.mark.parametrize(
    ("vector", "found"),
    [
        ([float("nan"), 1], "NaN or infinity for 'salt'"),
        ([float("inf"), 1], "NaN or infinity for 'salt'"),
        ([0, 0], "only zeros for 'salt'"),
        ([], r"an array \(2, 0\)"),
    ],
)
def test_vectors_that_are_none_are_refused_and_not_kept(vector: list[float], found: str) -> None:
    with RetrievalCache() as cache:
        with pytest.raises(UserError, match=found):
            embed_texts(Fixed(vector), ["salt", "eel"], cache)
        assert cache.vectors("fixed", ["salt", "eel"]) == {}


def test_too_few_vectors_are_refused() -> None:
    class Lazy(Letters):
        def embed(self, texts: Sequence[str]) -> Vectors:
            return super().embed(texts[:1])

    with RetrievalCache() as cache, pytest.raises(UserError, match="2 vectors, one per text"):
        embed_texts(Lazy(), ["a", "b"], cache)


def test_another_dimension_than_before_is_refused() -> None:
    with RetrievalCache() as cache:
        embed_texts(Fixed([1, 2]), ["a"], cache)
        with pytest.raises(UserError, match=r"\[2, 3\]"):
            embed_texts(Fixed([1, 2, 3]), ["a", "b"], cache)


def test_a_file_that_is_no_cache_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(UserError, match="delete the file"), RetrievalCache(path):
        pass


def test_two_may_use_the_cache_at_once(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    with RetrievalCache(path) as one, RetrievalCache(path) as two:
        embed_texts(Letters(), ["a"], one)
        embed_texts(Letters(), ["b"], two)
        assert one.vectors("letters", ["a", "b"]).keys() == {"a", "b"}
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM entries").fetchone() == (2,)
    database.close()


@pytest.fixture(scope="module")
def embedder() -> Any:
    pytest.importorskip("safetensors")
    pytest.importorskip("wordllama")
    return open_embedder(RetrievalConfig())


def test_wordllama_puts_the_right_text_first(embedder: Any) -> None:
    texts = [
        "The ferry crosses the river at noon.",
        "Green glass is blown in the kilns.",
        "The dentist filled a tooth.",
    ]
    asked = ["When does the boat go over the water?", "How do they make bottles?"]
    with RetrievalCache() as cache:
        vectors = embed_texts(embedder, [*texts, *asked], cache)
    similar = vectors[3:] @ vectors[:3].T
    assert similar.argmax(axis=1).tolist() == [0, 1]


def test_of_wordllama_the_batch_does_not_matter(embedder: Any) -> None:
    texts = ["salt", "Zwölf Boxkämpfer 😀 " * 40, "\n"]
    alone = np.concatenate([embedder.embed([text]) for text in texts])
    assert np.array_equal(embedder.embed(texts), alone)
    assert np.isfinite(alone).all()


def test_the_name_of_wordllama_holds_version_and_weights(embedder: Any) -> None:
    assert embedder.name.startswith("wordllama 0.")
    assert embedder.name.endswith(" l2_supercat_256")


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'steep\[rag\]'"):
        open_embedder(RetrievalConfig())


def test_other_files_in_the_package_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "other.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(embed, "WORDLLAMA", "other")
    with pytest.raises(UserError, match="l2_supercat_256"):
        open_embedder(RetrievalConfig())
