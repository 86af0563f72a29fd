"""LoRA: what it trains, and its arithmetic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from peft.utils import ModulesToSaveWrapper
from small_tuning import changed, state, tuned
from small_world import small_recipe

from darl.training import tune
from darl.training.interpolate import interpolate
from darl.training.splits import load_splits
from darl.training.starts import fresh_model, make_recipe_loss
from darl.training.tune import tune_model


@pytest.fixture(scope="module")
def lora(tiny: Path, small, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A model tuned by LoRA, and what PEFT's own model said and held just before merging; not to be changed."""
    recipe, splits = small(tiny, kind="lora", learning_rate=0.01)
    found: dict[str, Any] = {"recipe": recipe, "splits": splits, "folder": tmp_path_factory.mktemp("lora")}
    real = tune.with_lora

    def watched(network, settings):
        peft = real(network, settings)
        merge = peft.merge_and_unload

        def merge_and_unload():
            peft.eval()
            with torch.no_grad():
                batch = found["model"].encoder.pad([found["encoded"].row(i) for i in range(len(found["encoded"]))])
                found["before"] = peft(**batch).logits.numpy()
            found["peft"] = {name: tensor.clone() for name, tensor in peft.state_dict().items()}
            return merge()

        peft.merge_and_unload = merge_and_unload
        return peft

    model, train = fresh_model(recipe), splits.train
    found |= {"model": model, "encoded": model.encode(splits.dev_id), "start": fresh_model(recipe)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tune, "with_lora", watched)
        loss = make_recipe_loss(recipe, train)
        tune_model(model, model.encode(train), train.grades, loss, recipe, found["folder"])
    return found


def test_lora_moved_the_model(lora: dict[str, Any]) -> None:
    assert np.abs(lora["model"].logits(lora["encoded"]) - lora["start"].logits(lora["encoded"])).max() > 1e-2


def test_the_merged_model_is_pefts_model(lora: dict[str, Any]) -> None:
    np.testing.assert_allclose(lora["model"].logits(lora["encoded"]), lora["before"], atol=1e-5)


def test_the_merged_model_has_the_plain_models_names(lora: dict[str, Any]) -> None:
    assert state(lora["model"]).keys() == state(lora["start"]).keys()


def test_lora_trains_the_adapter_and_what_is_above_the_body_alone(lora: dict[str, Any]) -> None:
    start, held = state(lora["start"]), lora["peft"]
    kept = {
        name.removeprefix("base_model.model.").replace(".base_layer", "").replace(".original_module", ""): tensor
        for name, tensor in held.items()
        if "lora_" not in name and "modules_to_save" not in name
    }
    assert kept.keys() == start.keys()
    assert not changed(start, kept)
    assert all(held[name].abs().max() > 0 for name in held if "lora_B" in name)


def adapted(lora: dict[str, Any]) -> PeftModel:
    """The start with the saved adapter on it."""
    return PeftModel.from_pretrained(fresh_model(lora["recipe"]).network, lora["folder"] / "adapter").eval()


def peft_logits(lora: dict[str, Any], network: PeftModel) -> np.ndarray:
    encoded = lora["encoded"]
    with torch.no_grad():
        return network(**lora["model"].encoder.pad([encoded.row(i) for i in range(len(encoded))])).logits.numpy()


def test_the_saved_adapter_on_the_start_is_the_tuned_model(lora: dict[str, Any]) -> None:
    np.testing.assert_allclose(peft_logits(lora, adapted(lora)), lora["model"].logits(lora["encoded"]), atol=1e-5)


@pytest.mark.parametrize("alpha", [0.3, 0.8])
def test_interpolating_is_scaling_the_adapter_and_mixing_the_head(alpha: float, lora: dict[str, Any]) -> None:
    mixed = fresh_model(lora["recipe"])
    mixed.network.load_state_dict(interpolate(state(lora["start"]), state(lora["model"]), alpha))
    network = adapted(lora)
    for module in network.modules():
        if hasattr(module, "lora_A"):
            module.scaling["default"] *= alpha
        if isinstance(module, ModulesToSaveWrapper):
            tuned_parts, start_parts = module.modules_to_save["default"], module.original_module
            for one, two in zip(tuned_parts.parameters(), start_parts.parameters(), strict=True):
                one.data = torch.lerp(two.data, one.data, alpha)
    np.testing.assert_allclose(mixed.logits(lora["encoded"]), peft_logits(lora, network), atol=1e-5)


def test_lora_reaches_every_linear_layer_of_the_body(lora: dict[str, Any]) -> None:
    body = getattr(lora["start"].network, lora["start"].network.base_model_prefix)
    linear = [name for name, m in body.named_modules() if isinstance(m, torch.nn.Linear) and "pooler" not in name]
    assert len({name.split(".lora_A")[0] for name in lora["peft"] if "lora_A" in name}) == len(linear)


def test_lora_knows_a_head_of_two_layers(world: dict[str, str], tiny_encoder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, RobertaConfig, RobertaModel

    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    config = RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=130, type_vocab_size=2, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    RobertaModel(config).save_pretrained(tmp_path / "roberta")
    tokenizer.save_pretrained(tmp_path / "roberta")
    recipe = small_recipe(world, tmp_path / "roberta", tune={"epochs": 1, "kind": "lora"})
    model, _ = tuned(recipe, load_splits(recipe), tmp_path)
    moved = changed(state(fresh_model(recipe)), state(model))
    assert {"classifier.dense.weight", "classifier.out_proj.weight"} <= moved
    assert state(model).keys() == state(fresh_model(recipe)).keys()
