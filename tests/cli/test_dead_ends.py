"""Runs that would end well and hold nothing: no entities, no texts, no count of tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from answering_server import answering
from small_project import pairs, settle
from steep_command import Ended, Steep

pytest_plugins = ["command_fixtures"]

ENTITIES = (
    '{"summary": "A lake and a ferry.", "entities": ["Joren Pell", "Tessel", "Edda Varnholt"]}'
)
NOTHING = "entigraph: nothing to write about in "


def status(steep: Steep, project: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(steep("status", "--json", cwd=project).out)
    return found


def is_opening(prompt: str) -> bool:
    return '"entities"' in prompt or "entities" in prompt.rsplit("\n\n", 1)[-1]


def write_documents(project: Path, number: int) -> None:
    for path in (project / "documents").iterdir():
        path.unlink()
    for name in range(number):
        (project / "documents" / f"day-{name}.txt").write_text(
            f"Day {name}. Joren Pell rowed to Tessel, and Edda Varnholt built the ferry.\n"
        )


def assert_dead_end(ended: Ended, number: int) -> None:
    assert ended.code == 2, ended.err
    problem = "The recipe 'entigraph' found nothing to write about in most documents: "
    assert f"{problem}{number} of {number}." in ended.err
    assert "Sure, I have read it with pleasure." in ended.err
    assert "steep generate --retry-empty" in ended.err


def test_answers_without_texts_end_the_run_and_are_asked_for_again_when_wished(
    project: Path, steep: Steep
) -> None:
    write_documents(project, 4)
    model = {"says": "Sure, I have read it with pleasure."}

    def reply(prompt: str) -> str:
        if not is_opening(prompt):
            return "They met on the lake, where the ferry runs to this day."
        return model["says"]

    seen: list[Any] = []
    with answering(reply, seen) as url:
        settle(project / "steep.yaml", generate={"base_url": url})
        assert_dead_end(steep("generate", cwd=project), 4)
        assert len(seen) == 4 * 3
        found, shown = status(steep, project), steep("status", cwd=project).out
        assert found["without_texts"] == [
            {"recipe": "entigraph", "document_id": f"day-{name}"} for name in range(4)
        ]
        assert f"{NOTHING}4 of 4 documents (day-0, day-1, day-2, day-3)" in shown
        assert f"{NOTHING}4 of 4" in steep("plan", cwd=project).out
        model["says"] = ENTITIES
        again = steep("generate", cwd=project)
        assert_dead_end(again, 4)
        assert len(seen) == 4 * 3, "nothing says that the endpoint was repaired"
        repaired = steep("generate", "--retry-empty", cwd=project)
        assert repaired.code == 0, repaired.err
        assert len(seen) == 4 * 3 + 4 + 4 * 3
        found = status(steep, project)
        assert (found["without_texts"], found["plan"]["done"]) == ([], 4 + 4 * 3)
        assert found["ledger"]["lost"]["attempts"] == 4 * 3, "they were paid for all the same"
        assert steep("generate", "--retry-empty", cwd=project).code == 0
        assert len(seen) == 4 * 3 + 4 + 4 * 3


def test_a_few_documents_without_texts_are_named(project: Path, steep: Steep) -> None:
    write_documents(project, 4)

    def reply(prompt: str) -> str:
        if "Day 2." in prompt:
            return "Sure, I have read it with pleasure."
        return ENTITIES if is_opening(prompt) else "They met on the lake."

    with answering(reply) as url:
        settle(project / "steep.yaml", generate={"base_url": url})
        ended = steep("generate", cwd=project)
        assert ended.code == 0, ended.err
        assert f"{NOTHING}1 of 4 documents (day-2); steep generate --retry-empty" in ended.err


def test_empty_answers_are_asked_for_again_as_often_as_any_call_is_tried(
    project: Path, steep: Steep
) -> None:
    write_documents(project, 3)
    seen: list[Any] = []
    tells: set[str] = set()
    seeds: set[int] = set()

    def is_about_tessel(body: Any) -> bool:
        prompt = body["messages"][-1]["content"]
        return not is_opening(prompt) and prompt.count("Tessel") >= 2

    def reply(prompt: str) -> str:
        if is_opening(prompt):
            return ENTITIES
        return "They met." if prompt.count("Tessel") < 2 or "all" in tells else ""

    with answering(reply, seen) as url:
        settle(
            project / "steep.yaml",
            generate={"base_url": url, "max_attempts": 3, **pairs(3)},
        )
        for number, asked in enumerate((3 + 9, 6, 6, 0)):
            seen.clear()
            assert steep("generate", cwd=project).code == 0
            assert len(seen) == asked
            found = status(steep, project)
            assert found["plan"]["empty"] == 6
            left = 6 if number < 2 else 0
            assert found["asked_again"] == left
            again = [body["seed"] for body in seen if is_about_tessel(body)]
            assert len(set(again)) == len(again) and not seeds & set(again), "another seed each"
            seeds |= set(again)
            shown = steep("plan", cwd=project).out, steep("status", cwd=project).out
            assert all(("6 answers without text" in each) == bool(left) for each in shown)
        tells.add("all")
        settle(
            project / "steep.yaml",
            generate={"max_attempts": 4, **pairs(4)},
        )
        assert steep("generate", cwd=project).code == 0
        assert len(seen) == 6
        assert status(steep, project)["plan"]["done"] == 12


def test_a_run_whose_answers_are_mostly_empty_does_not_end_well(
    project: Path, steep: Steep
) -> None:
    write_documents(project, 3)
    with answering(lambda prompt: ENTITIES if is_opening(prompt) else " ") as url:
        settle(project / "steep.yaml", generate={"base_url": url, "max_attempts": 1})
        for _ in range(2):
            ended = steep("generate", cwd=project)
            assert ended.code == 2
            assert "Most answers contain no text: 9 of 12" in ended.err
            assert "generate.max_tokens" in ended.err


def thought(completion_tokens: int) -> tuple[int, Any]:
    """An answer of a model whose tokens have all gone into its thought."""
    message = {"role": "assistant", "content": None, "reasoning_content": "First, the ferry..."}
    usage = {"prompt_tokens": 200, "completion_tokens": completion_tokens}
    return 200, {"choices": [{"message": message, "finish_reason": "length"}], "usage": usage}


def test_answers_that_are_all_reasoning_are_a_status_of_their_own(
    project: Path, steep: Steep
) -> None:
    write_documents(project, 3)
    seen: list[Any] = []

    def reply(prompt: str) -> str | tuple[int, Any]:
        if is_opening(prompt) or seen[-1]["max_tokens"] > 2048:
            return ENTITIES if is_opening(prompt) else "They met on the lake."
        return thought(2048)

    def asked(*options: str) -> Ended:
        seen.clear()
        return steep("generate", *options, cwd=project)

    with answering(reply, seen) as url:
        generate = {"base_url": url, "max_attempts": 2, "max_tokens": 2048}
        settle(project / "steep.yaml", generate=generate)
        for calls in (3 + 9, 9, 0):  # all are asked for again, as often as any call is tried
            ended = asked()
            assert (ended.code, len(seen)) == (2, calls)
            assert "Most answers contain nothing but reasoning: 9 of 12" in ended.err
            assert "2,048 tokens of reasoning per answer" in ended.err
            assert "generate.reasoning_tokens" in ended.err
        found = status(steep, project)
        assert (found["plan"]["reasoning"], found["plan"]["empty"]) == (9, 0)
        assert found["reasoning_tokens"] == 9 * 2048
        shown = steep("status", cwd=project).out
        assert "12 planned = 3 done + 0 refused + 0 truncated + 0 empty + 9 reasoning +" in shown
        assert "9 answers with reasoning only (18,432 tokens)" in shown
        assert "9 reasoning in 3 documents" in steep("status", "--failed", cwd=project).out
        ended = asked("--set", "generate.reasoning_tokens=1000")
        assert (ended.code, len(seen)) == (0, 3 + 9), ended.err


def test_refusals_without_a_count_leave_what_is_known_and_hold_their_prompt_only(
    project: Path, steep: Steep
) -> None:
    write_documents(project, 3)
    filtered = 400, {"error": {"code": "content_filter", "message": "filtered"}}

    def reply(prompt: str) -> tuple[int, Any]:
        if is_opening(prompt):
            text = ENTITIES
        elif "Joren Pell" in prompt.rsplit("\n\n", 1)[-1] and "Tessel" in prompt[-300:]:
            return filtered
        else:
            text = "They met on the lake, at the ferry."
        usage = {"prompt_tokens": 300, "completion_tokens": 50}
        message = {"role": "assistant", "content": text}
        return 200, {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}

    with answering(reply) as url:
        settle(project / "steep.yaml", generate={"base_url": url, "max_tokens": 2048})
        ended = steep("generate", cwd=project)
    assert ended.code == 0, ended.err
    found = status(steep, project)
    refused, known_usd = found["plan"]["refused"], found["ledger"]["known_usd"]
    assert refused >= 1 and found["ledger"]["unpriced"] == refused
    calls = "1 call is" if refused == 1 else f"{refused} calls is"
    known = f"cost at least ${known_usd:.4f}; the price of {calls} unknown"
    for text in (ended.err, steep("plan", cwd=project).out, steep("status", cwd=project).out):
        assert known in " ".join(text.split()), text
    assert "no usable token counts" not in ended.err
    held_usd = found["limits"]["spent_usd"] - known_usd
    assert 0 < held_usd < refused * 2048 * 2e-6, "no answer was written"


def test_a_limit_holds_over_runs_at_an_endpoint_that_counts_nothing(
    project: Path, steep: Steep
) -> None:
    write_documents(project, 12)

    def reply(prompt: str) -> str:
        return ENTITIES if is_opening(prompt) else "They met on the lake, at the ferry. " * 9

    seen: list[Any] = []
    with answering(reply, seen) as url:
        settle(project / "steep.yaml", generate={"base_url": url, "max_cost_usd": 0.03})
        ended = steep("generate", cwd=project)
        assert ended.code == 0, ended.err
        assert ended.err.count("reports no usable token counts") == 1
        assert "cost unknown" in ended.err and "$0.0000" not in ended.err
        assert 5 < len(seen) < 48
        assert status(steep, project)["ledger"]["cost_usd"] is None
        calls = len(seen)
        assert steep("generate", cwd=project).code == 0
        assert len(seen) == calls, "what was bought before counts at its most, too"
        more = {"max_cost_usd": None, "target_tokens": 800}
        settle(project / "steep.yaml", generate=more)
        assert steep("generate", cwd=project).code == 0
        assert calls <= len(seen) < 48, "texts add up to a goal by our own count"
