"""Sections that exist only if something was measured, and their content."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import fixture_tables
import pytest
from fixture_run import artifact, edit, write_run
from fixture_tables import TOO_LONG, tables
from test_report_page import Page, render

from steep.core.files import read_json, write_json
from steep.evaluation.results import AnswerProtocol, finite
from steep.report.render import render_report

HEADINGS = {
    "answers": "Closed book: generated answers",
    "short_answers": "Closed book: generated answers",
    "open_book": "Open book",
    "summaries": "Summaries from memory",
    "general_text": "Learning and forgetting",
    "tasks": "Learning and forgetting",
}


def measured(root: Path, **found: Any) -> Page:
    """The page of a run in which this was measured beside the likelihoods."""
    return render(root, write_run(root, **finite(found)))


def only(root: Path, **found: Any) -> Page:
    """The page of a run in which nothing else was measured."""
    run_directory = write_run(root)
    scores = artifact(root, run_directory, "evaluate") / "scores.json"
    skipped = read_json(scores)["skipped"]
    write_json(scores, {**finite(found), "skipped": skipped})
    return render(root, run_directory)


def headings(root: Path) -> list[str]:
    markup = (root / "runs" / "demo" / "report.html").read_text(encoding="utf-8")
    return re.findall(r"<h2>(.*?)</h2>", markup)


def test_what_was_not_measured_has_no_heading(tmp_path: Path) -> None:
    measured(tmp_path)

    assert not set(HEADINGS.values()) & set(headings(tmp_path))


def test_every_section_is_explained(tmp_path: Path) -> None:
    measured(tmp_path, **tables())
    explained = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")
    assert [each for each in headings(tmp_path) if f"\n**{each}" not in explained] == []


@pytest.mark.parametrize("name", HEADINGS)
def test_each_table_alone_has_its_section_and_no_other(tmp_path: Path, name: str) -> None:
    text = only(tmp_path, **{name: tables()[name]}).text

    assert set(headings(tmp_path)) & {*HEADINGS.values(), "Results", "Closed book: likelihood"} == {
        HEADINGS[name]
    }
    assert "asked no questions" not in text
    assert "This run has no questions" not in text


def test_sections_are_in_order(tmp_path: Path) -> None:
    measured(tmp_path, **tables())

    assert headings(tmp_path)[:7] == [
        "Summary",
        "Closed book: likelihood",
        "Closed book: generated answers",
        "Open book",
        "Summaries from memory",
        "Learning and forgetting",
        "Caveats",
    ]


def test_generated_answers_come_with_their_protocol_and_parsing_failures(tmp_path: Path) -> None:
    text = measured(tmp_path, answers=fixture_tables.written_answers()).text

    assert "1 text per question of up to 300 tokens, by greedy decoding" in text
    assert "Options are in random order" in text
    assert "parser 'strict'" in text and "counts as wrong" in text
    assert "80.0%48 of 60" in text
    assert "a letter that is not on offer (6), the last line is no answer line (6)" in text
    assert "D is right" in text and "D chosen" in text
    assert "random choice25%25%25%25%right option25%25%25%25%base21%1042%20" in text
    assert "random choice6025%25%" in text and "base4821%8%" in text, "first and last"
    assert "Entigraph is 45.0 percentage points above base" in text


def test_lengths_places_and_calibration_of_likelihoods_stand_beside_chance(tmp_path: Path) -> None:
    found = fixture_tables.choices()
    text = measured(tmp_path).text

    bias = text.split("Length and place of options")[1].split("Calibration")[0]
    lengths, places = bias.split("selects by length.")
    assert "random choice25% / 25%" in lengths and "right option12% / 13%" in lengths
    assert "base12% / 13%7% / 35%0% / 73%0% / 73%" in lengths
    assert "random choice25% / 25%" in places and "right option12% / 63%" in places
    assert "base47% / 28%30% / 28%13% / 13%" in places
    total, _ = found["calibration"]
    assert (total["normalizer"], total["n"]) == ("sum", 60)
    model = total["models"][0]
    calibration = text.split("Calibration")[1].split("Reliability by")[0]
    assert f"base{100 * model['probability']:.1f}%+41.1[+30.5, +50.9]1.054" in calibration
    assert "equal probabilities for all options have 0.750" in calibration
    folds = (tmp_path / "runs/demo/report.html").read_text()
    assert "<details><summary>Reliability by total log-likelihood</summary>" in folds
    last = model["bins"][-1]
    assert (
        f"base{100 * last['low']:.0f}% to {100 * last['high']:.0f}%{last['accuracy']['n']}" in text
    )


def test_without_questions_with_one_right_option_neither_is_shown(tmp_path: Path) -> None:
    run_directory = write_run(tmp_path)
    scores = artifact(tmp_path, run_directory, "evaluate") / "scores.json"
    edit(scores, likelihood=read_json(scores)["likelihood"] | {"bias": None, "calibration": []})
    text = render(tmp_path, run_directory).text

    assert "Length and place of options" not in text and "Calibration" not in text


def test_another_protocol_is_described_in_other_words(tmp_path: Path) -> None:
    protocol = AnswerProtocol(
        samples=8, temperature=0.1, parser="paper-code", vote="majority", unparsed="excluded"
    )
    text = measured(tmp_path, answers=fixture_tables.written_answers(protocol)).text

    assert "8 texts per question" in text and "sampled at temperature 0.1" in text
    assert "the most frequent parsed answer counts" in text
    assert "is left out, so a model whose answers are rarely parsed has few questions" in text
    assert "Options are in file order" in text


def test_a_model_without_parsed_answers_has_no_accuracy(tmp_path: Path) -> None:
    table = fixture_tables.unreadable_answers(AnswerProtocol(unparsed="excluded"))
    assert table["models"][0]["accuracy"] is None

    text = only(tmp_path, answers=table).text

    assert "basenone parsednone parsednone parsednone parsed" in text
    assert "0.0%0 of 60" in text
    assert "entigraph \N{MINUS SIGN} raw" in text
    assert (
        "Planned but not made: entigraph \N{MINUS SIGN} base, raw \N{MINUS SIGN} base (a model"
        in text
    )
    assert text.count("raw \N{MINUS SIGN} base") == 1, "not in a table"


def test_answers_alone_make_the_first_sentence(tmp_path: Path) -> None:
    text = only(tmp_path, answers=fixture_tables.written_answers()).text

    assert "On 60 questions about 6 documents, closed book and scored by generated answers" in text
    assert "questions60" in text.replace(" ", "")
    assert "q61" in text, "a question that was not asked"
    assert "With 6 documents the intervals are wide" in text


def test_without_questions_the_first_sentence_names_what_was_measured(tmp_path: Path) -> None:
    all_tables = tables()
    text = only(tmp_path, summaries=all_tables["summaries"], tasks=all_tables["tasks"]).text

    assert "This run has no closed-book questions." in text
    assert "It measured summaries from memory and benchmark tasks" in text


def test_short_answers_have_both_metrics_and_unknown_likelihoods(tmp_path: Path) -> None:
    table = fixture_tables.short_answers()
    text = measured(tmp_path, short_answers=table).text

    exact, overlap = (
        table["metrics"][name]["models"][2]["accuracy"] for name in ("exact match", "F1")
    )
    assert overlap > exact
    assert f"{100 * exact:.1f}%" in text and f"{100 * overlap:.1f}%" in text
    assert f"\N{MINUS SIGN}{-table['likelihood']['base']['nats_per_token']:.2f}" in text
    assert "unknownunknown3" in text, "entigraph was served without likelihoods"
    exact, overlap = (
        text.split("Likelihood of the accepted")[0].split(f"{name}model")[1]
        for name in ("Exact match", "F1")
    )
    assert "not significant" in exact and "Holm-corrected" in exact and "n = 20" in overlap


def test_open_book_shows_retrieval_gains_and_the_grid(tmp_path: Path) -> None:
    table = fixture_tables.open_book()
    plain = measured(tmp_path).tags["strong"]
    page = measured(tmp_path, open_book=table)
    text = page.text

    recall = table["retrieval"][0]["document"]["recall"]["8"]["value"]
    assert "recall@16" in text and "MRR" in text and f"{100 * recall:.1f}%" in text
    assert "9 answers are in no chunk of 256 characters" in text
    assert "open book over closed book" in text and "whole document over open book" in text
    gain = table["over_closed_book"]["raw"]["difference"]
    assert f"+{100 * gain:.1f}" in text
    assert "closed book, n = 60" in text and "whole document, n = 48" in text
    assert "too long" in text and TOO_LONG in text
    assert page.tags["strong"] == plain + 3, "the chosen setting of each model"
    assert "All 24 cells" in text
    scored = next(cell for cell in table["cells"] if cell["split"] == "test")
    hit, miss = (scored["answer_found"][side] for side in ("hit", "miss"))
    assert hit["accuracy"] != miss["accuracy"]
    assert re.search(
        rf"{100 * hit['accuracy']:.1f}%\[[\d., ]+\], n = {hit['n']}"
        rf"{100 * miss['accuracy']:.1f}%\[[\d., ]+\], n = {miss['n']}",
        text,
    ), "the answer shown, then not shown"
    assert "only chosen on questions about other documents" in text


def test_training_is_shown_beside_retrieval(tmp_path: Path) -> None:
    table = fixture_tables.open_book()
    shares = {each["model"]: each for each in table["shares"]}
    text = measured(tmp_path, open_book=table).text
    share = shares["entigraph"]["share"]["mean"]
    assert f"Closed book, entigraph has {100 * share:.0f}% [" in text
    assert f"{100 * share:.1f}%[" in text and "The paper reports a share of 80%" in text
    shares["entigraph"]["share"] = None
    text = measured(tmp_path, open_book=table).text
    assert "Entigraph: its share of the gain of retrieval is not determined" in text
    table["shares"] = []
    assert "Training beside retrieval" not in measured(tmp_path, open_book=table).text


def test_a_small_grid_is_shown_whole_and_one_without_a_split_has_no_best(tmp_path: Path) -> None:
    text = measured(tmp_path, open_book=fixture_tables.open_book_without_a_best()).text

    assert "No setting is reported as the best" in text
    assert "All 2 cells" not in text and "in bold" not in text
    grid = text.split("Retrieval settings")[1].split("Caveats")[0]
    assert "raw256 characters460" in grid and "reported" not in grid
    assert "over closed book" not in text


def test_only_settings_that_differ_have_a_column(tmp_path: Path) -> None:
    table = fixture_tables.open_book_without_a_best()
    for cell, temperature, order in zip(
        table["cells"], (0.1, 0.7), ("best_first", "best_last"), strict=True
    ):
        cell |= {"temperature": temperature, "order": order}
    text = measured(tmp_path, open_book=table).text

    assert "raw256 charactersbest first40.160" in text
    assert "raw1,024 charactersbest last40.760" in text
    assert "questions" not in text.split("Retrieval settings")[1].split("Caveats")[0]


def test_the_judge_comes_before_what_depends_on_it(tmp_path: Path) -> None:
    text = measured(tmp_path, summaries=fixture_tables.summaries()).text

    judge, beside = (
        text.index("Reliability of the judge"),
        text.index("Relative to human summaries"),
    )
    assert judge < beside
    assert "for truth by a judge is better than chance" in text
    assert "no list of claims could be read (1)" in text and "no verdict (2)" in text
    assert "false (2)" in text, "documents whose human summaries have no false claims"
    assert "1 by definition" in text
    assert "[3.11, open]" in text, "a bound that nothing tells"
    assert "Values are the mean of ratios" in text
    assert "entigraph short \N{MINUS SIGN} base short" in text


def test_a_judge_that_guesses_is_not_relied_on(tmp_path: Path) -> None:
    study = fixture_tables.summaries() | {"judge": [fixture_tables.guessing_judge()]}
    text = measured(tmp_path, summaries=study).text

    assert "for truth by a coin is no better than chance: do not rely on it." in text
    assert "better than chance." not in text


def test_a_study_without_any_ratio_has_no_chart(tmp_path: Path) -> None:
    study = fixture_tables.summaries()
    for each in study["sets"]:
        for beside in each["relative"].values():
            beside |= {"mean_of_ratios": None, "ratio_of_sums": None}
    text = measured(tmp_path, summaries=study).text

    assert "False claims against salient claims" not in text
    assert "no ratio" in text


def test_a_set_without_a_mean_of_ratios_is_drawn_by_the_other_reading(tmp_path: Path) -> None:
    study = fixture_tables.summaries()
    study["sets"][1]["relative"]["false"]["mean_of_ratios"] = None
    assert "Values are the ratio of sums" in measured(tmp_path, summaries=study).text


def test_learning_is_shown_beside_forgetting(tmp_path: Path) -> None:
    texts, tasks = fixture_tables.general_text(), fixture_tables.tasks()
    text = measured(tmp_path, general_text=texts, tasks=tasks).text

    lost = texts["differences"][0]["bits_per_byte"]["mean"]
    assert "choices by likelihoodlearned, points+18.4" in text
    assert f"general textforgotten, bits per byte+{lost:.4f}" in text
    assert "a_taskforgotten, acc\N{MINUS SIGN}0.275" in text
    assert "something was forgotten" in text
    assert "entigraph against base" in text and "no significant change" in text
    assert "0.7750.500" in text, "before and after"
    assert "a_group" in text, "a group has no rows, but a score"


def test_one_model_alone_is_not_compared(tmp_path: Path) -> None:
    texts = fixture_tables.general_text()
    alone = {"models": texts["models"][:1], "differences": []}
    text = measured(tmp_path, general_text=alone).text

    assert "One model was measured, so there is no other model to compare it with." in text
    assert "compared with base" not in text and "differencebits per byte" not in text


def test_tokens_of_another_tokenizer_are_not_compared(tmp_path: Path) -> None:
    texts = fixture_tables.general_text()
    texts["differences"][0]["nats_per_token"] = None

    assert "other tokenizer" in measured(tmp_path, general_text=texts).text


def test_models_with_generated_answers_only_have_their_own_colors(tmp_path: Path) -> None:
    answers = fixture_tables.written_answers()
    answers["models"][1]["name"] = "served"
    render_report(tmp_path, write_run(tmp_path, answers=finite(answers)))
    markup = (tmp_path / "runs" / "demo" / "report.html").read_text(encoding="utf-8")

    colors = {
        name: set(re.findall(rf'<i class="swatch (s\d)"></i>{name}<', markup))
        for name in ("base", "raw", "entigraph", "served")
    }
    assert all(len(found) == 1 for found in colors.values())
    assert len(set.union(*colors.values())) == 4


def test_hostile_names_and_reasons_stay_text(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script><img src=x>\"'$title"
    found = tables()
    found["answers"]["models"][0]["invalid"] = {f"{hostile}1": 3}
    found["answers"]["letters"] |= {f"{hostile}2": found["answers"]["letters"]["A"]}
    left_out = next(cell for cell in found["open_book"]["cells"] if cell["left_out"])
    left_out["left_out"] = f"{hostile}3"
    found["summaries"]["judge"][0] |= {"judge": f"{hostile}4", "unread": {f"{hostile}5": 1}}
    found["summaries"]["sets"][1]["texts"]["writer"] = f"{hostile}6"
    found["tasks"]["models"][0]["scores"][0]["task"] = f"{hostile}7"
    found["tasks"]["differences"][0]["metric"] = f"{hostile}8"
    found["general_text"]["differences"][0]["a"] = f"{hostile}9"
    clean = measured(tmp_path, **tables())

    page = measured(tmp_path, **found)

    assert page.tags["script"] == clean.tags["script"] == 2  # its own, and data
    assert page.tags["img"] == 0 and page.open == []
    for number in range(1, 10):
        assert f"{hostile}{number}" in page.text, number


def test_the_same_tables_give_the_same_bytes_and_whole_markup(tmp_path: Path) -> None:
    roots = [tmp_path / name for name in ("first", "second")]
    pages = [render_report(root, write_run(root, **tables())).read_bytes() for root in roots]

    assert pages[0] == pages[1]
    page = Page(pages[0].decode())
    assert page.open == [] and max(page.ids.values()) == 1
    assert all(link[1:] in page.ids for link in page.links if link.startswith("#"))
