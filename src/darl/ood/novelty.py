"""How new the wording of a query or an item is, against those of training: no model, no text kept."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix

BUCKETS = 1 << 18
SIZES = (2, 3)  # letters of a gram: also right for scripts without spaces
MOST = 5000
"""Texts whose grams are kept, drawn at random where there are more: all titles of a catalogue would weigh more than the
model. Words are kept of all."""


class WordingNovelty:
    """s(x) = ½ · (1 − max_t cos(g(x), g(t))) + ½ · r(x), in [0, 1], larger = newer.

    g is the TF-IDF vector of a text's hashed runs of two and three characters and t a training text; r is
    the share of its words (runs of letters or digits; single characters in scripts without spaces) that no
    training text has. Mean-pooled features blur one new word among five known ones; this does not.
    Only hashes are kept, so no training text travels with a model.

    Args:
        grams: (t, BUCKETS) 0/1 by training text. words: hashes of the words of all, sorted.

    >>> novelty = WordingNovelty.fit(["desk lamp", "floor lamp"])
    >>> known, new = novelty.score(["lamp desk", "winter tyres"])
    >>> bool(known < 0.4), bool(new > 0.9)
    (True, True)
    """

    def __init__(self, grams: csr_matrix, words: np.ndarray) -> None:
        self.grams, self.words = grams, np.sort(np.asarray(words, dtype=np.int64))
        held = np.bincount(grams.indices, minlength=BUCKETS)
        self._idf = np.log((1 + grams.shape[0]) / (1 + held)) + 1  # type: ignore[index]
        self._rows = self._weighted(grams).T.tocsr()

    @classmethod
    def fit(cls, texts: Sequence[str], *, seed: int = 0) -> WordingNovelty:
        """From the queries, or the items, of training; each distinct text counts once."""
        distinct = list(dict.fromkeys(texts))
        words = {_hash(word) for text in distinct for word in words_of(text)}
        if len(distinct) > MOST:
            distinct = [distinct[i] for i in np.random.default_rng(seed).choice(len(distinct), MOST, replace=False)]
        return cls(_grams(distinct), np.array(sorted(words), dtype=np.int64))

    def score(self, wanted: Sequence[str]) -> np.ndarray:
        """How new each text is, (m,) float64; each distinct one is scored once."""
        texts = list(dict.fromkeys(wanted))
        place = {text: row for row, text in enumerate(texts)}
        nearest = np.zeros(len(texts))
        for start in range(0, len(texts), 512):
            similar = self._weighted(_grams(texts[start : start + 512])) @ self._rows
            nearest[start : start + 512] = similar.max(axis=1).toarray().ravel() if similar.shape[1] else 0.0
        unknown = np.array([self._unknown(text) for text in texts])
        return (0.5 * (1 - nearest.clip(0, 1)) + 0.5 * unknown)[[place[text] for text in wanted]]

    def arrays(self) -> dict[str, np.ndarray]:
        """All that was learnt; :meth:`from_arrays` takes it back."""
        indices, indptr = self.grams.indices.astype(np.int32), self.grams.indptr.astype(np.int64)
        return {"indices": indices, "indptr": indptr, "words": self.words}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> WordingNovelty:
        """What :meth:`arrays` gave; KeyError where one is missing."""
        indices, indptr = arrays["indices"], arrays["indptr"]
        shape = (len(indptr) - 1, BUCKETS)
        return cls(csr_matrix((np.ones(len(indices)), indices, indptr), shape=shape), arrays["words"])

    def _weighted(self, grams: csr_matrix) -> csr_matrix:
        weighted = grams.multiply(self._idf).tocsr()
        length = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
        return weighted.multiply(1 / np.where(length > 0, length, 1)[:, None]).tocsr()

    def _unknown(self, text: str) -> float:
        words = np.array([_hash(word) for word in words_of(text)], dtype=np.int64)
        return float(1 - np.isin(words, self.words).mean()) if len(words) else 0.0


def words_of(text: str) -> list[str]:
    """Lower-cased runs of letters and digits; each character on its own in Chinese, Japanese kana, Thai.

    >>> words_of("Cat-food 2kg 猫粮")
    ['cat', 'food', '2kg', '猫', '粮']
    """
    words, run = [], ""
    for char in text.casefold():
        alone = "\u0e00" <= char <= "\u0e7f" or "\u3040" <= char <= "\u30ff" or "\u3400" <= char <= "\u9fff"
        if char.isalnum() and not alone:
            run += char
            continue
        words += [run] if run else []
        words += [char] if alone else []
        run = ""
    return words + ([run] if run else [])


def _grams(texts: Sequence[str]) -> csr_matrix:
    indices: list[int] = []
    indptr = [0]
    for one in texts:
        text = " ".join(one.casefold().split())
        indices += sorted({_hash(text[i : i + n]) % BUCKETS for n in SIZES for i in range(len(text) - n + 1)})
        indptr.append(len(indices))
    return csr_matrix((np.ones(len(indices)), np.array(indices, dtype=np.int32), indptr), shape=(len(texts), BUCKETS))


def _hash(text: str) -> int:
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))
