from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from steep_command import PATIENCE_S, environment
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from steep.cli.chat import PROMPT, _answer, _converse, chat
from steep.core.calls import Sampling
from steep.core.errors import UserError
from steep.llm.local.chat import ChatAnswer, ChatSession
from steep.stages.chat import open_chat
from steep.testing.tiny_model import CONTEXT_TOKENS

app = typer.Typer()
app.command()(chat)


@pytest.fixture(scope="module")
def chatty(tiny_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, sharpened: fresh weights repeat the last token for ever."""
    directory = tmp_path_factory.mktemp("chatty") / "model"
    shutil.copytree(tiny_directory, directory)
    model: Any = AutoModelForCausalLM.from_pretrained(directory)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(6)
    model.save_pretrained(directory)
    return directory


ALONE = "import typer; from steep.cli.chat import chat; typer.run(chat)"


def run(*arguments: str | Path, given: str | None = None) -> Any:
    return CliRunner().invoke(
        app, [*map(str, arguments)], input=given, catch_exceptions=False, env={"COLUMNS": "100"}
    )


def test_one_question_one_answer(chatty: Path) -> None:
    arguments = ("--model", chatty, "--max-tokens", "12")
    ended = run(*arguments, "--prompt", "Who is Joren Pell?")
    assert ended.exit_code == 0
    assert ended.stdout.strip()
    assert "cut off after 12 tokens" in ended.stderr
    piped = run(*arguments, given="Who is Joren Pell?\n")
    assert piped.stdout == ended.stdout
    assert run(*arguments, "--prompt", "And who else?").stdout != ended.stdout


def test_what_the_model_is_told_changes_the_answer(chatty: Path) -> None:
    arguments = ("--model", chatty, "--max-tokens", "12", "--prompt", "Who?")
    answers = [
        run(*arguments, *more).stdout
        for more in ([], ["--system", ""], ["--system", "Be rude."], ["--temperature", "2"])
    ]
    assert len(set(answers)) == 4


def test_the_model_of_a_run_is_found_by_its_arm(chatty: Path, tmp_path: Path) -> None:
    config = tmp_path / "steep.yaml"
    config.write_text("name: mine\ndocuments: {path: documents}\n")
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "model-raw").symlink_to(chatty)
    asked = ("--prompt", "Who?", "--max-tokens", "5")
    ended = run("--config", config, "--arm", "raw", *asked)
    assert ended.stdout == run("--model", chatty, *asked).stdout
    with pytest.raises(UserError, match="no trained model of this name") as caught:
        run("--config", config, "--arm", "row", *asked)
    assert "expected: raw" in str(caught.value)
    with pytest.raises(UserError, match="No model was named") as caught:
        run("--config", config, *asked)
    assert "--arm NAME: raw" in str(caught.value)
    with pytest.raises(UserError, match="Name only one model"):
        run("--config", config, "--arm", "raw", "--model", chatty)


def test_a_model_without_template_goes_on_writing(chatty: Path, tmp_path: Path) -> None:
    for path in chatty.iterdir():
        if path.name != "chat_template.jinja":
            (tmp_path / path.name).symlink_to(path)
    ended = run("--model", tmp_path, "--prompt", "Joren Pell was", "--max-tokens", "5")
    assert ended.stdout.strip()
    assert "no chat template" in ended.stderr
    told = run("--model", tmp_path, "--prompt", "Joren Pell was", "--system", "x", "--max-tokens=5")
    assert told.stdout == ended.stdout


def test_bad_options_are_said(chatty: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Cannot load the model"):
        run("--model", tmp_path / "nowhere", "--prompt", "Who?")
    with pytest.raises(UserError, match="does not fit"):
        run("--model", chatty, given="word " * CONTEXT_TOKENS)
    assert run("--model", chatty, "--max-tokens", "0").exit_code == 2


def test_history_is_kept_only_when_asked_for(chatty: Path) -> None:
    def second(keep_history: bool) -> list[int]:
        opened = open_chat(
            chatty,
            system="Be brief.",
            sampling=Sampling(temperature=0.1, max_tokens=4),
            keep_history=keep_history,
        )
        list(opened.ask("Who is Joren Pell?", print))
        prompt: list[int] = opened._prompt({"role": "user", "content": "And his sister?"})
        return prompt

    fresh, long = second(False), second(True)
    assert len(long) > len(fresh) + 10
    assert long[-5:] == fresh[-5:]


def thoughtful(opened: ChatSession, monkeypatch: pytest.MonkeyPatch, *answers: str) -> None:
    """Let the model say these answers, token by token."""
    said, tokenizer = iter(answers), opened.chat_model._tokenizer

    def answer(prompt: list[int], sampling: Sampling, seed: int) -> ChatAnswer:
        ids = tokenizer(next(said), add_special_tokens=False).input_ids
        return ChatAnswer(iter(ids), tokenizer, sampling.max_tokens)

    monkeypatch.setattr(opened.chat_model, "answer", answer)


def test_a_thought_is_neither_shown_nor_sent_again(
    chatty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampling = Sampling(temperature=0.1, max_tokens=400)
    opened = open_chat(chatty, system="", sampling=sampling, keep_history=True)
    first, second = "<think>\nWho is he?\n</think>\n\nA pilot.", "<think>\nI see no end"
    thoughtful(opened, monkeypatch, first, second, "Hm.</think>Yes.", "No thought.")
    told: list[str] = []
    assert "".join(opened.ask("Who is Joren Pell?", told.append)) == "A pilot."
    assert told == ["thinking ..."]
    assert "".join(opened.ask("And his sister?", told.append)) == ""
    assert told[1:] == ["thinking ...", "it thought and gave no answer"]
    assert "".join(opened.ask("A pilot?", told.append)) == "Hm.Yes."
    assert told[3:] == ["the text so far was a thought; the answer follows"]
    assert "".join(opened.ask("Sure?", told.append)) == "No thought." and len(told) == 4
    assert [each["content"] for each in opened._history] == [
        "Who is Joren Pell?", "A pilot.", "A pilot?", "Yes.", "Sure?", "No thought.",
    ]  # fmt: skip


def test_that_a_model_thinks_is_said_beside_the_answer(
    chatty: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = open_chat(chatty, system="", sampling=Sampling(max_tokens=400))
    thoughtful(opened, monkeypatch, "<think>Who?</think>A pilot.")
    _answer(opened, "Who is Joren Pell?")
    captured = capsys.readouterr()
    assert captured.out == "A pilot.\n"
    assert "steep: thinking ..." in captured.err and "Who?" not in captured.err


def test_a_dialogue_that_grows_too_long_forgets_its_beginning(chatty: Path) -> None:
    sampling = Sampling(temperature=0.1, max_tokens=4)
    opened = open_chat(chatty, system="", sampling=sampling, keep_history=True)
    for number in range(4):
        list(opened.ask(f"{number} " + "word " * 130, print))
    assert opened.forgotten in (2, 4)
    assert len(opened._history) == 8 - opened.forgotten
    assert opened._history[0]["role"] == "user"


class Terminal:
    """A person at a terminal, and `steep chat` in it."""

    def __init__(self, *arguments: str | Path) -> None:
        self.ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", ALONE, *map(str, arguments)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(TERM="dumb"),
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        os.close(theirs)
        self.seen = ""

    def wait_for(self, text: str) -> str:
        """Read until `text` appears; return what came before it."""
        began = time.monotonic()
        while text not in self.seen:
            assert time.monotonic() - began < PATIENCE_S, self.seen
            if select.select([self.ours], [], [], 1.0)[0]:
                self.seen += os.read(self.ours, 4096).decode(errors="replace")
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def interrupt_until_it_ends(self) -> int:
        """Python loses a Ctrl-C between showing the prompt and waiting for a key."""
        heard: list[int] = []
        while not heard:
            os.kill(self.process.pid, signal.SIGINT)
            heard = select.select([self.ours], [], [], 5.0)[0]  # it goes to a new line
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)
        os.close(self.ours)


def test_at_a_terminal_ctrl_c_stops_the_answer_and_another_one_ends(chatty: Path) -> None:
    terminal = Terminal("--model", chatty, "--temperature", "1")
    try:
        assert "every question starts a new conversation" in terminal.wait_for(PROMPT)
        for question in ("Who is Joren Pell?", "And who is Ilse Varn?"):
            terminal.type(f"{question}\n")
            terminal.wait_for(f"{question}\r\n")
            if not terminal.seen:  # the answer has begun
                terminal.seen += os.read(terminal.ours, 4096).decode(errors="replace")
            os.kill(terminal.process.pid, signal.SIGINT)
            assert "Traceback" not in terminal.wait_for("steep: stopped\r\n")
            terminal.wait_for(PROMPT)
        assert terminal.interrupt_until_it_ends() == 0
    finally:
        terminal.close()


def test_a_conversation_goes_on_until_its_end(
    chatty: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = iter(["", "Who?", "word " * CONTEXT_TOKENS, "Who else?"])

    def read(prompt: str) -> str:
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", read)
    sampling = Sampling(temperature=1.0, max_tokens=5)
    _converse(open_chat(chatty, system="", sampling=sampling))
    captured = capsys.readouterr()
    assert captured.err.count("cut off after 5 tokens") == 2
    assert captured.err.count("does not fit into the context") == 1, "and it goes on"
