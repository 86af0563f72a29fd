"""PairEncoder: texts to token ids, and token ids to batches.

Truncation never cuts the query away: the item gives way first; a query is cut only when it alone
would leave the item less than a quarter of the room.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from darl.errors import ModelError
from darl.pairs.text import clean_text

# Below this many tokens a batch leaves the processor idle; above, padding and memory grow for nothing.
TOKENS_PER_BATCH = 4096
# A GPU starves on that: on an H200, SmolLM2-135M scored 2,700 pairs/s with 4,096 tokens, 8,400 with these, 7,800 with
# twice as many, where the attention's mask alone took most of 32 GB.
TOKENS_PER_BATCH_GPU = 32_768

# A tokenizer also makes each token's text and place, some hundred bytes, and holds them until its call ends.
PAIRS_AT_A_TIME = 512
# Queries of a small batch whose tokens' number is remembered: how many a batch may have, how many letters a query, and
# how many are remembered before all are forgotten.
FEW_QUERIES, SHORT, MOST_SEEN = 64, 200, 4096


@dataclass(frozen=True)
class EncodedPairs:
    """Token ids of n pairs: ``fields['input_ids'][i]`` is a list of ints, and so for each model input.

    Attributes:
        before_query: tokens before the query, of every pair.
        before_item: tokens before the item, of each pair, (n,); None where it is not known.
    """

    fields: dict[str, list[list[int]]]
    before_query: int = 0
    before_item: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(self.fields["input_ids"])

    @property
    def lengths(self) -> np.ndarray:
        return np.fromiter((len(ids) for ids in self.fields["input_ids"]), dtype=np.int64, count=len(self))

    def row(self, index: int) -> dict[str, list[int]]:
        return {name: values[index] for name, values in self.fields.items()}

    def take(self, rows: Sequence[int] | np.ndarray) -> EncodedPairs:
        """Some of the pairs, in the order given."""
        before = None if self.before_item is None else [self.before_item[row] for row in rows]
        fields = {name: [values[row] for row in rows] for name, values in self.fields.items()}
        return EncodedPairs(fields, self.before_query, before)


class PairEncoder:
    """Encodes pairs with a tokenizer that holds the template.

    Args:
        tokenizer: fast; its pair post-processor adds template or special tokens.
        max_length: the most tokens a pair may take, template included.

    Raises:
        ModelError: the template leaves no room for a token of each text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        self.tokenizer, self.max_length = tokenizer, max_length
        self._seen: dict[str, tuple[str, int]] = {}
        fixed = tokenizer.num_special_tokens_to_add(pair=True)  # type: ignore[attr-defined]
        self._room = max_length - fixed
        if self._room < 2:
            raise ModelError(
                f"max_length {max_length} leaves no room for the texts: the template alone takes {fixed} tokens",
                mend=f"set max_length to {fixed + 2} or more, better to a few hundred",
            )

    def encode(self, queries: Sequence[str], items: Sequence[str]) -> EncodedPairs:
        """Token ids of each pair, n × (at most ``max_length``), any Unicode text, empty ones included.

        Raises:
            ModelError: a lone text in place of a list, or an entry that is no text.
        """
        clean_queries, clean_items = _texts(queries, "query"), _texts(items, "item")
        if not clean_queries:
            return EncodedPairs({"input_ids": [], "attention_mask": []})
        fitted = self._fitted(list(dict.fromkeys(clean_queries)))
        fields: dict[str, list[list[int]]] = {}
        for start in range(0, len(clean_items), PAIRS_AT_A_TIME):
            some = slice(start, start + PAIRS_AT_A_TIME)
            encoding = self.tokenizer(
                [fitted[query][0] for query in clean_queries[some]],
                clean_items[some],
                truncation="only_second",
                max_length=self.max_length,
                verbose=False,
            )
            for name, values in encoding.items():
                fields.setdefault(name, []).extend(values)
        if self._around is None:
            return EncodedPairs(fields)
        first, between = self._around
        return EncodedPairs(fields, first, [first + fitted[query][1] + between for query in clean_queries])

    @cached_property
    def _around(self) -> tuple[int, int] | None:
        """Tokens before the query and those between query and item, or None where texts come to no tokens."""
        whose: list[int | None] = self.tokenizer(["a"], ["a"]).sequence_ids(0)
        if 0 not in whose or 1 not in whose:
            return None
        return whose.index(0), whose.index(1) - whose.index(0) - whose.count(0)

    def _fitted(self, queries: list[str]) -> dict[str, tuple[str, int]]:
        """As :meth:`_fit`, which is remembered of the queries of small batches: traffic asks the same ones again."""
        if len(queries) > FEW_QUERIES or any(len(query) > SHORT for query in queries):
            return self._fit(queries)
        if len(self._seen) > MOST_SEEN:
            self._seen = {}
        seen = self._seen
        if new := [query for query in queries if query not in seen]:
            seen |= self._fit(new)
        return {query: seen[query] for query in queries}

    def _fit(self, queries: list[str]) -> dict[str, tuple[str, int]]:
        """Each query and its tokens' number, cut where it would leave the item less than a quarter of the room."""
        limit = max(1, self._room - max(1, self._room // 4))
        ids: list[list[int]] = self.tokenizer(queries, add_special_tokens=False, verbose=False)["input_ids"]  # type: ignore[assignment]
        return {
            query: (query, len(tokens)) if len(tokens) <= limit else self._cut(query, limit)
            for query, tokens in zip(queries, ids, strict=True)
        }

    def _cut(self, query: str, limit: int) -> tuple[str, int]:
        while True:
            encoding = self.tokenizer(query, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
            offsets: list[tuple[int, int]] = encoding["offset_mapping"]  # type: ignore[assignment]
            if len(offsets) <= limit:
                return query, len(offsets)
            # a cut text may split into other tokens than the whole did: shorten until it fits
            query = query[: min(offsets[limit - 1][1], len(query) - 1)]

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


def _texts(values: Sequence[str], name: str) -> list[str]:
    """The texts, safe for a tokenizer."""
    if isinstance(values, str):
        raise ModelError(f"one {name} given where a list of them is needed", mend="write [text]")
    for row, value in enumerate(values):
        if not isinstance(value, str):
            raise ModelError(
                f"{name} {row} is {value!r}, not a text", mend="drop the pair, or give '' for an empty text"
            )
    return [clean_text(value) for value in values]
