"""Freed memory goes back to the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import pathlib, resource, sys
from darl.memory import give_back_memory

def resident() -> int:
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

kept = []
for _ in range(4000):  # blocks below the size that the C library maps by itself, a small one after each
    kept.append(bytearray(60_000))
    kept.append(bytearray(64))
kept = kept[1::2]
held = resident()
give_back_memory()
print(held - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked to give memory back")
def test_gaps_between_what_is_in_use_go_back() -> None:
    freed = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout
    assert int(freed) > 100_000_000
