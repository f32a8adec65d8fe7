"""Exact match and F1 of a short answer, by SQuAD's definition: the standard that figures quote.

Both compare words after case, punctuation and the English articles are gone; of several accepted
answers the best counts. Equal to the published scorers on what `benchmarks/metric_agreement.py`
compares. In scripts without blanks between words (Chinese, Japanese, Thai, ...) each character is a
word, and their punctuation goes, too.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from itertools import chain

from steep.core.words import is_unspaced, words_of

_ARTICLE = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(answer: str) -> str:
    """The words that are compared, with one blank between them."""
    bare = answer.lower().translate(_NO_PUNCTUATION)
    runs = _ARTICLE.sub(" ", bare).split()
    return " ".join(chain.from_iterable(map(_words, runs)))


def _words(run: str) -> Sequence[str]:
    """The words of what stands between blanks."""
    return words_of(run) if any(map(is_unspaced, run)) else [run]


def exact_match(said: str, accepted: Sequence[str]) -> float:
    """1 if it is one of the accepted answers, else 0."""
    return float(any(normalized(said) == normalized(answer) for answer in accepted))


def f1(said: str, accepted: Sequence[str]) -> float:
    """The harmonic mean of precision and recall of its words, against the best accepted answer."""
    return max(_word_f1(normalized(said).split(), normalized(each).split()) for each in accepted)


def _word_f1(said: Sequence[str], accepted: Sequence[str]) -> float:
    common = (Counter(said) & Counter(accepted)).total()
    if common == 0:
        return 0.0
    precision, recall = common / len(said), common / len(accepted)
    return 2 * precision * recall / (precision + recall)
