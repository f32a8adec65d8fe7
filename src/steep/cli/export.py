"""`steep export`: write the corpus, a model or the questions for others.

    steep export corpus DIR               # Parquet with a dataset card, also during generation
    steep export model DIR --arm A        # a trained model with a model card
    steep export gguf DIR --arm A         # a trained model for llama.cpp and Ollama
    steep export chats chats.jsonl        # question and answer texts as chats
    steep export lm-eval --out tasks      # the questions for lm-evaluation-harness
    steep export inspect --out tasks      # the questions for inspect-ai

What is written is self-contained. Nothing is uploaded unless `--push` asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from steep.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    SetOption,
    load_project,
    open_project,
    print_first,
)
from steep.core.errors import UserError
from steep.core.formatting import plural

if TYPE_CHECKING:
    from steep.core.hub_upload import RepositoryKind

WEIGHTS = "*.safetensors"  # of an earlier upload, which may have had more files
GgufTypeName = Literal["f16", "bf16", "f32", "q8_0"]

app = typer.Typer(
    no_args_is_help=True, help="Write the corpus, a model or the questions for others."
)

OutOption = Annotated[
    Path, typer.Option(help="The output directory: new, or of an earlier export.")
]
NameOption = Annotated[str | None, typer.Option(help="Name of the task; default: steep_<run>.")]
DirectoryArgument = Annotated[
    Path | None,
    typer.Argument(help="New, or of an earlier export; default: runs/<name>/dataset."),
]
LicenseOption = Annotated[
    str, typer.Option("--license", help="The license that the card names, such as cc-by-4.0.")
]
DocumentsOption = Annotated[
    bool, typer.Option("--documents", help="Write the source documents, too; they may be private.")
]

PushOption = Annotated[
    str | None,
    typer.Option(
        "--push",
        metavar="OWNER/NAME",
        help="Upload the export to the Hugging Face Hub, to a private repository unless --public; "
        "the token is taken from HF_TOKEN.",
    ),
]
PublicOption = Annotated[
    bool, typer.Option("--public", help="Allow --push to a repository that everybody can read.")
]
ChatsArgument = Annotated[
    Path | None, typer.Argument(help="A JSONL file; default: runs/<name>/chats.jsonl.")
]
RecipeOption = Annotated[
    list[str] | None, typer.Option("--recipe", help="Only texts of this recipe. Repeatable.")
]

ArmOption = Annotated[
    str | None,
    typer.Option(
        "--arm",
        help="The name of the model, as in scores (an arm, ARM-seed1, ARM-instruct); may be left "
        "out where only one is trained.",
    ),
]
ModelArgument = Annotated[
    Path | None,
    typer.Argument(help="New, or of an earlier export; default: runs/<name>/export-<arm>."),
]
ModelLicenseOption = Annotated[
    str | None,
    typer.Option("--license", help="The license of the model; default: that of the base model."),
]
CorpusLicenseOption = Annotated[
    str | None,
    typer.Option("--corpus-license", help="The license of the documents and synthetic texts."),
]
TitlesOption = Annotated[
    bool,
    typer.Option("--documents", help="List the titles of the documents, which may be private."),
]
GgufArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[FILE.gguf|DIR]", help="The file, or its directory; default: runs/<name>."
    ),
]
TypeOption = Annotated[
    GgufTypeName,
    typer.Option(
        "--type", help="The type of the weights; q8_0: half the size of f16, slightly changed."
    ),
]
LlamaCppOption = Annotated[
    Path | None,
    typer.Option(
        "--llama-cpp",
        help="The directory of llama.cpp, whose converter is used; needed for architectures that "
        "Steep does not convert itself.",
    ),
]


@app.command("lm-eval")
def lm_eval(
    out: OutOption,
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
    name: NameOption = None,
) -> None:
    """Export the questions with their prompts to lm-evaluation-harness."""
    _export_questions("lm-eval", out, config, set, name)


@app.command()
def inspect(
    out: OutOption,
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
    name: NameOption = None,
) -> None:
    """Export the questions with their prompts to inspect-ai."""
    _export_questions("inspect", out, config, set, name)


@app.command()
def corpus(
    directory: DirectoryArgument = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
    license: LicenseOption = "unknown",
    documents: DocumentsOption = False,
    push: PushOption = None,
    public: PublicOption = False,
) -> None:
    """Export the passages as Parquet with a dataset card, also while generation runs."""
    from steep.stages import export_corpus

    _check_push(push, public)
    opened, project = load_project(config, set)
    target = directory or project.run_directory(opened.name) / "dataset"
    exported = export_corpus.run(opened, project, target, license, with_documents=documents)
    for recipe, own in exported.totals.items():
        files = plural(len(own.files), "file")
        passages, words = plural(own.passages, "passage"), plural(own.words, "word")
        typer.echo(f"{recipe}: {passages}, {words} in {files}")
    progress = exported.progress
    if not progress.is_finished:
        typer.echo(
            f"generation is not finished: {progress.ended:,} of {progress.planned:,} calls have "
            f"ended, {progress.failed:,} of the others failed; run this command again to update"
        )
    typer.echo(f"wrote {exported.directory}; README.md says how to load it")
    if push is not None:
        _upload(target, push, "dataset", export_corpus.UPLOADED, public)


@app.command()
def model(
    directory: ModelArgument = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
    arm: ArmOption = None,
    license: ModelLicenseOption = None,
    corpus_license: CorpusLicenseOption = None,
    documents: TitlesOption = False,
    push: PushOption = None,
    public: PublicOption = False,
) -> None:
    """Export a trained model as a Hugging Face directory with a model card."""
    from steep.cli.export_lines import print_exported_model
    from steep.stages import export_model

    _check_push(push, public)
    opened, project = open_project(config, set)
    exported = export_model.run(
        opened, project, directory, arm, license, corpus_license, with_documents=documents
    )
    print_exported_model(exported)
    if push is not None:
        _upload(exported.directory, push, "model", [*exported.files, WEIGHTS], public)


@app.command()
def gguf(
    target: GgufArgument = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
    arm: ArmOption = None,
    type: TypeOption = "f16",
    llama_cpp: LlamaCppOption = None,
) -> None:
    """Export a trained model as a GGUF file for llama.cpp, with a Modelfile for Ollama."""
    from steep.cli.export_lines import print_exported_gguf
    from steep.stages import export_gguf

    opened, project = open_project(config, set)
    print_exported_gguf(export_gguf.run(opened, project, target, arm, type, llama_cpp))


@app.command()
def chats(
    file: ChatsArgument = None,
    config: ConfigOption = DEFAULT_CONFIG,
    set: SetOption = None,
    recipe: RecipeOption = None,
) -> None:
    """Export question and answer texts as chats, for instruct.chats or tokenize.instructions."""
    from steep.stages import export_chats

    opened, project = load_project(config, set)
    path = file or project.run_directory(opened.name) / "chats.jsonl"
    totals = export_chats.run(opened, project, path, recipe or ())
    for name, own in totals.items():
        typer.echo(
            f"{name}: {plural(own.passages, 'passage')} = {own.parsed:,} with questions and answers"
            f" + {own.unparsable:,} unparsable + {own.held_out:,} held out"
        )
        if own.parsed:
            print_first(own.problems)
    typer.echo(f"wrote {plural(sum(own.chats for own in totals.values()), 'chat')} to {path}")


def _check_push(push: str | None, public: bool) -> None:
    """Refuse an upload that cannot succeed, before anything is written."""
    from steep.core.hub_upload import check_upload

    if push is not None:
        check_upload(push)
    elif public:
        raise UserError("--public belongs to an upload.", hint="add --push OWNER/NAME")


def _upload(
    directory: Path, push: str, kind: RepositoryKind, files: Sequence[str], public: bool
) -> None:
    from steep.core.hub_upload import upload

    uploaded = upload(directory, push, kind, files, public=public)
    typer.echo(f"uploaded to {uploaded.url} ({'private' if uploaded.is_private else 'public'})")


def _export_questions(
    what: str, out: Path, config: Path, overrides: list[str] | None, name: str | None
) -> None:
    from steep.stages import exporting

    opened = load_project(config, overrides)
    exported = exporting.run(opened.config, opened.project, what, out, name)
    typer.echo(f"{plural(exported.questions, 'question')}, {len(exported.skipped)} left out")
    print_first(f"left out {each.question_id}: {each.reason}" for each in exported.skipped)
    typer.echo(f"wrote {', '.join(exported.files)} to {exported.directory}; run them with")
    for command in exported.commands:
        typer.echo(f"  {command}")
