"""Killed by SIGKILL in one step after another, the same rounds end with the same model, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
from fit_worker import Kill
from own_process import assert_killed, assert_same_run, run_in_process
from rounds_world import rounds_dict, write_pool

# in the order in which a run comes to them; each kill is of the process that went on after the one before
POINTS = {
    "round 0 is tuned": Kill("darl.training.trainer:MarkWhole.on_step_end", 3),
    "the pool is scored": Kill("darl.dasa.shards:save_file"),
    "the picks are written, the stage is not finished": Kill("os:rename", argument="select.partial"),
    "the labels are written, the stage is not finished": Kill("os:rename", argument="label.partial"),
    "round 1 is tuned": Kill("darl.training.trainer:MarkWhole.on_step_end", 5),
    "the models before and after are judged": Kill("darl.training.augment:choose"),
    "the model is written, the stage is not finished": Kill("os:rename", argument="finish.partial"),
    "the model of the whole run is linked": Kill("os:link", 2, argument="rounds/1/model"),
    "the metrics of the whole run come last": Kill("darl.training.rounds:atomic_write_json"),
}


@pytest.mark.timeout(1800)  # ten processes, one after another
def test_killed_in_every_step_it_ends_with_the_same_model(
    world: dict[str, str], tiny_encoder: Path, tmp_path: Path
) -> None:
    pool = write_pool(world, tmp_path)
    recipe = rounds_dict(world, tiny_encoder, pool, rounds={"count": 1})
    run = tmp_path / "run"
    assert run_in_process(recipe, run) == 0
    undisturbed = run.rename(tmp_path / "undisturbed")  # made under the same name, which the rounds' recipes hold
    for point, kill in POINTS.items():
        assert_killed(recipe, run, kill)
        assert not (run / "metrics.json").exists(), point
    assert run_in_process(recipe, run) == 0
    assert_same_run(run, undisturbed)
    assert not list(run.glob("rounds/1/pool"))
