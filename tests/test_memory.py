"""Freed memory goes back to the system."""

from __future__ import annotations

import mmap
import os
import platform
import subprocess
import sys

import pytest

from darl.memory import FreedMemory, resident_bytes

SCRIPT = """
import pathlib, resource, sys
from darl.memory import give_back_memory

def resident() -> int:
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

kept = []
for _ in range(4000):  # blocks below the size that the C library maps by itself, a small one of its heap after each
    kept.append(bytearray(60_000))
    kept.append(bytearray(1_000))
kept = kept[1::2]
held = resident()
give_back_memory()
print(held - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked to give memory back")
def test_gaps_between_what_is_in_use_go_back() -> None:
    freed = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout
    assert int(freed) > 100_000_000


def test_it_goes_back_once_much_has_piled_up(monkeypatch: pytest.MonkeyPatch) -> None:
    held, given = [1000], []

    def give() -> None:
        given.append(held[0])
        held[0] = 1050  # fifty are in use

    monkeypatch.setattr("darl.memory.resident_bytes", lambda: held[0])
    monkeypatch.setattr("darl.memory.give_back_memory", give)
    freed = FreedMemory(much=100)
    for now, expected in ((1100, False), (1101, True), (1150, False), (1149, False), (1151, True)):
        held[0] = now
        assert freed.give_back_if_much() is expected
    assert given == [1101, 1151]


def test_what_each_batch_takes_is_no_cause_to_give_back(monkeypatch: pytest.MonkeyPatch) -> None:
    held, given = [1000], []

    def give() -> None:
        given.append(held[0])
        held[0] = 1000

    monkeypatch.setattr("darl.memory.resident_bytes", lambda: held[0])
    monkeypatch.setattr("darl.memory.give_back_memory", give)
    freed = FreedMemory(much=100, learns=True)
    for _ in range(50):
        held[0] = 1500  # a batch takes five times what is much
        freed.give_back_if_much()
    held[0] = 1601
    assert freed.give_back_if_much()
    assert given == [1500, 1601]


SMALL_BATCHES = """
import resource, sys
from darl.memory import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()

def work() -> None:
    parts = [bytearray(2_000_000) for _ in range(10)]
    for part in parts:
        part[::4096] = bytes(len(range(0, len(part), 4096)))

work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked to keep memory")
def test_small_batches_write_where_the_last_ones_wrote() -> None:
    def faults(how: str) -> int:
        return int(subprocess.run([sys.executable, "-c", SMALL_BATCHES, how], capture_output=True, check=True).stdout)

    assert faults("keep") < 0.2 * faults("leave")


@pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")
def test_what_the_process_holds() -> None:
    before = resident_bytes()
    with mmap.mmap(-1, 50_000_000) as block:  # from the system itself: the C library may hand out what it has kept
        for page in range(0, len(block), mmap.PAGESIZE):
            block[page] = 1
        assert resident_bytes() - before > 40_000_000


ARROW = """
import io
from darl.memory import share_heap_with_arrow
share_heap_with_arrow()
import pyarrow as pa, pyarrow.parquet as pq
file = io.BytesIO()
pq.write_table(pa.table({"item": [f"item {n}" for n in range(50_000)]}), file)
before = pa.system_memory_pool().bytes_allocated()
for batch in pq.ParquetFile(file).iter_batches(1_000):
    pass
others = [getattr(pa, name + "_memory_pool") for name in pa.supported_memory_backends() if name != "system"]
print(pa.system_memory_pool().max_memory(), sum(pool().max_memory() for pool in others))
"""


def test_all_of_arrow_shares_the_heap_its_parquet_reader_too() -> None:
    done = subprocess.run([sys.executable, "-c", ARROW], capture_output=True, text=True, check=True)
    shared, apart = map(int, done.stdout.split())
    assert shared > 0
    assert apart == 0


CODE = """
import sys
from darl.memory import keep_little_code

if sys.argv[1] == "little":
    keep_little_code()
import torch

torch.set_num_threads(1)
laid = torch.ops.mkldnn._reorder_linear_weight(torch.randn(64, 64), 256)
for count in [*range(1, 301), *range(1, 301)]:
    torch.ops.mkldnn._linear_pointwise(torch.ones(count, 64), laid, None, "none", [], "")
"""


def test_code_for_each_number_of_tokens_does_not_pile_up() -> None:
    """As oneDNN itself tells it: how large a piece of code is differs from processor to processor."""
    import torch

    if not torch.backends.mkldnn.is_available():
        pytest.skip("torch without oneDNN")
    said = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")  # by a command that another test ran here
    env = {name: value for name, value in os.environ.items() if name not in said} | {"ONEDNN_VERBOSE": "profile_create"}
    made = {}
    for how in ("little", "as it is"):
        command = [sys.executable, "-c", CODE, how]
        ran = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
        made[how] = sum("cache_miss" in line and "inner_product" in line for line in ran.stdout.splitlines())
    assert made == {"little": 600, "as it is": 300}
