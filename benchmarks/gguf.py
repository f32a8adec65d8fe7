"""Compare GGUF files of a model in llama.cpp with the model in transformers.

    python -m benchmarks.gguf [--model DIR] [--types f32,f16,bf16,q8_0] [--python PYTHON]

    pip install --no-deps xllamacpp   # llama.cpp's server, in this or another environment

transformers continues each prompt greedily. llama.cpp gets the same tokens and gives its
log-probabilities of the next token after each of them; what is counted is how often both name the
same next token, and how far the log-probabilities of the ten likeliest tokens are apart. Then both
split texts of many kinds into tokens.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from benchmarks.generation.llama_server import Setup, running
from steep.llm.model_names import embedded_directory
from steep.training.gguf.write import FILE_TYPES, GgufMetadata, GgufType, write_gguf
from steep.training.loading import load_model, load_tokenizer

PROMPTS = (
    "The harbor of Marlin was built in",
    "Water boils at a lower temperature on a mountain because",
    "def fibonacci(n):\n",
    "Der Zug nach Wien fährt um",
    "1, 2, 4, 8, 16,",
    "Question: Who wrote Hamlet?\nAnswer:",
)
TEXTS = (
    "Plain English, with commas; and (brackets) - don't they'll WE'VE it's?",
    "Größere Übungen für Häuser: \u017ftra\u00dfe, naïve café, Ærøskøbing.",
    "东京是日本的首都。人工智能正在改变世界\uff01",
    "日本語のひらがなとカタカナ、そして漢字。 한국어 문장입니다.",
    "Привет, мир! Καλημέρα κόσμε. שלום עולם مرحبا بالعالم नमस्ते दुनिया",
    "Emoji: 😀👍🏽 👩‍👩‍👧‍👦 🇦🇹 ❤️ and a zero-width\u200bspace",
    "Digits 0 12 345 6789 1234567890 3.14159 1e-9 ½ ² ٣ 三 1,000,000 2026-11-28",
    "def f(x: int) -> str:\n\treturn f'{x!r:>10}'  # tabs\n\n\n    if x == 1:\n        pass\n",
    "  leading and trailing blanks   \n \n\t\r\nWindows line\r\nends\u00a0and\u3000wide ",
    "https://example.org/a?b=c&d=%20#e user@example.com C:\\Temp\\x.txt $12.50 #tag @you",
    "<|im_start|>user\nspecial tokens<|im_end|>\n<|endoftext|> and <|not_one|>",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa !!!!!!???...---___*** 'S 'Ll 'RE",
)
TOP = 10  # likeliest tokens that are compared


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the next tokens of two implementations agree.

    Attributes:
        positions: The number of compared positions.
        same: At how many the likeliest token is the same.
        mean: Absolute difference of log-probabilities, over the likeliest tokens, in nats.
        largest: The largest of these differences.
    """

    positions: int
    same: int
    mean: float
    largest: float


def ask(address: str, path: str, **body: Any) -> Any:
    """Return the reply of a server."""
    request = urllib.request.Request(
        f"{address}{path}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as reply:
        return json.loads(reply.read())


def continued(model: Any, tokenizer: Any, prompt: str, tokens: int) -> tuple[list[int], int]:
    """Return a prompt with its greedy continuation, and the length of the prompt, in tokens."""
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    whole = model.generate(
        ids, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, top_p=None, top_k=None
    )
    return whole[0].tolist(), ids.shape[1]


def next_log_probabilities(address: str, ids: Sequence[int]) -> dict[int, float]:
    """Return the log-probabilities of the likeliest next tokens, by id.

    They are those before sampling, so that a bias against the end of the text changes none.
    """
    reply = ask(
        address, "/completion", prompt=list(ids), n_predict=1, n_probs=4 * TOP, temperature=0.0,
        cache_prompt=True, ignore_eos=True,
    )  # fmt: skip
    if "completion_probabilities" not in reply:
        return {}  # the server gives none for a token that ends within a character
    found = reply["completion_probabilities"][0]["top_logprobs"]
    return {each["id"]: each["logprob"] for each in found}


def agreement(address: str, model: Any, sequences: Sequence[tuple[list[int], int]]) -> Agreement:
    """Compare the next tokens after every token of the continuations."""
    import torch

    positions = same = 0
    differences: list[float] = []
    for ids, prompt_tokens in sequences:
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
        ours = torch.log_softmax(logits.float(), dim=-1)
        for end in range(prompt_tokens, len(ids) + 1):
            theirs = next_log_probabilities(address, ids[:end])
            if not theirs:
                continue
            positions += 1
            top = ours[end - 1].topk(TOP).indices.tolist()
            same += top[0] == max(theirs, key=lambda token: theirs[token])
            differences += [
                abs(ours[end - 1, token].item() - theirs[token]) for token in top if token in theirs
            ]
    return Agreement(positions, same, sum(differences) / len(differences), max(differences))


def other_tokens(address: str, tokenizer: Any, texts: Sequence[str]) -> list[str]:
    """Return the texts that llama.cpp splits into other tokens."""
    return [
        text
        for text in texts
        if ask(address, "/tokenize", content=text, add_special=True, parse_special=True)["tokens"]
        != tokenizer(text)["input_ids"]
    ]


def main() -> None:
    """Compare and print."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, help="default: the embedded model")
    parser.add_argument("--types", default=",".join(FILE_TYPES))
    parser.add_argument("--tokens", type=int, default=48, help="of each continuation")
    parser.add_argument("--python", default=sys.executable, help="interpreter with xllamacpp")
    options = parser.parse_args()
    torch.set_num_threads(1)
    directory = options.model or embedded_directory()
    model, tokenizer = load_model(directory), load_tokenizer(directory)
    sequences = [continued(model, tokenizer, each, options.tokens) for each in PROMPTS]
    with tempfile.TemporaryDirectory() as folder:
        for kind in cast("list[GgufType]", options.types.split(",")):
            file = write_gguf(directory, Path(folder) / f"{kind}.gguf", kind, GgufMetadata("model"))
            setup = Setup(file, slots=1, context_tokens=2048, python=options.python)
            with running(setup) as address:
                found = agreement(address, model, sequences)
                others = other_tokens(address, tokenizer, TEXTS)
            print(
                f"{kind}: {file.stat().st_size:,} bytes, same next token {found.same} of "
                f"{found.positions}, log-probabilities differ by {found.mean:.6f} nats on average "
                f"and {found.largest:.6f} at most, {len(TEXTS) - len(others)} of {len(TEXTS)} "
                f"texts split into the same tokens",
                flush=True,
            )
            for text in others:
                print(f"  other tokens: {text!r}")
            file.unlink()


if __name__ == "__main__":
    main()
