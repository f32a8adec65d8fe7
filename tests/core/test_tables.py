"""Tables and prose fit the terminal, whatever stands in them."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from steep.cli.options import start_log
from steep.cli.score_lines import print_scores
from steep.core.tables import display_width, fitted, table, wrapped
from steep.evaluation.results import (
    Calibration,
    ChosenOptions,
    Estimate,
    Interval,
    LikelihoodResult,
    LikelihoodScore,
    ModelCalibration,
    OptionBias,
    OptionShares,
    ReliabilityBin,
    Scores,
    SkippedQuestion,
)

INTERVAL = "32.2 (23.3-42.7)"
KINDS = ("near the text", "indirect", "two facts")


def test_a_narrow_table_stands_as_it_is() -> None:
    lines = table([["model", "accuracy"], ["base", INTERVAL]], 80, rule=True)
    assert lines == [
        "model          accuracy",
        "-----------------------",
        "base   32.2 (23.3-42.7)",
    ]


def test_wide_and_combining_characters_stand_in_columns() -> None:
    lines = table([["title", "n"], ["水泵手册", "1"], ["cafe\u0301", "10"]], 80)
    assert lines == ["title      n", "水泵手册   1", "cafe\u0301      10"]


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("水泵手册", 8, "水泵手册"),
        ("水泵手册", 7, "水泵手…"),
        ("水泵手册", 6, "水泵…"),
        ("pumps", 4, "pum…"),
    ],
)
def test_a_text_is_cut_to_columns(text: str, columns: int, shown: str) -> None:
    assert fitted(text, columns) == shown and display_width(shown) <= columns


def test_headings_are_broken_before_cells() -> None:
    rows = [["model", "chosen by per_token"], ["base", "5.1/60.0"]]
    assert table(rows, 20) == ["model  chosen by", "       per_token", "base    5.1/60.0"]


def test_intervals_stand_below_their_values() -> None:
    rows = [["model", "accuracy", *KINDS], ["entigraph", *[INTERVAL] * 4]]
    assert table(rows, 80)[2:] == [
        "entigraph         32.2         32.2         32.2         32.2",
        "           (23.3-42.7)  (23.3-42.7)  (23.3-42.7)  (23.3-42.7)",
    ]


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
@pytest.mark.parametrize("kinds", [1, 3, 9])
def test_nothing_is_wider_than_the_terminal_and_nothing_is_lost(columns: int, kinds: int) -> None:
    name = "meta-llama/Llama-3.1-70B-Instruct-of-somebody"
    values = [f"{number}1.5 (10.0-9{number}.9)" for number in range(kinds)]
    lines = table([["model", *(f"a kind {n}" for n in range(kinds))], [name, *values]], columns)
    assert max(map(len, lines)) <= columns
    shown = re.findall(r"\S+", " ".join(lines))
    assert all(part in shown for value in values for part in value.split())
    firsts = (line.partition("  ")[0] for line in lines if not line.startswith("model"))
    assert name in "".join(firsts)


def test_a_line_is_broken_at_blanks_only_and_keeps_its_indent() -> None:
    path = "/a/path/that/is/longer/than/a/line/of/the/terminal"
    lines = wrapped(f"  where: {path} and more of it", 30)
    assert lines == ["  where:", f"    {path}", "    and more of it"]
    assert wrapped("  short", 30) == ["  short"]


def test_the_tables_of_an_evaluation_fit_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    score = Estimate(n=180, accuracy=0.322, low=0.233, high=0.427)
    models = tuple(
        LikelihoodScore(
            **vars(score),
            name=name,
            documents=5,
            by_kind=dict.fromkeys(KINDS, score),
            by_normalizer={},
            ties=0,
        )
        for name in ("base", "raw", "entigraph")
    )
    shares = OptionShares(n=180, first=0.2, last=0.3, n_lengths=180, shortest=0.123, longest=0.456)
    normalizers = ("sum", "per_token", "per_character", "per_byte")
    chosen = tuple(
        ChosenOptions(**vars(shares), name=model.name, normalizer=normalizer)
        for model in models
        for normalizer in normalizers
    )
    unit = Interval(0.123, 0.1, 0.2, 180, 5)
    calibrated = tuple(
        ModelCalibration(
            name=model.name,
            probability=0.5,
            overconfidence=Interval(-0.123, -0.234, -0.012, 180, 5),
            brier=unit,
            ece=unit,
            ece_if_calibrated=0.061,
            bins=(ReliabilityBin(low=0.4, high=0.5, probability=0.45, accuracy=unit),),
        )
        for model in models
    )
    calibration = Calibration(normalizer="sum", n=180, guess_brier=0.75, models=calibrated)
    likelihood = LikelihoodResult(
        normalizer="per_token",
        chance=0.25,
        chance_by_kind={},
        models=models,
        several_right=0,
        pairs=(),
        minimum_detectable_difference=None,
        bias=OptionBias(chance=shares, gold=shares, models=chosen),
        calibration=(calibration,),
    )
    reason = "no option of it is right, as far as the file says; " * 3
    print_scores(Scores({"likelihood": likelihood}, (SkippedQuestion("q1", reason),)))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("12% / 46%" in line for line in lines) == 2 + 3
    assert sum("0.061" in line for line in lines) == 3


@pytest.fixture
def quiet_log() -> Iterator[None]:
    yield
    log = logging.getLogger("steep")
    for handler in (*log.handlers,):
        handler.close()
        log.removeHandler(handler)


@pytest.mark.usefixtures("quiet_log")
@pytest.mark.parametrize("is_terminal", [True, False])
def test_long_log_lines_are_broken_on_a_terminal_only(
    is_terminal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: is_terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "80")
    message = "train raw: memory: about 3.6 of 22.3 GiB = " + " + ".join(["moments 1.0"] * 8)
    start_log(tmp_path / "log.jsonl")
    logging.getLogger("steep").info(message)
    lines = stream.getvalue().splitlines()
    assert (max(map(len, lines)) <= 80) is is_terminal
    assert " ".join(line.strip() for line in lines) == message
    assert json.loads((tmp_path / "log.jsonl").read_text())["message"] == message
