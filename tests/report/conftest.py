"""Finished runs that the report's tests share. Do not write into them, but for their ``report`` folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_world import make_run


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """A whole run: two starts, a sweep, calibration, an OOD reference, two tests, slices, a pool."""
    return make_run(tmp_path_factory.mktemp("report"), tiny_encoder)


@pytest.fixture(scope="session")
def bare_run(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """A run that lacks what a report would like: one start, no sweep, no dev_ood, no OOD reference, no slices."""
    folder = tmp_path_factory.mktemp("bare")
    return make_run(
        folder,
        tiny_encoder,
        name="bare",
        interpolate={"enabled": False},
        tune={"start": "random", "epochs": 1},
        ood={"enabled": False},
        calibrate={"enabled": False},
        data={"slices": [], "pool": None, "dev_ood": None},
    )
