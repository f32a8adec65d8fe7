"""From documents to a report, as a user does it: init, run, run again, change something."""

from __future__ import annotations

import json
import shutil
from html import unescape
from pathlib import Path

import pytest
from frozen import check_results
from small_project import SMALL, manifest, results, run_record, settle
from steep_command import Ended, Steep, real_steep

from steep.testing.script import Behaviour, Script
from steep.testing.scripted_server import ScriptedServer
from steep.testing.tiny_corpus import write_tiny_corpus

pytest_plugins = ["command_fixtures"]

OPENINGS, PAIRS = 3, 15
NEW_DOCUMENT = """# The Bram Mine

The Bram Mine lies above Marrowgate. Sela Voss opened it in 1870 to dig for tin. The firm of Hask
and Daughters made its ropes. In 1911 the mine was flooded, and Ines Hask drained it with a pump.
"""


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, server: ScriptedServer, tiny_directory: Path
) -> Path:
    """A project that `init` and `run` have finished, each in a fresh process."""
    project = tmp_path_factory.mktemp("whole") / "project"
    project.mkdir()
    write_tiny_corpus(project)
    started = real_steep(
        "init", "--documents", "documents", "--questions", "questions.jsonl", cwd=project
    )
    assert started.code == 0, started.err
    assert "3 documents" in started.out and "6 questions" in started.out
    assert started.out.endswith("next: steep documents, then steep plan\n")
    settle(project / "steep.yaml", **SMALL)
    settle(
        project / "steep.yaml",
        generate={"base_url": server.base_url},
        train={"model": str(tiny_directory)},
    )
    ended = real_steep("run", cwd=project)
    assert ended.code == 0, ended.err
    (project / "first.out").write_text(ended.out)
    (project / "first.err").write_text(ended.err)
    return project


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """The finished project, to change something in it."""
    return Path(shutil.copytree(finished, tmp_path / "copy", symlinks=True))


def made(ended: Ended) -> set[str]:
    """The stages that did something."""
    lines = [line for line in ended.err.splitlines() if ": done in" in line]
    return {line.split(":")[0].split()[0] for line in lines}


def test_a_run_ends_with_scores_and_a_report(finished: Path) -> None:
    record = run_record(finished)
    page = (finished / "runs/default/report.html").read_text()
    scores = json.loads((finished / record["artifacts"]["evaluate"] / "scores.json").read_text())
    assert [model["name"] for model in scores["likelihood"]["models"]] == [
        "base",
        "raw",
        "entigraph",
    ]
    assert scores["likelihood"]["models"][0]["n"] == 6
    assert "entigraph" in page and "The Quillon Ferry" in page
    said = (finished / "first.out").read_text()
    assert f"calls: {OPENINGS + PAIRS} planned = {OPENINGS + PAIRS} done" in said
    assert "runs/default/report.html" in said
    assert set(record["wall_s"]) >= {"generate", "train raw", "train entigraph", "evaluate"}


def test_results_are_what_they_were(finished: Path) -> None:
    check_results(finished, "results.json")


def test_a_run_says_what_it_does_and_where_documents_go(finished: Path) -> None:
    said = (finished / "first.err").read_text()
    assert "is sent 3 of 3 documents, only those with calls left" in said
    assert made(Ended(0, "", said)) == {
        "documents", "generate", "corpus", "diversity", "tokenize", "train", "score",
        "contamination", "evaluate",
    }  # fmt: skip
    assert "Traceback" not in said and "Warning" not in said and "\r" not in said


def test_the_log_is_json_lines_and_holds_what_was_said(finished: Path) -> None:
    log = (finished / "runs/default/log.jsonl").read_text()
    rows = [json.loads(line) for line in log.splitlines()]
    said = (finished / "first.err").read_text()
    assert len(rows) > 10
    assert all(row.keys() == {"time", "level", "message"} for row in rows)
    assert all(row["message"] in said for row in rows)


def test_arms_train_on_equal_tokens_from_the_same_start(finished: Path) -> None:
    trained = run_record(finished)["artifacts"]["train"]
    raw, entigraph = (manifest(finished, trained[arm]) for arm in ("raw", "entigraph"))
    assert raw["tokens"] == entigraph["tokens"] == SMALL["train"]["tokens"]
    assert raw["steps"] == entigraph["steps"] == 6
    assert raw["tokens"] == raw["corpus_tokens"] + raw["replayed_tokens"]
    assert raw["epochs"] > entigraph["epochs"]


def test_the_corpus_is_shown_with_its_diversity(copy: Path, steep: Steep) -> None:
    found = json.loads(steep("corpus", "--json", cwd=copy).out)
    raw, generated = found["diversity"]
    assert (raw["recipe"], generated["recipe"]) == ("documents", "entigraph")
    assert raw["overlap"] == [1, 1, 1, 1] and raw["entity_coverage"] == 1
    assert sum(each["texts"] for each in found["diversity"]) == found["counts"]["passages"]
    assert 0 < generated["overlap"][0] < 1 and 0 < generated["pair_coverage"] <= 1
    lines = steep("corpus", cwd=copy).out.splitlines()
    assert "Diversity:" in lines
    assert all(len(line) <= 80 for line in lines if not line.startswith("corpus: "))


def test_status_adds_up(finished: Path, steep: Steep) -> None:
    ended = steep("status", "--json", cwd=finished)
    found = json.loads(ended.out)
    plan = found["plan"]
    assert plan["planned"] == plan["done"] == OPENINGS + PAIRS == found["ledger"]["calls"]
    usage = found["ledger"]["usage"]
    paid = (usage["prompt_tokens"] * 1.0 + usage["completion_tokens"] * 2.0) / 1e6
    assert found["ledger"]["cost_usd"] == pytest.approx(paid)
    assert len(found["artifacts"]) == 4 + 4 + 2 + 3 + 1
    rates = {each["stage"]: each["tokens_per_second"] for each in found["artifacts"]}
    assert rates["generate"] > 0 and rates["train"] > 0 and rates["corpus"] is None
    assert all(each["wall_s"] >= 0 for each in found["artifacts"])
    assert (
        f"{OPENINGS + PAIRS} planned = {OPENINGS + PAIRS} done" in steep("status", cwd=finished).out
    )


def test_the_output_ends_with_the_headline_and_the_report(finished: Path) -> None:
    said, _, report = (finished / "first.out").read_text().rstrip().rpartition("\n")
    assert report.startswith("report: ")
    page = (finished / "runs/default/report.html").read_text()
    opening = unescape(page.partition('<p class="lede">')[2].partition("</p>")[0])
    assert opening.startswith("On 6 questions about 3 documents")
    assert " ".join(said.split()).endswith(opening)


def test_a_second_run_does_nothing_and_says_so(
    copy: Path, steep: Steep, server: ScriptedServer
) -> None:
    requests, before = server.requests.total(), results(copy)
    ended = steep("run", cwd=copy)
    assert ended.code == 0, ended.err
    assert made(ended) == set()
    assert ended.err.count("done before") == 15
    assert server.requests.total() == requests
    assert results(copy) == before


def test_another_learning_rate_trains_anew_and_nothing_else(
    copy: Path, steep: Steep, server: ScriptedServer
) -> None:
    requests, before = server.requests.total(), results(copy)
    ended = steep("run", "--set", "train.learning_rate=2e-3", cwd=copy)
    assert ended.code == 0, ended.err
    assert made(ended) == {"train", "score", "evaluate"}
    assert "score base: done before" in ended.err
    assert "because of train.learning_rate 0.001 -> 0.002" in ended.err
    assert server.requests.total() == requests
    after = results(copy)
    assert after["passages"] == before["passages"] and after["losses"] != before["losses"]


def test_a_new_document_buys_its_own_calls_only(
    copy: Path, steep: Steep, server: ScriptedServer
) -> None:
    before = server.requests.copy()
    (copy / "documents" / "bram.md").write_text(NEW_DOCUMENT)
    ended = steep("corpus", cwd=copy)
    assert ended.code == 0, ended.err
    assert "documents: made again beside" in ended.err and "other documents.content" in ended.err
    assert "all texts: " in ended.out and " candidates = " in ended.out
    new = server.requests - before
    assert len(new) == new.total() == 1 + PAIRS // OPENINGS
    assert not new.keys() & before.keys()
    assert json.loads(steep("status", "--json", cwd=copy).out)["plan"]["done"] == 18 + 6


def test_imported_texts_become_passages_once(copy: Path, steep: Steep) -> None:
    rows = [
        {
            "document_id": name,
            "recipe": "essays",
            "model": "somebody",
            "sample": sample,
            "text": f"Essay {sample}. Edda Varnholt built the ferry that crosses the lake in 1887.",
        }
        for name in ("quillon", "pell")
        for sample in range(3)
    ] + [{"document_id": "nowhere", "recipe": "essays", "model": "m", "sample": 0, "text": "Lost."}]
    path = copy / "essays.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{not json\n")
    first, second = (steep("import", "--generations", path, cwd=copy) for _ in range(2))
    assert (first.code, second.code) == (0, 0), first.err
    assert "8 rows = 6 imported + 0 already there + 1 about other documents + 1 mal" in first.out
    assert "8 rows = 0 imported + 6 already there + 1 about other documents + 1 mal" in second.out
    assert "unknown document 'nowhere'" in first.err
    settle(
        copy / "steep.yaml",
        train={"arms": {"raw": ["documents"], "essays": ["essays"]}},
        corpus={"near_duplicates": None},
    )
    assert steep("tokenize", cwd=copy).code == 0
    corpus = [path for path in copy.glob(".steep/corpus-*") if (path / "manifest.json").exists()]
    newest = max(corpus, key=lambda path: path.stat().st_mtime)
    assert manifest(copy, newest.name and f".steep/{newest.name}")["by_recipe"]["essays"] == {
        "passages": 6,
        "words": 6 * 13,
    }
    status = json.loads(steep("status", "--json", cwd=copy).out)
    assert status["ledger"]["imported"] == 6 and status["ledger"]["calls"] == 18


def test_json_is_all_that_a_script_reads(copy: Path, steep: Steep) -> None:
    for verb in ("run", "report"):
        found = json.loads(steep(verb, "--json", cwd=copy).out)
        assert Path(found["report"]).is_file()
        assert len(found["scores"]["likelihood"]["pairs"]) == 3


def test_a_report_makes_nothing_and_names_what_is_missing(
    copy: Path, steep: Steep, server: ScriptedServer
) -> None:
    before, artifacts = len(server.requests), sorted((copy / ".steep").iterdir())
    for change, missing in (
        ("generate.recipes.entigraph.pairs=9", "'generate' has not been made"),
        ("train.seed=7", "'train raw' has not been made"),
    ):
        ended = steep("report", "--set", change, cwd=copy)
        assert ended.code == 2
        assert missing in ended.err and "steep run makes it" in ended.err
    assert len(server.requests) == before
    assert sorted((copy / ".steep").iterdir()) == artifacts


def test_a_report_can_be_written_outside_of_the_project(copy: Path, steep: Steep) -> None:
    page = copy.parent / "page.html"
    files = sorted(copy.rglob("*"))
    assert steep("report", "--output", page, cwd=copy).code == 0
    assert page.read_bytes() == (copy / "runs/default/report.html").read_bytes()
    assert sorted(copy.rglob("*")) == files


def test_clean_deletes_what_nothing_uses_and_only_when_told(copy: Path, steep: Steep) -> None:
    store = copy / ".steep"
    needed = sorted(store.rglob("*"))
    assert "0 directories, 0 B can be deleted" in steep("clean", cwd=copy).out
    [trained, *_] = sorted(store.glob("train-*"))
    shutil.copytree(trained, store / "train-00000000")
    (store / "train-11111111" / "checkpoint-3").mkdir(parents=True)
    (store / "train-11111111" / "checkpoint-3" / "part").write_bytes(bytes(5000))
    (trained / "checkpoint-6").mkdir()
    (store / "score-22222222").mkdir()
    about = {"identity": {"inputs": {"trained": "train-00000000"}}}
    (store / "score-22222222" / "manifest.json").write_text(json.dumps(about))
    listed = steep("clean", cwd=copy)
    assert listed.code == 0, listed.err
    assert [line.split("  ")[-1] for line in listed.out.splitlines()[:4]].count(
        "(used by no run and not by this configuration)"
    ) == 1
    for part in ("5.0 kB", "left unfinished", "checkpoint-6", "score-22222222", "4 directories"):
        assert part in listed.out
    assert "next: steep clean --yes" in listed.out
    assert (store / "train-00000000").is_dir()
    assert "deleted 4 directories" in steep("clean", "--yes", cwd=copy).out
    assert sorted(store.rglob("*")) == needed
    assert made(steep("run", cwd=copy)) == set()


def test_clean_keeps_what_an_unfinished_configuration_may_use(copy: Path, steep: Steep) -> None:
    for record in copy.glob("runs/*/*.json"):
        record.unlink()
    for link in copy.glob("runs/*/model-*"):
        link.unlink()
    said = steep("clean", "--set", "generate.recipes.entigraph.pairs=9", cwd=copy).out
    assert "all of generate, corpus, tokenize, train, instruct, subset is kept" in said
    assert "train-" not in said and "corpus-" not in said


def test_without_questions_there_is_a_report_and_no_score(copy: Path, steep: Steep) -> None:
    ended = steep("run", "--json", "--set", "evaluate.questions=null", cwd=copy)
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["scores"] is None
    assert "nothing to ask" in ended.err
    assert "evaluate" not in run_record(copy)["artifacts"]
    assert (copy / "runs/default/report.html").stat().st_size > 10_000


def test_questions_on_wholes_are_asked_of_split_documents(copy: Path, steep: Steep) -> None:
    ended = steep("run", "--json", "--set", "documents.split_words=50", cwd=copy)
    assert ended.code == 0, ended.err
    found = manifest(copy, run_record(copy)["artifacts"]["documents"])
    assert found["counts"]["documents"] == 3 and found["counts"]["parts"] == 6
    base = json.loads(ended.out)["scores"]["likelihood"]["models"][0]
    assert (base["n"], base["documents"]) == (6, 3)


def test_nothing_generated_and_no_arm_is_a_score_of_the_base_model(
    copy: Path, steep: Steep
) -> None:
    settle(copy / "steep.yaml", generate={"recipes": {}}, train={"arms": {}})
    ended = steep("run", "--json", cwd=copy)
    assert ended.code == 0, ended.err
    assert "generate.recipes is empty" in ended.err
    scores = json.loads(ended.out)["scores"]
    found = scores["likelihood"]
    assert [model["name"] for model in found["models"]] == ["base"] and found["pairs"] == []


def test_documents_beside_the_configuration_are_not_read_anew_after_a_run(
    copy: Path, steep: Steep
) -> None:
    settle(copy / "steep.yaml", documents={"path": "."})
    first = steep("generate", cwd=copy)
    assert first.code == 0, first.err
    assert "skipped steep.yaml: unknown kind" in first.err
    settle(copy / "steep.yaml", train={"weight_decay": 0.02})
    again = steep("generate", cwd=copy)
    assert "documents: done before" in again.err and made(again) == set()


def test_failed_calls_are_told_and_tried_again(project: Path, steep: Steep) -> None:
    with ScriptedServer(Script(3, Behaviour(server_error=0.3))) as troubled:
        settle(
            project / "steep.yaml",
            generate={"base_url": troubled.base_url, "max_attempts": 1, "salvage_rounds": 0},
        )
        first = steep("corpus", cwd=project)
        assert first.code == 0, first.err
        plan = json.loads(steep("status", "--json", cwd=project).out)["plan"]
        assert plan["failed"] > 0 and plan["planned"] == plan["done"] + plan["failed"]
        assert f"{plan['failed']} of {plan['planned']} calls failed" in first.err
        assert "HTTP 500: The scripted server stumbled." in first.err
        for _ in range(10):
            if "calls failed" not in steep("generate", cwd=project).err:
                break
        plan = json.loads(steep("status", "--json", cwd=project).out)["plan"]
        assert plan["planned"] == plan["done"] == OPENINGS + PAIRS
        assert troubled.completed.total() == OPENINGS + PAIRS
    last = steep("corpus", cwd=project)
    assert "corpus: made again" in last.err and "other generated" in last.err


def test_a_model_that_is_gone_is_named(copy: Path, steep: Steep) -> None:
    trained = copy / run_record(copy)["artifacts"]["train"]["raw"]
    shutil.rmtree(trained / "model")
    assert steep("run", cwd=copy).code == 0, "its scores are there, so nobody needs it"
    ended = steep("evaluate", "--set", "evaluate.questions=some.jsonl", cwd=copy)
    assert ended.code == 2 and "some.jsonl" in ended.err
    lines = (copy / "questions.jsonl").read_text().splitlines(keepends=True)
    (copy / "some.jsonl").write_text("".join(lines[:2]))
    ended = steep("evaluate", "--set", "evaluate.questions=some.jsonl", cwd=copy)
    assert ended.code == 2, ended.err
    assert f"steep: The model of the arm 'raw' is missing.\n  where:    {trained}" in (ended.err)
    assert f"move {trained} away" in ended.err


def test_a_project_that_was_copied_without_its_links_still_runs(
    finished: Path, tmp_path: Path, steep: Steep
) -> None:
    assert (finished / "runs/default/model-raw").is_symlink()
    shutil.copytree(finished, tmp_path / "copy")
    ended = steep("run", cwd=tmp_path / "copy")
    assert ended.code == 0 and "no link to" in ended.err, ended.err
    assert made(ended) == set()


def test_a_ledger_that_was_moved_away_is_filled_again(
    copy: Path, steep: Steep, server: ScriptedServer
) -> None:
    before = server.requests.total()
    (copy / ".steep/ledger.db").rename(copy / "old.db")
    ended = steep("corpus", cwd=copy)
    assert ended.code == 0, ended.err
    assert server.requests.total() - before == OPENINGS + PAIRS
    assert json.loads(steep("status", "--json", cwd=copy).out)["plan"]["to_do"] == 0
