"""The diversity of a corpus as an artifact beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from steep.core.artifacts import Artifact, Identity, Project, build
from steep.core.progress import Progress
from steep.corpus.diversity_result import write_diversity
from steep.corpus.passage import PASSAGES_NAME, FullText, stream_rows
from steep.documents.document import Document

STAGE = "diversity"
VERSION = 2


def make_diversity(
    project: Project,
    corpus: Artifact,
    documents: Sequence[Document],
    entities: Mapping[str, Sequence[str]],
    models_of: Callable[[Sequence[str]], Mapping[str, str]],
) -> Artifact:
    """Measure the passages of a corpus; see `diversity.measure` for what it needs.

    The corpus decides about documents and entities: both are among what it was made from.
    """

    def make(directory: Path) -> dict[str, Any]:
        from steep.corpus.diversity import measure

        texts = stream_rows(corpus.path / PASSAGES_NAME, FullText)
        imported = corpus.manifest["imported"]
        progress = Progress("diversity", corpus.manifest["counts"]["passages"], "texts")
        found = measure(progress.over(texts), documents, entities, imported, models_of)
        write_diversity(directory, found)
        return {"recipes": len(found)}

    return build(project, Identity(STAGE, VERSION, {}, {"corpus": corpus}), make)
