"""Killed by SIGKILL at any point, the same fit resumes and ends with the same model, bit for bit."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from fit_worker import Kill, run_fit
from safetensors.torch import load_file
from small_world import recipe_dict

from darl.storage import read_json

# each run is a process of its own, forked from a server that has imported everything and done nothing
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["darl.training.pipeline", "transformers.trainer", "peft"])

ALL = {"probe", "tune-random", "tune-probe", "interpolate", "finish"}
BEFORE = {
    "probe": set(),
    "tune-random": {"probe"},
    "tune-probe": {"probe", "tune-random"},
    "interpolate": {"probe", "tune-random", "tune-probe"},
    "finish": ALL - {"finish"},
    "publish": ALL,
}
# 16 steps a tuning with a checkpoint every 4; counting runs on from one tuning to the next
POINTS = {
    "probe, written but not finished": ("probe", Kill("os:rename", argument="probe.partial")),
    "tune-random, before the first checkpoint": ("tune-random", Kill("darl.training.trainer:MarkWhole.on_step_end", 3)),
    "tune-random, while a checkpoint is written": (
        "tune-random",
        Kill("transformers:Trainer._save_optimizer_and_scheduler", 2),
    ),
    "tune-probe, between checkpoints": ("tune-probe", Kill("darl.training.trainer:MarkWhole.on_step_end", 16 + 11)),
    "tune-probe, while a checkpoint is written": (
        "tune-probe",
        Kill("transformers:Trainer._save_optimizer_and_scheduler", 4 + 3),
    ),
    "tune-random, while the last checkpoints go": (
        "tune-random",
        Kill("os:unlink", 4, argument="optimizer.pt"),
    ),
    "tune-probe, while an old checkpoint goes": ("tune-probe", Kill("os:unlink", 5, argument="optimizer.pt")),
    "interpolate, while choosing": ("interpolate", Kill("darl.training.learn:choose")),
    "finish, before calibrating": ("finish", Kill("darl.training.finish:calibrate_on")),
    "finish, while the model is written": ("finish", Kill("darl.model.saving:plain_tokenizer_class")),
    "finish, written but not finished": ("finish", Kill("os:rename", argument="finish.partial ")),
    "publishing, half the files linked": ("publish", Kill("os:link", 3)),
    "publishing, before the metrics": ("publish", Kill("darl.training.one_run:atomic_write_json")),
}


def run_in_process(recipe: dict[str, Any], run: Path, kill: Kill | None = None) -> int:
    """Fit in a process of its own; its exit code, negative for a signal."""
    process = PROCESSES.Process(target=run_fit, args=(recipe, str(run), kill))
    process.start()
    process.join(120)
    assert process.exitcode is not None
    return process.exitcode


def outcome(run: Path) -> dict[str, Any]:
    """All that must not depend on a kill: metrics, and darl's facts but for the time of day."""
    facts, metrics = read_json(run / "model" / "darl.json"), read_json(run / "metrics.json")
    del facts["provenance"]["made"], metrics["seconds"], metrics["seconds_by_stage"]
    return {"facts": facts, "metrics": metrics}


def assert_same_model(run: Path, other: Path) -> None:
    assert outcome(run) == outcome(other)
    one, two = (load_file(folder / "model" / "model.safetensors") for folder in (run, other))
    assert one.keys() == two.keys()
    assert all((one[name] == two[name]).all() for name in one)


def stage_files(run: Path) -> dict[str, int]:
    """The finished stages and when each was."""
    found = [path for path in (run / "stages").glob("*/stage.json") if path.parent.suffix != ".partial"]
    return {path.parent.name: path.stat().st_mtime_ns for path in found}


@pytest.fixture(scope="module")
def recipe(world: dict[str, str], tiny_encoder: Path) -> dict[str, Any]:
    assert read_json(tiny_encoder / "config.json")["hidden_dropout_prob"] > 0  # or random states would not matter
    return recipe_dict(world, tiny_encoder)


@pytest.fixture(scope="module")
def undisturbed(recipe: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    assert run_in_process(recipe, run) == 0
    return run


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_run_resumes_to_the_same_model(
    point: str, recipe: dict[str, Any], undisturbed: Path, tmp_path: Path
) -> None:
    stage, kill = POINTS[point]
    assert run_in_process(recipe, tmp_path / "run", kill) == -signal.SIGKILL
    before = stage_files(tmp_path / "run")
    assert set(before) == BEFORE[stage]
    assert not (tmp_path / "run" / "metrics.json").exists()
    assert run_in_process(recipe, tmp_path / "run") == 0
    after = stage_files(tmp_path / "run")
    assert set(after) == ALL
    assert {name: after[name] for name in before} == before
    assert_same_model(tmp_path / "run", undisturbed)


MATCHING = {
    "between checkpoints": Kill("darl.training.trainer:MarkWhole.on_step_end", 12),
    "learnt, and not written down": Kill("darl.training.match:save_file"),
}


@pytest.fixture(scope="module")
def matched(world: dict[str, str], tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    """A recipe that matches first, and its undisturbed run."""
    match = {"enabled": True, "pairs": 200, "learning_rate": 0.003}
    recipe = recipe_dict(world, tiny_encoder, match=match, tune={"start": "probe"}, ood={"enabled": False})
    run = tmp_path_factory.mktemp("matched") / "run"
    assert run_in_process(recipe, run) == 0
    return recipe, run


@pytest.mark.parametrize("point", MATCHING)
def test_killed_while_matching_it_resumes_to_the_same_model(
    point: str, matched: tuple[dict, Path], tmp_path: Path
) -> None:
    recipe, undisturbed = matched
    assert run_in_process(recipe, tmp_path / "run", MATCHING[point]) == -signal.SIGKILL
    assert stage_files(tmp_path / "run") == {}
    assert run_in_process(recipe, tmp_path / "run") == 0
    assert_same_model(tmp_path / "run", undisturbed)


# kind of tuning: what it changes in the recipe, and a step between two checkpoints
KINDS = {
    "best epoch": ({"start": "random", "keep": "best", "epochs": 3}, 13),
    "stopped early": ({"start": "random", "keep": "best", "patience": 1, "epochs": 20, "learning_rate": 0.01}, 13),
    "LoRA": ({"start": "random", "kind": "lora"}, 7),
}


@pytest.fixture(scope="module", params=KINDS)
def kind(
    request: pytest.FixtureRequest, world: dict[str, str], tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], int, Path]:
    """The recipe of a kind of tuning, a step between two checkpoints, and the undisturbed run."""
    changes, step = KINDS[request.param]
    recipe = recipe_dict(world, tiny_encoder, tune=changes, ood={"enabled": False})
    run = tmp_path_factory.mktemp("kinds") / "run"
    assert run_in_process(recipe, run) == 0
    if "patience" in changes:
        assert 8 < read_json(run / "metrics.json")["choices"]["tune-random"]["steps"] < 160
    return recipe, step, run


def test_every_kind_of_tuning_resumes(kind: tuple[dict[str, Any], int, Path], tmp_path: Path) -> None:
    recipe, step, undisturbed = kind
    kill = Kill("darl.training.trainer:MarkWhole.on_step_end", step)
    assert run_in_process(recipe, tmp_path / "run", kill) == -signal.SIGKILL
    assert run_in_process(recipe, tmp_path / "run") == 0
    assert_same_model(tmp_path / "run", undisturbed)


@pytest.mark.parametrize("kind", ["stopped early"], indirect=True)
def test_a_run_that_had_stopped_early_stays_stopped(kind: tuple[dict[str, Any], int, Path], tmp_path: Path) -> None:
    recipe, _, undisturbed = kind
    kill = Kill("darl.training.trainer:mean_loss")
    assert run_in_process(recipe, tmp_path / "run", kill) == -signal.SIGKILL
    assert run_in_process(recipe, tmp_path / "run") == 0
    assert_same_model(tmp_path / "run", undisturbed)


def test_the_command_killed_from_outside_resumes(recipe: dict[str, Any], undisturbed: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    command = [sys.executable, "-m", "darl", "fit", str(tmp_path / "recipe.yaml"), "--run", str(tmp_path / "run")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "run" / "stages").glob("tune-*/checkpoints/checkpoint-*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "(done before)" in done.stderr
    assert str(tmp_path / "run" / "model") in done.stdout
    assert_same_model(tmp_path / "run", undisturbed)
