"""The documents of the task `closed_book`, and how its answers are read; made by Steep.

The folder may be moved: the data is looked for beside this file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

INVALID = "[invalid]"
PROMPTS = ("prompt", "choice_prompt")
_ANSWER_LINE = re.compile(r"Answer: ([A-Z](?:(?:, ?)?[A-Z])*)\.?")


def load(
    pretrained: object = None, tokenizer: object = None, revision: str = "main", **_: object
) -> dict[str, Any]:
    """Read the questions; the harness hands over the arguments of its model.

    Every training text began with BOS where the tokenizer has one, so every prompt begins with it
    too: here, where the tokenizer would not add it. The harness sees that it is there.
    """
    import datasets

    name = next((each for each in (tokenizer, pretrained) if isinstance(each, str)), None)
    begin = _bos(name, revision) if name else ""
    data = Path(__file__).with_name(Path(__file__).stem.removesuffix("_docs") + ".jsonl")
    # Not splitlines(): that also cuts at U+2028 and its like, which JSON leaves inside strings.
    rows = [json.loads(line) for line in data.read_text(encoding="utf-8").split("\n") if line]
    for row in rows:
        row |= {each: begin + row[each] for each in PROMPTS}
    return {"test": datasets.Dataset.from_list(rows)}


def _bos(name: str, revision: str) -> str:
    """The text of BOS, or nothing where there is none or the tokenizer adds it by itself."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(name, revision=revision)
    added = tokenizer.encode("a")[:1] == [tokenizer.bos_token_id]
    return "" if added else tokenizer.bos_token or ""


def counted(doc: dict[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """Right where the likeliest options are exactly the right ones; of equal ones the first."""
    options, gold = doc["options"], set(doc["gold"])
    lengths = {
        "acc": [1 for _ in options],
        "acc_norm": [len(option) for option in options],
        "acc_bytes": [len(option.encode()) for option in options],
    }
    found = {}
    for metric, divisors in lengths.items():
        values = [value / length for (value, _), length in zip(results, divisors, strict=True)]
        ranked = sorted(range(len(values)), key=lambda option: -values[option])
        found[metric] = float(set(ranked[: len(gold)]) == gold)
    return found


def strict(responses: Iterable[Sequence[str]], docs: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Read the letters of each text: its last line is `Answer: B.`, or it is invalid."""
    return [
        [read_letters(text, len(doc["options"])) for text in texts]
        for texts, doc in zip(responses, docs, strict=True)
    ]


def read_letters(text: str, options: int) -> str:
    """The letters of the last line in alphabetical order: distinct ones, all on offer."""
    found = _ANSWER_LINE.fullmatch(text.rstrip().rpartition("\n")[2].strip())
    letters = re.sub("[, ]", "", found[1]) if found else ""
    offered = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:options]
    valid = letters and set(letters) <= set(offered) and len(set(letters)) == len(letters)
    return "".join(sorted(letters)) if valid else INVALID
