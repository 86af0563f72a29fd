"""Memory that was freed, given back to the system."""

from __future__ import annotations

import contextlib
import ctypes


def give_back_memory() -> None:
    """Hand what the C library keeps of freed memory back to the system, where it is glibc; nothing happens elsewhere.

    Batches come in all sizes, and the gaps that their tensors leave add up: a job over 100,000 pairs would hold
    hundreds of megabytes more than one over 10,000. A call takes some ten milliseconds, and what comes after it asks
    the system for its memory anew, so call it every few seconds, not after every batch.

    >>> give_back_memory()
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
