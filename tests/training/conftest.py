"""The small graded world that the training tests share."""

from __future__ import annotations

import pytest
from small_world import write_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files of graded pairs: train, dev_id, dev_ood, test_id, test_far. Do not write into them."""
    return write_world(tmp_path_factory.mktemp("world"))
