"""Find the ends of sentences, well enough to cut a text there, without a model."""

from __future__ import annotations

import re

from steep.core.words import word_spans

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
_UNFINISHED_LINE = re.compile(r"\s*(?:#{1,6}\s.*|[-*\u2022]|\(?\d+[.)]|\*\*[^*\n]+\*\*:?)?\s*")


_THAI_OR_LAO = re.compile("[\u0e00-\u0eff]$")


def ends_sentence(word: str, after: str = "") -> bool:
    """Return True if a sentence ends with this word; abbreviations and list numbers do not count.

    `after` stands between it and the next word: Thai and Lao end sentences by a blank.
    """
    if after and _THAI_OR_LAO.search(word):
        return True
    return bool(_END.search(word)) and not _ABBREVIATION.search(word) and not _NUMBER.match(word)


def trim_to_sentence(text: str) -> str:
    """Cut a text off after its last whole sentence or list item; empty if it has none."""
    spans = word_spans(text)
    nexts = [*(start for start, _ in spans), len(text)][1:]
    ends = [
        end
        for (start, end), following in zip(spans, nexts, strict=False)
        if ends_sentence(text[start:end], text[end:following])
    ]
    last_line_end = text.rfind("\n")
    whole = text[: max(ends[-1] if ends else 0, last_line_end, 0)].rstrip()
    lines = whole.split("\n")
    while lines and _UNFINISHED_LINE.fullmatch(lines[-1]):  # a heading over nothing
        lines.pop()
    return "\n".join(lines).rstrip()
