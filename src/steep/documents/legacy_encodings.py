"""Which legacy encoding some bytes are likely in, by the letters that languages use most.

Every candidate that can decode the bytes is scored by the log probability of what it gives: how
frequent the characters beyond ASCII are in a language that the encoding was made for, and whether
they stand where such characters stand. The best is taken if it is clearly better than the best with
another text. `benchmarks/encodings.py` compares this with charset-normalizer.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

from steep.documents.letter_frequencies import (
    ALPHABETS,
    DIACRITICS,
    FREQUENT_HAN,
    FREQUENT_HANGUL,
)

SAMPLE_BYTES = 1 << 12
MARGIN = 3.0  # nats by which the best text must be better than the next
WORST_PER_BYTE = -5.5  # nats per byte beyond ASCII; bytes at random give some -8
RARE = -8.0  # nats, of a character that no language of the encoding uses
ODD_PLACE = -4.0  # nats, of a capital after a small letter, or of two scripts in one word
CAPITAL = -2.5  # nats, against the small letter
SIGNS = (
    "\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb\u2013\u2014\u2026\u2022"
    "\u00a0\u00ad\u00b0\u00a7\u00a9\u00a3\u20ac\u00ba\u00aa\u2116"
)
JOINING = "\u2019\u2013\u2014\u2026\u00ad"  # of these signs, those inside a word or between two
NO_BREAK_SPACE = "\u00a0"
SIGN = -3.5  # nats
SIGN_IN_ASCII = -1.5  # nats, in a text that is otherwise ASCII
ALPHABET_DECAY = 9.0  # the letter of rank r has a share of some exp(-r / 9), in any alphabet
DIACRITICS_DECAY = 3.0
CANDIDATES: dict[str, tuple[str, float]] = {  # the group of languages, and the prior in nats
    "windows-1252": ("western", 0.0),
    "windows-1250": ("central", -2.0),
    "iso8859-2": ("central", -2.5),
    "windows-1251": ("cyrillic", -0.5),
    "koi8-r": ("cyrillic", -0.9),
    "koi8-u": ("cyrillic", -1.0),
    "iso8859-5": ("cyrillic", -2.0),
    "cp866": ("cyrillic", -1.5),
    "mac_cyrillic": ("cyrillic", -3.0),
    "windows-1253": ("greek", -1.0),
    "iso8859-7": ("greek", -1.5),
    "windows-1254": ("turkish", -2.0),
    "windows-1255": ("hebrew", -1.0),
    "windows-1256": ("arabic", -1.0),
    "windows-1257": ("baltic", -2.0),
    "cp874": ("thai", -1.0),
    "mac_roman": ("western", -3.0),
    "cp850": ("western", -3.0),
    "cp852": ("central", -3.0),
    "cp932": ("japanese", -1.0),
    "euc-jp": ("japanese", -1.0),
    "gb18030": ("simplified", -1.0),
    "cp950": ("traditional", -1.0),
    "cp949": ("korean", -1.0),
}

Shares = Callable[[str], float]


class _EncodingGuess(NamedTuple):
    """What an encoding makes of the bytes, with its score in nats."""

    encoding: str
    text: str
    score: float


def likely_encoding(data: bytes) -> str | None:
    """Return the likely encoding of bytes that are not UTF-8; None if that cannot be told.

    Args:
        data: A text, or its lines that are not ASCII; only the start of a long one is looked at.
    """
    sample = data[:SAMPLE_BYTES]
    beyond = sum(byte > 127 for byte in sample)
    if not beyond or b"\0" in sample:
        return None
    is_whole = len(data) <= SAMPLE_BYTES
    readings = sorted(_readings(sample, is_whole=is_whole), key=lambda each: -each.score)
    if not readings or readings[0].score < WORST_PER_BYTE * beyond:
        return None
    best = readings[0]
    others = [each.score for each in readings if each.text != best.text]
    return best.encoding if not others or best.score - others[0] >= MARGIN else None


def is_latin(encoding: str) -> bool:
    """Return whether letters of ASCII stand among those beyond it in texts of an encoding."""
    return CANDIDATES[encoding][0] in DIACRITICS


def _readings(sample: bytes, *, is_whole: bool) -> Iterator[_EncodingGuess]:
    for encoding, (group, prior) in CANDIDATES.items():
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(sample, final=is_whole)
        except UnicodeDecodeError:
            continue
        if not any("\x7f" <= each < "\xa0" for each in text):  # control characters
            yield _EncodingGuess(encoding, text, prior + _score(text, group))


def _score(text: str, group: str) -> float:
    """Return the log probability of the characters beyond ASCII, in the best of the languages."""
    if group in DIACRITICS:
        return max(_latin_score(text, _diacritics(each).get) for each in DIACRITICS[group])
    if group in ALPHABETS:
        return max(_script_score(text, _alphabet(each).get) for each in ALPHABETS[group])
    return _script_score(text, _EAST_ASIAN[group])


def _latin_score(text: str, share: Callable[..., float]) -> float:
    """Return the score of a text whose letters beyond ASCII are among those of ASCII."""
    total, earlier, before = 0.0, " ", " "
    for character in text:
        if not character.isascii():
            total += share(character, RARE)
            if character.isalpha():
                total += _capital(before, character) + _sign(earlier, before)
                total -= before.isalpha() and not before.isascii()  # two in a row
        elif not before.isascii() and character.isalpha():
            is_letter = before.isalpha()
            total += _capital(before, character) if is_letter else _sign(earlier, before)
        earlier, before = before, character
    return total


def _script_score(text: str, share: Callable[..., float]) -> float:
    """Return the score of a text whose letters are all beyond ASCII."""
    total, earlier, before = 0.0, " ", " "
    for character in text:
        if not character.isascii():
            total += share(character, RARE)
            if character not in SIGNS and character not in EAST_ASIAN_SIGNS:  # or a vowel of Thai
                total += ODD_PLACE * (before.isascii() and before.isalpha())
                total += _capital(before, character) + _sign(earlier, before)
        elif not before.isascii() and character.isalpha():
            total += ODD_PLACE if before.isalpha() else _sign(earlier, before)
        earlier, before = before, character
    return total


def _sign(earlier: str, before: str) -> float:
    """Return the cost of a letter after a sign (`before`), and that after another character."""
    if before.isascii() or before.isalpha():
        return 0.0
    if before == NO_BREAK_SPACE:
        return ODD_PLACE * earlier.isspace()
    odd = before not in SIGNS or before == "\u20ac" or (earlier.isalpha() and before not in JOINING)
    return ODD_PLACE * odd


def _capital(before: str, character: str) -> float:
    """Return what the case of a letter adds: a capital after a capital is no surprise."""
    if not character.isupper():
        return 0.0
    if before.islower():
        return ODD_PLACE
    return -CAPITAL if before.isupper() and not character.isascii() else 0.0


@cache
def _alphabet(letters: str) -> dict[str, float]:
    return _ranked(letters, ALPHABET_DECAY)


@cache
def _diacritics(letters: str) -> dict[str, float]:
    if letters:
        return _ranked(letters, DIACRITICS_DECAY)
    return dict.fromkeys(SIGNS, SIGN_IN_ASCII)


def _ranked(letters: str, decay: float) -> dict[str, float]:
    """Return the log shares of letters in the order of their frequency, of capitals, and signs."""
    scale = math.log(sum(math.exp(-rank / decay) for rank in range(len(letters))))
    model = dict.fromkeys(SIGNS, SIGN)
    for rank, letter in enumerate(letters):
        share = -rank / decay - scale
        if letter.upper() != letter and len(letter.upper()) == 1:
            model.setdefault(letter.upper(), share + CAPITAL)
        model[letter] = share
    return model


FREQUENT = -5.4  # nats: of about 200 characters with half of the text
LEVEL_1, LEVEL_2 = -8.8, -12.0  # nats: the common and the rare ones of a national standard
EAST_ASIAN_SIGN = -4.0  # nats
EAST_ASIAN_SIGNS = (
    "\u3000\u3001\u3002\u300a\u300b\u300c\u300d\u30fb\u30fc\u201c\u201d"
    "\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f"
)


def _standard_share(frequent: str, standard: str, common: range) -> Shares:
    """Return the log shares of characters of two bytes by their first byte in a standard."""
    known = dict.fromkeys(frequent, FREQUENT) | dict.fromkeys(EAST_ASIAN_SIGNS, EAST_ASIAN_SIGN)

    @cache
    def share(character: str, default: float = RARE) -> float:
        if character in known:
            return known[character]
        try:
            lead = character.encode(standard)[0]
        except UnicodeEncodeError:
            return LEVEL_2
        return LEVEL_1 if lead in common else LEVEL_2

    return share


_HIRAGANA_TO_KATAKANA = "".join(map(chr, (*range(0x3041, 0x3094), *range(0x30A1, 0x30F7))))
_EAST_ASIAN: dict[str, Shares] = {
    "simplified": _standard_share(FREQUENT_HAN["simplified"], "gb2312", range(0xB0, 0xD8)),
    "traditional": _standard_share(FREQUENT_HAN["traditional"], "big5", range(0xA4, 0xC7)),
    "korean": _standard_share(FREQUENT_HANGUL, "euc_kr", range(0xB0, 0xC9)),
    "japanese": _standard_share(_HIRAGANA_TO_KATAKANA, "euc_jp", range(0xB0, 0xD0)),
}
