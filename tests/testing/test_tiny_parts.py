from __future__ import annotations

import json
from pathlib import Path

import pytest

from steep.testing.tiny_corpus import DOCUMENTS, QUESTIONS, TinyQuestion, write_tiny_corpus
from steep.testing.tiny_model import make_tiny_model

TEXT = "Joren Pell, <|im_start|>naïve, 42 \U0001f6a3"


def test_the_corpus_is_written_in_two_formats(tmp_path: Path) -> None:
    corpus = write_tiny_corpus(tmp_path)
    assert sorted(p.suffix for p in corpus.documents.iterdir()) == [".jsonl", ".md", ".md"]
    rows = [json.loads(line) for line in corpus.questions.read_text().splitlines()]
    assert len(rows) == 6
    assert {row["document_id"] for row in rows} == {document.id for document in DOCUMENTS}


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.id)
def test_questions_can_be_answered_from_the_corpus(question: TinyQuestion) -> None:
    assert len(set(question.options)) == 4
    right = question.options[question.gold]
    texts = " ".join(document.text for document in DOCUMENTS)
    assert right.removeprefix("a ").removeprefix("The ") in texts


def test_the_model_loads_and_generates(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    before = torch.random.get_rng_state()
    make_tiny_model(tmp_path)
    assert torch.equal(before, torch.random.get_rng_state())
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    ids = tokenizer(TEXT, return_tensors="pt")
    assert tokenizer.decode(ids["input_ids"][0]) == TEXT
    out = model.generate(**ids, max_new_tokens=5, do_sample=False)
    assert out.shape[1] > ids["input_ids"].shape[1]
    assert {tokenizer.bos_token, tokenizer.eos_token} == {"<|im_start|>", "<|im_end|>"}
    messages = [{"role": "user", "content": "Hello"}]
    prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert prompt == "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"


def test_the_same_seed_writes_the_same_weights(tmp_path: Path) -> None:
    one = make_tiny_model(tmp_path / "one", seed=3) / "model.safetensors"
    two = make_tiny_model(tmp_path / "two", seed=3) / "model.safetensors"
    other = make_tiny_model(tmp_path / "other", seed=4) / "model.safetensors"
    assert one.read_bytes() == two.read_bytes() != other.read_bytes()
