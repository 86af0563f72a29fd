"""Killed by SIGKILL in one step after another, the same rounds end with the same model, bit for bit."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from fit_worker import Kill
from rounds_world import rounds_dict, write_pool
from safetensors.torch import load_file
from test_resume import run_in_process

from darl.storage import read_json

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


def outcome(run: Path) -> dict[str, Any]:
    """The metrics of every round and of the whole, without the time they took."""
    files = [run / "metrics.json", *sorted(run.glob("rounds/*/metrics.json"))]
    found = {str(path.relative_to(run)): read_json(path) for path in files}
    for metrics in found.values():
        del metrics["seconds"], metrics["seconds_by_stage"]
    return found


@pytest.mark.timeout(1800)  # ten processes, one after another
def test_killed_in_every_step_it_ends_with_the_same_model(
    world: dict[str, str], tiny_encoder: Path, tmp_path: Path
) -> None:
    pool = write_pool(world, tmp_path)
    recipe = rounds_dict(world, tiny_encoder, pool, rounds={"count": 1})
    undisturbed, run = tmp_path / "undisturbed", tmp_path / "run"
    assert run_in_process(recipe, undisturbed) == 0
    for point, kill in POINTS.items():
        assert run_in_process(recipe, run, kill) == -signal.SIGKILL, point
        assert not (run / "metrics.json").exists(), point
    assert run_in_process(recipe, run) == 0
    assert outcome(run) == outcome(undisturbed)
    one, two = (load_file(folder / "model" / "model.safetensors") for folder in (run, undisturbed))
    assert one.keys() == two.keys()
    assert all((one[name] == two[name]).all() for name in one)
    assert not list(run.glob("rounds/1/pool"))
