"""Where a sentence ends: enough to cut a text there, without a model."""

from __future__ import annotations

import re

# Full stops of all scripts: Latin, CJK, Arabic and Urdu, Devanagari, Burmese, Khmer, Ethiopic.
_STOPS = ".!?\u2026\u3002\uff01\uff1f\uff0e\uff61\u061f\u06d4\u0964\u0965\u104b\u17d4\u17d5\u1362"
_CLOSING = "\"')\\]\u2019\u201d\u201c\u00bb\u300d\u300f\u300b\uff09\u3011*_"
_END = re.compile(rf"[{_STOPS}][{_CLOSING}]*$")
_ABBREVIATION = re.compile(
    r"(?:^|\W)(?:Mr|Mrs|Ms|Dr|St|Prof|Gen|Col|Capt|Lt|Rev|Jr|Sr|vs|No|Vol|Fig|e\.g|i\.e"
    r"|Nr|Hr|Fr|bzw|ca|z\.B|d\.h|u\.a|Abb|Mme|Mlle|Sra|Dra|\u0438\u043c|\u0443\u043b|\u0441\u0442\u0440"
    r"|\u0442\.\u0435|\u0440\u0438\u0441|[A-Z\u00c0-\u00de\u0410-\u042f])\.$"
)
_NUMBER = re.compile(r"^\(?(?:\d+|[a-z])[.)]$")


_THAI_OR_LAO = re.compile("[\u0e00-\u0eff]$")


def ends_sentence(word: str, after: str = "") -> bool:
    """Say whether a sentence ends with this word; abbreviations and list numbers end none.

    Args:
        word: The word with its punctuation.
        after: What stands between it and the next word; Thai and Lao end sentences by a blank.
    """
    if after and _THAI_OR_LAO.search(word):
        return True
    return bool(_END.search(word)) and not _ABBREVIATION.search(word) and not _NUMBER.match(word)
