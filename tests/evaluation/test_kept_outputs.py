"""Texts that were written are never asked for again, wherever a kill fell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steep.evaluation.engines import (
    CachedEngine,
    Decoding,
    OnOutput,
    OptionScores,
    Output,
    Progress,
    keep_nothing,
    no_progress,
)

PROMPTS = [f"prompt {n}, naïve\n" for n in range(7)]
TWO = Decoding(samples=2, temperature=0.5, max_tokens=8)


class Counting:
    """Answers every prompt with itself; stops after so many, as if it were killed."""

    def __init__(self, patience: int = 1000, refuses: Sequence[str] = ()) -> None:
        self.asked: list[str] = []
        self.patience, self.refuses = patience, refuses

    def generate(
        self,
        prompts: Sequence[str],
        decoding: Decoding,
        on_progress: Progress = no_progress,
        on_output: OnOutput = keep_nothing,
    ) -> list[list[Output]]:
        found, total = [], len(prompts) * decoding.samples
        for number, prompt in enumerate(prompts):
            if len(self.asked) >= self.patience:
                raise KeyboardInterrupt
            self.asked.append(prompt)
            found.append([self._output(prompt, n) for n in range(decoding.samples)])
            for n, output in enumerate(found[-1]):
                on_output(number * decoding.samples + n, output)
            on_progress((number + 1) * decoding.samples, total)
        return found

    def _output(self, prompt: str, sample: int) -> Output:
        reason = "error" if prompt in self.refuses else "stop"
        return Output("" if reason == "error" else f"{prompt}{sample}", reason, sample, -0.5)

    def logprobs(
        self,
        prompts: Sequence[str],
        options: Sequence[Sequence[str]],
        on_progress: Progress = no_progress,
    ) -> list[OptionScores]:
        return []


def test_an_interrupted_run_asks_only_for_what_is_missing(tmp_path: Path) -> None:
    path, told = tmp_path / "outputs.jsonl", list[tuple[int, int]]()
    first = Counting(patience=4)
    with pytest.raises(KeyboardInterrupt):
        CachedEngine(first, path).generate(PROMPTS, TWO)
    second = Counting()
    found = CachedEngine(second, path).generate(PROMPTS, TWO, lambda *each: told.append(each))
    assert first.asked + second.asked == PROMPTS
    assert found == Counting().generate(PROMPTS, TWO)
    assert told[-1] == (14, 14) and told[0][0] > 8


def test_another_decoding_is_another_text(tmp_path: Path) -> None:
    engine = Counting()
    kept = CachedEngine(engine, tmp_path / "outputs.jsonl")
    kept.generate(PROMPTS, TWO)
    kept.generate(PROMPTS, Decoding(samples=1))
    assert engine.asked == 2 * PROMPTS


def test_equal_prompts_are_asked_once_and_refusals_again(tmp_path: Path) -> None:
    path = tmp_path / "outputs.jsonl"
    engine = Counting(refuses=["no"])
    found = CachedEngine(engine, path).generate(["a", "no", "a"], TWO)
    assert engine.asked == ["a", "no"] and found[0] == found[2]
    again = Counting()
    CachedEngine(again, path).generate(["a", "no"], TWO)
    assert again.asked == ["no"]


@given(cut=st.integers(0, 400))
def test_a_line_that_a_kill_cut_off_is_none(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("kept") / "outputs.jsonl"
    CachedEngine(Counting(), path).generate(PROMPTS, TWO)
    whole = path.read_bytes()
    path.write_bytes(whole[: min(cut, len(whole))])
    lines = whole[:cut].count(b"\n")
    engine = Counting()
    assert CachedEngine(engine, path).generate(PROMPTS, TWO) == Counting().generate(PROMPTS, TWO)
    assert engine.asked == PROMPTS[lines:]
    assert path.read_bytes() == whole
