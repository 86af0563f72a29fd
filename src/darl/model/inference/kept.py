"""KeptPrefixes: keys and values of the tokens before the item, kept from one batch to the next.

What a causal network computes for the prompt and the query depends on these alone, so a query that comes again
costs only its items' tokens. A prefix is known by its token ids, whatever text they came from. The prompt stands once,
and each query behind it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from transformers import PreTrainedModel

Ids = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class KeptPrefix:
    """The last n tokens of a prefix; ``before`` holds those in front of them.

    Attributes:
        ids: all of the prefix, from its first token on.
        before: the prefix that this one goes on from, None where it begins a row.
        keys, values: of L layers, after rotary positions, (L, n, H_kv, d) each.
    """

    ids: Ids
    before: KeptPrefix | None
    keys: torch.Tensor
    values: torch.Tensor

    def __len__(self) -> int:
        return self.keys.shape[1]

    @property
    def bytes(self) -> int:
        """Of its own tokens."""
        return self.keys.nbytes + self.values.nbytes

    def chain(self) -> list[KeptPrefix]:
        """The prefix and those in front of it, outermost first."""
        found: list[KeptPrefix] = []
        part: KeptPrefix | None = self
        while part is not None:
            found.append(part)
            part = part.before
        return found[::-1]


class KeptPrefixes:
    """Prefixes of one network, at most ``max_bytes``, those that were not used for longest given up first.

    Not for two threads at a time: whoever reads or writes holds the network's lock.

    Args:
        max_bytes: of all keys and values. What a pack in flight reads stays in memory until it is through, even
            where it is given up meanwhile.

    Attributes:
        bytes: of what is kept now.
        taken, computed: tokens that went into packs from here and through the network, since the beginning; a token
            that several pairs of a pack share counts once in both.
        padding: the token that a classifier passes over at a row's end, or None.

    >>> store, states = KeptPrefixes(1000), torch.zeros(2, 3, 1, 4)
    >>> store.add((5, 6, 7), (), keys=states, values=states)
    >>> found = store.find([5, 6, 7, 8], cuts=[3])
    >>> len(found), store.bytes
    (3, 192)
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.bytes = max_bytes, 0
        self.taken = self.computed = 0
        self.padding: int | None = None
        self._prefixes: OrderedDict[Ids, KeptPrefix] = OrderedDict()  # the last used at the end
        self._of: int | None = None

    def __len__(self) -> int:
        return len(self._prefixes)

    def __iter__(self) -> Iterator[KeptPrefix]:
        return iter(self._prefixes.values())

    def __contains__(self, ids: Ids) -> bool:
        return ids in self._prefixes

    def find(self, row: Sequence[int], cuts: Iterable[int]) -> KeptPrefix | None:
        """The longest prefix of a row that is kept, of those that end at one of the cuts."""
        for cut in sorted(cuts, reverse=True):
            if (found := self._prefixes.get(tuple(row[:cut]))) is not None:
                return found
        return None

    def add(self, ids: Ids, before: Ids, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Keep a prefix; not one that together with what stands in front of it is larger than the bound.

        Args:
            ids: of the whole prefix.
            before: of the kept prefix in front, () for none; where that is not kept, this one is not either.
            keys, values: as in :class:`KeptPrefix`; they are copied.
        """
        front = self._prefixes.get(before)
        if ids in self._prefixes or (before and front is None):
            return
        chain = front.chain() if front else []
        size = keys.nbytes + values.nbytes
        if size + sum(part.bytes for part in chain) > self.max_bytes:
            return
        self.touch(chain)
        while self.bytes + size > self.max_bytes:  # what stands in front was touched just now, and is not reached
            self.bytes -= self._prefixes.popitem(last=False)[1].bytes
        # copies of their own: a view would keep all of the pack's in memory
        own = KeptPrefix(ids, front, *(part.clone(memory_format=torch.contiguous_format) for part in (keys, values)))
        self._prefixes[ids] = own
        self.bytes += own.bytes
        self.touch([*chain, own])

    def touch(self, chain: Sequence[KeptPrefix]) -> None:
        """Note that prefixes, outermost first, were used: the outermost last, so that it outlives what follows it."""
        for part in reversed(chain):
            if self._prefixes.get(part.ids) is part:
                self._prefixes.move_to_end(part.ids)

    def clear(self) -> None:
        """Give everything up."""
        self._prefixes.clear()
        self.bytes = 0

    def serve(self, network: PreTrainedModel) -> None:
        """Make sure that what is kept is this network's as it is now; all is given up where its weights have moved."""
        self.padding = network.config.get_text_config().pad_token_id
        state = _state(network)
        if state != self._of:
            self.clear()
            self._of = state


_stores: WeakKeyDictionary[torch.nn.Module, KeptPrefixes] = WeakKeyDictionary()


def set_store(network: PreTrainedModel, store: KeptPrefixes | None) -> None:
    """Give a network a store, or take it away; the store goes when the network does."""
    if store is None:
        _stores.pop(network, None)
    else:
        _stores[network] = store


def store_of(network: PreTrainedModel) -> KeptPrefixes | None:
    """The store of a network, or None where it keeps no prefixes."""
    return _stores.get(network)


def _state(network: PreTrainedModel) -> int:
    """A number that changes when weights are replaced, moved, cast or written over in place; not through ``.data``."""
    tensors = (*network.parameters(), *network.buffers())
    return hash(tuple((t.data_ptr(), t.dtype, 0 if t.is_inference() else t._version) for t in tensors))
