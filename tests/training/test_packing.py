"""Packed batches in training: the gradients of padded ones, and padding where packing cannot follow."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch
from small_world import GRADES, small_recipe

from darl.grades import GradeScale
from darl.losses import make_loss
from darl.model import RelevanceModel
from darl.recipe.settings import Recipe
from darl.training.packing import PackedForward, as_batch, packed_forward
from darl.training.pipeline import fit

PAIRS = [
    ("travel insurance", "family travel insurance"),
    ("travel insurance", "pet cover"),
    ("travel insurance", "yearly travel cover for two adults"),
    ("insurance for dogs of any age", "vet bills cover for cats"),
    ("insurance for dogs of any age", ""),
    ("travel insurance", "pet cover"),
]


@pytest.fixture(params=["tiny_encoder", "tiny_decoder"])
def model(request: pytest.FixtureRequest) -> RelevanceModel:
    folder: Path = request.getfixturevalue(request.param)
    return without_dropout(RelevanceModel.from_backbone(str(folder), GradeScale(tuple(GRADES)), max_length=48))


def without_dropout(model: RelevanceModel) -> RelevanceModel:
    """Two passes draw other masks, so none are drawn."""
    for module in model.network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def gradients(model: RelevanceModel, logits: torch.Tensor) -> dict[str, torch.Tensor]:
    model.network.zero_grad()
    make_loss("occ", 3)(logits, torch.tensor([2, 1, 0, 1, 2, 0])).backward()
    return {name: p.grad.clone() for name, p in model.network.named_parameters() if p.grad is not None}


def in_training(model: RelevanceModel) -> tuple[PackedForward, list[dict[str, list[int]]]]:
    """The packed forward pass of a model that is in training, and a batch."""
    encoded = model.encode(queries=[q for q, _ in PAIRS], items=[i for _, i in PAIRS])
    forward = packed_forward(model)
    assert forward is not None
    model.network.train()
    return forward, [encoded.row(i) for i in range(len(encoded))]


def apart(ours: dict[str, torch.Tensor], plain: dict[str, torch.Tensor]) -> float:
    """‖ours − plain‖ / ‖plain‖ over all parameters."""
    off = sum(float((ours[name] - plain[name]).square().sum()) for name in plain)
    return (off / sum(float(g.square().sum()) for g in plain.values())) ** 0.5


def test_gradients_are_those_of_padded_batches(model: RelevanceModel) -> None:
    forward, rows = in_training(model)
    packed = forward(as_batch(rows)).logits
    padded = model.network(**model.encoder.pad(rows)).logits
    torch.testing.assert_close(packed, padded, atol=1e-5, rtol=1e-5)
    ours, plain = gradients(model, packed), gradients(model, padded)
    assert ours.keys() == plain.keys()
    assert apart(ours, plain) < 1e-5


def test_bfloat16_trains_packed_as_padded(model: RelevanceModel) -> None:
    """Under autocast rotary positions leave queries in float32 and values in bfloat16, whatever the machine."""
    forward, rows = in_training(model)
    plain = gradients(model, model.network(**model.encoder.pad(rows)).logits)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = forward(as_batch(rows)).logits
    assert 0 < apart(gradients(model, logits.float()), plain) < 0.05


def test_attention_drops_keys_in_training(tiny_encoder: Path) -> None:
    """A backbone's own attention dropout is kept: two passes in training differ, two in evaluation do not."""
    model = RelevanceModel.from_backbone(str(tiny_encoder), GradeScale(tuple(GRADES)), max_length=48)
    for module in model.network.modules():
        if isinstance(module, torch.nn.Dropout) and module is not getattr(module, "never", None):
            module.p = 0.0
    for module in model.network.modules():
        if type(module).__name__.endswith("SelfAttention"):
            module.dropout = torch.nn.Dropout(0.5)
    encoded = model.encode(queries=[q for q, _ in PAIRS], items=[i for _, i in PAIRS])
    rows = as_batch([encoded.row(i) for i in range(len(encoded))])
    forward = packed_forward(model)
    assert forward is not None
    for training, same in ((True, False), (False, True)):
        model.network.train(training)
        first, second = (forward(rows).logits for _ in range(2))
        assert torch.allclose(first, second) is same


def test_a_fit_packs_and_learns_what_it_learns_with_padding(
    world: dict, tmp_path: Path, tiny_decoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a backbone without dropout, so that nothing is drawn at random; by LoRA, as plain gradients are held above."""
    tune = {"kind": "lora", "start": "random", "epochs": 1, "lora": {"r": 2, "dropout": 0.0}}
    recipe = small_recipe(world, tiny_decoder, tune=tune, interpolate={"enabled": False}, ood={"enabled": False})
    learns_the_same(recipe, "tune-random", "packing:packed_logits", "tune:packed_forward", tmp_path, monkeypatch)


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_the_verbalizer_learns_what_it_learns_with_padding(
    kind: str, world: dict, tmp_path: Path, tiny_decoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune = {"kind": kind, "epochs": 1, "lora": {"r": 2, "dropout": 0.0}}
    words = ["no", "partly", "yes"]
    recipe = small_recipe(world, tiny_decoder, method="verbalizer", words=words, tune=tune, ood={"enabled": False})
    names = ("tune-verbalizer", "verbalizer:packed_states", "verbalizer:packed_answers")
    learns_the_same(recipe, *names, tmp_path, monkeypatch)


def learns_the_same(
    recipe: Recipe, stage: str, computes: str, offers: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fit that packs takes the steps and has the losses of one that pads.

    Args:
        computes: ``module:function`` of a packed step. offers: the one that says whether packing can be done.
    """
    module, name = computes.split(":")
    owner, steps, training = importlib.import_module(f"darl.training.{module}"), [], []
    real = getattr(owner, name)

    def watched(*args, **options):
        steps.append(torch.is_grad_enabled())
        return real(*args, **options)

    monkeypatch.setattr(owner, name, watched)
    found = []
    for way in ("packed", "padded"):
        if way == "padded":
            monkeypatch.setattr(f"darl.training.{offers.replace(':', '.')}", lambda *_: None)
        found.append(fit(recipe, run=folder / way, quiet=True).metrics["choices"][stage])
        training.append(sum(steps))
        steps.clear()
    assert training == [8, 0]
    assert found[0]["train_loss"] == pytest.approx(found[1]["train_loss"], abs=1e-4)
    assert found[0]["steps"] == found[1]["steps"] == 8
