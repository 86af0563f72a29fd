"""Features of the frozen base that the probe's pass brings along, kept for the OOD reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from darl.model.features import FeatureSpec
from darl.recipe.settings import Recipe
from darl.training.run import Stage


def base_features_wanted(recipe: Recipe) -> FeatureSpec | None:
    """The frozen base's features that the OOD reference will read: the probe's pass can bring them along."""
    settings = recipe.ood
    if not settings.enabled or settings.source != "base":
        return None
    return FeatureSpec(settings.source, settings.layer, settings.pooling)


def save_frozen(folder: Path, spec: FeatureSpec, frozen: Mapping[str, np.ndarray | None]) -> None:
    arrays = {name: torch.from_numpy(rows) for name, rows in frozen.items() if rows is not None}
    save_file(arrays, folder / "frozen.safetensors", metadata={name: str(v) for name, v in spec.to_dict().items()})


def load_frozen(stages: Sequence[Stage], spec: FeatureSpec) -> dict[str, np.ndarray] | None:
    """Features that the probe left, by split, if they are the ones that ``spec`` asks for."""
    for path in (stage.folder / "frozen.safetensors" for stage in stages):
        if path.is_file():
            with safe_open(path, "np") as file:
                if file.metadata() == {name: str(value) for name, value in spec.to_dict().items()}:
                    return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    return None
