"""Fine-tuning: what is trained, what stays, what reaches the loss, and what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_tuning import changed, dev_logits, state, tuned
from small_world import small_recipe
from transformers import TrainingArguments

from darl.errors import DivergedError, RecipeError
from darl.losses import CrossEntropy
from darl.model.head import head_name
from darl.training import trainer, tune
from darl.training.pipeline import fit
from darl.training.splits import load_splits
from darl.training.starts import class_weights, fresh_model
from darl.training.tune import with_learning_rate


def test_weights_count_across_batches(tiny_encoder: Path, small, tmp_path: Path) -> None:
    """The gradient of two batches of one is that of one batch of two, also where a batch weighs nothing."""
    recipe, splits = small(tiny_encoder)
    weights, halves = np.array([0.0, 3.0] * (len(splits.train) // 2)), {}
    for size, accumulate in ((2, 1), (1, 2)):
        settings = {"batch_size": size, "accumulate": accumulate, "dropout": 0.0, "max_grad_norm": 1e9}
        recipe, splits = small(tiny_encoder, **settings)
        model, _ = tuned(recipe, splits, tmp_path / str(size), weights=weights)
        halves[size] = dev_logits(model, splits)
    np.testing.assert_allclose(halves[1], halves[2], atol=1e-3)


class SeveralGPUs(TrainingArguments):
    """What transformers finds on a machine with four of them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._n_gpu = 4


def test_a_single_process_keeps_the_recipes_batch_where_there_are_several_gpus(
    tiny_encoder: Path, small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "TrainingArguments", SeveralGPUs)
    recipe, splits = small(tiny_encoder)
    _, logged = tuned(recipe, splits, tmp_path)
    assert logged["steps"] == -(-len(splits.train) // recipe.tune.batch_size)


# ----------------------------------------------------------------------------------------- what is trained


def test_full_tuning_changes_embeddings_layers_and_head(tiny: Path, small, tmp_path: Path) -> None:
    recipe, splits = small(tiny)
    model, _ = tuned(recipe, splits, tmp_path)
    moved = changed(state(fresh_model(recipe)), state(model))
    assert {name for name in moved if "embed" in name}
    assert {name for name in moved if "layer" in name}
    assert f"{head_name(model.network)}.weight" in moved


def test_frozen_embeddings_stay_bit_for_bit(tiny: Path, small, tmp_path: Path) -> None:
    recipe, splits = small(tiny, freeze_embeddings=True)
    model, _ = tuned(recipe, splits, tmp_path)
    moved = changed(state(fresh_model(recipe)), state(model))
    assert moved
    assert not {name for name in moved if "embed" in name}


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_frozen_layers_stay_bit_for_bit(kind: str, tiny: Path, small, tmp_path: Path) -> None:
    recipe, splits = small(tiny, freeze_layers=1, kind=kind)
    model, _ = tuned(recipe, splits, tmp_path)
    moved = changed(state(fresh_model(recipe)), state(model))
    assert not {name for name in moved if "embed" in name or "layer.0." in name or "layers.0." in name}
    assert {name for name in moved if "layer.1." in name or "layers.1." in name}


def test_nothing_stays_frozen_after_tuning(tiny: Path, small, tmp_path: Path) -> None:
    recipe, splits = small(tiny, freeze_layers=1)
    model, _ = tuned(recipe, splits, tmp_path)
    assert all(parameter.requires_grad for parameter in model.network.parameters())


def test_more_frozen_layers_than_there_are_is_named(tiny: Path, small, tmp_path: Path) -> None:
    recipe, splits = small(tiny, freeze_layers=3)
    with pytest.raises(RecipeError, match="the backbone has 2"):
        tuned(recipe, splits, tmp_path)


def test_the_head_has_a_learning_rate_of_its_own(tiny: Path, small, tmp_path: Path) -> None:
    recipe, splits = small(tiny, learning_rate=1e-12, head_learning_rate=0.01, weight_decay=0.0)
    model, _ = tuned(recipe, splits, tmp_path)
    before, after = state(fresh_model(recipe)), state(model)
    head = f"{head_name(model.network)}.weight"
    assert (after[head] - before[head]).abs().max() > 1e-3
    body = [name for name in before if name.startswith(model.network.base_model_prefix) and "pooler" not in name]
    assert max(float((after[name] - before[name]).abs().max()) for name in body) < 1e-8


def test_a_random_head_on_an_encoder_takes_half_the_rate(tiny_encoder: Path, tiny_decoder: Path, small) -> None:
    def rate(backbone: Path, start: str, **tune) -> float:
        recipe, _ = small(backbone, learning_rate=None, **tune)
        found = with_learning_rate(recipe.tune, fresh_model(recipe).network, start=start).learning_rate
        assert found is not None
        return found

    assert rate(tiny_encoder, "random") == rate(tiny_encoder, "probe") / 2
    assert rate(tiny_decoder, "random") == rate(tiny_decoder, "verbalizer")
    assert rate(tiny_encoder, "random", kind="lora") == rate(tiny_encoder, "probe", kind="lora")
    recipe, _ = small(tiny_encoder, learning_rate=0.01)
    assert with_learning_rate(recipe.tune, fresh_model(recipe).network, start="random").learning_rate == 0.01


# --------------------------------------------------------------------------------------------- the loss


class Spy(CrossEntropy):
    """Cross-entropy that remembers what it was given."""

    def __init__(self, K: int) -> None:
        super().__init__(K)
        self.seen: list[tuple[torch.Tensor, Any, Any]] = []

    def forward(self, logits, grades, weights=None, class_weights=None, targets=None, share=None, **mean):
        self.seen.append((grades.clone(), weights, class_weights))
        return super().forward(logits, grades, weights, class_weights, targets, share, **mean)


def test_every_pairs_weight_reaches_the_loss_with_its_grade(tiny_encoder: Path, small, tmp_path: Path) -> None:
    recipe, splits = small(tiny_encoder)
    spy, weights = Spy(3), 1.0 + splits.train.grades * 0.5
    tuned(recipe, splits, tmp_path, loss=spy, weights=weights)
    assert sum(len(grades) for grades, _, _ in spy.seen) == len(splits.train)
    for grades, given, _ in spy.seen:
        torch.testing.assert_close(given, 1.0 + grades * 0.5)


def test_class_weights_reach_the_loss(tiny_encoder: Path, world: dict[str, str], tmp_path: Path) -> None:
    loss = {"name": "cross_entropy", "class_weights": "balanced"}
    recipe = small_recipe(world, tiny_encoder, loss=loss, tune={"epochs": 1})
    splits, spy = load_splits(recipe), Spy(3)
    chosen = class_weights(recipe, splits.train)
    tuned(recipe, splits, tmp_path, loss=spy, class_weights=chosen)
    assert chosen is not None
    counts = np.bincount(splits.train.grades, minlength=3)
    np.testing.assert_allclose(chosen.numpy() * counts, len(splits.train) / 3, rtol=1e-6)
    assert all(torch.equal(given, chosen) for _, _, given in spy.seen)


def test_class_weights_of_another_number_are_named(tiny_encoder: Path, world: dict[str, str]) -> None:
    recipe = small_recipe(world, tiny_encoder, loss={"name": "cross_entropy", "class_weights": [1.0, 2.0]})
    with pytest.raises(RecipeError, match="2 weights for 3 grades"):
        class_weights(recipe, load_splits(recipe).train)


def test_accumulated_batches_are_one_large_batch(tiny_decoder: Path, small, tmp_path: Path) -> None:
    recipe, splits = small(tiny_decoder, batch_size=8, learning_rate=1e-3)
    halves, _ = small(tiny_decoder, batch_size=4, accumulate=2, learning_rate=1e-3)
    (one, logged), (two, also) = (
        tuned(recipe, splits, tmp_path / "one"),
        tuned(halves, splits, tmp_path / "two"),
    )
    assert logged["steps"] == also["steps"] == 12
    np.testing.assert_allclose(dev_logits(one, splits), dev_logits(two, splits), atol=2e-3)
    assert logged["train_loss"] == pytest.approx(also["train_loss"], abs=1e-3)


# ----------------------------------------------------------------------------------- keeping and stopping


def test_the_best_epoch_is_kept(tiny_encoder: Path, small, tmp_path: Path) -> None:
    recipe, splits = small(tiny_encoder, keep="best", epochs=4, learning_rate=0.01)
    dev = (fresh_model(recipe).encode(splits.dev_id), splits.dev_id.grades)
    model, logged = tuned(recipe, splits, tmp_path, dev=dev)
    values = [entry["eval_objective"] for entry in logged["history"] if "eval_objective" in entry]
    own = tune.objective_value(recipe.objective, splits.dev_id.grades, dev_logits(model, splits).argmax(1), 3)
    assert len(values) == 4
    assert own == pytest.approx(max(values))


def test_patience_stops_early(tiny_encoder: Path, small, tmp_path: Path) -> None:
    recipe, splits = small(tiny_encoder, keep="best", patience=2, epochs=40, learning_rate=1e-9)
    dev = (fresh_model(recipe).encode(splits.dev_id), splits.dev_id.grades)
    _, logged = tuned(recipe, splits, tmp_path, dev=dev)
    assert logged["steps"] == 3 * 8  # the first epoch is the best, two more bring nothing


def test_a_broken_off_tuning_goes_on_from_its_last_checkpoint(tiny_encoder: Path, small, tmp_path: Path) -> None:
    recipe, splits = small(tiny_encoder, epochs=2, checkpoints=4)
    steps: list[int] = []

    def advance(done: int, *, stop_after: int | None = None) -> None:
        steps.append(done)
        if stop_after and sum(steps) >= stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuned(recipe, splits, tmp_path / "run", advance=lambda done: advance(done, stop_after=7))
    steps.clear()
    model, logged = tuned(recipe, splits, tmp_path / "run", advance=advance)
    assert steps == [4] + [1] * 12
    undisturbed, also = tuned(recipe, splits, tmp_path / "undisturbed")
    assert logged == also
    assert not changed(state(undisturbed), state(model))


# --------------------------------------------------------------------------------------- what Trainer takes


def test_a_setting_that_trainer_does_not_know_is_named(tiny_encoder: Path, small, tmp_path: Path) -> None:
    recipe, splits = small(tiny_encoder, trainer={"no_such_thing": 1})
    with pytest.raises(RecipeError, match="no_such_thing"):
        tuned(recipe, splits, tmp_path)


def test_tuning_that_diverges_is_named_and_a_lower_rate_mends_it(
    world: dict[str, str], tiny_decoder: Path, tmp_path: Path
) -> None:
    settings = {"epochs": 2, "learning_rate": 1e30, "max_grad_norm": 1e30, "start": "random"}
    with pytest.raises(DivergedError, match="learning_rate") as error:
        fit(small_recipe(world, tiny_decoder, tune=settings), run=tmp_path / "run", quiet=True)
    assert "no finite number" in str(error.value)
    result = fit(
        small_recipe(world, tiny_decoder, tune=settings | {"learning_rate": 1e-3}),
        run=tmp_path / "run", quiet=True, redo=True,
    )  # fmt: skip
    assert np.isfinite(result.metrics["choices"]["tune-random"]["train_loss"])


def test_an_unknown_tracker_is_named(tiny_encoder: Path, small, tmp_path: Path) -> None:
    recipe, splits = small(tiny_encoder, report_to=["tensorbord"])
    with pytest.raises(RecipeError, match="tensorbord"):
        tuned(recipe, splits, tmp_path)


def test_tensorboards_events_outlive_the_checkpoints(world: dict[str, str], tiny_encoder: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra darl[tracking] is not installed")
    settings = {"start": "random", "epochs": 0.5, "report_to": ["tensorboard"]}
    recipe = small_recipe(world, tiny_encoder, tune=settings, ood={"enabled": False})
    fit(recipe, run=tmp_path, quiet=True)
    events = list((tmp_path / "stages" / "tune-random").rglob("events.out.tfevents*"))
    assert events
    assert events[0].stat().st_size > 0
    assert not (tmp_path / "stages" / "tune-random" / "checkpoints").exists()


def test_training_prints_nothing_to_standard_output(
    tiny_encoder: Path, small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, splits = small(tiny_encoder)
    tuned(recipe, splits, tmp_path)
    assert capsys.readouterr().out == ""
