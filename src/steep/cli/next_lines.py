"""What a verb prints at its end: the counts of what it has made, and the next command."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steep.config import Config
    from steep.core.artifacts import Artifact

NEXT = {"generate": "corpus", "corpus": "tokenize", "tokenize": "train"}


def counts_of(artifact: Artifact) -> str:
    """The counts of shards and trained models, to stand behind their path."""
    manifest = artifact.manifest
    if "steps" in manifest:
        return (
            f" ({manifest['arm']}: {manifest['steps']:,} steps, {manifest['tokens']:,.0f} tokens, "
            f"final loss {manifest['final_loss']:.4f})"
        )
    if artifact.stage == "tokenize":
        tokens = manifest["tokens"]  # of validation: one number for each set
        total = sum(tokens.values()) if isinstance(tokens, dict) else tokens
        return f" ({manifest['arm']}: {total:,} tokens)"
    return ""


def next_verb(stage: str, config: Config) -> str:
    """The verb that does what comes after a stage."""
    asks = (
        config.evaluate.questions is not None
        or config.summaries.references is not None
        or config.forgetting.texts is not None
        or bool(config.forgetting.tasks)
    )
    return NEXT.get(stage, "evaluate" if asks else "run")
