"""What `steep export` prints after a model: how to serve it, and how to check the served model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from steep.core.formatting import file_size, plural
from steep.core.tables import wrap_text

if TYPE_CHECKING:
    from steep.stages.export_gguf import ExportedGguf
    from steep.stages.export_model import ExportedModel
    from steep.stages.trained_models import TrainedModel


def print_exported_model(exported: ExportedModel) -> None:
    """Print the directory, what the card lacks, and the command of vLLM."""
    for line in _chosen(exported.model):
        typer.echo(wrap_text(line))
    files = plural(len(exported.files), "file")
    typer.echo(f"wrote {exported.directory} ({files}, {file_size(exported.size)})")
    if not exported.has_scores:
        typer.echo("README.md has no scores: not all models of the run are trained and evaluated")
    for what in exported.unknown_licenses:
        typer.echo(f"README.md says 'unknown' for the license of {what}")
    typer.echo(wrap_text(exported.kind))
    _print_command("vLLM", exported.vllm)
    _print_check(exported.evaluation)


def print_exported_gguf(exported: ExportedGguf) -> None:
    """Print the file, the commands of llama.cpp and Ollama, and the check."""
    size = file_size(exported.file.stat().st_size)
    for line in _chosen(exported.model):
        typer.echo(wrap_text(line))
    typer.echo(f"wrote {exported.file} ({size})")
    _print_command("llama.cpp", exported.llama_server)
    _print_command("Ollama", exported.ollama)
    path, text = exported.modelfile
    typer.echo(f"\n{path}:")
    for line in text.splitlines():
        typer.echo(f"  {line}")
    _print_check(exported.evaluation)


def _chosen(model: TrainedModel) -> Iterator[str]:
    """Return which model of an arm with several seeds is exported."""
    if len(model.seeds) > 1:
        yield (
            f"{model.name}: the model of seed {model.seed}, one of {len(model.seeds)} of this arm; "
            f"--arm exports another ({', '.join(model.seeds)})"
        )


def _print_command(title: str, command: str) -> None:
    typer.echo(f"\n{title}:\n  {command}")


def _print_check(settings: str) -> None:
    typer.echo("\nevaluate the served model beside the others (steep evaluate), with")
    for line in settings.splitlines():
        typer.echo(f"  {line}")
