"""Assistant phrases ("Sure! Here is ...", "Let me know if ...", "As an AI language model, I ...").

Around a text they are removed: a first line that only announces the text, and a last one that
offers more. Within a text, what a model says about itself or about its task is only recognized.
"""

# ruff: noqa: RUF001
from __future__ import annotations

import re

from steep.core.words import count_words

LONGEST_WORDS = 45

_YES = (
    "sure|certainly|of course|absolutely|okay|ok|great|gladly|gerne|natürlich|selbstverständlich"
    "|bien sûr|certainement|avec plaisir|claro(?: que sí)?|por supuesto|certo|certamente"
    "|com certeza|natuurlijk|конечно|разумеется|当然(?:可以)?|好的|もちろん(?:です)?|承知しました"
    "|물론(?:입니다|이죠)?|네|알겠습니다"
)
_HERE = (
    "here(?:'s|\u2019s| is| are)|below (?:is|are)|(?:hier|nachfolgend) (?:ist|sind|finden|folgt)"
    "|here you go|voici|aquí (?:está|están|tienes|tiene)|ecco|aqui está|вот|ниже|以下是|这是"
    "|以下[はに]|다음은|아래는"
)
_OFFERS = (
    r"(?:please )?(?:let me know|feel free to|do(?: no|n'|n\u2019)t hesitate)"
    r"|i hope (?:this|that) helps|would you like (?:me to|another|more)\b"
    r"|is there anything (?:else|more)|(?:shall|should) i (?:continue|go on|proceed|also)\b"
    r"|if you(?:'d| would)? (?:like|need|want|have any)[^\n]*(?:let me know|feel free|i can\b)"
    r"|(?:lassen sie|lass|sagen sie) mi(?:ch|r)\b|ich hoffe, (?:das|dies|diese)[^\n]* hilf"
    r"|n'hésitez pas|j'espère que cela|espero que (?:esto|isso)|si necesitas|házmelo saber|avísame"
    r"|fammi sapere|spero che (?:questo|sia)|laat het me weten|дайте мне знать|надеюсь, это"
    r"|希望这|如果您(?:需要|有|还)|如有(?:任何|其他)|他に(?:も)?(?:ご|何か)|ご不明な"
    r"|도움이 (?:되|필요)|더 (?:필요|궁금)"
)
_PREFACE = re.compile(
    rf"\A(?:(?:{_YES})[!.,！。，、: ]+(?:(?:{_HERE})[^\n]*)?|(?:{_HERE})[^\n]*[:：])[ \t*]*\n\s*",
    re.IGNORECASE,
)
# A rule between an assistant phrase and the text.
_RULE = re.compile(r"\A(?:-{3,}|\*{3,}|_{3,})[ \t]*\n\s*|\s*\n\n(?:-{3,}|\*{3,}|_{3,})\Z")
_OFFER = re.compile(rf"[ \t*_]*(?:{_OFFERS})", re.IGNORECASE)
_REWRITTEN = "(?:re-?phrased|re-?written|paraphrased|re-?worded)"
_VERSION = r"(?:version|text|passage|paragraph|article|document|sentence|answer|rewrite)s?\b"
_MODEL = "(?:ai|artificial intelligence|(?:large )?language model)"
_META = re.compile(
    rf"\bas an? {_MODEL}\b[^.!?\n]{{0,60}}\bi\b|\bi(?: am|['\u2019]m) an? {_MODEL}\b"
    rf"|\bhere(?:['\u2019]s| is| are) (?:\w+ ){{0,3}}{_REWRITTEN}\b"
    rf"|\bhere(?:['\u2019]s| is) (?:an?|the|my|your) (?:\w+ )?"
    r"(?:summary|paraphrase|rewrite|rewriting) of (?:the|this|your)\b"
    rf"|\b(?:this|these|the|my|your) {_REWRITTEN} {_VERSION}"
    rf"|(?:^|[.!?:]\s+)i(?:['\u2019]ve| have)? {_REWRITTEN} (?:the|this|it|your)\b"
    r"|\bas (?:you )?requested\b[^.!?]{0,40}\b(?:text|version|summary|here)\b"
    r"|\b(?:as per|per) your (?:request|instructions)\b"
    r"|\bals (?:ki|k\u00fcnstliche intelligenz)(?:-?(?:sprach)?modell|-assistent)?,? "
    r"(?:kann|bin|habe) ich\b|\b(?:umformulierte|umgeschriebene)[nrs]? (?:version|fassung|text)"
    r"|\b(?:version|texte) (?:reformul\u00e9|r\u00e9\u00e9crit)e?\b"
    r"|\b(?:versi\u00f3n|texto) (?:reformulad|reescrit|parafrasead)[oa]\b"
    r"|\b(?:versione|testo) (?:riformulat|riscritt)[oa]\b|\bvers\u00e3o (?:reformulada|reescrita)\b"
    r"|作为(?:一个|一名)?(?:人工智能|AI|大?语言模型)|(?:改写|重写)后的(?:文本|版本|段落|文章)"
    r"|(?:AI|人工知能|言語モデル)として、?私|(?:書き換え|言い換え)(?:た|後の)(?:文章|バージョン|テキスト)",
    re.IGNORECASE | re.MULTILINE,
)
# One of them is in every match; looking for them takes a tenth of the time.
_META_PARTS = (
    *("n ai", "artificial intelligence", "language model", "phrased", "ewritten", "e-written"),
    *("worded", "summary of", "paraphrase of", "rewrite of", "rewriting of", "requested"),
    *("your request", "your instructions", "als ki", "als künstliche", "umformuliert"),
    *("umgeschrieben", "reformul", "réécrit", "reescrit", "parafrasead", "riformulat", "riscritt"),
    *("作为", "改写", "重写", "として", "書き換え", "言い換え"),
)


def talks_about_task(text: str) -> bool:
    """Return whether a model speaks in a text about itself, or about the text as its work."""
    lower = text.lower()
    return any(map(lower.__contains__, _META_PARTS)) and _META.search(text) is not None


def without_assistant_phrases(text: str) -> str:
    """Remove a first line that announces the text and a last one that offers more."""
    body = text.strip()
    if (match := _PREFACE.match(body)) and count_words(match[0]) <= LONGEST_WORDS:
        body = body[match.end() :]
    before, _, last = body.rpartition("\n")
    if _OFFER.match(last) and count_words(last) <= LONGEST_WORDS:
        body = before.rstrip()
    if body != text.strip():
        body = _RULE.sub("", body)
    return body or text
