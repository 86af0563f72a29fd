"""Small models on random backbones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from darl.model import RelevanceModel


@pytest.fixture(params=["encoder", "decoder"])
def kind(request: pytest.FixtureRequest) -> str:
    """Each test that asks runs on an encoder and on a decoder."""
    return request.param


@pytest.fixture
def tiny_backbone(kind: str, request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(f"tiny_{kind}")


@pytest.fixture(scope="session")
def shared_models(tiny_encoder: Path, tiny_decoder: Path) -> dict[str, RelevanceModel]:
    """One three-grade model a kind, for tests that only read."""
    from small_models import make_model

    return {"encoder": make_model(tiny_encoder), "decoder": make_model(tiny_decoder)}


@pytest.fixture
def shared_model(kind: str, shared_models: dict[str, RelevanceModel]) -> RelevanceModel:
    """A model that the test must leave as it is."""
    return shared_models[kind]


@pytest.fixture
def model(tiny_backbone: Path) -> RelevanceModel:
    """A model of the test's own."""
    from small_models import make_model

    return make_model(tiny_backbone)
