"""The tokenizer of a model in a GGUF file.

llama.cpp implements the splitting of a text into words itself, one implementation per name in
`tokenizer.ggml.pre`, and reads vocabulary and merges from the file. The name is found by comparing
the tokenizer's own pattern with those below; a tokenizer with another pattern is refused, as it
would split texts differently without anyone noticing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steep.core.errors import UserError
from steep.training.gguf.architecture import cannot_convert

# Patterns of published tokenizers, and the names under which llama.cpp implements them; the first
# of two with the same pattern is for tokenizers that take a word of the vocabulary as it is.
_LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN_2 = _LLAMA_3.replace(r"\p{N}{1,3}", r"\p{N}")
_SPLITS = {
    (_LLAMA_3, True): "llama-bpe",
    (_LLAMA_3, False): "smaug-bpe",
    (_QWEN_2, False): "qwen2",
}
SPACE = "\u2581"  # a blank in a SentencePiece vocabulary


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The vocabulary of a model as llama.cpp reads it.

    Attributes:
        model: `gpt2` for byte-level BPE, `llama` for SentencePiece.
        pre: How texts are split into words.
        tokens: In the order of their ids, as many as the model has rows.
        types: Of each token: normal, unknown, control, user-defined, unused or byte.
        merges: Two tokens with a blank between them, the first merge first; byte-level BPE only.
        scores: Of each token; the highest is merged first; SentencePiece only.
        adds_blank: Whether a text gets a blank before it.
    """

    model: str
    pre: str
    tokens: Sequence[str]
    types: Sequence[int]
    merges: Sequence[str] = ()
    scores: Sequence[float] = ()
    adds_blank: bool = False


def add_tokenizer(writer: Any, tokenizer: Any, rows: int) -> None:
    """Write vocabulary, special tokens and chat template of a tokenizer.

    Args:
        writer: A `GGUFWriter`.
        tokenizer: A fast tokenizer of transformers.
        rows: The rows of the model's embedding; those without a token are marked as unused.

    Raises:
        UserError: The tokenizer is not one that llama.cpp is known to implement.
    """
    found = vocabulary_of(tokenizer, rows)
    writer.add_tokenizer_model(found.model)
    writer.add_tokenizer_pre(found.pre)
    writer.add_token_list(found.tokens)
    writer.add_token_types(found.types)
    if found.merges:
        writer.add_token_merges(found.merges)
    if found.scores:
        writer.add_token_scores(found.scores)
    writer.add_add_space_prefix(found.adds_blank)
    for add, token in (
        (writer.add_bos_token_id, tokenizer.bos_token_id),
        (writer.add_eos_token_id, tokenizer.eos_token_id),
        (writer.add_unk_token_id, tokenizer.unk_token_id),
        (writer.add_pad_token_id, tokenizer.pad_token_id),
    ):
        if token is not None:
            add(token)
    ids = tokenizer("a")["input_ids"]
    writer.add_add_bos_token(ids[0] == tokenizer.bos_token_id)
    writer.add_add_eos_token(ids[-1] == tokenizer.eos_token_id)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def vocabulary_of(tokenizer: Any, rows: int) -> Vocabulary:
    """Return the vocabulary of a tokenizer.

    Raises:
        UserError: The tokenizer is not one that llama.cpp is known to implement, or it has more
            tokens than the model has rows.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise cannot_convert("this tokenizer", "a tokenizer.json", type(tokenizer).__name__)
    plain = json.loads(tokenizer.backend_tokenizer.to_str())
    kind = plain["model"]["type"]
    if kind != "BPE":
        raise cannot_convert("this tokenizer", "byte pair encoding (BPE)", kind)
    if plain["model"]["byte_fallback"]:
        return _sentencepiece(plain, rows)
    return _byte_level(plain, rows)


# ---- byte-level BPE ------------------------------------------------------------------------------


def _byte_level(plain: Mapping[str, Any], rows: int) -> Vocabulary:
    if (plain["normalizer"] or {"type": "NFC"})["type"] != "NFC":
        raise cannot_convert("this tokenizer", "a normalizer NFC or none", plain["normalizer"])
    tokens, types = _tokens(plain, rows)
    merges = [
        " ".join(each) if isinstance(each, list) else each for each in plain["model"]["merges"]
    ]
    return Vocabulary("gpt2", _pre(plain), tokens, types, merges)


def _pre(plain: Mapping[str, Any]) -> str:
    """Return the name of the way in which a tokenizer splits texts into words."""
    parts = plain["pre_tokenizer"] or {"type": "none"}
    steps = parts["pretokenizers"] if parts["type"] == "Sequence" else [parts]
    match [_step(each) for each in steps]:
        case [("ByteLevel", True)]:
            return "gpt-2"
        case [("Digits", True), ("ByteLevel", True)]:
            return "smollm"
        case [("Split", pattern), ("ByteLevel", False)]:
            whole_words = bool(plain["model"].get("ignore_merges"))
            if (pattern, whole_words) in _SPLITS:
                return _SPLITS[pattern, whole_words]
    raise cannot_convert(
        "this tokenizer",
        "the splitting into words of GPT-2, SmolLM2, Llama 3 or Qwen2",
        json.dumps(parts, ensure_ascii=False),
    )


def _step(part: Mapping[str, Any]) -> tuple[str, Any]:
    """Return the kind of a step, and what decides its result; None where it is another one."""
    kind: str = part["type"]
    if kind == "ByteLevel" and not part["add_prefix_space"]:
        return kind, part["use_regex"]
    if kind == "Digits":
        return kind, part["individual_digits"]
    if kind == "Split" and part["behavior"] == "Isolated" and not part["invert"]:
        return kind, part["pattern"].get("Regex")
    return kind, None


# ---- SentencePiece -------------------------------------------------------------------------------


def _sentencepiece(plain: Mapping[str, Any], rows: int) -> Vocabulary:
    """Return the vocabulary of a tokenizer that was converted from SentencePiece's BPE.

    SentencePiece merges the pair whose token has the highest score, and its merges are listed by
    this score, so the place of a token in the list is a score with the same order.
    """
    tokens, types = _tokens(plain, rows)
    place: dict[str, int] = {}
    for index, merge in enumerate(plain["model"]["merges"]):
        joined = "".join(merge) if isinstance(merge, list) else merge.replace(" ", "", 1)
        place.setdefault(joined, index)
    last = len(place)
    scores = [-float(place.get(token, last)) for token in tokens]
    return Vocabulary(
        "llama", "default", tokens, types, scores=scores, adds_blank=_adds_blank(plain)
    )


def _adds_blank(plain: Mapping[str, Any]) -> bool:
    """Return whether a blank is put before a text.

    Raises:
        UserError: Blanks are handled otherwise than by SentencePiece.
    """
    normalizer, splitter = plain["normalizer"], plain["pre_tokenizer"]
    if normalizer is None and (splitter or {}).get("type") == "Metaspace":
        if not splitter["split"] and splitter["replacement"] == SPACE:
            return bool(splitter["prepend_scheme"] != "never")
    elif splitter is None and normalizer:
        steps = normalizer.get("normalizers", [normalizer])
        replace = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
        prepend = {"type": "Prepend", "prepend": SPACE}
        if steps in ([replace], [prepend, replace]):
            return len(steps) > 1
    raise cannot_convert(
        "this tokenizer",
        f"blanks replaced by {SPACE}, and nothing else",
        json.dumps({"normalizer": normalizer, "pre_tokenizer": splitter}, ensure_ascii=False),
    )


# ---- tokens --------------------------------------------------------------------------------------


def _tokens(plain: Mapping[str, Any], rows: int) -> tuple[list[str], list[int]]:
    """Return the tokens and their types, one for every row of the model."""
    from gguf import TokenType

    model = plain["model"]
    named: dict[int, tuple[str, int]] = {}
    for token, index in model["vocab"].items():
        is_byte = model["byte_fallback"] and len(token) == 6 and token.startswith("<0x")
        named[index] = (token, TokenType.BYTE if is_byte else TokenType.NORMAL)
    for each in plain["added_tokens"]:
        kind = TokenType.CONTROL if each["special"] else TokenType.USER_DEFINED
        named[each["id"]] = (each["content"], kind)
    if model["unk_token"] is not None and model["byte_fallback"]:
        named[model["vocab"][model["unk_token"]]] = (model["unk_token"], TokenType.UNKNOWN)
    if named and max(named) >= rows:
        raise UserError(
            "The tokenizer has more tokens than the model has rows.",
            where="config.json: vocab_size",
            expected=f"at least {max(named) + 1:,}",
            found=f"{rows:,}",
            hint="export the model with the tokenizer that it was trained with",
        )
    found = [named.get(index, (f"[unused{index}]", TokenType.UNUSED)) for index in range(rows)]
    return [token for token, _ in found], [int(kind) for _, kind in found]
