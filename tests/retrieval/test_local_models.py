from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from steep.core.errors import UserError
from steep.retrieval.config import RetrievalConfig
from steep.retrieval.embed import LocalEmbedder, open_embedder
from steep.retrieval.rerank import Candidates, LocalReranker


@pytest.mark.parametrize("model", [LocalEmbedder, LocalReranker])
def test_a_directory_that_holds_no_model_is_named(model: type, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)no sentence-transformers model.*modules\.json"):
        model(tmp_path / "some" / "name")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sentence_transformers", None)
    (tmp_path / "config.json").write_text("{}")
    settings = RetrievalConfig(embedder="sentence-transformers", embedder_model=str(tmp_path))
    with pytest.raises(UserError, match="pip install sentence-transformers"):
        open_embedder(settings)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a random two-layer cross-encoder, which also embeds."""
    pytest.importorskip("sentence_transformers")
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
    words += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    shape |= {"vocab_size": len(words), "intermediate_size": 32, "num_labels": 1}
    config = BertConfig(**shape)
    BertForSequenceClassification(config).eval().save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings("ignore")
def test_a_model_on_disk_embeds_and_its_name_follows_its_files(bert: Path) -> None:
    embedder = LocalEmbedder(bert)
    vectors = embedder.embed(["salt eel", "glass", "salt eel"])
    assert vectors.shape == (3, 16)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors[0], vectors[2], rtol=1e-5)
    assert embedder.name == LocalEmbedder(bert).name
    (bert / "note.txt").write_text("trained further")
    assert embedder.name != LocalEmbedder(bert).name


@pytest.mark.filterwarnings("ignore")
def test_a_cross_encoder_scores_each_text_of_each_question(bert: Path) -> None:
    judge = LocalReranker(bert)
    both = judge.score([Candidates("salt", ("eel", "glass boat")), Candidates("eel", ("salt",))])
    assert [len(scores) for scores in both] == [2, 1]
    (alone,) = judge.score([Candidates("salt", ("glass boat",))])
    assert both[0][1] == pytest.approx(alone[0], abs=1e-5)
