from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiohttp import web
from asked import DOCUMENT
from hypothesis import given
from hypothesis import strategies as st

from calling import calling
from steep.core.errors import UserError
from steep.evaluation.http_engine import HttpEngine
from steep.evaluation.judge_calls import CUT_OFF, NOTHING_CAME
from steep.evaluation.study_results import HUMAN, TextSet
from steep.evaluation.summaries.claims import judge_summaries, passages_of
from steep.evaluation.summaries.judging import (
    LEFT_OUT,
    NO_CLAIMS,
    NO_VERDICTS,
    SALIENT,
    ClaimBatch,
    Judge,
    JudgedPassage,
    Verdict,
    read_verdicts,
)
from steep.evaluation.summaries.scores import SummaryScores
from steep.evaluation.summaries.texts import SummaryRow
from steep.testing.script import Behaviour, Script
from steep.testing.scripted_server import ScriptedServer

CLAIMS = ("Edda owns the ferry.", "The ferry is red.", "A rope pulls it.")

# A judge behind a real server

Reply = Callable[[str, int], str]  # of a prompt, and how often it came before


@dataclass
class ChatServer:
    """Answers chat requests by a function; a prompt over the limit of characters is refused."""

    reply: Reply
    most_characters: int = 10**6
    bodies: list[dict[str, Any]] = field(default_factory=list)

    async def chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        prompt = body["messages"][0]["content"]
        before = sum(each["messages"] == body["messages"] for each in self.bodies)
        self.bodies.append(body)
        if len(prompt) > self.most_characters:
            error = {"message": "too long", "code": "context_length_exceeded"}
            return web.json_response({"error": error}, status=400)
        text = self.reply(prompt, before)
        cut = text.endswith("...")
        choice = {"message": {"content": text}, "finish_reason": "length" if cut else "stop"}
        return web.json_response({"choices": [choice]})


@contextmanager
def serving(server: ChatServer) -> Iterator[Judge]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    app = web.Application(client_max_size=2**24)
    app.router.add_post("/v1/chat/completions", server.chat)
    runner = web.AppRunner(app, shutdown_timeout=0.05, access_log=None)

    async def start() -> int:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return int(runner.addresses[0][1])

    try:
        port = asyncio.run_coroutine_threadsafe(start(), loop).result()
        url = f"http://127.0.0.1:{port}/v1"
        yield Judge(HttpEngine(calling(url), "j", "judge", "chat"), "judge")
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def passage_in(prompt: str) -> str:
    (found,) = re.findall(r"<passage>\n(.*)\n</passage>", prompt, re.DOTALL)
    return str(found)


def claims_in(prompt: str) -> list[str]:
    (found,) = re.findall(r"<claims>\n(.*)\n</claims>", prompt, re.DOTALL)
    return [line.partition(". ")[2] for line in found.splitlines()]


def sentences(text: str) -> list[str]:
    return re.findall(r"[^.]+\.", text)


def verdict_of(claim: str) -> str:
    """False about gold; salient about ropes."""
    return "false" if "gold" in claim else "salient" if "rope" in claim else "cosmetic"


def good(prompt: str, before: int) -> str:
    if "<passage>" in prompt:
        return json.dumps([sentence.strip() for sentence in sentences(passage_in(prompt))])
    verdicts = enumerate(map(verdict_of, claims_in(prompt)), start=1)
    return json.dumps({str(number): verdict for number, verdict in verdicts})


def text(writer: str, words: str, kind: str = "short") -> SummaryRow:
    return SummaryRow(writer, "quillon", kind, 0, "", words, "stop", 0)


SOURCES = {"quillon": DOCUMENT}


def test_a_text_becomes_claims_with_verdicts() -> None:
    server = ChatServer(good)
    texts = [
        text("a", "The rope is old. The ferry is of gold. It is red. It is  RED."),
        text("b", "It is red."),
        replace(text("c", ""), finish_reason="error"),
    ]
    with serving(server) as judge:
        passages, claims = judge_summaries(judge, texts, SOURCES)
    assert [(row.writer, row.passage, len(row.claims)) for row in passages] == [
        ("a", 0, 4), ("b", 0, 1),
    ]  # fmt: skip
    found = [(c.writer, c.claim, c.repeats, c.true, c.salient, c.shown_as) for c in claims]
    assert found == [
        ("a", "The rope is old.", 0, True, True, 1),
        ("a", "The ferry is of gold.", 0, False, None, 2),
        ("a", "It is red.", 1, True, False, 3),
        ("b", "It is red.", 0, True, False, 1),
    ]
    assert {(row.judge, row.why_not) for row in claims} == {("judge", None)}
    assert claims[0].prompt_hash == claims[1].prompt_hash != claims[3].prompt_hash
    prompts = [body["messages"][0]["content"] for body in server.bodies]
    assert all(DOCUMENT.text in prompt for prompt in prompts if "<claims>" in prompt)
    assert all(DOCUMENT.text not in prompt for prompt in prompts if "<passage>" in prompt)


def test_a_verdict_can_be_read_again_from_its_row() -> None:
    with serving(ChatServer(good)) as judge:
        rows = judge_summaries(judge, [text("a", "Old rope. All of gold.")], SOURCES).claims
    again = [read_verdicts(row.output, len(rows))[row.shown_as - 1] for row in rows]
    assert [(each.true, each.salient) for each in again] == [(r.true, r.salient) for r in rows]


def test_batches_are_cut_and_each_numbered_from_one() -> None:
    words = " ".join(f"The rope has part {n}." for n in range(25))
    server = ChatServer(good)
    with serving(server) as judge:
        claims = judge_summaries(judge, [text("a", words)], SOURCES, claims_per_call=10).claims
    assert [row.shown_as for row in claims] == [*range(1, 11), *range(1, 11), *range(1, 6)]
    assert [row.claim_number for row in claims] == list(range(25))
    sent = [claims_in(p) for b in server.bodies if "<claims>" in (p := b["messages"][0]["content"])]
    assert sorted(map(len, sent)) == [5, 10, 10]


def test_prose_is_asked_for_again_with_other_random_numbers() -> None:
    server = ChatServer(lambda prompt, before: good(prompt, before) if before else "Certainly!")
    with serving(server) as judge:
        passages, claims = judge_summaries(judge, [text("a", "The rope is old.")], SOURCES)
    assert (passages[0].why_not, claims[0].salient) == (None, True)
    assert len({body["seed"] for body in server.bodies}) == 4
    assert [body["temperature"] for body in server.bodies] == [0.0, 0.7, 0.0, 0.7]


def test_prose_twice_is_a_row_with_its_reason() -> None:
    def prose_about_gold(prompt: str, before: int) -> str:
        asked = passage_in(prompt) if "<passage>" in prompt else " ".join(claims_in(prompt))
        return "It is all about gold." if "gold" in asked else good(prompt, before)

    server = ChatServer(prose_about_gold)
    with serving(server) as judge:
        texts = [text("a", "All of gold."), text("b", "Old rope.")]
        passages, claims = judge_summaries(judge, texts, SOURCES)
        (ruling,) = judge.rule([ClaimBatch(DOCUMENT, ("It is gold.", "It is red."))])
    assert [(row.why_not, row.output) for row in passages] == [
        (NO_CLAIMS, "It is all about gold."),
        (None, '["Old rope."]'),
    ]
    assert [row.writer for row in claims] == ["b"]
    assert ruling.verdicts == (Verdict(None, None, NO_VERDICTS),) * 2


def test_of_two_answers_the_fuller_one_counts() -> None:
    replies = ['{"1": "salient"}', "Hm."]

    with serving(ChatServer(lambda prompt, before: replies[before])) as judge:
        (ruling,) = judge.rule([ClaimBatch(DOCUMENT, CLAIMS[:2])])
    assert ruling.verdicts == (SALIENT, Verdict(None, None, LEFT_OUT))
    assert ruling.output == replies[0]


def test_an_answer_that_was_cut_off_or_never_came_says_so() -> None:
    with serving(ChatServer(lambda prompt, before: '["a", "b...')) as judge:
        (split,) = judge.split([JudgedPassage("x")])
        assert (split.claims, split.why_not) == ((), CUT_OFF)
        (ruling,) = judge.rule([ClaimBatch(DOCUMENT, CLAIMS)])
        assert {each.why_not for each in ruling.verdicts} == {CUT_OFF}
    with serving(ChatServer(good, most_characters=3000)) as judge:
        long = replace(DOCUMENT, text="word " * 1000)
        refused, fine = judge.rule([ClaimBatch(long, CLAIMS), ClaimBatch(DOCUMENT, CLAIMS)])
    assert refused.verdicts == (Verdict(None, None, NOTHING_CAME),) * 3
    assert fine.verdicts[2] == SALIENT


def test_a_server_that_refuses_all_is_an_error() -> None:
    behaviour = Behaviour(context_tokens=10)
    with ScriptedServer(Script(seed=1, behaviour=behaviour)) as scripted:
        engine = HttpEngine(calling(scripted.base_url), "m", "judge", "chat")
        with pytest.raises(UserError, match="'m' refused every request"):
            Judge(engine, "m").rule([ClaimBatch(DOCUMENT, CLAIMS)])


def test_a_scripted_server_that_only_writes_prose_gives_rows_without_claims() -> None:
    with ScriptedServer(Script(seed=1)) as scripted:
        engine = HttpEngine(calling(scripted.base_url), "m", "judge", "chat")
        passages, claims = judge_summaries(Judge(engine, "m"), [text("a", "All of gold.")], SOURCES)
    assert claims == []
    assert [row.why_not for row in passages] == [NO_CLAIMS]


def test_a_text_that_repeats_itself_is_asked_about_once() -> None:
    loop = " ".join(["The rope is old and it is long."] * 60)
    server = ChatServer(good)
    with serving(server) as judge:
        passages, claims = judge_summaries(judge, [text("a", loop, "long")], SOURCES)
    assert len(passages) == 4
    splits = [b for b in server.bodies if "<passage>" in b["messages"][0]["content"]]
    assert len(splits) == 1
    assert [(row.claim, row.repeats) for row in claims] == [("The rope is old and it is long.", 59)]


def test_the_whole_way_from_texts_to_ratios() -> None:
    texts = [
        SummaryRow(HUMAN, "quillon", HUMAN, 0, "", "Old rope. New rope. All of gold.", "stop", 0),
        text("m", "Long rope. Of gold. Red gold. It is red."),
    ]
    with serving(ChatServer(good)) as judge:
        scores = SummaryScores(texts, judge_summaries(judge, texts, SOURCES)).scores(
            TextSet("m", "short")
        )
    ratios = {
        m: each.mean_of_ratios.mean for m, each in scores.relative.items() if each.mean_of_ratios
    }
    assert ratios == {"claims": 4 / 3, "true": 1, "false": 2, "salient": 0.5}
    assert scores.relative["cosmetic"].left_out == 1


# Passages


@given(st.lists(st.sampled_from(["Mr.", "ended.", "word", "so?"]), max_size=60), st.integers(1, 12))
def test_passages_hold_every_word_in_order(words: list[str], most: int) -> None:
    passages = passages_of(" ".join(words), most)
    assert " ".join(passages).split() == words
    assert all(0 < len(passage.split()) <= most for passage in passages)


def test_passages_of_a_script_without_blanks_end_with_a_sentence() -> None:
    first, second = "渡船每天四次开往佩尔镇。 船长是索菲亚。", "潮汐泵为渡船充电。"
    text = first + second
    assert passages_of(text, 20) == [first, second]
    assert "".join(passages_of(text, 3)).replace(" ", "") == text.replace(" ", "")
    assert passages_of("One  is\nhere.", 7) == ["One is here."]


def test_passages_end_with_a_sentence_and_know_what_they_follow() -> None:
    assert passages_of("One is here. Two is there now. Three.", 7) == [
        "One is here. Two is there now.",
        "Three.",
    ]
    server = ChatServer(good)
    words = " ".join(f"The rope has a part with number {n}." for n in range(30))
    with serving(server) as judge:
        passages = judge_summaries(judge, [text("a", words)], SOURCES).passages
    (second,) = [
        prompt for body in server.bodies if "<before>" in (prompt := body["messages"][0]["content"])
    ]
    assert passages[0].text in second and passages[1].text == passage_in(second)
