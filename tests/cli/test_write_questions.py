"""`steep questions`: written by a scripted model over HTTP, checked, reviewed and asked."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from question_writer import BAD, reply
from small_project import settle, write_project
from steep_command import Steep, wait_until

from json_server import Body, said, serving
from steep.cli.options import load_project
from steep.cli.question_lines import of_writing_plan
from steep.core.errors import UserError
from steep.stages import questions as stage
from steep.stages.spending import refuse_unlimited_questions
from steep.testing.scripted_server import ScriptedServer
from steep.testing.tiny_corpus import DOCUMENTS

pytest_plugins = ["command_fixtures"]

PRICES = {"usd_per_million_input_tokens": 1.0, "usd_per_million_output_tokens": 2.0}
SHARES = {"choice": 2, "short_answer": 1, "joined": 1, "across": 1}


@contextmanager
def writer(seen: list[Body], answer: Callable[[str], str] = reply) -> Iterator[str]:
    """Serve a writer; give its address."""

    def respond(body: Body, number: int) -> tuple[int, Any]:
        return 200, said(answer(body["messages"][-1]["content"]))

    with serving(respond, seen) as base_url:
        yield base_url


def write_config(folder: Path, base_url: str, model: Path, **fields: Any) -> Path:
    config = write_project(folder, "", model)
    own = {"base_url": base_url, "model": "a-writer", "concurrency": 2, **PRICES}
    usual = {"writer": own, "per_1000_words": 80, "shares": SHARES, "rounds": 2}
    settle(
        config,
        generate={"recipes": {}},
        train={"arms": {}},
        evaluate={"questions": None},
        questions={**usual, **fields},
    )
    return folder


class Made(NamedTuple):
    """A project with written questions, and what the command said."""

    folder: Path
    plan: Any
    result: Any
    seen: list[Body]
    out: str


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, steep: Steep, tiny_directory: Path) -> Made:
    """Questions by the scripted writer, some of which fail each gate."""
    seen: list[Body] = []
    with writer(seen) as base_url:
        folder = tmp_path_factory.mktemp("written") / "p"
        write_config(folder, base_url, tiny_directory, rounds=8)
        planned = json.loads(steep("questions", "--plan", "--json", cwd=folder).out)
        assert not seen, "a plan asks nobody"
        ended = steep("questions", "--json", cwd=folder)
        assert ended.code == 0, ended.err
        before = len(seen)
        again = steep("questions", cwd=folder)
        assert len(seen) == before and again.code == 0
    return Made(folder, planned, json.loads(ended.out), seen, again.out)


def rows_of(made: Made, name: str) -> list[dict[str, Any]]:
    path = Path(made.result["path"]).with_name(name)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_each_gate_rejects_what_it_is_for(made: Made) -> None:
    gates = {each["gate"]: each for each in made.result["gates"]}
    rejected = {row.get("question"): row["gate"] for row in rows_of(made, "rejected.jsonl")}
    for gate, bad in BAD.items():
        assert gates[gate]["rejected"] == 1
        if gate == "duplicate":  # which of the two stays follows from their ids
            assert (bad["question"] in rejected) != ("Who built the Quillon Ferry?" in rejected)
        else:
            assert rejected[bad["question"]] == gate
    order = [name for name in gates if name != "rejected in review"]
    for name, following in pairwise(order[1:]):
        left = gates[name]["checked"] - gates[name]["rejected"]
        assert gates[following]["checked"] <= left, "survivors alone go on"
    result = made.result
    accepted, failed = len(rows_of(made, "questions.jsonl")), len(rows_of(made, "rejected.jsonl"))
    assert accepted == 7 == sum(each["accepted"] for each in result["kinds"])
    assert failed == sum(each["rejected"] for each in result["gates"])
    assert result["candidates"] == accepted + failed + result["spare"] + result["unfinished"]
    reasons = [row for row in rows_of(made, "rejected.jsonl") if row["gate"] == "unreadable"]
    assert reasons and all(row["text"] for row in reasons)


def test_a_question_names_its_supporting_spans(made: Made) -> None:
    (documents,) = made.folder.glob(".steep/documents-*/documents.jsonl")
    texts = {row["id"]: row["text"] for row in map(json.loads, documents.read_text().splitlines())}
    rows = rows_of(made, "questions.jsonl")
    for row in rows:
        spans = zip(row["span_document"], row["span_start"], row["span"], strict=True)
        for document_id, start, text in spans:
            assert texts[document_id][start : start + len(text)] == text
        assert (row["document_id"], row["mark"]) == (row["documents"][0], "written")
    by_kind = Counter(row["kind"] for row in rows)
    assert by_kind == {"choice": 4, "short-answer": 1, "joined": 1, "across": 1}
    (across,) = [row for row in rows if row["kind"] == "across"]
    assert len(set(across["span_document"])) == 2
    letters = Counter(row["gold"] for row in rows if "gold" in row)
    assert max(letters.values()) - min(letters[place] for place in range(4)) <= 1


def test_the_plan_bounds_calls_and_cost(made: Made) -> None:
    calls = {each["step"]: each["calls"] for each in made.plan["steps"]}
    writes = sum("Write questions for" in str(body["messages"]) for body in made.seen)
    assert calls["write"]["low"] <= writes <= calls["write"]["high"]
    assert len(made.seen) <= sum(each["high"] for each in calls.values())
    assert 0 < made.result["known_usd"] <= made.plan["cost_usd"]["high"]
    assert made.result["requests"] == len(made.seen), "each request is paid once"
    sent = [json.dumps(body, sort_keys=True) for body in made.seen]
    assert len(sent) == len(set(sent))


def test_the_terminal_shows_gates_and_the_next_command(made: Made, steep: Steep) -> None:
    shown = " ".join(made.out.split())
    assert "7 accepted" in shown and "answerable without the document" in shown
    assert "7 of 15 wanted questions (missing: choice" in shown
    assert "short-answer" in shown and "further ones are written" in shown
    assert "separation: not checked" in shown
    review, evaluate = (made.out.index(each) for each in ("--review review.md", "steep evaluate"))
    assert "next: steep questions --review" in made.out and review < evaluate
    assert "add short-answers to evaluate.methods" in shown
    assert "--set 'evaluate.methods=[likelihood,short-answers]'" in made.out
    assert "it runs the missing stages" in shown
    assert all(len(line) <= 80 for line in made.out.splitlines() if ".steep/" not in line)
    planned = steep("questions", "--plan", cwd=made.folder).out
    assert "a rerun costs nothing" in planned and "tokens in" not in planned


def test_status_lists_written_questions_and_clean_keeps_them(made: Made, steep: Steep) -> None:
    path = Path(made.result["path"])
    shown = steep("status", cwd=made.folder)
    assert f"questions (written): .steep/{path.parent.name}" in shown.out, shown.out
    other = ["--set", "documents.split_tokens=60"]  # other documents, so the questions are stale
    refused = steep("questions", "--review", "no.md", *other, cwd=made.folder)
    assert refused.code == 2 and "No questions have been written" in refused.err
    cleaned = steep("clean", "--yes", *other, cwd=made.folder)
    assert cleaned.code == 0, cleaned.err
    assert path.is_file() and (path.parent / "manifest.json").is_file()
    assert json.loads(steep("questions", "--json", cwd=made.folder).out) == made.result


def test_written_questions_are_evaluated_reported_and_checked_for_contamination(
    made: Made, steep: Steep
) -> None:
    quoted = next(row for row in rows_of(made, "questions.jsonl") if row["kind"] == "across")
    text = f"Many people ask this. {quoted['question']} Nobody is sure about it, they say."
    row = {"document_id": "hask", "recipe": "told", "model": "m", "sample": 0, "text": text}
    (made.folder / "texts.jsonl").write_text(json.dumps(row) + "\n")
    filters = {"language": False, "echo": False}
    settle(
        made.folder / "steep.yaml",
        corpus={"filters": filters, "min_words": 2, "near_duplicates": None},
    )
    assert steep("import", "--generations", "texts.jsonl", cwd=made.folder).code == 0
    override = f"evaluate.questions={made.result['path']}"
    ended = steep("run", "--json", "--set", override, cwd=made.folder)
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)["scores"]
    assert found["likelihood"]["models"][0]["n"] == 6, "all but the short answer"
    contamination = found["contamination"]
    assert {each["question_id"] for each in contamination["found"]} == {quoted["id"]}
    page = next(made.folder.glob("runs/*/report.html")).read_text(encoding="utf-8")
    assert "Written questions" in page and "written by a-writer" in page
    assert "Write questions for a test" in page, "the prompts are disclosed"
    assert "No person has reviewed the questions" in page


def test_recipes_send_the_same_prompts_with_and_without_questions(
    tmp_path: Path, steep: Steep, tiny_directory: Path, server: ScriptedServer
) -> None:
    """Separation: what recipes ask is decided without the questions."""
    seen: list[Body] = []
    calls = []
    with writer(seen, partial(reply, bad=False)) as base_url:
        folder = write_config(tmp_path / "p", base_url, tiny_directory, base_gate=False)
        written = json.loads(steep("questions", "--json", cwd=folder).out)
        for questions in (written["path"], "questions.jsonl"):
            recipes = {"entigraph": {"pairs": 3}, "active-reading": {}, "qa": {}}
            settle(folder / "steep.yaml", generate={"base_url": server.base_url})
            settle(folder / "steep.yaml", generate={"recipes": recipes, "model": "m"})
            settle(folder / "steep.yaml", evaluate={"questions": questions})
            ended = steep("generate", cwd=folder)
            assert ended.code == 0, ended.err
            with closing(sqlite3.connect(folder / ".steep/ledger.db")) as ledger:
                calls.append(list(ledger.execute("SELECT id, messages FROM calls ORDER BY id")))
        found = json.loads(steep("questions", "--json", cwd=folder).out)["separation"]
    assert calls[0] == calls[1] and found["questions"] > 0
    assert (found["calls"], found["leaks"]) == (len(calls[0]), 0)


@pytest.mark.parametrize("ending", [".md", ".csv"])
def test_a_review_is_applied(made: Made, steep: Steep, ending: str) -> None:
    review = made.folder / f"review{ending}"
    ended = steep("questions", "--review", review, cwd=made.folder)
    assert ended.code == 0 and "7 questions to review" in ended.out, ended.err
    refused = steep("questions", "--review", review, cwd=made.folder)
    assert refused.code == 2 and "There is a file already" in refused.err
    undecided = steep("questions", "--apply", review, cwd=made.folder)
    assert undecided.code == 2 and "7 undecided questions" in undecided.err
    text = review.read_text(encoding="utf-8")
    lake, oar = "Which lake does the Quillon Ferry cross?", "What did the town give Joren Pell"
    decide = partial(_decided, ending=ending)
    text = decide(text, lake, "accept")
    text = decide(text, oar, "reject")
    text = decide(text, "How long does the crossing", "edit").replace("nine minutes", "ten minutes")
    review.write_text(text, encoding="utf-8")
    applied = steep("questions", "--apply", review, "--json", cwd=made.folder)
    assert applied.code == 0, applied.err
    result = json.loads(applied.out)
    assert result["marks"] == {"written": 4, "reviewed": 1, "edited": 1}
    assert result["gates"][-1] == {"gate": "rejected in review", "checked": 7, "rejected": 1}
    shown = steep("questions", "--apply", review, cwd=made.folder).out
    assert "review: 1 accepted, 1 edited, 1 rejected, 4 undecided" in shown
    assert "--review review.md" not in shown, "it has been reviewed"
    assert "questions (reviewed): .steep/" in steep("status", cwd=made.folder).out
    lines = Path(result["path"]).read_text(encoding="utf-8").splitlines()
    rows = {row["question"]: row for row in map(json.loads, lines)}
    assert rows[lake]["mark"] == "reviewed" and not any(oar in each for each in rows)
    (edited,) = [row for row in rows.values() if row["mark"] == "edited"]
    assert "ten minutes" in edited["options"]


def _decided(text: str, question: str, decision: str, ending: str) -> str:
    """Write a decision on the question that begins in a given way."""
    if ending == ".csv":
        pattern = rf"^([\w-]+),,(,.*{re.escape(question)})"
        return re.sub(pattern, rf"\1,{decision},\2", text, flags=re.MULTILINE)
    before, after = text.split(f"question: {question}")
    head, _, tail = before.rpartition("decision:")
    return f"{head}decision: {decision}{tail}question: {question}{after}"


def test_wrong_reviews_are_named_by_line(made: Made, steep: Steep) -> None:
    review = made.folder / "wrong.md"
    steep("questions", "--review", review, cwd=made.folder)
    good = review.read_text(encoding="utf-8")

    def error(text: str) -> str:
        review.write_text(text, encoding="utf-8")
        ended = steep("questions", "--apply", review, cwd=made.folder)
        assert ended.code == 2, ended.out
        return " ".join(ended.err.split())

    line = good.splitlines().index("decision:") + 1
    unknown = error(good.replace("\ndecision:", "\ndecision: yes", 1))
    assert f"wrong.md:{line}: 'yes' is not a decision" in unknown
    lake = "Which lake does the Quillon Ferry cross?"
    edited = _decided(good, lake, "edit", ".md")
    told = error(edited.replace(lake, "Which lake, according to the text, is crossed?"))
    assert "not standing alone: it refers to 'the text'" in told
    assert "was changed without a decision" in error(good.replace(lake, "What is crossed here?"))
    assert "Questions are missing" in error(good[: good.rindex("## ")])
    assert "wrong.md:" in error(good + "\nSomething else\n")


def test_a_killed_run_continues_and_pays_nothing_twice(
    tmp_path: Path, steep: Steep, tiny_directory: Path
) -> None:
    seen: list[Body] = []
    with writer(seen) as base_url:
        folder = write_config(tmp_path / "p", base_url, tiny_directory, base_gate=False)
        for calls in (5, 25):
            running = steep.start("questions", cwd=folder)
            wait_until(lambda calls=calls: len(seen) >= calls)  # type: ignore[misc]
            running.kill()
        killed = len(seen)
        ended = steep("questions", "--json", cwd=folder)
        assert ended.code == 0, ended.err
        count = Counter(json.dumps(body, sort_keys=True) for body in seen)
        lost = sum(number - 1 for number in count.values())
        assert 0 < killed < len(seen) and lost <= 2 * 2, "only what was in flight is sent again"
        whole = write_config(tmp_path / "q", base_url, tiny_directory, base_gate=False)
        other = steep("questions", "--json", cwd=whole)
    texts = [Path(json.loads(each.out)["path"]).read_text() for each in (ended, other)]
    assert texts[0] == texts[1]


def test_a_limit_ends_the_work_and_a_higher_one_continues(
    tmp_path: Path, steep: Steep, tiny_directory: Path
) -> None:
    seen: list[Body] = []
    with writer(seen) as base_url:
        fields = {"base_gate": False, "max_tokens": 300, "answer_tokens": 20}
        folder = write_config(tmp_path / "p", base_url, tiny_directory, **fields)
        settle(folder / "steep.yaml", questions={"max_cost_usd": 0.001})
        ended = steep("questions", cwd=folder)
        assert ended.code == 2 and "limit of the project is too low" in ended.err
        settle(folder / "steep.yaml", questions={"max_cost_usd": 0.0045, "rounds": 8})
        part = json.loads(steep("questions", "--json", cwd=folder).out)
        settle(folder / "steep.yaml", questions={"max_cost_usd": 5.0})
        shown = steep("questions", "--json", cwd=folder)
        assert shown.code == 0, shown.err
    whole = json.loads(shown.out)
    assert part["limit_reached"] and part["known_usd"] <= 0.0045
    numbers = [sum(kind["accepted"] for kind in each["kinds"]) for each in (part, whole)]
    assert 0 < numbers[0] < numbers[1] == 7 and not whole["limit_reached"]
    sent = [json.dumps(body, sort_keys=True) for body in seen]
    assert len(sent) == len(set(sent))


def test_public_knowledge_and_a_shared_model_are_warned_of(
    tmp_path: Path, steep: Steep, tiny_directory: Path
) -> None:
    def knows_all(prompt: str) -> str:
        blind = prompt.startswith("### Question")
        named = " ".join(f"Title: {each.title}" for each in DOCUMENTS)
        return reply(f"<text>{named}\n{prompt}" if blind else prompt, bad=False)

    seen: list[Body] = []
    with writer(seen, knows_all) as base_url:
        folder = write_config(tmp_path / "p", base_url, tiny_directory, rounds=3, base_gate=False)
        settle(folder / "steep.yaml", generate={"model": "owner/A-Writer"})
        ended = steep("questions", cwd=folder)
    shown = " ".join(ended.out.split())
    assert ended.code == 1, "no question was accepted"
    assert "next:" not in ended.out and "see the reasons in rejected.jsonl" in shown
    assert "the blind gate rejected most questions" in shown
    assert "the writer, a-writer, also generates the corpus" in shown


def test_a_base_model_behind_a_chat_endpoint_is_not_asked(
    tmp_path: Path, steep: Steep, tiny_directory: Path
) -> None:
    seen: list[Body] = []
    with writer(seen, partial(reply, bad=False)) as base_url:
        folder = write_config(tmp_path / "p", base_url, tiny_directory, rounds=1)
        base = {"base_url": base_url, "model": "b", "endpoint": "chat", **PRICES}
        settle(folder / "steep.yaml", evaluate={"servers": {"base": base}})
        planned = json.loads(steep("questions", "--plan", "--json", cwd=folder).out)
        ended = steep("questions", "--json", cwd=folder)
    assert planned["steps"][-1]["section"] == "evaluate.servers.base"
    assert "the base model is not asked closed book" in ended.err
    result = json.loads(ended.out)
    gates = {each["gate"]: each["checked"] for each in result["gates"]}
    assert result["base"] is None and gates["known to the base model"] is None


def test_without_a_writer_the_command_says_what_to_set(
    tmp_path: Path, steep: Steep, tiny_directory: Path
) -> None:
    folder = write_config(tmp_path / "p", "", tiny_directory, writer=None)
    for more in ([], ["--plan"]):
        ended = steep("questions", *more, cwd=folder)
        assert ended.code == 2 and "questions.writer" in ended.err
    both = steep("questions", "--plan", "--apply", "x.md", cwd=folder)
    assert both.code == 2 and "cannot be combined" in both.err


def test_without_a_readable_answer_another_writer_is_advised(
    tmp_path: Path, steep: Steep, tiny_directory: Path
) -> None:
    with writer([], lambda _: "I cannot help with that.") as base_url:
        folder = write_config(tmp_path / "p", base_url, tiny_directory, rounds=1, base_gate=False)
        ended = steep("questions", cwd=folder)
    shown = " ".join(ended.out.split())
    assert ended.code == 1 and "next:" not in ended.out
    assert "not in the asked form; see rejected.jsonl; try another writer" in shown


def test_missing_packages_are_named_before_anything_is_sent(
    tmp_path: Path, tiny_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steep.llm.model_names.LIBRARIES", ("no_such_package",))
    seen: list[Body] = []
    with writer(seen) as base_url:
        folder = write_config(tmp_path / "p", base_url, tiny_directory)
        opened = load_project(folder / "steep.yaml", None)
        planned = "\n".join(of_writing_plan(stage.plan(*opened), "a-generator"))
        with pytest.raises(UserError) as refusal:
            stage.run(*opened)
    for shown in (planned, str(refusal.value)):
        assert "no_such_package" in shown and "pip install 'steep[train]'" in shown
        assert "questions.base_gate: false" in shown
    assert not seen, "nothing was sent"


def test_a_change_names_no_long_value_and_no_review(
    made: Made, steep: Steep, tmp_path: Path
) -> None:
    review = made.folder / "all.md"
    steep("questions", "--review", review, cwd=made.folder)
    text = review.read_text(encoding="utf-8").replace("\ndecision:", "\ndecision: accept")
    review.write_text(text, encoding="utf-8")
    assert steep("questions", "--apply", review, cwd=made.folder).code == 0
    more = ("--set", "questions.rounds=1", "--set", "questions.base_gate=false")
    with writer([]) as base_url:
        address = ("--set", f"questions.writer.base_url={base_url}")
        ended = steep("questions", *more, *address, cwd=made.folder)
    (line,) = [each for each in ended.err.splitlines() if "made again beside" in each]
    assert Path(made.result["path"]).parent.name in line and "questions.rounds 8 -> 1" in line
    assert "prompts" not in line and len(line) < 400


def test_an_endpoint_is_named_once_in_refusals_and_unknown_costs(
    tmp_path: Path, tiny_directory: Path
) -> None:
    address = "http://127.0.0.1:9/v1"
    folder = write_config(tmp_path / "p", address, tiny_directory)
    opened = load_project(folder / "steep.yaml", None)
    plan = stage.plan(*opened)
    with pytest.raises(UserError) as refusal:
        refuse_unlimited_questions(opened.config, plan)
    assert str(refusal.value).count(address) == 1
    total = round(sum(each.calls.expected for each in plan.steps))
    assert f"about {total:,} calls" in str(refusal.value)
    refuse_unlimited_questions(opened.config, replace(plan, is_finished=True))
    unpriced = write_config(
        tmp_path / "q", "", tiny_directory, writer={"base_url": address, "model": "m"}
    )
    lines = list(of_writing_plan(stage.plan(*load_project(unpriced / "steep.yaml", None)), "g"))
    assert sum(line.startswith("cost unknown: set questions.writer.") for line in lines) == 1
