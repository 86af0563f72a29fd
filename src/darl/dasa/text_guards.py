"""Guards on the texts themselves: empty, and garbage that is out of distribution because it is no language.

They are lenient on purpose. A rare script, a part number or a one-character query in Chinese is just what a
selection should find; only what no judge could grade is refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

import numpy as np

from darl.dasa.guards import Guard, Verdict
from darl.pairs import PairTable
from darl.pairs.schema import codes

LONGEST_WORD = 50
"""Letters and digits in a row beyond which it is no word; the longest everyday compounds have about 40."""

DAMAGED_SHARE = 1 / 3
"""Share of replacement, control and private-use characters from which a text counts as damaged."""

_SPACE = re.compile(r"\s+")
_DAMAGED = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ufffd\ue000-\uf8ff\U000f0000-\U0010ffff]")
_LETTER = re.compile(r"[^\W\d_]")
_LETTER_OR_DIGIT = re.compile(r"[^\W_]")
_RUN = re.compile(r"\w+")
# Scripts written without spaces between words, and those where one character can be a word: Thai, Lao, Tibetan,
# Myanmar, Hangul, Khmer, Tai, Balinese, Javanese, kana, Bopomofo, Han and its extensions.
_UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\u1b00-\u1b7f\u2e80-\u9fff"
    "\ua960-\ua9ff\uaa60-\uaa7f\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc\U0001b000-\U0001b2ff\U00020000-\U0003ffff]"
)


class EmptyGuard(Guard):
    """Refuses pairs whose query or item is empty or nearly so (:func:`nearly_empty`)."""

    name = "empty"

    def check(self, pool: PairTable) -> Verdict:
        found = {name: _which(pool, name, nearly_empty) for name in ("query", "item")}
        details = {name: int(mask.sum()) for name, mask in found.items()}
        return Verdict(found["query"] | found["item"], "the query or the item is empty or a single character", details)


class GarbageGuard(Guard):
    """Refuses pairs whose query or item no judge could read.

    Three faults: a text is *damaged* (:func:`damaged`), or is *one endless token* such as a hash or an encoded
    file (:func:`endless_token`), or an item holds *no letter* at all. A query of digits stays: people search
    for part numbers.
    """

    name = "garbage"

    def check(self, pool: PairTable) -> Verdict:
        faults = {
            "damaged": _which(pool, "query", damaged) | _which(pool, "item", damaged),
            "endless token": _which(pool, "query", endless_token) | _which(pool, "item", endless_token),
            "item without letters": _which(pool, "item", lambda text: not _LETTER.search(text)),
        }
        mask = np.logical_or.reduce(list(faults.values()))
        details = {name: int(fault.sum()) for name, fault in faults.items()}
        return Verdict(mask, "the text is damaged, one endless token, or an item without letters", details)


def nearly_empty(text: str) -> bool:
    """Whether a text has no letter or digit, or is a single one of a script where one character is no word.

    >>> [nearly_empty(text) for text in ("  ", "?!", "a", "7", "tv", "车", "c++")]
    [True, True, True, True, False, False, False]
    """
    text = _SPACE.sub("", unicodedata.normalize("NFKC", text))
    if not _LETTER_OR_DIGIT.search(text):
        return True
    return len(text) == 1 and not _UNSPACED.match(text)


def damaged(text: str) -> bool:
    """Whether a third or more of the text, spaces aside, is replacement, control or private-use characters.

    >>> damaged("\\ufffd\\ufffd\\ufffd lamp"), damaged("caf\\ufffd lamp")
    (True, False)
    """
    hits = len(_DAMAGED.findall(text))
    return hits > 0 and hits >= DAMAGED_SHARE * len(_SPACE.sub("", text))


def endless_token(text: str) -> bool:
    """Whether half the text or more is one run of over :data:`LONGEST_WORD` letters and digits.

    A run that is mostly of a script written without spaces (Chinese, Japanese, Thai …) is a sentence.

    >>> endless_token("9f86d081" * 8), endless_token("保险" * 60), endless_token("see https://shop.example/a-long-name")
    (True, False, False)
    """
    if len(text) <= LONGEST_WORD:
        return False
    longest = max(_RUN.findall(text), key=len, default="")
    if len(longest) <= LONGEST_WORD or 2 * len(longest) < len(_SPACE.sub("", text)):
        return False
    return 2 * len(_UNSPACED.findall(longest)) < len(longest)


def _which(pool: PairTable, column: str, test: Callable[[str], bool]) -> np.ndarray:
    """Which pairs pass a test of one text, bool (n,); each distinct text is tested once."""
    raw, texts = codes(pool.arrow.column(column))
    return np.array([test(text) for text in texts], dtype=bool)[raw]
