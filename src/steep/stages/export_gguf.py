"""Export a trained model as a GGUF file, with a Modelfile for Ollama beside it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from steep.config import Config
from steep.core.artifacts import Project
from steep.core.files import write_text
from steep.stages.base_models import describe_base
from steep.stages.trained_models import TrainedModel, choose_model
from steep.training.gguf.llama_cpp import convert, find_converter
from steep.training.gguf.write import GgufMetadata, GgufType, write_gguf
from steep.training.serving import (
    MODELFILE,
    evaluation_settings,
    llama_server_command,
    modelfile_text,
    ollama_command,
    served_model,
)

log = logging.getLogger("steep")

SUFFIX = ".gguf"


@dataclass(frozen=True, slots=True)
class ExportedGguf:
    """A written GGUF file and how to serve it.

    Attributes:
        model: The exported model.
        file: The GGUF file.
        modelfile: The path and the text of the Modelfile.
        llama_server: The command for llama.cpp.
        ollama: The command that adds the model to Ollama.
        evaluation: The section of a configuration that evaluates the served model.
    """

    model: TrainedModel
    file: Path
    modelfile: tuple[Path, str]
    llama_server: str
    ollama: str
    evaluation: str


def run(
    config: Config,
    project: Project,
    target: Path | None,
    name: str | None,
    kind: GgufType = "f16",
    llama_cpp: Path | None = None,
) -> ExportedGguf:
    """Write a trained model as a GGUF file.

    Args:
        config: The configuration.
        project: The project.
        target: A file whose name ends in .gguf, or a directory; by default the run's directory.
        name: Of the model; None where there is only one.
        kind: The type of the weights.
        llama_cpp: The directory of llama.cpp, whose converter is used then.

    Raises:
        UserError: The model is not trained, or cannot be converted.
    """
    script = find_converter(llama_cpp)
    model = choose_model(config, project, name)
    title = f"{config.name}-{model.name}"
    target = target or project.run_directory(config.name)
    file = target if target.suffix == SUFFIX else target / f"{title}-{kind}{SUFFIX}"
    if script is not None:
        log.info("converting with %s", script)
        convert(script, model.directory, file, kind)
    else:
        base = describe_base(config, project)
        write_gguf(model.directory, file, kind, GgufMetadata(title, base.license, base.hub_name))
    served = served_model(model.directory, title)
    modelfile, text = file.with_suffix(MODELFILE), modelfile_text(file, served)
    write_text(modelfile, text)
    return ExportedGguf(
        model,
        file,
        (modelfile, text),
        llama_server_command(file, served),
        ollama_command(modelfile, title),
        evaluation_settings(title, "http://localhost:8080/v1", methods=["answers"]),
    )
