"""`steep status` looks and touches nothing; its sums match, and the ledger answers questions."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from small_project import pairs, settle, write_project
from steep_command import Ended, Steep

from steep.config_loading import load_config
from steep.core.calls import STATUSES
from steep.generation.setup import plan_view
from steep.ledger.ledger import Ledger
from steep.ledger.records import SubmittedBatch
from steep.stages.documents import peek
from steep.testing.script import Behaviour, Script
from steep.testing.scripted_server import ScriptedServer

pytest_plugins = ["command_fixtures"]

# Everything that can become of a call: the long document's opening does not fit.
MIXED = Script(3, Behaviour(truncated=0.1, refusing=0.1, empty=0.1, context_tokens=1500))
COLUMNS = (*STATUSES, "to_do")


def listing(folder: Path) -> dict[str, float]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_status_of_a_fresh_project_writes_nothing(project: Path, steep: Steep) -> None:
    before = listing(project)
    ended = steep("status", "--json", cwd=project)
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert found["plan"]["planned"] == found["plan"]["to_do"] == found["unprepared"] == 3
    assert found["artifacts"] == [] and found["ledger"]["calls"] == 0
    assert listing(project) == before
    assert "3 documents are not prepared yet" in steep("status", cwd=project).out
    assert ended.err == ""


@pytest.mark.parametrize("verb", ["status", "run"])
def test_a_project_is_found_from_elsewhere(
    project: Path, steep: Steep, tmp_path: Path, verb: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    stop = ["--set", "generate.recipes={}", "--set", "train.arms={}"]
    ended = steep(verb, "-c", project / "steep.yaml", *stop, cwd=elsewhere)
    assert ended.code == 0, ended.err
    assert not any(elsewhere.iterdir())


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, steep: Steep) -> Path:
    """A project whose calls ended in many ways, some without a known price, some still waiting."""
    with ScriptedServer(MIXED) as server:
        config = write_project(
            tmp_path_factory.mktemp("mixed") / "project", server.base_url, Path("no model")
        )
        folder = config.parent
        (folder / "documents" / "long.md").write_text("# The Long Log\n\n" + "It rained. " * 900)
        assert steep("generate", cwd=folder).code == 2, "the long document"
        no_prices = {"usd_per_million_input_tokens": None, "usd_per_million_output_tokens": None}
        settle(config, generate={**pairs(6), **no_prices})
        assert steep("generate", cwd=folder).code == 2
    settle(config, generate={**pairs(8)})
    rows = [
        {"document_id": "pell", "recipe": "essays", "model": "m", "sample": n, "text": f"Text {n}."}
        for n in range(2)
    ]
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert steep("import", "--generations", "texts.jsonl", cwd=folder).code == 0
    submit_one(config)
    return folder


def submit_one(config_path: Path) -> None:
    """Let the first call that is to do wait at a provider."""
    config = load_config(config_path)
    with Ledger(config_path.parent / ".steep" / "ledger.db") as ledger:
        documents = [document for document in _documents(config_path) if document.id != "long"]
        planned = plan_view(config.generate, documents, ledger).walk()
        call = next(call for call, record in planned if record is None)
        batch = SubmittedBatch(
            "our-token", "http://x", "in_progress", 1, "2026-01-02T03:04:05Z", "batch_7"
        )
        ledger.submit(batch, [call])


def _documents(config_path: Path) -> Any:
    from steep.core.artifacts import Project

    return peek(load_config(config_path), Project(config_path.parent))


def ask(folder: Path, *question: str) -> Any:
    """Count in the database itself."""
    connection = sqlite3.connect(folder / ".steep" / "ledger.db")
    try:
        return connection.execute(*question).fetchall()
    finally:
        connection.close()


def found_by(steep: Steep, folder: Path, *options: str) -> tuple[Any, str]:
    """What a question finds, for scripts and for people."""
    as_json = steep("status", *options, "--json", cwd=folder)
    as_text = steep("status", *options, cwd=folder)
    assert (as_json.code, as_text.code) == (0, 0), as_json.err + as_text.err
    return json.loads(as_json.out), as_text.out


def test_the_sum_matches_and_says_what_waits(mixed: Path, steep: Steep) -> None:
    found, text = found_by(steep, mixed)
    plan = found["plan"]
    assert plan["planned"] == sum(plan[column] for column in COLUMNS)
    counted = dict(ask(mixed, "SELECT status, count(*) FROM calls GROUP BY status"))
    counted["done"] -= 2  # imported
    for column in COLUMNS[:-1]:
        assert plan[column] == counted.get(column, 0)
    assert min(plan[column] for column in ("done", "refused", "truncated", "failed", "to_do")) > 0
    assert found["submitted"] == 1 < plan["to_do"]
    assert (
        f"plan: {plan['planned']} planned = {plan['done']} done + {plan['refused']} refused + "
        f"{plan['truncated']} truncated + {plan['empty']} empty + 0 reasoning + "
        f"1 failed + 0 skipped + {plan['to_do']} to do (1 of them pending in provider batches)\n"
    ) in text
    assert (
        "batch batch_7: in_progress, submitted 2026-01-02 03:04:05 UTC, 1 of 1 call pending" in text
    )


def test_what_is_known_of_the_rest(mixed: Path, steep: Steep) -> None:
    found, text = found_by(steep, mixed)
    assert found["unprepared"] == found["rest"]["documents"] == 1
    calls = [found["rest"][name] for name in ("fewest_calls", "mean_calls", "most_calls")]
    assert (found["rest"]["prepared"], calls) == (3, sorted(calls))
    assert calls[2] == 8
    assert "1 document is not prepared yet; 3 others had" in text
    assert "1 x: HTTP 400: This model's maximum context length is 1500 tokens" in text


def test_money_is_told_as_far_as_it_is_known(mixed: Path, steep: Steep) -> None:
    found, text = found_by(steep, mixed)
    ledger = found["ledger"]
    query = "SELECT sum(cost_usd), sum(cost_usd IS NULL), sum(prompt_tokens), sum(cached_tokens)"
    ((known_usd, unpriced, prompt_tokens, cached_tokens),) = ask(
        mixed, f"{query} FROM calls WHERE status NOT IN ('failed', 'submitted')"
    )
    assert ledger["cost_usd"] is None
    assert (ledger["known_usd"], ledger["unpriced"]) == (pytest.approx(known_usd), unpriced)
    assert ledger["usage"]["prompt_tokens"] == prompt_tokens
    assert ledger["usage"]["cached_tokens"] == cached_tokens > 0
    assert f"cost at least ${known_usd:.4f}; the price of {unpriced} calls is unknown" in text
    assert ledger["imported"] == 2 and "2 imported texts, not counted above" in text
    assert ledger["failed"] == 1, "it gave nothing, and is no call that was bought"
    assert ledger["calls"] + ledger["failed"] == ask(mixed, "SELECT count(*) FROM calls")[0][0] - 2


def test_calls_of_another_plan_are_told_apart(mixed: Path, steep: Steep) -> None:
    found = json.loads(
        steep("status", "--json", "--set", "generate.recipes.entigraph.pairs=2", cwd=mixed).out
    )
    assert found["plan"]["to_do"] == 0
    ledger = found["ledger"]
    everything = ledger["calls"] + ledger["failed"]
    assert ledger["not_in_plan"] == everything - found["plan"]["planned"] > 0


def test_what_each_document_cost(mixed: Path, steep: Steep) -> None:
    found, text = found_by(steep, mixed, "--documents")
    costs = [each["known_usd"] for each in found["documents"]]
    assert {each["document_id"] for each in found["documents"]} == {
        "pell",
        "quillon",
        "hask",
        "long",
    }
    assert costs == sorted(costs, reverse=True)
    assert sum(costs) == pytest.approx(found["total"]["known_usd"])
    assert found["of"] == 4 and "4 of 4 documents shown; in all: " in text
    assert text.splitlines()[3].startswith("long: 1 call = 1 failed; 0 tokens in")
    first, text = found_by(steep, mixed, "--documents", "--limit", "1")
    assert first["documents"] == found["documents"][:1]
    assert "1 of 4 documents shown" in text


def test_one_document_with_its_calls(mixed: Path, steep: Steep) -> None:
    found, text = found_by(steep, mixed, "--document", "pell")
    ids = [row[0] for row in ask(mixed, "SELECT id FROM calls WHERE document_id = 'pell'")]
    assert sorted(call["call_id"] for call in found["calls"]) == sorted(ids)
    assert found["of"] == len(ids) == sum(found["counts"].values()) + found["imported"]
    assert found["imported"] == 2 and f"{ids[-1][:12]} imported" in text
    assert f"{len(ids)} of {len(ids)} calls and imported texts shown" in text
    assert (
        f"2 of {len(ids)} calls" in found_by(steep, mixed, "--document", "pell", "--limit", "2")[1]
    )


def test_texts_about_an_entity_with_their_prompts(mixed: Path, steep: Steep) -> None:
    found, text = found_by(steep, mixed, "--entity", "joren  PELL", "--limit", "1")
    (shown,) = found["texts"]
    assert "Joren Pell" in shown["subset"] and "- Joren Pell" in shown["messages"][-1]["content"]
    assert shown["text"] == record_text(mixed, shown["call_id"]) and shown["text"] in text
    assert found["of"] > 1 and f"1 of {found['of']} texts about joren  PELL shown" in text
    assert "- Joren Pell\n" in text  # the end of the prompt, whose middle is left out
    everything, _ = found_by(steep, mixed, "--entity", "joren pell", "--limit", "99")
    assert len(everything["texts"]) == found["of"]


def record_text(folder: Path, call_id: str) -> str:
    with Ledger(folder / ".steep" / "ledger.db", read_only=True) as ledger:
        record = ledger.get(call_id)
    assert record is not None
    return record.text


def test_what_failed_and_one_call_of_it(mixed: Path, steep: Steep) -> None:
    found, text = found_by(steep, mixed, "--failed")
    reason, *others = found["reasons"]
    assert (reason["status"], reason["calls"], reason["documents"]) == ("failed", 1, 1)
    assert "maximum context length is 1500 tokens" in reason["reason"]
    partly: Counter[str] = Counter()
    for each in others:
        partly[each["status"]] += each["calls"]
    query = "SELECT status, count(*) FROM calls WHERE status IN ('refused', 'truncated', 'empty')"
    assert partly == dict(ask(mixed, f"{query} GROUP BY status")) != {}
    assert found["calls"] == 1 + partly.total()
    command = text.partition("for example: steep ")[2].splitlines()[0].split()
    call, text = found_by(steep, mixed, *command[1:])
    assert call["call_id"] == reason["example"] and call["error"] == reason["reason"]
    assert "call " + reason["example"] + ": failed" in text and "It rained." in text


def test_all_about_one_call(mixed: Path, steep: Steep) -> None:
    ((call_id,),) = ask(
        mixed, "SELECT id FROM calls WHERE status = 'done' AND stage = 'pairs' LIMIT 1"
    )
    found, text = found_by(steep, mixed, "--call", call_id[:10])
    assert found["call_id"] == call_id and found["attempts"] == 1
    assert found["sampling"]["max_tokens"] == 300 and found["model"] == "scripted"
    assert found["text"] == record_text(mixed, call_id) and found["text"] in text
    for message in found["messages"]:
        assert message["content"] in text
    ((waiting,),) = ask(mixed, "SELECT id FROM calls WHERE status = 'submitted'")
    assert "pending in the provider batch our-token" in found_by(steep, mixed, "--call", waiting)[1]


def assert_refused(ended: Ended, *said: str) -> None:
    assert ended.code == 2 and "Traceback" not in ended.err, ended.err
    assert all(each in ended.err for each in said), ended.err


def test_questions_without_an_answer(mixed: Path, steep: Steep) -> None:
    def asked(*options: str) -> Ended:
        return steep("status", *options, cwd=mixed)

    assert_refused(asked("--document", "nobody"), "'nobody'", "steep status --documents")
    assert_refused(asked("--entity", "Pell and Varnholt"), "No text", "Edda Varnholt")
    assert_refused(asked("--call", "xyz"), "no call with this id", "xyz", "32 digits")
    assert_refused(asked("--failed", "--call", "a"), "Only one query")
    assert asked("--limit", "0").code == 2


def test_an_empty_ledger_is_asked(project: Path, steep: Steep) -> None:
    assert found_by(steep, project, "--failed")[1] == "nothing failed\n"
    assert "0 of 0 documents shown" in found_by(steep, project, "--documents")[1]
    assert not (project / ".steep").exists()
