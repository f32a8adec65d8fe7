"""Settings of the token shards."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from steep.core.config import Section


class TokenizeConfig(Section):
    """Settings of token shards."""

    replay: Path | Literal["builtin"] = Field(
        "builtin", description="general text (.txt, .md, or .jsonl with `text`) mixed into training"
    )
    instructions: Path | None = Field(
        None, description="chats (JSONL with `messages`) mixed in at train.instruction_rate"
    )
    holdout: float = Field(
        0.01, ge=0, lt=0.5, description="share of texts held out of training for validation losses"
    )
