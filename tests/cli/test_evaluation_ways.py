"""What `steep evaluate` asks: answers, short answers, an open book, servers; and rescoring."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
from answering_server import answering
from small_project import settle, write_project
from steep_command import Steep

from steep.testing.tiny_model import make_tiny_model

pytest_plugins = ["command_fixtures"]

CONTEXT_TOKENS = 16_384  # a token is little more than a byte here: five examples are 4,000
SHORT_ANSWERS = [
    ("s1", "quillon", "Who built the ferry?", ["Edda Varnholt", "Varnholt"]),
    ("s2", "quillon", "When did the rope break?", ["1902"]),
    ("s3", "pell", "What did he keep before?", ["bees"]),
    ("s4", "pell", "What did the town give him?", ["a silver oar"]),
]
EVERYTHING: dict[str, dict[str, Any]] = {
    "evaluate": {
        "methods": ["likelihood", "answers", "short-answers"], "max_tokens": 8,
        "samples": 2, "temperature": 0.5,
    },
    "open_book": {
        "chunk_characters": [120, 240], "shown": [1, 2], "search": "bm25", "found": 5,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def wide_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("wide") / "model", context_tokens=CONTEXT_TOKENS)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory, steep: Steep, wide_model: Path) -> Path:
    """A project in which base and one arm were asked everything."""
    config = write_project(tmp_path_factory.mktemp("evaluated") / "project", "", wide_model)
    write_short_answers(config.parent / "questions.jsonl")
    settle(config, generate={"recipes": {}}, train={"arms": {"raw": ["documents"]}})
    settle(config, **EVERYTHING)
    ended = steep("evaluate", "--json", cwd=config.parent)
    assert ended.code == 0, ended.err
    (config.parent / "scores.json").write_text(ended.out)
    return config.parent


@pytest.fixture
def copy(evaluated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(evaluated, tmp_path / "copy", symlinks=True))


def write_short_answers(path: Path) -> None:
    with path.open("a") as file:
        for name, document, question, answers in SHORT_ANSWERS:
            row = {"id": name, "document_id": document, "question": question, "answers": answers}
            file.write(json.dumps(row) + "\n")


def scores_of(project: Path) -> Any:
    return json.loads((project / "scores.json").read_text())


def test_every_way_of_asking_has_its_table(evaluated: Path) -> None:
    scores = scores_of(evaluated)
    assert list(scores) == [
        "likelihood", "answers", "short_answers", "open_book", "contamination", "skipped",
        "environments",
    ]  # fmt: skip
    for table in (
        scores["likelihood"],
        scores["answers"],
        scores["short_answers"]["metrics"]["F1"],
    ):
        assert [model["name"] for model in table["models"]] == ["base", "raw"]
        assert [(pair["a"], pair["b"]) for pair in table["pairs"]] == [("raw", "base")]
    base = scores["answers"]["models"][0]
    assert (base["questions"], base["samples"]) == (10, 20)
    assert base["attempted"] + sum(base["invalid"].values()) >= 10, "nothing drops in silence"
    assert scores["answers"]["protocol"]["temperature"] == 0.5
    assert scores["short_answers"]["metrics"]["exact match"]["models"][0]["n"] == len(SHORT_ANSWERS)
    assert scores["short_answers"]["likelihood"]["raw"]["nats_per_token"] < 0


def test_the_open_book_is_a_grid_with_what_was_found_and_the_whole_document(
    evaluated: Path,
) -> None:
    found = scores_of(evaluated)["open_book"]
    assert [row["chunk_characters"] for row in found["retrieval"]] == [120, 240]
    recalls = found["retrieval"][0]["document"]["recall"]
    assert 0 < recalls["1"]["value"] <= recalls["5"]["value"] <= 1
    assert found["retrieval"][0]["answer"]["n"] == len(SHORT_ANSWERS)
    cells = [(c["model"], c["chunk_characters"], c["shown"]) for c in found["cells"]]
    one = [(120, 1), (120, 2), (240, 1), (240, 2), (None, 1)]
    assert cells == [(model, *variant) for model in ("base", "raw") for variant in one]
    for cell in found["cells"][:4]:
        sides = cell["document_found"]
        assert sides["hit"]["n"] + sides["miss"]["n"] == cell["n"] == 10
    assert found["compared"] is None, "the best of a grid is too good"


def test_a_single_way_is_compared_and_told_apart_from_closed_book(copy: Path, steep: Steep) -> None:
    settle(copy / "steep.yaml", open_book={"chunk_characters": [240], "shown": [1]})
    ended = steep("evaluate", "--json", cwd=copy)
    assert ended.code == 0, ended.err
    assert "open book" not in ended.err.replace("open-book", ""), "its cells were asked before"
    found = json.loads(ended.out)["open_book"]
    assert [model["name"] for model in found["compared"]["models"]] == ["base", "raw"]
    assert found["over_closed_book"]["raw"]["n"] == 10
    assert found["under_whole_document"]["base"]["n"] == 10


def test_tables_are_read_by_people_too(copy: Path, steep: Steep) -> None:
    ended = steep("evaluate", cwd=copy)
    assert ended.code == 0, ended.err
    for part in ("CLOSED BOOK: LIKELIHOOD", "'strict'", "F1", "Recall@k", "whole document"):
        assert part in ended.out, part
    assert "Minimum detectable difference: about " in ended.out
    assert "raw \N{MINUS SIGN} base" in ended.out and "Holm-" in ended.out


def test_rows_alone_are_counted_anew(copy: Path, steep: Steep) -> None:
    for directory in (copy / ".steep").glob("train-*/model"):
        shutil.rmtree(directory)
    before = scores_of(copy)
    ended = steep("evaluate", "--rescore", "--json", cwd=copy)
    assert ended.code == 0, ended.err
    assert json.loads(ended.out) == before
    settle(copy / "steep.yaml", evaluate={"unparsed": "excluded", "normalizer": "sum"})
    anew = json.loads(steep("evaluate", "--rescore", "--json", cwd=copy).out)
    assert anew["likelihood"]["normalizer"] == "sum"
    base = anew["answers"]["models"][0]
    assert base["n"] == base["attempted"] == before["answers"]["models"][0]["attempted"]


def test_the_latest_evaluation_is_counted_and_what_it_was_not_asked_is_said(
    copy: Path, steep: Steep
) -> None:
    changed = ("--set", "evaluate.samples=1", "--set", "evaluate.methods=[answers]")
    once = (*changed, "--set", "open_book.chunk_characters=[]", "--json")
    asked = json.loads(steep("evaluate", *once, cwd=copy).out)
    ended = steep("evaluate", "--rescore", "--json", cwd=copy)
    assert json.loads(ended.out)["answers"]["models"] == asked["answers"]["models"]
    assert "answers were asked with evaluate.samples 1, not 2" in ended.err
    assert steep("evaluate", cwd=copy).code == 0  # all of it was done before, and is the latest now
    again = steep("evaluate", "--rescore", "--json", cwd=copy)
    assert json.loads(again.out) == scores_of(copy) and "were asked with" not in again.err


def test_the_parser_of_the_paper_reads_rows_that_ours_does_not(copy: Path, steep: Steep) -> None:
    for path in (copy / ".steep").glob("answer-*/rows.parquet"):
        rows = parquet.read_table(path).to_pylist()
        edited = [{**row, "output": "It was so, as B."} for row in rows]
        table = parquet.read_table(path)
        parquet.write_table(table.from_pylist(edited, schema=table.schema), path)
    ours = json.loads(steep("evaluate", "--rescore", "--json", cwd=copy).out)["answers"]
    settle(copy / "steep.yaml", evaluate={"protocol": "paper"})
    theirs = json.loads(steep("evaluate", "--rescore", "--json", cwd=copy).out)["answers"]
    assert ours["models"][0]["attempted"] == 0 and theirs["models"][0]["attempted"] == 10
    assert theirs["models"][0]["chosen_letters"] == {"B": 10}


def test_one_question_is_shown_with_what_every_model_made_of_it(copy: Path, steep: Steep) -> None:
    row = json.loads((copy / "questions.jsonl").read_text().splitlines()[0])
    ended = steep("status", "--question", row["id"], "--json", cwd=copy)
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert (found["question"], found["options"]) == (row["question"], row["options"])
    methods = [(each["model"], each["method"]) for each in found["results"]]
    assert methods[:2] == [("base", "score"), ("base", "answer")]
    assert {method for _, method in methods} == {"score", "answer", "open-book"}
    assert len(found["results"][1]["texts"]) == 2
    shown = steep("status", "--question", "s1", cwd=copy).out
    assert "accepted: Edda Varnholt" in shown and "base, short: exact match" in shown
    missing = steep("status", "--question", "s99", cwd=copy)
    assert missing.code == 2 and "no row of the question 's99'" in missing.err


@pytest.mark.parametrize("command", [("evaluate", "--rescore"), ("status", "--question", "q1")])
def test_a_run_without_an_evaluation_is_said(
    project: Path, steep: Steep, command: tuple[str, ...]
) -> None:
    ended = steep(*command, cwd=project)
    assert ended.code == 2 and "This run has not been evaluated yet" in ended.err
    assert "Traceback" not in ended.err


def test_the_best_way_is_chosen_on_validation_and_scored_on_test(copy: Path, steep: Steep) -> None:
    for number in range(2):  # of five documents the first by title is for validation
        text = f"The mill {number} of Ostrel has {number + 3} wheels and no miller. " * 3
        (copy / f"documents/mill{number}.txt").write_text(f"Mill {number}\n\n{text}\n")
    settle(copy / "steep.yaml", open_book={"choose_on_validation": True, "oracle": False})
    ended = steep("evaluate", "--json", cwd=copy)
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)["open_book"]
    splits = [cell["split"] for cell in found["cells"]]
    assert splits == 2 * [*4 * ["validation"], "test"]
    sizes = {cell["split"]: cell["n"] for cell in found["cells"]}
    assert sizes["validation"] + sizes["test"] == 10 and sizes["validation"] > 0
    for name, variant in found["best"].items():
        own = [cell for cell in found["cells"] if cell["model"] == name]
        best = max(own[:4], key=lambda cell: cell["accuracy"])
        assert [variant[key] for key in ("chunk_characters", "shown")] == [
            best[key] for key in ("chunk_characters", "shown")
        ]
    assert found["compared"]["models"][0]["n"] == sizes["test"]


@pytest.mark.skipif(importlib.util.find_spec("wordllama") is None, reason="no wordllama")
def test_vectors_are_fused_with_words_and_each_model_reranks_for_itself(
    copy: Path, steep: Steep
) -> None:
    book = {"chunk_characters": [120], "search": "fused", "reranker": "likelihood", "reranked": 3}
    settle(copy / "steep.yaml", open_book={**book, "shown": [1], "oracle": False})
    ended = steep("evaluate", "--json", cwd=copy)
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)["open_book"]
    assert len([*(copy / ".steep").glob("retrieve-*")]) == 2 + 2, "one for each model"
    assert [cell["model"] for cell in found["cells"]] == ["base", "raw"]
    searched = (copy / ".steep/retrieval.db").stat().st_mtime_ns
    settle(copy / "steep.yaml", open_book={"shown": [2], "orders": ["best_first"]})
    assert steep("evaluate", cwd=copy).code == 0
    assert (copy / ".steep/retrieval.db").stat().st_mtime_ns == searched, "a sweep is free"


def test_what_outgrows_the_context_is_left_out_and_said(tmp_path: Path, steep: Steep) -> None:
    narrow = make_tiny_model(tmp_path / "model", context_tokens=256)
    config = write_project(tmp_path / "project", "", narrow)
    settle(
        config,
        generate={"recipes": {}},
        train={"arms": {}},
        open_book={"chunk_characters": [60], "shown": [1, 9], "search": "bm25", "oracle": False},
    )
    ended = steep("evaluate", "--json", cwd=config.parent)
    assert ended.code == 0, ended.err
    one, many = json.loads(ended.out)["open_book"]["cells"]
    assert one["n"] == 6 and one["left_out"] is None
    assert many["n"] == 0 and "longer than the model's context" in many["left_out"]
    assert "left out" in ended.err


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"open_book": {"models": ["rav"], "chunk_characters": [99]}}, "no model 'rav' to ask"),
        (
            {"open_book": {"embedder": "endpoint", "chunk_characters": [99]}},
            "The embedder 'endpoint' is not described.",
        ),
        (
            {"open_book": {"chunk_characters": [99], "choose_on_validation": True}},
            "Choosing the best variant needs questions about validation documents",
        ),
        (
            {"evaluate": {"methods": ["answers"], "samples": 4}},
            "Several samples at temperature 0 are all the same text.",
        ),
        ({"evaluate": {"split": "validation"}}, "No question is about a document of the valid"),
        ({"evaluate": {"methods": ["short-answers"]}}, "no question that can be asked"),
    ],
)
def test_what_cannot_be_asked_is_said_before_anything_is_spent(
    project: Path, steep: Steep, sections: dict[str, dict[str, Any]], said: str
) -> None:
    settle(project / "steep.yaml", **sections)
    ended = steep("evaluate", cwd=project)
    assert ended.code == 2 and said in ended.err, ended.err
    assert not list((project / ".steep").glob("generate-*"))


def test_a_way_of_asking_without_questions_is_left_out(
    tmp_path: Path, steep: Steep, wide_model: Path
) -> None:
    config = write_project(tmp_path / "project", "", wide_model)
    every = {"methods": ["likelihood", "short-answers"]}
    settle(config, generate={"recipes": {}}, train={"arms": {}}, evaluate=every)
    ended = steep("evaluate", "--json", cwd=config.parent)
    assert ended.code == 0 and "no question has a short answer" in ended.err
    assert list(json.loads(ended.out)) == [
        "likelihood", "contamination", "skipped", "environments",
    ]  # fmt: skip
    name, document, question, answers = SHORT_ANSWERS[0]
    row = {"id": name, "document_id": document, "question": question, "answers": answers}
    (config.parent / "questions.jsonl").write_text(json.dumps(row) + "\n")
    ended = steep("evaluate", "--json", cwd=config.parent)
    assert ended.code == 0, ended.err
    scores = json.loads(ended.out)
    assert list(scores) == ["short_answers", "contamination", "skipped", "environments"]
    reason = "nothing could be a wrong option; asked as a short answer only"
    assert scores["skipped"] == [{"question_id": "s1", "reason": reason}]
    settle(config, open_book={"chunk_characters": [99]})
    assert "An open book needs questions with options" in steep("evaluate", cwd=config.parent).err
    settle(config, evaluate={"questions": None})
    assert "An open book needs questions." in steep("evaluate", cwd=config.parent).err


def test_a_served_model_is_asked_beside_the_others(
    tmp_path: Path, steep: Steep, tiny_directory: Path
) -> None:
    with answering(lambda prompt: "It is the second.\nAnswer: B.") as base_url:
        config = write_project(tmp_path / "project", "", tiny_directory)
        settle(
            config,
            generate={"recipes": {}},
            train={"arms": {}},
            evaluate={
                "methods": ["likelihood", "answers"],
                "servers": {
                    name: {"base_url": base_url, "model": "scripted", "endpoint": "chat"}
                    for name in ("base", "large")
                },
            },
        )
        ended = steep("evaluate", "--json", cwd=config.parent)
    assert ended.code == 0, ended.err
    scores = json.loads(ended.out)
    assert "127.0.0.1 will see the questions (model 'large')" in ended.err
    assert "likelihood" not in scores and "no likelihoods" in ended.err
    assert [model["name"] for model in scores["answers"]["models"]] == ["base", "large"]
    assert scores["answers"]["models"][1]["attempted"] == 6
    assert set(scores["answers"]["models"][1]["chosen_letters"]) == {"B"}
    assert scores["answers"]["pairs"][0]["difference"] == 0
