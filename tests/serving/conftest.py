"""One model and one server for the tests of serving that do not harm it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_server import RunningServer, serving

from small_model import make_small_model


@pytest.fixture(scope="session")
def served_model(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_model(tiny_encoder, tmp_path_factory.mktemp("served"))


@pytest.fixture
def own_model(served_model: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(served_model, tmp_path / "own" / "model"))


@pytest.fixture(scope="session")
def server(served_model: Path) -> Iterator[RunningServer]:
    """A server whose model fails on texts with POISON in them; no spare, so that it starts less."""
    with serving(
        served_model, "--name", "small", "spare=false", "max_documents=64", "max_body_bytes=200000",
        "max_text_chars=20000", poisonable=True,
    ) as running:  # fmt: skip
        yield running
