"""Guards that know what the training texts look like: another script, and characters in no order of a language.

Both compare with the training pairs, so without a training table they refuse nothing.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import lru_cache

import numpy as np

from darl.dasa.guards import Guard, Verdict
from darl.pairs import PairTable
from darl.pairs.schema import codes

FOREIGN = 0.001
"""A script that makes up less than this share of the training letters is foreign."""

TRAFFIC = 0.05
"""From this share of the pool on, a foreign script is new traffic and no stray text."""

READ = 20_000
"""Training texts that are read, the first ones; enough for the frequencies of pairs of letters."""

DEVIATIONS = 6.0
"""How many robust standard deviations below the training texts a text must lie to count as gibberish."""

LEAST_WORDS = 300
"""Distinct words that training must have: fewer show a subject and not a language, and new subjects must pass."""

SHORTEST = 12
"""Letters below which a text says too little about its order."""


class ScriptGuard(Guard):
    """Refuses pairs with an item or query mainly in a script that training does not know and the pool hardly has.

    >>> train = PairTable.from_pairs(["desk lamp"] * 40, ["a lamp for the desk"] * 40)
    >>> pool = PairTable.from_pairs(["lamp"] * 40, ["floor lamp"] * 39 + ["щкфвап"])
    >>> int(ScriptGuard(train).check(pool).mask.sum())
    1
    """

    name = "script"

    def __init__(self, train: PairTable | None) -> None:
        self.shares: dict[str, float] = {}
        if train is not None and len(train):
            counts: Counter[str] = Counter()
            for text in (*train.queries[:READ], *train.items[:READ]):
                counts.update(script(letter) for letter in text if letter.isalpha())
            total = sum(counts.values())
            self.shares = {name: count / total for name, count in counts.items()}

    def check(self, pool: PairTable) -> Verdict:
        mask, details = np.zeros(len(pool), dtype=bool), {}
        if not self.shares:
            return Verdict(mask, "no training texts to compare with")
        for column in ("query", "item"):
            raw, texts = codes(pool.arrow.column(column))
            mains = np.array([main_script(text) for text in texts], dtype=object)[raw]
            names, counts = np.unique(mains.astype(str), return_counts=True)
            for name, count in zip(names, counts, strict=True):
                if name and self.shares.get(name, 0.0) < FOREIGN and count < TRAFFIC * len(pool):
                    mask |= mains == name
                    details[f"{column} {name}"] = int(count)
        return Verdict(mask, "the text is in a script that neither training nor much of the pool has", details)


class GibberishGuard(Guard):
    """Refuses pairs with a text whose letters follow each other as in no training text.

    The mean log-probability of a text's pairs of letters, log p(b | a) with p from the training texts (add-one
    smoothing), is compared with that of the training texts: below their median by more than ``DEVIATIONS`` robust
    standard deviations (1.4826 · MAD) is gibberish. Texts of few letters pass, and texts mainly of other scripts
    than those with an alphabet do: in a script of thousands of characters most pairs are new.

    Args:
        train: what the model was trained on; None, or fewer than ``LEAST_WORDS`` distinct words, lets everything
            pass.
    """

    name = "gibberish"

    def __init__(self, train: PairTable | None) -> None:
        self.counts: Counter[str] = Counter()
        self.firsts: Counter[str] = Counter()
        self.floor = -np.inf
        texts = [] if train is None else list(dict.fromkeys((*train.queries[:READ], *train.items[:READ])))
        cleaned = [letters for text in texts if len(letters := spelled(text)) >= SHORTEST]
        if len({word for letters in cleaned for word in letters.split()}) < LEAST_WORDS:
            return
        for letters in cleaned:
            self.counts.update(letters[i : i + 2] for i in range(len(letters) - 1))
            self.firsts.update(letters[:-1])
        self.size = len(self.firsts) + 1
        scores = np.array([self.score(letters) for letters in cleaned])
        middle = float(np.median(scores))
        spread = 1.4826 * float(np.median(np.abs(scores - middle)))
        self.floor = middle - DEVIATIONS * max(spread, 1e-3)

    def score(self, letters: str) -> float:
        """Mean log p(b | a) over the pairs of neighbouring letters, natural logarithm."""
        chances = [
            (self.counts[letters[i : i + 2]] + 1) / (self.firsts[letters[i]] + self.size)
            for i in range(len(letters) - 1)
        ]
        return float(np.log(chances).mean())

    def check(self, pool: PairTable) -> Verdict:
        found = {}
        for column in ("query", "item"):
            raw, texts = codes(pool.arrow.column(column))
            found[column] = np.array([self._gibberish(text) for text in texts], dtype=bool)[raw]
        details = {name: int(mask.sum()) for name, mask in found.items()}
        return Verdict(found["query"] | found["item"], "its letters follow each other as in no language", details)

    def _gibberish(self, text: str) -> bool:
        if not np.isfinite(self.floor):
            return False
        letters = spelled(text[:400])
        return len(letters) >= SHORTEST and self.score(letters) < self.floor


def spelled(text: str) -> str:
    """The letters of alphabetic scripts in lower case, runs of anything else as one space.

    >>> spelled("Desk-Lamp 40 W 车")
    'desk lamp w'
    """
    kept = "".join(c if c.isalpha() and script(c) not in UNSPELLED else " " for c in text.casefold())
    return " ".join(kept.split())


UNSPELLED = frozenset(("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "YI", "EGYPTIAN", "CUNEIFORM", "TANGUT"))
"""Scripts with so many characters that pairs of them say nothing."""


@lru_cache(maxsize=200_000)
def script(letter: str) -> str:
    """The script of a letter, by the first word of its Unicode name.

    >>> script("a"), script("ж"), script("车")
    ('LATIN', 'CYRILLIC', 'CJK')
    """
    return unicodedata.name(letter, "").partition(" ")[0]


def main_script(text: str) -> str:
    """The script of most letters of a text; empty where it has none."""
    counts = Counter(script(letter) for letter in text[:400] if letter.isalpha())
    return counts.most_common(1)[0][0] if counts else ""
