"""Closed-book questions as two tasks of inspect-ai; made by Steep.

    inspect eval closed_book.py@likelihood --model hf/local -M model_path=DIR -M dtype=float32
    inspect eval closed_book.py@generation --model hf/local -M model_path=DIR -M dtype=float32
    inspect eval closed_book.py@generation --model openai/NAME

`likelihood` sums the log-probabilities of each option's tokens after the prompt, so it needs a
model in this process. `generation` asks for a thought process after five solved examples; a base
model goes on with the text as it is, and `-T chat=true` sends it as a message instead.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig, get_model
from inspect_ai.scorer import Score, Scorer, Target, accuracy, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, generate, solver

STOP = "\n## "  # the next example: what a base model writes after its answer
MAX_TOKENS = 300
PLAIN_TEXT = "{{ messages[0]['content'] }}"
NORMALIZERS = ("sum", "per_token", "per_character", "per_byte")
METRICS = [accuracy(), stderr(cluster="document_id")]
_ANSWER_LINE = re.compile(r"Answer: ([A-Z](?:(?:, ?)?[A-Z])*)\.?")


@task
def likelihood() -> Task:
    """The likeliest option, under four normalizers."""
    return Task(_dataset("prompt"), solver=option_logprobs(), scorer=likeliest_option())


@task
def generation(chat: bool = False) -> Task:
    """The letter in the last line of a thought process."""
    return Task(
        _dataset("choice_prompt"),
        solver=[greedy_text(chat), generate()],
        scorer=answer_line(),
        config=GenerateConfig(temperature=0.0, max_tokens=MAX_TOKENS, stop_seqs=[STOP]),
    )


def _dataset(prompt: str) -> MemoryDataset:
    # Not splitlines(): that also cuts at U+2028 and its like, which JSON leaves inside strings.
    lines = Path(__file__).with_suffix(".jsonl").read_text(encoding="utf-8").split("\n")
    kept = ("document_id", "kind", "options", "gold")
    samples = [
        Sample(
            id=row["id"],
            input=row[prompt],
            target=row["letters"],
            metadata={key: row[key] for key in kept},
        )
        for row in map(json.loads, filter(None, lines))
    ]
    return MemoryDataset(samples, name=Path(__file__).stem)


@solver
def option_logprobs() -> Solver:
    """Sum the log-probabilities of each option's tokens, in the model of the `hf` provider."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        model, tokenizer = _parts()
        prompt, *options = _encoded(tokenizer, state.input_text, state.metadata["options"])
        state.store.set("sum_logprob", _sums(model, prompt, options))
        state.store.set("tokens", [len(option) for option in options])
        return state

    return solve


def _parts() -> tuple[Any, Any]:
    api: Any = get_model().api
    try:
        return api.model, api.tokenizer
    except AttributeError as error:
        raise ValueError(
            f"'{get_model()}' has no weights here: run with --model hf/local -M model_path=DIR"
        ) from error


def _encoded(tokenizer: Any, prompt: str, options: list[str]) -> list[list[int]]:
    """The ids of the prompt, BOS first where there is one, and of each option after it."""
    start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]

    def ids(text: str) -> list[int]:  # a special token that a text spells stays text
        return list(tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))

    before, wholes = ids(prompt.rstrip()), [ids(f"{prompt} {each}") for each in options]
    return [start + before, *(whole[len(before) :] for whole in wholes)]


def _sums(model: Any, prompt: list[int], options: list[list[int]]) -> list[float]:
    """One row an option, padded on the right, where no token sees it."""
    import torch

    longest = max(map(len, options))
    rows = [prompt + option + [0] * (longest - len(option)) for option in options]
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor(rows, device=model.device), use_cache=False).logits
        predictions = logits[:, len(prompt) - 1 : -1].float().log_softmax(-1)
    return [
        float(sum(row[place, token] for place, token in enumerate(option)))
        for row, option in zip(predictions, options, strict=True)
    ]


@scorer(metrics={name: METRICS for name in NORMALIZERS})
def likeliest_option() -> Scorer:
    """Right where the likeliest options are exactly the right ones; of equal ones the first."""

    async def score(state: TaskState, target: Target) -> Score:
        sums, tokens = state.store.get("sum_logprob"), state.store.get("tokens")
        options, gold = state.metadata["options"], state.metadata["gold"]
        lengths = {
            "sum": [1] * len(options),
            "per_token": tokens,
            "per_character": [len(option) for option in options],
            "per_byte": [len(option.encode()) for option in options],
        }
        ranked = {name: _ranked(sums, lengths[name]) for name in NORMALIZERS}
        chosen = {name: ranked[name][0] for name in NORMALIZERS}
        right = {name: set(ranked[name][: len(gold)]) == set(gold) for name in NORMALIZERS}
        return Score(
            value={name: float(right[name]) for name in NORMALIZERS},
            answer=options[chosen["sum"]],
            metadata={"chosen": chosen, "sum_logprob": sums, "tokens": tokens},
        )

    return score


def _ranked(sums: list[float], lengths: list[int]) -> list[int]:
    """The options from the likeliest on; of equal ones the first comes first."""
    values = [value / length for value, length in zip(sums, lengths, strict=True)]
    return sorted(range(len(values)), key=lambda option: -values[option])


@solver
def greedy_text(chat: bool) -> Solver:
    """Let a model of the `hf` provider take the likeliest words, after the plain text.

    Without it the provider would sample, and put "user:" before a text without a chat template.
    Other providers are left as they are.
    """

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        api: Any = get_model().api
        if hasattr(api, "do_sample"):
            api.do_sample = False
            if not chat:
                _continue_plain_text(api)
        return state

    return solve


def _continue_plain_text(api: Any) -> None:
    """Send the text itself, after BOS, with which every training text began."""
    tokenizer = api.tokenizer
    if tokenizer.encode("a")[:1] == [tokenizer.bos_token_id]:
        api.chat_template = PLAIN_TEXT
    else:
        api.chat_template = "{{ bos_token }}" * bool(tokenizer.bos_token) + PLAIN_TEXT
        api.tokenizer_call_args = {"add_special_tokens": False}


@scorer(metrics=METRICS)
def answer_line() -> Scorer:
    """Right where the letters of the last line are exactly the right ones."""

    async def score(state: TaskState, target: Target) -> Score:
        text = state.output.completion.split(STOP)[0]
        letters = read_letters(text, len(state.metadata["options"]))
        return Score(value=float(letters == target.text), answer=letters or "[invalid]")

    return score


def read_letters(text: str, options: int) -> str:
    """The letters of the last line in alphabetical order; none where one is not on offer."""
    found = _ANSWER_LINE.fullmatch(text.rstrip().rpartition("\n")[2].strip())
    letters = re.sub("[, ]", "", found[1]) if found else ""
    offered = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:options]
    valid = letters and set(letters) <= set(offered) and len(set(letters)) == len(letters)
    return "".join(sorted(letters)) if valid else ""
