"""Frozen lower layers run once: the gradients of running them in each step, and the model of a fit without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_world import GRADES, small_recipe
from test_packing import PAIRS, apart, gradients, without_dropout

from darl.grades import GradeScale
from darl.model import RelevanceModel
from darl.training import lower_layers as module
from darl.training.lower_layers import LowerLayers, layer_stack, lower_layers
from darl.training.packing import PackedForward, as_batch
from darl.training.pipeline import fit
from darl.training.tune import freeze


@pytest.fixture(params=["tiny_encoder", "tiny_decoder"])
def model(request: pytest.FixtureRequest) -> RelevanceModel:
    folder: Path = request.getfixturevalue(request.param)
    made = without_dropout(RelevanceModel.from_backbone(str(folder), GradeScale(tuple(GRADES)), max_length=48))
    freeze(made.network, embeddings=True, layers=1)
    made.network.train()
    return made


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [5, 3, 3, 0, 4, 1]])
def test_gradients_are_those_of_all_layers(model: RelevanceModel, order: list[int]) -> None:
    encoded = model.encode(queries=[q for q, _ in PAIRS], items=[i for _, i in PAIRS])
    batch = as_batch([encoded.row(i) | {"row": i} for i in order])
    lower = lower_layers(model.network, encoded, 1)
    kept, whole = PackedForward(model.network, lower), PackedForward(model.network)
    torch.testing.assert_close(kept(batch).logits, whole(batch).logits, atol=1e-6, rtol=1e-5)
    ours, plain = gradients(model, kept(batch).logits), gradients(model, whole(batch).logits)
    assert ours.keys() == plain.keys()
    assert apart(ours, plain) < 1e-5


def test_the_frozen_layers_run_once_and_are_put_back(model: RelevanceModel) -> None:
    encoded = model.encode(queries=[q for q, _ in PAIRS], items=[i for _, i in PAIRS])
    lower = lower_layers(model.network, encoded, 1)
    forward, runs = PackedForward(model.network, lower), []
    stack = layer_stack(model.network)
    assert stack is not None
    stack[0].register_forward_pre_hook(lambda *_: runs.append(len(runs)))
    inner = type(stack[0]).forward
    calls = []
    type(stack[0]).forward = lambda self, *a, **k: calls.append(self is stack[0]) or inner(self, *a, **k)  # type: ignore
    try:
        for _ in range(3):
            forward(as_batch([encoded.row(i) | {"row": i} for i in (0, 3)]))
    finally:
        type(stack[0]).forward = inner
    assert sum(calls) == 1
    assert "forward" not in vars(stack[0])
    other = model.encode(queries=["dog"], items=["cat"])  # pairs that are none of training's, as of dev
    logits = forward(as_batch([other.row(0)])).logits
    torch.testing.assert_close(logits, PackedForward(model.network)(as_batch([other.row(0)])).logits)


def test_states_under_autocast_are_those_of_the_step(model: RelevanceModel) -> None:
    encoded = model.encode(queries=[q for q, _ in PAIRS], items=[i for _, i in PAIRS])
    batch = as_batch([encoded.row(i) | {"row": i} for i in range(6)])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        kept = PackedForward(model.network, lower_layers(model.network, encoded, 1))(batch).logits
        whole = PackedForward(model.network)(batch).logits
    torch.testing.assert_close(kept, whole, atol=2e-2, rtol=0)


def test_where_nothing_is_kept(model: RelevanceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = model.encode(queries=["dog"], items=["cat"])
    for count in (0, 2):  # no frozen layer, no layer above
        assert lower_layers(model.network, encoded, count) is None
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    assert lower_layers(model.network, encoded, 1) is None


@pytest.mark.parametrize(("kind", "backbone"), [("full", "tiny_encoder"), ("lora", "tiny_decoder")])
def test_a_fit_learns_what_it_learns_without(
    kind: str, backbone: str, world: dict, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch
) -> None:
    tune: dict[str, Any] = {"kind": kind, "start": "random", "epochs": 2, "freeze_layers": 1, "dropout": 0.0}
    tune["lora"] = {"r": 2, "dropout": 0.0}
    recipe = small_recipe(
        world, request.getfixturevalue(backbone), tune=tune, interpolate={"enabled": False}, ood={"enabled": False}
    )
    used = []
    above = LowerLayers.above
    monkeypatch.setattr(LowerLayers, "above", lambda self, rows: used.append(rows) or above(self, rows))
    kept = fit(recipe, run=tmp_path / "kept", quiet=True)
    assert used
    monkeypatch.setattr("darl.training.tune.lower_layers", lambda *_: None)
    whole = fit(recipe, run=tmp_path / "whole", quiet=True)
    first, second = (run.metrics["choices"]["tune-random"] for run in (kept, whole))
    assert first["train_loss"] == pytest.approx(second["train_loss"], abs=1e-4)
    assert first["steps"] == second["steps"]
