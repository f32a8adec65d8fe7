"""Where a sentence ends: enough to cut a text there, without a model."""

from __future__ import annotations

import re

_END = re.compile(r"""[.!?\u2026\u3002\uff01\uff1f]["')\]\u2019\u201d*_]*$""")
_ABBREVIATION = re.compile(
    r"(?:^|\W)(?:Mr|Mrs|Ms|Dr|St|Prof|Gen|Col|Capt|Lt|Rev|Jr|Sr|vs|No|Vol|Fig|e\.g|i\.e|[A-Z])\.$"
)
_NUMBER = re.compile(r"^\(?(?:\d+|[a-z])[.)]$")


def ends_sentence(word: str) -> bool:
    """Say whether a sentence ends with this word; abbreviations and list numbers end none."""
    return bool(_END.search(word)) and not _ABBREVIATION.search(word) and not _NUMBER.match(word)
