"""Detect the language of a text, if it is certain.

Scripts of one language (Japanese, Korean, Thai, ...) decide alone. For others, py3langid must be
95% confident, and agree on the words in lower case alone: invented names are capitalized, and
neither a list nor a page of them may look like Finnish. English is recognized by its commonest
words first, so that an English document never loads py3langid.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache
from typing import Any

MIN_CHARACTERS = 120  # of a text that may be rejected for its language
MIN_DOCUMENT_CHARACTERS = 40  # of a document, which is answered in its language
MIN_CONFIDENCE = 0.95
ENGLISH_SHARE = 0.08  # of words that are among the commonest English ones
CERTAIN_ENGLISH_SHARE = 0.12  # of a text that is not in another language
SAMPLE_CHARACTERS = 5_000  # enough to know the language of a document
DENSE = 3  # a character of these scripts says as much as so many letters
DENSE_SCRIPTS = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL"})

NAMES = {
    "af": "Afrikaans", "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "bs": "Bosnian",
    "ca": "Catalan", "cs": "Czech", "cy": "Welsh", "da": "Danish", "de": "German", "el": "Greek",
    "en": "English", "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian",
    "fi": "Finnish", "fr": "French", "ga": "Irish", "gl": "Galician", "gu": "Gujarati",
    "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "hy": "Armenian",
    "id": "Indonesian", "is": "Icelandic", "it": "Italian", "ja": "Japanese", "ka": "Georgian",
    "kk": "Kazakh", "km": "Khmer", "kn": "Kannada", "ko": "Korean", "la": "Latin", "lo": "Lao",
    "lt": "Lithuanian", "lv": "Latvian", "mk": "Macedonian", "ml": "Malayalam", "mr": "Marathi",
    "ms": "Malay", "my": "Burmese", "nb": "Norwegian", "ne": "Nepali", "nl": "Dutch",
    "nn": "Norwegian", "no": "Norwegian", "pa": "Punjabi", "pl": "Polish", "pt": "Portuguese",
    "ro": "Romanian", "ru": "Russian", "si": "Sinhala", "sk": "Slovak", "sl": "Slovenian",
    "sq": "Albanian", "sr": "Serbian", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil",
    "te": "Telugu", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu",
    "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
_OF_SCRIPT = {
    "ARMENIAN": "hy", "CJK": "zh", "GEORGIAN": "ka", "GREEK": "el", "GUJARATI": "gu",
    "GURMUKHI": "pa", "HANGUL": "ko", "HEBREW": "he", "HIRAGANA": "ja", "KANNADA": "kn",
    "KATAKANA": "ja", "KHMER": "km", "LAO": "lo",
    "MALAYALAM": "ml", "MYANMAR": "my", "SINHALA": "si", "TAMIL": "ta", "TELUGU": "te",
    "THAI": "th",
}  # fmt: skip
_OWN_LETTERS = {
    "ARABIC": (
        ("ur", re.compile("[\u0679\u0688\u0691\u06d2\u06ba]")),
        ("fa", re.compile("[\u067e\u0686\u0698\u06af]")),
        ("ar", re.compile("[\u0627\u0629\u0649]")),
    ),
    "CYRILLIC": (
        ("kk", re.compile("[\u04d9\u0493\u049b\u04a3\u04e9\u04b1\u04af]")),
        ("uk", re.compile("[\u0457\u0454\u0491]")),
        ("ru", re.compile("[\u044b\u044d\u0451]")),
    ),
}
# Without those that are as common in another language ("in", "is", "of", "a").
_COMMONEST_ENGLISH = (
    "the and to that it with his this not but from they which or were their she you has as are"
)
_ENGLISH = frozenset(_COMMONEST_ENGLISH.split())
_NO_LETTERS = {i: " " for i in range(128) if not chr(i).isalpha()}
_NO_LANGUAGE = {"zxx", "und"}


def document_language(text: str) -> str | None:
    """Return the ISO 639-1 code of a document's language, or None if it is not clear."""
    return _document_language(text[:SAMPLE_CHARACTERS])


@lru_cache(maxsize=4096)
def _document_language(sample: str) -> str | None:
    script = _main_script(sample)
    if script is None or script in _OF_SCRIPT:
        return _OF_SCRIPT.get(script or "")
    words = _latin_words(sample.casefold()) if script == "LATIN" else []
    if words and sum(map(_ENGLISH.__contains__, words)) >= ENGLISH_SHARE * len(words):
        return "en"
    if len(sample) < MIN_DOCUMENT_CHARACTERS:
        return None
    return _identified(sample, names_differ=script == "LATIN") or _by_letters(sample, script)


def _latin_words(folded: str) -> list[str]:
    if folded.isascii():  # several times as fast
        return folded.translate(_NO_LETTERS).split()
    return re.findall(r"[^\W\d_]+", folded)


def _by_letters(sample: str, script: str) -> str | None:
    """Return the language whose own letters a text uses, where the words did not decide."""
    own = _OWN_LETTERS.get(script, ())
    return next((code for code, letters in own if letters.search(sample)), None)


def detect_language(text: str) -> str | None:
    """Return the ISO 639-1 code of a text's language, or None when it is too short or not clear."""
    script = _main_script(text[:SAMPLE_CHARACTERS])
    if script in _OF_SCRIPT:
        return _OF_SCRIPT[script] if len(text) >= MIN_DOCUMENT_CHARACTERS else None
    return _identified(text) if len(text) >= MIN_CHARACTERS else None


def other_language(text: str, code: str) -> str | None:
    """Return the detected language of a text if it is not this one; None if it is, or not clear.

    As `detect_language` finds it, in a fraction of its time for texts in the given language.
    """
    if code == "en":
        words = _latin_words(text.casefold())
        if sum(map(_ENGLISH.__contains__, words)) > CERTAIN_ENGLISH_SHARE * len(words):
            return None
    script = _main_script(text[:SAMPLE_CHARACTERS])
    if script not in _OF_SCRIPT and len(text) >= MIN_CHARACTERS:
        likely, _ = _identifier().classify(unicodedata.normalize("NFC", text))
        if likely == code:
            return None
    found = detect_language(text)
    return found if found != code else None


def script_shares(text: str) -> dict[str, float]:
    """Return the share of a text's letters in each script, by the first word of their names."""
    if text.isascii():  # several times as fast
        return {"LATIN": 1.0} if any(map(str.isalpha, text)) else {}
    counts = Counter[str]()
    for character, number in Counter(text).items():
        if character.isalpha():
            counts[_script(character)] += number
    total = counts.total()
    return {name: count / total for name, count in counts.items()}


def _main_script(sample: str) -> str | None:
    """Return the script that holds most of a text; kana among ideographs decide for Japanese."""
    shares = script_shares(unicodedata.normalize("NFKC", sample))
    kana = shares.get("HIRAGANA", 0.0) + shares.get("KATAKANA", 0.0)
    if kana > 0.1 * (kana + shares.get("CJK", 0.0)):
        shares["HIRAGANA"] = kana + shares.pop("CJK", 0.0)
    weights = {
        name: share * (DENSE if name in DENSE_SCRIPTS else 1) for name, share in shares.items()
    }
    return max(weights, key=weights.__getitem__, default=None)


def _identified(text: str, names_differ: bool = True) -> str | None:
    composed = unicodedata.normalize("NFC", text)
    code, confidence = _identifier().classify(composed)
    if confidence < MIN_CONFIDENCE or code in _NO_LANGUAGE:
        return None
    if not names_differ:
        return str(code)
    lower = " ".join(word for word in composed.split() if word == word.lower() and word.isalpha())
    lower_code, lower_confidence = _identifier().classify(lower)
    return str(code) if lower_code == code and lower_confidence >= MIN_CONFIDENCE else None


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    return unicodedata.name(letter, "UNKNOWN").partition(" ")[0].partition("-")[0]


@lru_cache(maxsize=1)
def _identifier() -> Any:
    """Return the identifier, loaded once and only when asked (it takes a second)."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
