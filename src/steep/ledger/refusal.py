"""Detect refusals: "I'm sorry, but I can't help with that" must never be trained on.

A refusal speaks in the first person, at once, about the request. So only its start is read, with
two levels of proof: an unmistakable one ("As an AI language model, I cannot ...") counts in any
text; one that a memoir or a letter could also have ("I cannot write about ...") counts only when
the text is as short as a refusal is. Speech in quotation marks is a story's, and
so is what goes on to say who spoke. Headings before a refusal are the prompt's.
"""

# ruff: noqa: RUF001
from __future__ import annotations

import re

from steep.core.words import is_unspaced, words_of

START_CHARACTERS = 400
SHORT_WORDS = 60
UNSPACED_PER_WORD = 2  # characters, in scripts without spaces
LONGEST_WORD = 40  # a text of so long words is not short

_NOT = (
    r"(?:can(?:no|')t|can not|won't|will not"
    r"|(?:am|'m) (?:not able|unable) to|(?:am|'m) not going to)"
)
_APOLOGY = (
    r"(?:(?:i(?:'m| am)(?: really| very| so| truly)?|we(?:'re| are)) (?:sorry|afraid)"
    r"|sorry|(?:my )?apologies|i (?:sincerely )?apologi[sz]es?|unfortunately)"
    r"(?: for (?:the|any) (?:confusion|inconvenience|misunderstanding))?"
)
_AI = r"(?:an? |your )?(?:artificial intelligence|ai|large language model|language model|chatbot)"
# What a model says that it cannot do. "help" needs its object: people cannot help falling in love.
_TASK = (
    r"(?:assist|help (?:you|with|create|write|generate)|fulfil|compl(?:y|ete)|provide|generate"
    r"|creat|writ|produc|discuss|engage|answer|respond|continue|process|access|shar|offer|support"
    r"|extract|summari|rephras|paraphras|proceed|analy|do that|do this)"
)
_GIVEN = (
    r"(?: (?:provided|given|attached|available|included|shared|supplied|here|above|below|to\b"
    r"|in (?:your|the|this) (?:message|request|prompt))|[.,;!]|$)"
)
_MISSING = (
    r"(?:(?:you|there) (?:have|has|did|do|does|haven't|hasn't|didn't|don't|doesn't)"
    r"[^.!?]{0,40}\bprovided?\b"
    r"|(?:i )?(?:don't|do not) (?:see|have|find)[^.!?]{0,40}"
    r"\b(?:text|document|article|passage|access|context|attachment)\b"
    rf"|there (?:is|seems to be|appears to be) no (?:text|document|article|passage){_GIVEN})"
)

_AI_SPEAKS = re.compile(
    rf"(?:{_APOLOGY}[,.;:!-]* *)?(?:but |however, )?as {_AI}\b[^.!?]{{0,60}}\bi(?:'m|\b)"
    rf"|i(?:'m| am) (?:just |only |sorry, but i(?:'m| am) )?{_AI}(?: model| assistant)?\b"
    rf"[^.!?]{{0,60}}\b(?:can(?:no|')t|unable|not able|don't|do not)\b"
)
_CERTAIN = re.compile(
    rf"{_APOLOGY}[,.;:!-]* *(?:but |however, )?(?:as {_AI}\b[^.!?]{{0,60}}, )?i {_NOT} {_TASK}"
    rf"|{_APOLOGY}[,.;:!-]* *(?:but |however, )?i(?:'m| am) (?:not able|unable) to {_TASK}"
    rf"|{_APOLOGY}[,.;:!-]* *(?:but )?{_MISSING}"
    r"|(?:很|非常|十分)?(?:抱歉|对不起)\W*但?(?:作为\w{0,12}\W)?我(?:无法|不能|没有)"
)
_LIKELY = re.compile(
    rf"(?:{_APOLOGY}[,.;:!-]* *)?(?:but |however, )?i(?: must (?:decline|refuse)\b"
    rf"| (?:respectfully |have to |need to )?decline (?:to|this|that|your)\b"
    rf"| {_NOT} {_TASK}|'m (?:unable|not able) to {_TASK}"
    rf"| (?:don't|do not) (?:feel comfortable|have (?:access|the ability|enough information)))"
    rf"|{_APOLOGY}[,.;:!-]* *(?:but )?(?:that|this)(?: is|'s)? (?:not )?something i (?:can|{_NOT})"
    rf"|(?:it (?:is|seems|looks|appears)[^.!?]{{0,30}} )?{_MISSING}"
    r"|(?:could|can|please)(?: you)?(?: please)? (?:provide|share|paste)"
    r" (?:me |us )?(?:with )?(?:the|your|a) (?:\w+ )?(?:text|document|article|passage)"
)


# Apology, perhaps "but", and that one cannot: the commonest form in other languages.
_ABROAD = re.compile(
    "|".join(
        (
            r"(?:es tut mir (?:sehr )?leid|tut mir leid|entschuldigung|leider|ich bedaure)\b"
            r"[^.!?]{0,40}\b(?:kann ich|ich kann|ich bin nicht|darf ich|ich darf)\b[^.!?]{0,80}"
            r"(?:helfen|erstell|beantwort|erfüll|nachkomm|liefern|bereitstell|verfass|zugreif"
            r"|in der lage|fortfahr|anbieten|generier)",
            r"ich kann (?:diese|ihre|bei dieser|ihnen|dir)[^.!?]{0,60}\bnicht\b",
            r"(?:je suis (?:vraiment )?désolée?|désolée?|malheureusement)\b"
            r"[^.!?]{0,30}\bje ne (?:peux|suis|dispose|vois)\b[^.!?]{0,40}"
            r"\b(?:aider|répond|fourni|génér|accéd|accès|cré|satisf|trait|continu|en mesure"
            r"|texte|document)",
            r"je ne (?:peux|suis) pas (?:en mesure|vous|répondre)",
            r"(?:lo siento|lo lamento|disculpa|perdón|lamentablemente)\b"
            r"[^.!?]{0,30}\bno (?:puedo|tengo)\b[^.!?]{0,40}"
            r"\b(?:ayudar|respond|proporcion|gener|cumpl|acceso|crear|escribir|proces|continu)",
            r"no puedo (?:ayudar|cumplir|proporcionar|generar|responder)",
            r"(?:mi dispiace|spiacente|purtroppo)\b[^.!?]{0,30}\bnon (?:posso|sono|ho)\b",
            r"(?:desculpe|sinto muito|lamento|infelizmente)\b"
            r"[^.!?]{0,30}\bnão (?:posso|tenho|consigo)\b",
            r"(?:het spijt me|sorry|helaas)\b[^.!?]{0,30}\bik (?:kan|ben)\b[^.!?]{0,60}\bniet\b",
            r"(?:jag beklagar|tyvärr)\b[^.!?]{0,30}\bjag kan inte\b",
            r"(?:przepraszam|przykro mi|niestety)\b[^.!?]{0,30}\bnie mogę\b",
            r"(?:üzgünüm|maalesef)\b[^.!?]{0,80}\byardımcı olamam",
            r"(?:извините|простите|к сожалению|прошу прощения)\b[^.!?]{0,40}\bне (?:могу|имею)\b",
            r"я не могу (?:помочь|выполнить|ответить|предоставить)",
            r"(?:申し訳|すみません|ごめんなさい|恐れ入りますが)"
            r"[^。]{0,60}(?:できません|できかねます|ありません)",
            r"(?:죄송|미안)[^.!?]{0,80}(?:수 없|않습니다|어렵습니다)",
            r"(?:ขออภัย|ขอโทษ)[^.!?]{0,60}ไม่สามารถ",
            r"(?:عذرا|عذرًا|آسف|أعتذر)[^.!?]{0,40}(?:لا أستطيع|لا يمكنني)",
            r"(?:מצטער|סליחה|מתנצל)[^.!?]{0,40}(?:לא יכול|איני יכול|אין באפשרותי)",
        )
    )
)
_FIRST_STOP = re.compile(r"[.!](?= )")  # an apology may be a sentence of its own
# Reported speech: a story, and no answer to a request.
_TOLD = re.compile(
    r"[^.!?;]*(?:,(?! (?:but|however|and|so|i|as|because|since)\b)(?: [\w'-]+){0,7}"
    r" (?:said|says|used to say|wrote|writes|replied|answered|told)\b"
    r"|, (?:schrieb|sagte|écrivit|dit|escribió|dijo|scrisse|disse|schreef|zei)\b"
    r"|\bwithout (?:seeing|hearing|thinking|remembering|feeling|weeping|trembling)\b)"
)
_HEADINGS = re.compile(r"\A(?:[ \t]*(?:#{1,6}[ \t][^\n]*|\*\*[^*\n]+\*\*:?[ \t]*)\n\s*)+")


_BLANKS = "\t\n\v\f\r\x1c\x1d\x1e\x1f"  # all of ASCII's but the usual one


def looks_like_refusal(text: str) -> bool:
    """Return whether a model declined the request instead of answering it."""
    answer = text.lstrip()
    if headings := _HEADINGS.match(answer):
        answer = answer[headings.end() :]
    start = _plain(answer[:START_CHARACTERS])
    if _AI_SPEAKS.match(start):
        return True
    certain = _CERTAIN.match(start)
    likely = certain or _LIKELY.match(start)
    likely = likely or _ABROAD.match(_FIRST_STOP.sub(",", start, count=1))
    if likely is None or _TOLD.match(start):
        return False
    return certain is not None or _is_short(answer)


def _is_short(answer: str) -> bool:
    words = words_of(answer[: SHORT_WORDS * LONGEST_WORD])
    per_word = UNSPACED_PER_WORD if any(map(is_unspaced, words)) else 1
    return len(words) <= SHORT_WORDS * per_word


def _plain(start: str) -> str:
    """Lower case, straight apostrophes, single spaces, no Markdown marks at the front."""
    straight = start.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").casefold().replace("*", "")
    if not straight.isascii() or "  " in straight or any(map(straight.__contains__, _BLANKS)):
        straight = " ".join(straight.split())  # half of the time of all this, and rarely needed
    return straight.strip().lstrip(" _#>-")
