"""Tell a refusal from a text: "I'm sorry, but I can't help with that" must never be trained on.

A refusal speaks in the first person, at once, about the request. So only the opening is read, with
two levels of proof: an unmistakable opening ("As an AI language model, I cannot ...") counts
whatever follows; an opening that a memoir or a letter could also have ("I cannot write about ...")
counts only when the text is as short as a refusal is. Speech in quotation marks is a story's.
"""

from __future__ import annotations

import re

OPENING_CHARACTERS = 400
SHORT_WORDS = 60

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
# What a model says that it cannot do. "help" needs its object: nobody can help falling in love.
_TASK = (
    r"(?:assist|help (?:you|with|create|write|generate)|fulfil|compl(?:y|ete)|provide|generate"
    r"|creat|writ|produc|discuss|engage|answer|respond|continue|process|access|shar|offer|support"
    r"|extract|summari|rephras|paraphras|proceed|analy|do that|do this)"
)
_MISSING = (
    r"(?:(?:you|there) (?:have|has|did|do|does|haven't|hasn't|didn't|don't|doesn't)"
    r"[^.!?]{0,40}\bprovided?\b"
    r"|(?:i )?(?:don't|do not) (?:see|have|find)[^.!?]{0,40}"
    r"\b(?:text|document|article|passage|access|context|attachment)\b"
    r"|there (?:is|seems to be|appears to be) no (?:text|document|article|passage)\b)"
)

_CERTAIN = re.compile(
    rf"(?:{_APOLOGY}[,.;:!-]* *)?(?:but |however, )?as {_AI}\b[^.!?]{{0,60}}\bi(?:'m|\b)"
    rf"|{_APOLOGY}[,.;:!-]* *(?:but |however, )?(?:as {_AI}\b[^.!?]{{0,60}}, )?i {_NOT} {_TASK}"
    rf"|{_APOLOGY}[,.;:!-]* *(?:but |however, )?i(?:'m| am) (?:not able|unable) to {_TASK}"
    rf"|{_APOLOGY}[,.;:!-]* *(?:but )?{_MISSING}"
    rf"|i(?:'m| am) (?:just |only |sorry, but i(?:'m| am) )?{_AI}(?: model| assistant)?\b"
    rf"[^.!?]{{0,60}}\b(?:can(?:no|')t|unable|not able|don't|do not)\b"
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


def looks_like_refusal(text: str) -> bool:
    """Say whether a model declined the request instead of answering it."""
    opening = _plain(text[:OPENING_CHARACTERS])
    if _CERTAIN.match(opening):
        return True
    return _LIKELY.match(opening) is not None and len(text.split()) <= SHORT_WORDS


def _plain(opening: str) -> str:
    """Lower case, straight apostrophes, single blanks, no Markdown marks at the front."""
    straight = opening.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").casefold()
    return " ".join(straight.replace("*", "").split()).lstrip(" _#>-")
