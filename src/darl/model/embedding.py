"""Embeddings of single texts: what a backbone says of a query and of an item that it reads apart.

A backbone that was pretrained to embed texts (a bi-encoder: Reimers & Gurevych 2019, *Sentence-BERT*) puts a query and
what answers it close together. As a classifier of pairs it has to learn that anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedModel

from darl.model.encoding import EncodedPairs, PairEncoder
from darl.model.features import FeatureSpec, Progress, pooled_features
from darl.pairs.text import clean_text


@dataclass(frozen=True)
class Convention:
    """How a backbone wants its texts.

    Attributes:
        query: what stands before a query. item: before an item. pooling: how its tokens become one vector.
    """

    query: str = ""
    item: str = ""
    pooling: str = "mean"

    def told(self) -> str:
        """In words."""
        before = f", after {self.query!r} and {self.item!r}" if self.query or self.item else ""
        return f"{self.pooling} of tokens{before}" if self.pooling == "mean" else f"{self.pooling} token{before}"


# of sentence-transformers' own encoders and GTE; of E5; of BGE
CONVENTIONS = (Convention(), Convention("query: ", "passage: "), Convention(pooling="first"))


def embed(
    body: PreTrainedModel,
    encoder: PairEncoder,
    texts: Sequence[str],
    pooling: str = "mean",
    *,
    progress: Progress | None = None,
) -> np.ndarray:
    """Unit vectors of single texts, (n, d) float32; each distinct text is read once.

    Args:
        body: the bare backbone. encoder: with its tokenizer; texts are cut at its length.
        progress: called with the number of distinct texts done.
    """
    distinct = list(dict.fromkeys(clean_text(text) for text in texts))
    if not distinct:
        return np.zeros((0, body.config.get_text_config().hidden_size), dtype=np.float32)
    fields = encoder.tokenizer(distinct, truncation=True, max_length=encoder.max_length, verbose=False)
    encoded = EncodedPairs({name: list(values) for name, values in fields.items()})
    found = pooled_features(body, encoder, encoded, FeatureSpec("base", -1, pooling), progress=progress)
    found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    place = {text: row for row, text in enumerate(distinct)}
    return found[[place[clean_text(text)] for text in texts]]
