"""The traffic log goes on, whatever happens to its folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from fake_worker import FACTS, settings_of

from darl.serving.facts import PairScore
from darl.serving.metrics import Metrics
from darl.serving.traffic_log import Served, TrafficLog

ROW = PairScore(1, [0.25, 0.75], 0.75, None, None, 9, None)


def served(count: int) -> Served:
    return Served("id", "darl", ["q"] * count, ["i"] * count, [ROW] * count, FACTS, 1.0)


def rows_in(folder: Path) -> int:
    return sum(pq.read_metadata(path).num_rows for path in folder.glob("*.parquet"))


def until(folder: Path, rows: int) -> None:
    end = time.monotonic() + 300  # a busy machine; as a rule it is there at once
    while rows_in(folder) < rows:
        assert time.monotonic() < end, f"{rows_in(folder)} of {rows} rows"
        time.sleep(0.02)


def test_a_file_that_is_taken_away_while_sizes_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = TrafficLog(settings_of(traffic_log=tmp_path, traffic_rows=10, traffic_max_bytes=1), Metrics())
    real = Path.glob

    def glob(self: Path, pattern: str) -> Any:
        return [*real(self, pattern), self / "traffic-0000.parquet"]

    monkeypatch.setattr(Path, "glob", glob)
    for _ in range(3):
        log.note(served(10))
        log.flush()
    monkeypatch.undo()
    assert len(list(tmp_path.iterdir())) == 1, "the rest is bounded all the same"
    log.close()


@pytest.mark.parametrize("method", ["unlink", "stat"])
def test_a_folder_that_cannot_be_bounded_is_still_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    log = TrafficLog(settings_of(traffic_log=tmp_path, traffic_rows=10, traffic_max_bytes=1), Metrics())
    real = getattr(Path, method)

    def refuse(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self.suffix == ".parquet":
            raise PermissionError(13, "Permission denied")
        return real(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, method, refuse)
        for number in range(3):  # by the thread
            log.note(served(10))
            until(tmp_path, 10 * number + 10)
    log.close()


def test_the_thread_outlives_a_defect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = TrafficLog(settings_of(traffic_log=tmp_path, traffic_rows=10, traffic_seconds=0.05), Metrics())
    failed: list[bool] = []

    def fail(_: object) -> None:
        failed.append(True)
        raise RuntimeError("a defect")

    with monkeypatch.context() as patch:
        patch.setattr(log, "_write", fail)
        log.note(served(10))
        while len(failed) < 2:
            time.sleep(0.01)
    until(tmp_path, 10)
    log.close()
