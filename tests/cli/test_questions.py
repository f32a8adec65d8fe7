"""`steep questions`: written by a scripted model over HTTP, checked, reviewed and asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from answering_server import answering
from question_writer import reply
from small_project import settle, write_project
from steep_command import Steep

pytest_plugins = ["command_fixtures"]

PRICES = {"usd_per_million_input_tokens": 1.0, "usd_per_million_output_tokens": 2.0}


def write_config(folder: Path, base_url: str, model: Path, **more: Any) -> Path:
    config = write_project(folder, "", model)
    writer = {"base_url": base_url, "model": "a-writer", "concurrency": 2, **PRICES}
    shares = {"choice": 2, "short_answer": 1, "joined": 1, "across": 1}
    fields = {"writer": writer, "per_1000_words": 80, "shares": shares, "rounds": 4}
    settle(
        config,
        generate={"recipes": {}},
        train={"arms": {}},
        evaluate={"questions": None},
        questions={**fields, **more},
    )
    return config


def test_questions_are_written_and_the_gates_count(
    tmp_path: Path, steep: Steep, tiny_directory: Path
) -> None:
    seen: list[Any] = []
    with answering(reply, seen) as base_url:
        config = write_config(tmp_path / "p", base_url, tiny_directory)
        planned = json.loads(steep("questions", "--plan", "--json", cwd=config.parent).out)
        assert not seen
        ended = steep("questions", "--json", cwd=config.parent)
        print(ended.out, ended.err)
        again = steep("questions", cwd=config.parent)
        print(again.out, again.err)
        print(json.dumps(planned, indent=1)[:3000])
    assert 0
