"""Memory that was freed: kept for the next batch, given back to the system once much has piled up, and what stays."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

MUCH = 16 * 2**20  # less than one pass over a thousand tokens takes, so what one has left does not come on top of it
KEPT_TOP = 256 * 2**20
LARGEST_IN_HEAP = 32 * 2**20  # more than a small batch's largest tensor; older C libraries allow no more
LITTLE_CODE = "128"  # products' worth: some twenty-five numbers of tokens, five products each, 80 MB
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of mallopt, as malloc.h numbers them


def keep_freed_memory() -> None:
    """Have the C library keep what is freed for the next that asks, where it is glibc; nothing happens elsewhere.

    Left to itself it hands the end of its heap back as soon as a few megabytes of it are free, so that each layer of
    each small batch writes on pages that the system must first clear: a sixth of the time of MiniLM-L6 on ten pairs.
    For a process that scores small batch after small batch; :class:`FreedMemory` sees to it that it does not grow.

    >>> keep_freed_memory()
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_IN_HEAP)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_TOP)


def give_back_memory() -> None:
    """Hand what the C library (where it is glibc) and Arrow keep of freed memory back to the system.

    Batches come in all sizes, and the gaps that their tensors leave add up: a job over 100,000 pairs would hold
    hundreds of megabytes more than one over 10,000. A call takes some ten milliseconds, and what comes after it asks
    the system for its memory anew, so call it now and then, or as :class:`FreedMemory` says.

    >>> give_back_memory()
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    arrow = sys.modules.get("pyarrow")  # has a heap of its own
    if arrow is not None:
        arrow.default_memory_pool().release_unused()


@contextlib.contextmanager
def imported_to_stay() -> Iterator[None]:
    """Import a process's libraries in this block: they are no garbage, so none is looked for, then or later.

    torch and transformers leave objects by the hundred thousand. Looking through them again and again is a tenth of
    the time of their imports, and later each full collection holds the process up for .2 to .4 s.

    >>> with imported_to_stay():
    ...     import darl.grades
    >>> gc.isenabled() and gc.get_freeze_count() > 0
    True
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()


def keep_little_code() -> None:
    """Have torch and its oneDNN keep little of the code that they make for products of one number of tokens.

    Left to themselves they keep 1,024 pieces each, .6 MB a piece: a process whose batches come in all sizes grows by
    half a gigabyte (bfloat16, or float32 laid out for oneDNN). Made anew, a piece takes .7 ms. To be called before the
    process's first product; what its environment says already stands.

    >>> keep_little_code()
    """
    for whose in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
        os.environ.setdefault(whose, LITTLE_CODE)


def share_heap_with_arrow() -> None:
    """Have Arrow ask the C library for its memory from now on, so that what it frees is used again or given back.

    For a process that reads or writes long files: Arrow's own heap keeps more and more, 9 MB over 60,000 pairs. To be
    called before anything imports pyarrow; later, its Parquet reader and writer stay with the heap they were given.

    >>> import pyarrow
    >>> before = pyarrow.default_memory_pool()
    >>> share_heap_with_arrow()
    >>> pyarrow.default_memory_pool().backend_name
    'system'
    >>> pyarrow.set_memory_pool(before)
    """
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"  # read when Arrow is loaded, and all that its C++ parts heed

    import pyarrow

    pyarrow.set_memory_pool(pyarrow.system_memory_pool())


class FreedMemory:
    """What piles up between batches, given back once it is much: a job's peak does not depend on how long it is.

    Args:
        much: bytes that the process may hold beyond what it held when memory was last given back.
        learns: allow beyond these the most that one batch was seen to take, which the next would only ask for again.
            For a process whose batches are all that it does: what else grows between two looks is taken for theirs.
    """

    def __init__(self, much: int = MUCH, *, learns: bool = False) -> None:
        self.much, self.learns = much, learns
        self._held, self._of_a_batch, self._given = resident_bytes(), 0, False

    def give_back_if_much(self) -> bool:
        """Look after a batch, which takes some ten microseconds, and give back where there is cause to; says whether.

        >>> FreedMemory(much=2**50).give_back_if_much()
        False
        """
        more = resident_bytes() - self._held
        if self._given:  # all that was free then is gone, so this is what one batch took
            self._of_a_batch, self._given = max(self._of_a_batch, more), False
        if more <= self._of_a_batch + self.much:
            return False
        give_back_memory()
        # what is still in use stays, and is no cause to ask again
        self._held, self._given = resident_bytes(), self.learns
        return True


def resident_bytes() -> int:
    """Bytes of memory that the process holds; 0 where the system does not say (it is no Linux)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, AttributeError, ValueError):
        return 0
