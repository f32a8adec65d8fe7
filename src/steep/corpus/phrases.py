"""Assistant phrases around a text ("Sure! Here is ...", "Let me know if ...").

They are removed: a first line that only announces the text, and a last one that offers more.
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
