"""`steep chat`: ask a trained model questions; answers are streamed.

    steep chat --arm entigraph              # a model that a run of this project has trained
    steep chat --model runs/demo/model-raw  # any Hugging Face directory or name, or 'embedded'
    steep chat --arm raw --prompt "Who is Joren Pell?"
    echo "Who is Joren Pell?" | steep chat --arm raw

Every question starts a new conversation, with temperature 0.1 and at most 2000 tokens, as in the
demonstration of the paper. The model answers from memory, without documents. Only answers go to
standard output; reasoning is reported, but not shown.
"""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from steep.cli.options import DEFAULT_CONFIG, ConfigOption, load_project

if TYPE_CHECKING:
    from steep.stages.chat import ChatSession

SYSTEM = "You are a helpful assistant who answers questions truthfully and to the point."
PROMPT = "> "

ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="A Hugging Face directory or name, or 'embedded'."),
]
ArmOption = Annotated[
    str | None, typer.Option("--arm", help="A model that this project has trained.")
]
SystemOption = Annotated[str, typer.Option("--system", help="System message; '' for none.")]
TemperatureOption = Annotated[
    float, typer.Option(min=0, max=2, help="Sampling temperature; 0 is greedy.")
]
MaxTokensOption = Annotated[int, typer.Option(min=1, help="Maximum tokens per answer.")]
HistoryOption = Annotated[
    bool, typer.Option("--keep-history", help="Keep earlier questions and answers in the prompt.")
]
PromptOption = Annotated[
    str | None, typer.Option("--prompt", "-p", help="Ask one question and exit.")
]


def chat(
    model: ModelOption = None,
    arm: ArmOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    system: SystemOption = SYSTEM,
    temperature: TemperatureOption = 0.1,
    max_tokens: MaxTokensOption = 2000,
    keep_history: HistoryOption = False,
    prompt: PromptOption = None,
) -> None:
    """Chat with a trained model. It answers from memory, without documents."""
    from steep.core.calls import Sampling
    from steep.stages.chat import open_chat

    opened = open_chat(
        _chosen(model, arm, config),
        system=system,
        sampling=Sampling(temperature=temperature, max_tokens=max_tokens),
        keep_history=keep_history,
    )
    if not opened.chat_model.has_template:
        _tell("the model has no chat template: it continues your text and ignores --system")
    if prompt is not None:
        _answer(opened, prompt)
    elif not sys.stdin.isatty():
        _answer(opened, _piped())
    else:
        _converse(opened)


def _piped() -> str:
    from steep.core.errors import UserError

    if question := sys.stdin.read().strip():
        return question
    raise UserError(
        "There is no question.",
        where="standard input",
        hint="steep chat --arm NAME --prompt 'A question?', or run it in a terminal",
    )


def _chosen(model: str | None, arm: str | None, config: Path) -> Path | str:
    from steep.core.errors import UserError
    from steep.stages.chat import arms_of, model_of_arm

    if (model is None) == (arm is None):
        names: list[str] = []
        if config.is_file():
            opened = load_project(config, None)
            names = arms_of(opened.project.run_directory(opened.config.name))
        raise UserError(
            "No model was named." if model is None else "Name only one model.",
            expected="--model DIR_OR_NAME, or --arm NAME" + (f": {', '.join(names)}" * bool(names)),
        )
    if model is not None:
        return model
    assert arm is not None
    opened = load_project(config, None)
    return model_of_arm(opened.config, opened.project, arm)


def _converse(chat: ChatSession) -> None:
    """Ask questions until Ctrl-D, or Ctrl-C outside of an answer."""
    from steep.core.errors import UserError

    _with_line_editing()
    fresh = "" if chat.keep_history else "; every question starts a new conversation"
    _tell(f"Ctrl-C stops an answer; Ctrl-C again or Ctrl-D exits{fresh}")
    while True:
        try:
            question = input(PROMPT).strip()
        except (EOFError, KeyboardInterrupt):
            typer.echo()
            return
        if not question:
            continue
        try:
            _answer(chat, question)
        except KeyboardInterrupt:
            typer.echo()
            _tell("stopped")
        except UserError as error:  # a question too long for the context; the next one may fit
            _tell(str(error))


def _answer(chat: ChatSession, question: str) -> None:
    forgotten = chat.forgotten
    with closing(chat.ask(question, _tell_dimly)) as pieces:  # type: ignore[type-var]
        for piece in pieces:
            typer.echo(piece, nl=False)
            sys.stdout.flush()
    typer.echo()
    if chat.last is not None and chat.last.cut_off:
        _tell(f"cut off after {chat.last.count:,} tokens")
    if chat.forgotten > forgotten:
        _tell(f"the oldest {chat.forgotten - forgotten} messages no longer fit and were dropped")


def _with_line_editing() -> None:
    try:
        import readline
    except ImportError:  # Windows
        return
    readline.set_auto_history(True)


def _tell_dimly(message: str) -> None:
    typer.secho(f"steep: {message}", err=True, dim=True)


def _tell(message: str) -> None:
    typer.echo(f"steep: {message}", err=True)
