"""The cores a process may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from darl.cores import usable_cores


@pytest.mark.parametrize(("quota", "most"), [("150000 100000", 2), ("50000 100000", 1), ("100000 100000", 1)])
def test_a_containers_quota_bounds_the_cores(quota: str, most: int, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert usable_cores(tmp_path / "cpu.max") == min(most, usable_cores(tmp_path / "none"))


@pytest.mark.parametrize("text", ["max 100000\n", "", "what"])
def test_without_a_quota_all_bound_cores_count(text: str, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert 1 <= usable_cores(tmp_path / "cpu.max") <= (os.cpu_count() or 1)
