"""Trace a training token, or a text, back to the documents and the call it came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steep.config import Config
from steep.core.artifacts import MANIFEST, Artifact, Project
from steep.core.errors import UserError
from steep.core.files import content_hash, read_json
from steep.corpus.passage import PASSAGES_NAME, Passage, TextRow
from steep.corpus.trace import Trace, find_passages, read_passage, trace_passage
from steep.documents.store import documents_of
from steep.ledger.ledger import open_ledger
from steep.llm.model_names import model_directory
from steep.stages.tokenize import replay_path, replay_texts
from steep.tokens.build import REPLAY, draw, is_held_out
from steep.training.loading import load_tokenizer

if TYPE_CHECKING:
    from steep.tokens.locate import TokenPlace
    from steep.tokens.shard import TokenShard


@dataclass(frozen=True, slots=True)
class ReplayText:
    """A general text that is mixed into training, and its number in the file."""

    file: str
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class TokenTrace:
    """The origin of a token of an arm, or of the replay."""

    arm: str
    shard: str  # its directory in the project
    place: TokenPlace
    origin: Trace | ReplayText


@dataclass(frozen=True, slots=True)
class TextTrace:
    """The origin of a passage that contains a text.

    Attributes:
        origin: The passage, its documents and its call.
        is_held_out: Whether no arm is trained on it.
        tokens: The positions of its first token in the shard of the arm that was asked for, and
            of the token after its last; None if it is not there, or no arm was asked for.
    """

    origin: Trace
    is_held_out: bool
    tokens: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class TextTraces:
    """The first passages that contain a text, and the number of all of them."""

    arm: str | None
    corpus: str  # its directory in the project
    passages: int
    traces: tuple[TextTrace, ...]


def trace_token(config: Config, project: Project, arm: str, token: int) -> TokenTrace:
    """Return the origin of the token at a position of an arm's shard, or of the replay's.

    Raises:
        UserError: The arm is not tokenized, there is no such token, or the texts that it was
            tokenized from are no longer there.
    """
    from steep.tokens.locate import locate_token
    from steep.tokens.shard import open_shard

    artifact = _shard(config, project, arm)
    shard, tokenizer = open_shard(artifact.path), _tokenizer(config, project)
    place = locate_token(shard, token, tokenizer)
    origin: Trace | ReplayText
    if arm == REPLAY:
        origin = _replay_text(config, artifact, place.text)
    else:
        corpus, passage = _passage(config, project, artifact, shard, place.text, tokenizer)
        (origin,) = _traced(project, corpus, [passage])
    return TokenTrace(arm, artifact.path.relative_to(project.root).as_posix(), place, origin)


def trace_text(
    config: Config, project: Project, text: str, arm: str | None, limit: int
) -> TextTraces:
    """Return the origin of the first passages of the corpus that contain a text.

    Raises:
        UserError: There is no corpus, no passage contains the text, or the arm is not tokenized.
    """
    found_corpora = _newest_first(config, project, "corpus")
    if not found_corpora:
        raise UserError("There is no corpus yet.", where=project.store, hint="steep corpus")
    corpus, path = found_corpora[0], found_corpora[0].path / PASSAGES_NAME
    shard = _shard(config, project, arm) if arm else None
    found = find_passages(path, text, limit)
    if not found.passages:
        raise UserError(
            "No passage contains these words in a row.",
            where=path,
            found=text,
            hint="shorten the text; case, spaces and punctuation do not matter",
        )
    passages = [read_passage(path, row) for row in found.rows]
    traces = []
    for row, origin in zip(found.rows, _traced(project, corpus, passages), strict=True):
        passage = origin.passage
        held_out = is_held_out(TextRow(passage.id, passage.recipe, ""), config.tokenize.holdout)
        tokens = _tokens_of(config, project, path, shard, row, passage) if shard else None
        traces.append(TextTrace(origin, held_out, tokens))
    name = corpus.path.relative_to(project.root).as_posix()
    return TextTraces(arm, name, found.passages, tuple(traces))


def _traced(project: Project, corpus: Artifact, passages: Sequence[Passage]) -> list[Trace]:
    name = corpus.manifest["identity"]["inputs"]["documents"]
    documents = documents_of(Artifact("documents", project.store / name, {}))
    with open_ledger(project) as ledger:
        return [trace_passage(each, documents, ledger) for each in passages]


def _passage(
    config: Config,
    project: Project,
    artifact: Artifact,
    shard: TokenShard,
    number: int,
    tokenizer: Any,
) -> tuple[Artifact, Passage]:
    """Return the passage that a text of a shard was tokenized from, and its corpus."""
    from steep.tokens.locate import is_text, row_of_text

    corpora = _newest_first(config, project, "corpus")
    for corpus in corpora:
        path = corpus.path / PASSAGES_NAME
        sources, holdout = _sources_of(artifact), config.tokenize.holdout
        row = row_of_text(path, sources, holdout, number, artifact.path)
        if row is not None:
            passage = read_passage(path, row)
            if is_text(shard, number, passage.text, tokenizer):
                return corpus, passage
    raise UserError(
        "The corpus that this arm was tokenized from is not there.",
        where=artifact.path,
        expected=f"text {number:,} of the shard in a corpus of this project, with "
        f"tokenize.holdout {config.tokenize.holdout}",
        found=", ".join(each.path.name for each in corpora) or "no corpus",
        hint="steep tokenize makes corpus and shard of this configuration",
    )


def _tokens_of(
    config: Config,
    project: Project,
    path: Path,
    artifact: Artifact,
    row: int,
    passage: Passage,
) -> tuple[int, int] | None:
    from steep.tokens.locate import is_text, text_of_row, text_span
    from steep.tokens.shard import open_shard

    shard = open_shard(artifact.path)
    holdout = config.tokenize.holdout
    number = text_of_row(path, _sources_of(artifact), holdout, row, artifact.path)
    if number is None or not is_text(shard, number, passage.text, _tokenizer(config, project)):
        return None
    return text_span(shard, number)


def _sources_of(artifact: Artifact) -> list[str]:
    return list(artifact.manifest["identity"]["fields"]["train.arms"])


def _replay_text(config: Config, artifact: Artifact, number: int) -> ReplayText:
    path = replay_path(config)
    recorded = artifact.manifest["identity"]["fields"]
    found = content_hash(path) if path.is_file() else "no such file"
    if found != recorded["tokenize.replay"]:
        raise UserError(
            "The replay text has changed since it was tokenized.",
            where=path,
            expected=f"content with hash {recorded['tokenize.replay']}",
            found=found,
            hint="steep tokenize",
        )
    numbered = enumerate(replay_texts(path))
    own = ((n, text) for n, text in numbered if draw(text) >= recorded["tokenize.holdout"])
    in_file, text = next(islice(own, number, None))
    return ReplayText(str(path), in_file, text)


def _shard(config: Config, project: Project, arm: str) -> Artifact:
    """Return the newest shard of an arm for the model of the configuration.

    Raises:
        UserError: There is no such arm, or it is not tokenized.
    """
    names = [*config.train.arms, REPLAY]
    if arm not in names:
        raise UserError(
            f"There is no arm '{arm}'.", where="--arm", expected=", ".join(names), found=arm
        )
    for artifact in _newest_first(config, project, "tokenize"):
        fields = artifact.manifest["identity"]["fields"]
        if (fields["arm"], fields["train.model"]) == (arm, config.train.model):
            return artifact
    raise UserError(
        f"The arm '{arm}' is not tokenized.",
        where=project.store,
        expected=f"token shards of '{arm}' for the model {config.train.model}",
        hint="steep tokenize",
    )


def _newest_first(config: Config, project: Project, stage: str) -> list[Artifact]:
    """Return the finished artifacts of a stage: those of the last run, if nothing is newer."""
    found = project.finished(stage)[::-1]
    record = project.run_directory(config.name) / "run.json"
    if found and record.is_file():
        newest = (found[0].path / MANIFEST).stat().st_mtime
        if record.stat().st_mtime >= newest:
            used = set(_paths(read_json(record)["artifacts"].get(stage)))
            found.sort(key=lambda each: each.path.relative_to(project.root).as_posix() not in used)
    return found


def _paths(recorded: Any) -> Iterator[str]:
    yield from recorded.values() if isinstance(recorded, dict) else [recorded]


def _tokenizer(config: Config, project: Project) -> Any:
    return load_tokenizer(model_directory(config.train.model, project))
