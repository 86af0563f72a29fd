"""Batches side by side: the same numbers in the same order, few in hand, and errors are not swallowed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from darl.export import OnnxModel, export_onnx
from darl.export.side_by_side import run_batches
from darl.grades import GradeScale
from darl.model import RelevanceModel

QUERIES = [f"cover number {number}" for number in range(40)]
ITEMS = ["yearly " * (1 + number % 7) for number in range(40)]


def slowly(number: int) -> int:
    time.sleep(0.002 * (3 - number % 3))  # later ones are done first
    return number * number


def test_results_come_in_the_order_of_the_batches() -> None:
    numbers = list(range(23))
    found = list(run_batches(((n, n) for n in numbers), slowly, lambda: slowly, cores=3))
    assert found == [(n, n * n) for n in numbers]


def test_as_many_as_there_are_cores_run_at_a_time() -> None:
    both = threading.Barrier(2, timeout=10)  # passes only where two wait in it

    def meet(number: int) -> int:
        both.wait()
        return number

    assert list(run_batches([(n, n) for n in range(6)], meet, lambda: meet, cores=2)) == [(n, n) for n in range(6)]


def test_few_batches_are_in_hand() -> None:
    drawn: list[int] = []

    def source() -> Iterator[tuple[int, int]]:
        for number in range(50):
            drawn.append(number)
            yield number, number

    reading = run_batches(source(), slowly, lambda: slowly, cores=2)
    for rows, _ in reading:
        assert len(drawn) <= rows + 2 * 2 + 1


@pytest.mark.parametrize(("cores", "count"), [(1, 5), (4, 3)])
def test_fewer_batches_than_cores_have_all_threads(cores: int, count: int) -> None:
    def narrow() -> None:
        raise AssertionError("no session of one thread is needed")

    found = list(run_batches([(n, n) for n in range(count)], slowly, narrow, cores))  # type: ignore[arg-type]
    assert found == [(n, n * n) for n in range(count)]


def test_an_error_of_a_batch_is_raised() -> None:
    def fail(number: int) -> int:
        if number == 3:
            raise ValueError("batch 3")
        return number

    with pytest.raises(ValueError, match="batch 3"):
        list(run_batches([(n, n) for n in range(9)], fail, lambda: fail, cores=2))


def test_a_model_scores_alike_on_one_thread_and_on_several(tiny_encoder: Path, tmp_path: Path) -> None:
    scale = GradeScale(("bad", "fair", "good"))
    export_onnx(RelevanceModel.from_backbone(str(tiny_encoder), scale, max_length=64), tmp_path / "onnx", int8=True)
    several, one = (OnnxModel(tmp_path / "onnx", threads=threads) for threads in (3, 1))
    for budget in (8, 40, 100_000):
        seen: list[int] = []
        encoded = several.encode(queries=QUERIES, items=ITEMS)
        found = several.logits(encoded, tokens_per_batch=budget, progress=seen.append)
        np.testing.assert_allclose(found, one.logits(encoded, tokens_per_batch=budget), atol=1e-5)
        assert sum(seen) == len(QUERIES)
