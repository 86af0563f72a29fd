"""Features: the head's own input, pooled hidden states, and the frozen base."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_models import ITEMS, QUERIES

from darl.errors import RecipeError
from darl.model.features import FeatureSpec, pool
from darl.model.head import head_of

STATES = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [100.0, 100.0]], [[2.0, 0.0], [4.0, 1.0], [9.0, 2.0]]])  # (2, 3, 2)
MASK = torch.tensor([[1, 1, 0], [1, 1, 1]])


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [("mean", [[2, 4], [5, 1]]), ("first", [[1, 2], [2, 0]]), ("last", [[3, 6], [9, 2]])],
)
def test_pooling_reads_real_tokens_only(pooling: str, expected: list) -> None:
    assert pool(STATES, MASK, pooling).tolist() == expected


def test_pooling_gives_float32() -> None:
    assert pool(STATES.to(torch.bfloat16), MASK, "mean").dtype == torch.float32


def test_head_features_times_the_head_are_the_logits(shared_model) -> None:
    encoded = shared_model.encode(queries=QUERIES, items=ITEMS)
    head = head_of(shared_model.network)
    bias = 0 if head.bias is None else head.bias.detach().numpy()
    logits = shared_model.head_features(encoded) @ head.weight.detach().numpy().T + bias
    np.testing.assert_allclose(logits, shared_model.logits(encoded), atol=1e-5)


def test_head_features_leave_no_hook_behind(shared_model) -> None:
    shared_model.head_features(shared_model.encode(queries=["red"], items=["shoes"]))
    assert not head_of(shared_model.network)._forward_pre_hooks


def test_features_of_no_pairs_keep_their_width(shared_model) -> None:
    encoded = shared_model.encode(queries=[], items=[])
    assert shared_model.head_features(encoded).shape == (0, 32)
    assert shared_model.features(encoded, FeatureSpec()).shape == (0, 32)


@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
@pytest.mark.parametrize("layer", [0, 1, -1])
def test_pooled_features_are_the_networks_hidden_states(shared_model, pooling: str, layer: int) -> None:
    encoded = shared_model.encode(queries=["red"], items=["garden table"])
    batch = shared_model.encoder.pad([encoded.row(0)])
    with torch.inference_mode():
        states = shared_model.network(**batch, output_hidden_states=True).hidden_states[layer]
    expected = {"mean": states.mean(1), "first": states[:, 0], "last": states[:, -1]}[pooling]
    found = shared_model.features(encoded, FeatureSpec("model", layer, pooling))
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_a_fresh_model_and_its_base_have_the_same_body(shared_model) -> None:
    encoded = shared_model.encode(queries=QUERIES, items=ITEMS)
    base, tuned = (shared_model.features(encoded, FeatureSpec(source)) for source in ("base", "model"))
    np.testing.assert_allclose(base, tuned, atol=1e-5)


def perturb(model) -> None:
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.add_(0.5)


def test_the_base_stays_frozen_when_the_network_changes(model) -> None:
    encoded = model.encode(queries=QUERIES, items=ITEMS)
    before = model.features(encoded, FeatureSpec("base"))
    perturb(model)
    np.testing.assert_array_equal(model.features(encoded, FeatureSpec("base")), before)


def test_the_models_own_features_change_with_the_network(model) -> None:
    encoded = model.encode(queries=QUERIES, items=ITEMS)
    before = model.features(encoded, FeatureSpec("model"))
    perturb(model)
    assert abs(model.features(encoded, FeatureSpec("model")) - before).max() > 1e-2


@pytest.mark.parametrize(
    "bad", [{"source": "logits"}, {"pooling": "max"}, {"layer": "last"}, {"layer": 1.5}, {"layer": True}]
)
def test_a_spec_that_names_nothing_is_refused(bad: dict) -> None:
    with pytest.raises(RecipeError, match="ood"):
        FeatureSpec(**bad)


@pytest.mark.parametrize("layer", [3, -4])
def test_a_layer_that_is_not_there_is_refused_with_the_choices(shared_model, layer: int) -> None:
    encoded = shared_model.encode(queries=["red"], items=["shoes"])
    with pytest.raises(RecipeError, match="0 \\(embeddings\\) to 2"):
        shared_model.features(encoded, FeatureSpec(layer=layer))


def test_a_spec_round_trips() -> None:
    spec = FeatureSpec("model", -2, "last")
    assert FeatureSpec(**spec.to_dict()) == spec
