"""Memory that was freed, given back to the system."""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

MUCH = 64 * 2**20


def give_back_memory() -> None:
    """Hand what the C library keeps of freed memory back to the system, where it is glibc; nothing happens elsewhere.

    Batches come in all sizes, and the gaps that their tensors leave add up: a job over 100,000 pairs would hold
    hundreds of megabytes more than one over 10,000. A call takes some ten milliseconds, and what comes after it asks
    the system for its memory anew, so call it now and then, or as :class:`FreedMemory` says.

    >>> give_back_memory()
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


class FreedMemory:
    """What piles up between batches, given back once it is much: a job's peak does not depend on how long it is.

    Args:
        much: bytes that the process may hold beyond what it held when memory was last given back.
    """

    def __init__(self, much: int = MUCH) -> None:
        self.much = much
        self._held = resident_bytes()

    def give_back_if_much(self) -> bool:
        """Look, which takes some ten microseconds, and give back where there is cause to; says whether there was.

        >>> FreedMemory(much=2**50).give_back_if_much()
        False
        """
        if resident_bytes() - self._held <= self.much:
            return False
        give_back_memory()
        self._held = resident_bytes()  # what is still in use stays, and is no cause to ask again
        return True


def resident_bytes() -> int:
    """Bytes of memory that the process holds; 0 where the system does not say (it is no Linux)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, AttributeError, ValueError):
        return 0
