"""How many processor cores this process may use: what the scheduler allows it, and what its container pays for."""

from __future__ import annotations

import math
import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")  # cgroup v2: microseconds of processor time, and the period they are for


def usable_cores(quota: Path = QUOTA) -> int:
    """At least 1: the cores this process is bound to, at most its container's quota, rounded up.

    >>> usable_cores() >= 1
    True
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        allowed, period = quota.read_text().split()
        paid = math.ceil(int(allowed) / int(period))
    except (OSError, ValueError):  # no cgroup v2, or "max": no quota
        return bound
    return max(1, min(bound, paid))
