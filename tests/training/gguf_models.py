"""Small random models of each architecture that is converted to GGUF, and their tokenizers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from steep.testing.tiny_corpus import DOCUMENTS
from steep.training.gguf import tokenizer as gguf_tokenizer

ROWS = 512  # more than there are tokens
LLAMA_3 = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
LINEAR = {"rope_type": "linear", "rope_theta": 20_000.0, "factor": 4.0}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {  # name: class, settings
    "llama": ("Llama", {"tie_word_embeddings": True}),
    "llama-3": ("Llama", {"rope_parameters": LLAMA_3, "attention_bias": True, "mlp_bias": True}),
    "mistral": ("Mistral", {"sliding_window": None, "head_dim": 32}),
    "qwen2": ("Qwen2", {"rope_parameters": LINEAR}),
    "qwen3": ("Qwen3", {"head_dim": 32, "tie_word_embeddings": True}),
}


def write_model(directory: Path, name: str, tokenizer: Any, dtype: str = "float32") -> Any:
    """Write a random model with a tokenizer, and return the model."""
    kind, settings = MODELS[name]
    config = getattr(transformers, f"{kind}Config")(
        **{
            "vocab_size": ROWS,
            "hidden_size": 64,
            "intermediate_size": 160,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 512,
            "tie_word_embeddings": False,
            "initializer_range": 0.2,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            **settings,
        }
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(len(name))
        model = getattr(transformers, f"{kind}ForCausalLM")(config)
        for key, weight in model.named_parameters():
            if weight.ndim == 1:  # norms and biases are constants at first
                torch.nn.init.normal_(weight, float("norm" in key), 0.2)
    model.to(getattr(torch, dtype)).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return model


def byte_level(*steps: Any, whole_words: bool = False, normalizer: Any = None) -> Any:
    """Return a byte-level tokenizer that splits texts by these steps."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=whole_words))
    tokenizer.normalizer = normalizer
    use_regex = not any(isinstance(each, pre_tokenizers.Split) for each in steps)
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*steps, last]) if steps else last
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=450,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([document.text for document in DOCUMENTS], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|im_end|>"
    )


def sentencepiece(*, prefix: bool = True) -> Any:
    """Return a tokenizer as those that are converted from SentencePiece's BPE."""
    space = gguf_tokenizer.SPACE
    replace = normalizers.Replace(" ", space)
    learned = Tokenizer(models.BPE())
    learned.normalizer = normalizers.Sequence([normalizers.Prepend(space), replace])
    trainer = trainers.BpeTrainer(vocab_size=200, show_progress=False)
    learned.train_from_iterator([document.text for document in DOCUMENTS], trainer)
    model = json.loads(learned.to_str())["model"]
    merged = [tuple(each) for each in model["merges"]]
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    names += [each for each in model["vocab"] if each not in names]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={each: index for index, each in enumerate(names)},
            merges=merged,
            byte_fallback=True,
            unk_token="<unk>",
            fuse_unk=True,
        )
    )
    steps = [normalizers.Prepend(space), replace] if prefix else [replace]
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(space, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def split(pattern: str) -> Any:
    """Return a step that splits texts by a pattern."""
    return pre_tokenizers.Split(Regex(pattern), "isolated")


TOKENIZERS: dict[
    str, Callable[[], Any]
] = {  # by the name that llama.cpp has for the splitting into words
    "gpt-2": lambda: byte_level(),
    "smollm": lambda: byte_level(pre_tokenizers.Digits(individual_digits=True)),
    "llama-bpe": lambda: byte_level(split(gguf_tokenizer._LLAMA_3), whole_words=True),
    "smaug-bpe": lambda: byte_level(split(gguf_tokenizer._LLAMA_3)),
    "qwen2": lambda: byte_level(split(gguf_tokenizer._QWEN_2), normalizer=normalizers.NFC()),
    "default": sentencepiece,
}
