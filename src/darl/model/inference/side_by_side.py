"""Packs through a network side by side on a CPU, a core each.

Threads that share one pack meet after every operation, and each waits for the slowest; between the matrix products
there are many small ones. Packs that run each on one thread never wait for each other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, islice
from typing import TypeVar

import torch

Pack = TypeVar("Pack")
Found = TypeVar("Found")

# In float32 the products take nearly all of the time: side by side gained 2 % (SmolLM2-135M) to 5 % (MiniLM-L6) there.
DTYPES = {torch.bfloat16, torch.float16}
# Tokens of a core's packs, by budget. On two cores packs of 2,048 gained 5 to 9 % on one of 4,096 in bfloat16
# (SmolLM2-135M), packs of 1,024 lost; with more cores than a budget has such packs, all threads share each pack.
FULL_PACK = 2048
LEAST_TOKENS = 512  # of a core's share where there is little: below, the weights are read for too few
SLACK = 64  # of each pack's tokens, where they are cut evenly: pairs are not cut


def can_run_side_by_side(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether packs may: in half precision on a CPU with threads to spare, in inference, without autocast."""
    free = torch.is_inference_mode_enabled() and not torch.is_autocast_enabled("cpu")
    return device.type == "cpu" and dtype in DTYPES and torch.get_num_threads() > 1 and free


def cut_for_threads(make: Callable[[int], Iterator[Pack]], size: Callable[[Pack], int], budget: int) -> Iterator[Pack]:
    """Packs for all threads alike, together no larger than one of ``budget``; none where that gives too little to each.

    Args:
        make: packs of at most so many tokens. size: the tokens of a pack.

    >>> before = torch.get_num_threads(); torch.set_num_threads(2)
    >>> def make(budget, tokens=6000):
    ...     return iter([budget] * (tokens // budget) + [tokens % budget] * (tokens % budget > 0))
    >>> list(cut_for_threads(make, int, 4096)), list(cut_for_threads(make, int, 1024))
    ([2048, 2048, 1904], [])
    >>> torch.set_num_threads(before)
    """
    threads = torch.get_num_threads()
    if budget // threads < FULL_PACK:
        return iter(())
    packs = make(budget // threads)
    first = list(islice(packs, 2 * threads + 1))
    if len(first) > 2 * threads:
        return chain(first, packs)
    tokens = sum(map(size, first))
    if tokens < threads * LEAST_TOKENS:
        return iter(())
    even = -(-tokens // threads) + SLACK
    return iter(first) if even >= budget // threads else make(even)


def side_by_side(packs: Iterable[Pack], run: Callable[[Pack], Found]) -> Iterator[tuple[Pack, Found]]:
    """(pack, what ``run`` found) for each, in order; each on a thread of its own with one core, without gradients.

    At most two packs a thread are in hand. Errors are raised where their pack's turn comes. While it goes on, threads
    that use torch for the first time have one core as well.
    """
    threads = torch.get_num_threads()

    def alone(pack: Pack) -> Found:
        with torch.inference_mode():
            return run(pack)

    with _threads_kept(threads), ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from in_order(packs, alone, pool, 2 * threads)


def in_order(
    given: Iterable[Pack], run: Callable[[Pack], Found], pool: ThreadPoolExecutor, ahead: int
) -> Iterator[tuple[Pack, Found]]:
    """(what was given, what ``run`` found), in order, at most ``ahead`` in hand; an error is raised at its turn.

    >>> with ThreadPoolExecutor(2) as pool:
    ...     list(in_order([3, 1], lambda n: n * n, pool, 2))
    [(3, 9), (1, 1)]
    """
    waiting: deque[tuple[Pack, Future[Found]]] = deque()
    try:
        for one in given:
            waiting.append((one, pool.submit(run, one)))
            if len(waiting) == ahead:
                done, found = waiting.popleft()
                yield done, found.result()
        while waiting:
            done, found = waiting.popleft()
            yield done, found.result()
    finally:
        for _, found in waiting:  # an error, or nobody reads on
            found.cancel()


@contextmanager
def _threads_kept(threads: int) -> Iterator[None]:
    """The number that a thread sets is also that of threads to come: set again at the end."""
    try:
        yield
    finally:
        torch.set_num_threads(threads)
