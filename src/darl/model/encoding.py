"""PairEncoder: texts to token ids, and token ids to batches.

Truncation never cuts the query away: the item gives way first; a query is cut only when it alone
would leave the item less than a quarter of the room.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from darl.pairs.text import clean_text

# Below this many tokens a batch leaves the processor idle; above, padding and memory grow for nothing.
TOKENS_PER_BATCH = 4096


@dataclass(frozen=True)
class EncodedPairs:
    """Token ids of n pairs: ``fields['input_ids'][i]`` is a list of ints, and so for each model input."""

    fields: dict[str, list[list[int]]]

    def __len__(self) -> int:
        return len(self.fields["input_ids"])

    @property
    def lengths(self) -> np.ndarray:
        return np.fromiter((len(ids) for ids in self.fields["input_ids"]), dtype=np.int64, count=len(self))

    def row(self, index: int) -> dict[str, list[int]]:
        return {name: values[index] for name, values in self.fields.items()}


class PairEncoder:
    """Encodes pairs with a tokenizer that holds the template.

    Args:
        tokenizer: fast; its pair post-processor adds template or special tokens.
        max_length: the most tokens a pair may take, template included.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        self.tokenizer, self.max_length = tokenizer, max_length
        self._room = max_length - tokenizer.num_special_tokens_to_add(pair=True)  # type: ignore[attr-defined]

    def encode(self, queries: Sequence[str], items: Sequence[str]) -> EncodedPairs:
        """Token ids of each pair, n × (at most ``max_length``), any Unicode text, empty ones included."""
        if not queries:
            return EncodedPairs({"input_ids": [], "attention_mask": []})
        fitted = {query: self._fit(clean_text(query)) for query in dict.fromkeys(queries)}
        encoding = self.tokenizer(
            [fitted[query] for query in queries],
            [clean_text(item) for item in items],
            truncation="only_second",
            max_length=self.max_length,
            verbose=False,
        )
        return EncodedPairs({name: list(values) for name, values in encoding.items()})  # type: ignore[union-attr]

    def _fit(self, query: str) -> str:
        limit = max(1, self._room - max(1, self._room // 4))
        if len(query) <= limit // 4:  # no tokenizer makes more than four tokens of a character
            return query
        encoding = self.tokenizer(query, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        offsets = encoding["offset_mapping"]
        # a cut text may split into other tokens than the whole did: shorten until it fits
        while len(offsets) > limit:  # type: ignore[arg-type]
            end = offsets[limit - 1][1]  # type: ignore[index]
            query = query[: min(end, len(query) - 1)]
            offsets = self.tokenizer(query, add_special_tokens=False, return_offsets_mapping=True, verbose=False)[
                "offset_mapping"
            ]
        return query

    def batches(
        self, encoded: EncodedPairs, tokens_per_batch: int = TOKENS_PER_BATCH
    ) -> Iterator[tuple[np.ndarray, dict[str, torch.Tensor]]]:
        """Padded batches of like lengths, longest first: (row numbers (b,), tensors (b, T))."""
        lengths = encoded.lengths
        order = np.argsort(-lengths, kind="stable")
        start = 0
        while start < len(order):
            size = max(1, tokens_per_batch // max(1, int(lengths[order[start]])))
            rows = order[start : start + size]
            yield rows, self.pad([encoded.row(int(i)) for i in rows])
            start += size

    def pad(self, rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        """One padded batch, each tensor (b, T)."""
        return dict(self.tokenizer.pad(rows, return_tensors="pt", verbose=False))
